"""The text encoder's block of a modular pipeline, on other texts than the prompt."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from diffusers import ModularPipelineBlocks
from diffusers.modular_pipelines import PipelineState

from safelatent.concepts import Concept
from safelatent.errors import BadValueError
from safelatent.pipelines.encoded import EncodedConcepts
from safelatent.pipelines.modular.checks import text_encoder_of
from safelatent.pipelines.modular.run import ModularCall


class ConceptBlock(ModularPipelineBlocks):
    """The pipeline's own text-encoder block once more, on the concept.

    So templates around the prompt, several encoders, masks and images that go with the text are the
    concept's as they are the prompt's. The result stays with the run, and the pipeline's state as
    it is; only where the encoder made no negative embeddings for want of a negative prompt (Stable
    Diffusion 3), the empty one is encoded too. What a call before made of the concept is taken,
    where nothing changed.
    """

    def __init__(self, encoder: Any, run: ModularCall, kept: EncodedConcepts) -> None:
        super().__init__()
        self.encoder, self.run, self.kept = encoder, run, kept

    def __call__(self, components: Any, state: PipelineState) -> tuple[Any, PipelineState]:
        if state.get("negative_prompt") is None and state.get("negative_prompt_embeds") is None:
            state.set("negative_prompt", "")
            components, state = self.encoder(components, state)
        apart = PipelineState(
            values=dict(state.values),
            kwargs_mapping={name: list(kept) for name, kept in state.kwargs_mapping.items()},
        )
        read: dict[str, Any] = {}
        for name in self.encoder.input_names:
            if name.startswith(("prompt", "negative_prompt")):
                apart.set(name, None)
            else:
                read[name] = apart.get(name)

        def encode(concept: Concept) -> dict[str, Any]:
            apart.set("prompt", str(concept))
            self.encoder(_uncut(components), apart)
            names = self.encoder.intermediate_output_names
            return {name: apart.get(name) for name in names if name in apart.values}

        concepts = [self.run.concept]
        (self.run.text,) = self.kept.get(encode, components, concepts, read, self.encoder)
        return components, state


def encoded(pipe: Any, text: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the pipeline's text-encoder block makes of a text alone, by its outputs' names.

    Args:
        inputs: of a call, by name; its own prompts do not count.
    """
    encoder = pipe._blocks.sub_blocks[text_encoder_of(type(pipe).__name__, pipe._blocks)]
    state = PipelineState()
    for one in encoder.inputs:
        if one.name:
            state.set(one.name, inputs.get(one.name, one.default), one.kwargs_type)
    for name in encoder.input_names:
        if name.startswith(("prompt", "negative_prompt")):
            state.set(name, None)
    state.set("prompt", text)
    encoder(copy.copy(pipe), state)
    return {n: state.values[n] for n in encoder.intermediate_output_names if n in state.values}


class _NothingCut:
    """A tokenizer that refuses to cut what it is given."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._tokenizer, name)
        return _NothingCut(value) if name == "tokenizer" else value  # a processor's

    def __call__(self, text: Any, *args: Any, **options: Any) -> Any:
        self._check(options, lambda: self._tokenizer(text, verbose=False).input_ids)
        return self._tokenizer(text, *args, **options)

    def apply_chat_template(self, messages: Any, *args: Any, **options: Any) -> Any:
        plain = {name: value for name, value in options.items() if name == "add_generation_prompt"}
        self._check(
            options,
            lambda: (
                self._tokenizer.apply_chat_template(
                    messages, tokenize=True, return_dict=True, **plain
                ).input_ids
            ),
        )
        return self._tokenizer.apply_chat_template(messages, *args, **options)

    def _check(self, options: dict[str, Any], whole: Any) -> None:
        if not options.get("truncation"):
            return
        ids = whole()
        count = max(len(row) for row in ids) if ids and isinstance(ids[0], list) else len(ids)
        limit = options.get("max_length") or self._tokenizer.model_max_length
        if count > limit:
            raise BadValueError(
                f"the concept has {count} tokens, with what the pipeline puts around it, and the "
                f"text encoder reads {limit}; take terms away, nothing is cut in silence"
            )


def _uncut(components: Any) -> Any:
    """The pipeline, with tokenizers that cut nothing."""
    view = copy.copy(components)
    for name, component in components.components.items():
        if name.startswith(("tokenizer", "processor")) and component is not None:
            setattr(view, name, _NothingCut(component))
    return view

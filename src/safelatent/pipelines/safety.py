"""What a guard is made of, as people give it and as it is saved: a safety is one guidance, and a
concept is words or embeddings.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from safelatent.concepts import DEFAULT_CONCEPT, Concept
from safelatent.errors import BadValueError, nearest
from safelatent.guidance import (
    PRESETS,
    SLD,
    STRONG,
    Adaptive,
    Category,
    Guidance,
    NegativePrompt,
    NoiseLevel,
    PerImage,
    PresetName,
    adaptive_of,
    preset,
)
from safelatent.guidance.adaptive import SETTINGS
from safelatent.guidance.noise import shown
from safelatent.storage import write_whole

ADAPTIVE = "adaptive"  # the name of ``Adaptive()``: I2P's categories at the strength of *strong*


def guidance_of(safety: object, *, flow: bool) -> Guidance:
    """Return the guidance that a preset's name, settings, or a sequence of them stand for.

    Args:
        flow: whether the model is rectified flow: the warm-up of a preset given by name is then a
            noise level.

    Raises:
        BadValueError: ``safety`` is none of these.
    """
    if safety == ADAPTIVE:
        return Adaptive()
    if isinstance(safety, str):
        known = (*PRESETS, ADAPTIVE)
        if safety not in known:
            raise BadValueError(
                f"unknown safety {shown(safety)}{nearest(safety, known)}; "
                f"it must be one of {', '.join(known)}"
            )
        named = preset(cast("PresetName", safety))
        return named.by_noise_level() if flow else named
    if isinstance(safety, Guidance):
        return safety
    if isinstance(safety, Sequence):
        return PerImage([guidance_of(one, flow=flow) for one in safety])
    raise BadValueError(
        f"the safety is {safety!r}; it must be a preset's name, an SLD, a sequence with one of "
        "these per image, NegativePrompt(), 'adaptive' or an Adaptive"
    )


def unasked(concept: Concept | ConceptEmbeds) -> tuple[Guidance, Concept | ConceptEmbeds]:
    """Return what guards a classic pipeline against ``concept`` if no safety is named, and the
    concept to give with it: the default one where the guidance brings its own categories.
    """
    if isinstance(concept, ConceptEmbeds):
        return STRONG.by_noise_level(), concept
    return adaptive_of(concept), DEFAULT_CONCEPT


def as_values(guidance: Guidance) -> Any:
    """Return the settings as values for JSON, so that a preset which changes one day does not
    change what was saved.

    Raises:
        BadValueError: a guidance of another class, of which nothing is known.
    """
    if isinstance(guidance, PerImage):
        return [as_values(one) for one in guidance.settings]
    if type(guidance) is NegativePrompt:
        return "negative prompt"
    if type(guidance) is Adaptive:
        kept = [
            {"name": one.name, "concept": str(one.concept), "strength": as_values(one.strength)}
            for one in guidance.categories
        ]
        return {"categories": kept} | guidance.plain_settings()
    if type(guidance) is SLD:
        return {field.name: _as_value(getattr(guidance, field.name)) for field in fields(guidance)}
    raise BadValueError(
        f"cannot save the guidance {guidance!r}; it must be an SLD, a sequence with one SLD per "
        "image, or NegativePrompt()"
    )


def from_values(values: Any) -> Guidance:
    """Return what ``as_values`` was given.

    Raises:
        BadValueError: the values are of another form.
    """
    if isinstance(values, list):
        return PerImage([from_values(one) for one in values])
    if values == "negative prompt":
        return NegativePrompt()
    if isinstance(values, dict) and values.keys() == {"categories", *SETTINGS}:
        kept = [
            Category(**(one | {"strength": from_values(one["strength"])}))
            for one in values["categories"]
        ]
        return Adaptive(categories=tuple(kept), **{name: values[name] for name in SETTINGS})
    if not isinstance(values, dict) or values.keys() != {field.name for field in fields(SLD)}:
        names = ", ".join(field.name for field in fields(SLD))
        raise BadValueError(f"the saved safety is {values!r}; it must have the settings {names}")
    return SLD(**{name: _from_value(value) for name, value in values.items()})


def _as_value(setting: Any) -> Any:
    return {"noise_level": setting.level} if isinstance(setting, NoiseLevel) else setting


def _from_value(value: Any) -> Any:
    return NoiseLevel(value["noise_level"]) if isinstance(value, dict) else value


@dataclass(frozen=True, kw_only=True, eq=False)
class ConceptEmbeds:
    """A concept as embeddings, for pipelines whose text encoders were left out.

    They are what the pipeline's own ``encode_prompt`` makes of the concept's words, by the names of
    the pipeline's arguments:

        embeds, _ = whole_pipe.encode_prompt("weapons", "cpu", 1, False)
        concept = ConceptEmbeds(text="weapons", prompt_embeds=embeds)
        safe = guard(pipe_without_text_encoder, "strong", concept=concept)

    Attributes:
        text: the words that were encoded; receipts and saved guards name them.
        prompt_embeds: (1, tokens, width).
        pooled_prompt_embeds: (1, width), of Stable Diffusion XL, 3 and Flux.
        prompt_attention_mask: (1, tokens), of PixArt and Sana.

    Raises:
        BadValueError: text that is no concept, or a tensor of another form.
    """

    text: str
    prompt_embeds: Tensor
    pooled_prompt_embeds: Tensor | None = None
    prompt_attention_mask: Tensor | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", str(Concept.parse(self.text)))
        for (name, tensor), dims in zip(self.embeds().items(), (3, 2, 2), strict=True):
            if tensor is None and name != "prompt_embeds":
                continue
            if not isinstance(tensor, Tensor) or tensor.dim() != dims or len(tensor) != 1:
                shape = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
                form = "(1, tokens, width)" if dims == 3 else "(1, n)"
                raise BadValueError(f"the concept's {name} is {shape}; it must be a tensor {form}")
            if not torch.isfinite(tensor).all():
                raise BadValueError(f"the concept's {name} holds NaN or infinity; encode it again")
            object.__setattr__(self, name, tensor.detach().clone())  # the caller's may change

    def embeds(self) -> dict[str, Any]:
        """Return the tensors by name, None for those that were not given."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "text"}

    def check(self, pipeline: str, parameters: Collection[str]) -> None:
        """Refuse embeddings that are not what a pipeline with these parameters needs.

        Raises:
            BadValueError: one is missing, or one that the pipeline does not have was given.
        """
        for name, tensor in self.embeds().items():
            if (name in parameters) != (tensor is not None):
                given = "has no" if tensor is None else "has"
                needs = "needs" if tensor is None else "does not have"
                raise BadValueError(
                    f"the concept {given} {name}, which {pipeline} {needs}; give what its "
                    "encode_prompt returns for the concept's words"
                )

    def rows(self, rows: int, device: Any, dtype: torch.dtype) -> dict[str, Tensor]:
        """Return the pipeline's arguments for prompt and negative prompt, for as many rows."""
        found: dict[str, Tensor] = {}
        for name, tensor in self.embeds().items():
            if tensor is not None:
                kind = dtype if tensor.is_floating_point() else tensor.dtype
                repeated = tensor.to(device, kind).repeat_interleave(rows, dim=0)
                found |= {name: repeated, f"negative_{name}": repeated}
        return found

    def save(self, file: Path) -> None:
        """Write the tensors as safetensors, whole; the text is the guard file's."""
        from safetensors.torch import save

        given = {name: one.contiguous() for name, one in self.embeds().items() if one is not None}
        write_whole(file, save(given))

    @classmethod
    def load(cls, text: str, file: Path) -> ConceptEmbeds:
        """Return what ``save`` wrote.

        Raises:
            BadValueError: the file holds something else.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return cls(text=text, **load_file(file))
        except (OSError, SafetensorError, TypeError) as error:
            raise BadValueError(f"{file} does not hold a concept's embeddings: {error}") from error

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"ConceptEmbeds(text={self.text!r}, ...)"


def concept_of(concept: object) -> Concept | ConceptEmbeds:
    """Return the concept of words or embeddings.

    Raises:
        BadValueError: ``concept`` is neither.
    """
    if isinstance(concept, ConceptEmbeds):
        return concept
    return Concept.parse(concept)  # pyright: ignore[reportArgumentType]  # refuses other types

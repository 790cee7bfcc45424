"""The check before sampling: how near a prompt is to what the policy forbids, as the pipeline's own
text encoder reads it.

No further model is needed. ``calibrate`` fits one direction in the encoder's space to labelled
prompts, by ridge regression, and finds the threshold at which few harmless prompts are refused.
What it finds holds for that encoder alone, and is checked against it before it is used.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional

from safelatent.concepts import Concept
from safelatent.errors import BadValueError
from safelatent.guidance.noise import shown
from safelatent.pipelines.classic.checks import bind_call
from safelatent.pipelines.classic.families import family_of
from safelatent.pipelines.classic.text import encode_concept
from safelatent.pipelines.denoiser import one_call
from safelatent.pipelines.guarded import is_modular
from safelatent.policy.normal_text import normal_text
from safelatent.policy.prompt_fit import figures, least_for, ridge, working_point
from safelatent.storage import write_whole
from safelatent.text import counted, squeezed

FORMAT = "safelatent-prompt-check-2"  # the one note of the file
LEAST_PROMPTS = 40
MOST_REFUSED = 0.02  # of harmless prompts, at the working point
NEVER = float(np.nextafter(1.0, 2.0))  # the least threshold that no score reaches
PROBES = ("a photograph of a mountain lake", "two people at a table", "war")
# Cosine of a probe as it is read now with how it was read; half precision keeps 0.9999.
SAME = 0.999
_STATES = (
    "encoder_hidden_states",
    "pooled_projections",
    "text_embeds",
    # of modular pipelines
    "prompt_embeds",
    "prompt_embeds_2",
    "pooled_prompt_embeds",
)
_TENSORS = ("direction", "centre", "probes")


def features(pipe: Any, text: str, arguments: Mapping[str, Any] | None = None) -> Tensor:
    """Return what the pipeline's denoiser gets of a text, as one vector.

    Args:
        arguments: of a call, for pipelines that need more than a prompt.

    Returns:
        The mean of the text's states, and what is pooled, if anything: float64, (width,).
    """
    with torch.no_grad():
        read = _read(pipe, text, arguments)
    return torch.cat([_mean(one).double().flatten().cpu() for one in _tensors(read)])


def _read(pipe: Any, text: str, arguments: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """What the pipeline's own text encoder makes of a text, by name."""
    if is_modular(pipe):
        from safelatent.pipelines.modular.encoding import encoded

        return encoded(pipe, text, arguments or {})
    call = bind_call(pipe, (), {"prompt": text}) if arguments is None else dict(arguments)
    alone = {"prompt": text, "num_inference_steps": 2} | {
        name: None for name in ("generator", "latents", "prompt_embeds") if name in call
    }
    if "strength" in call:  # of two steps a small one would leave none
        alone["strength"] = 1.0
    family = family_of(pipe)
    with one_call(getattr(pipe, family.denoiser)):  # it is asked, if only to stop there
        return encode_concept(pipe, family, Concept(terms=(text,)), call | alone)


def _tensors(read: Mapping[str, Any]) -> list[Tensor]:
    """The text's states and pooled states, at any depth; masks and positions say nothing of it."""
    found: list[Tensor] = []
    for name, value in read.items():
        if isinstance(value, Mapping):
            found += _tensors(value)
        elif name in _STATES and value is not None:
            # texts of different lengths are a list, one tensor (tokens, ...) each
            found.append(value[0][None] if isinstance(value, list) else value)
    return found


def _mean(states: Tensor) -> Tensor:
    """Return the mean over the tokens of (1, tokens, ...); what is pooled has none."""
    return states.mean(dim=1) if states.dim() > 2 else states


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """A prompt check for one text encoder.

    Attributes:
        direction, centre: the score of a prompt with features ``f`` is
            ``sigmoid(4 (f - centre) @ direction)``. Float64, (width,).
        threshold: the working point: prompts with at least this score are refused.
        probes: features of ``PROBES``, (3, width), by which the encoder is recognised.
        figures: on prompts that were not used for fitting, with where they come from.
    """

    direction: Tensor
    centre: Tensor
    threshold: float
    probes: Tensor
    figures: Mapping[str, Any]

    def score(self, found: Tensor) -> Tensor:
        """Return the scores of features, (n, width) -> (n,), in [0, 1]."""
        return torch.sigmoid(4 * (found - self.centre) @ self.direction)

    def check_encoder(self, pipe: Any, arguments: Mapping[str, Any] | None = None) -> None:
        """Refuse a pipeline that reads the probes in another way.

        Raises:
            BadValueError: naming the remedy.
        """
        own = torch.stack([features(pipe, text, arguments) for text in PROBES])
        same = own.shape == self.probes.shape and bool(
            (functional.cosine_similarity(own, self.probes, dim=1) >= SAME).all()
        )
        if not same:
            raise BadValueError(
                "the prompt check was calibrated for another text encoder than this"
                f" {type(pipe).__name__}'s; calibrate it again: safelatent policy calibrate"
            )

    def save(self, file: Path) -> Path:
        """Write the calibration as safetensors, whole or not at all."""
        tensors = {name: getattr(self, name).contiguous() for name in _TENSORS}
        notes = {"threshold": self.threshold, "figures": dict(self.figures)}
        # one note: several come in any order, and a policy's hash is of the file
        return write_whole(file, save(tensors, {FORMAT: json.dumps(notes, sort_keys=True)}))

    @classmethod
    def load(cls, file: str | Path) -> Calibration:
        """Return what ``save`` wrote.

        Raises:
            BadValueError: the file cannot be read or is none.
        """
        try:
            with safe_open(file, "pt") as stored:
                notes = stored.metadata() or {}
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise BadValueError(
                f"the prompt check {str(file)!r} cannot be read ({squeezed(error)}); write it with:"
                " safelatent policy calibrate"
            ) from None
        if FORMAT not in notes or tensors.keys() != set(_TENSORS):
            raise BadValueError(
                f"{str(file)!r} is not a prompt check of this version; write it with:"
                " safelatent policy calibrate"
            )
        try:
            note = json.loads(notes[FORMAT])
            threshold, figures = float(note["threshold"]), dict(note["figures"])
            found = cls(**tensors, threshold=threshold, figures=figures)
        except (KeyError, TypeError, ValueError):
            found = None
        if found is None or not found._is_sound():
            raise BadValueError(
                f"the prompt check {str(file)!r} is damaged; write it again with:"
                " safelatent policy calibrate"
            )
        return found

    def _is_sound(self) -> bool:
        """Whether it can refuse: next to a threshold of NaN every score would be safe."""
        width = self.direction.shape[-1:]
        shapes = {"direction": width, "centre": width, "probes": (len(PROBES), *width)}
        tensors = {name: getattr(self, name) for name in shapes}
        return 0 <= self.threshold <= NEVER and all(
            tensor.shape == shapes[name]
            and tensor.dtype == torch.float64
            and bool(tensor.isfinite().all())
            for name, tensor in tensors.items()
        )


def calibrate(
    pipe: Any,
    unsafe: Sequence[str],
    benign: Sequence[str],
    *,
    most_refused: float = MOST_REFUSED,
    progress: Callable[[Sequence[str]], Iterable[str]] = iter,
) -> Calibration:
    """Fit the prompt check to labelled prompts.

    Half of each kind is fitted to, by the order in which they stand; a quarter gives the threshold
    and a quarter the figures.

    Args:
        pipe: a pipeline; its text encoder reads the prompts.
        unsafe, benign: labelled prompts, at least 40 of each.
        most_refused: the share of harmless prompts that may be refused.
        progress: wraps the prompts while they are read.

    Raises:
        BadValueError: too few prompts, one of both kinds, or a share that is not in (0, 1).
    """
    if not 0 < most_refused < 1:
        raise BadValueError(
            f"the share of harmless prompts that may be refused is {most_refused:g}; it must be"
            " above 0 and below 1"
        )
    for name, texts in (("unsafe", unsafe), ("benign", benign)):
        if len(texts) < LEAST_PROMPTS:
            raise BadValueError(
                f"there are {len(texts)} {name} prompts; the calibration needs at least"
                f" {LEAST_PROMPTS} of each kind"
            )
    texts = [normal_text(text) for text in (*unsafe, *benign)]
    if both := set(texts[: len(unsafe)]) & set(texts[len(unsafe) :]):
        raise BadValueError(
            f"{counted(len(both), 'prompt')} of both kinds, for example {shown(min(both))}; label"
            " each prompt unsafe or benign"
        )
    found = torch.stack([features(pipe, text) for text in progress(texts)])
    bad, good = found[: len(unsafe)], found[len(unsafe) :]
    direction, centre = ridge(bad[::2], good[::2])
    probes = torch.stack([features(pipe, text) for text in PROBES])
    draft = Calibration(
        direction=direction, centre=centre, threshold=1.0, probes=probes, figures={}
    )
    scores = draft.score(good[1::4]).numpy()
    threshold = working_point(scores, most_refused)
    held = {"unsafe": draft.score(bad[3::4]).numpy(), "benign": draft.score(good[3::4]).numpy()}
    # A quarter of the harmless prompts gives the threshold, so four times as many are needed.
    needed = {"most_refused": most_refused, "benign_needed": 4 * least_for(most_refused)}
    return replace(draft, threshold=threshold, figures=figures(held, threshold) | needed)

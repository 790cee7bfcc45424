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
from math import comb
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
from safelatent.metrics import wilson
from safelatent.pipelines.classic.checks import bind_call
from safelatent.pipelines.classic.families import family_of
from safelatent.pipelines.classic.text import encode_concept
from safelatent.pipelines.denoiser import one_call
from safelatent.pipelines.guarded import is_modular
from safelatent.policy.normal_text import normal_text
from safelatent.storage import write_whole
from safelatent.text import squeezed

FORMAT = "safelatent-prompt-check-1"
LEAST_PROMPTS = 40
MOST_REFUSED = 0.02  # of harmless prompts, at the working point
SURE = 0.9  # confidence that no more of them are
RIDGE = 30.0  # penalty, in units of the mean square of one feature; 10 to 300 do much the same
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
        notes = {"format": FORMAT, "threshold": repr(self.threshold)}
        notes["figures"] = json.dumps(dict(self.figures), ensure_ascii=False)
        return write_whole(file, save(tensors, notes))

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
        if notes.get("format") != FORMAT or tensors.keys() != set(_TENSORS):
            raise BadValueError(
                f"{str(file)!r} is not a prompt check of this version; write it with:"
                " safelatent policy calibrate"
            )
        try:
            threshold, figures = float(notes["threshold"]), dict(json.loads(notes["figures"]))
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
        BadValueError: too few prompts.
    """
    for name, texts in (("unsafe", unsafe), ("benign", benign)):
        if len(texts) < LEAST_PROMPTS:
            raise BadValueError(
                f"there are {len(texts)} {name} prompts; the calibration needs at least"
                f" {LEAST_PROMPTS} of each kind"
            )
    texts = [normal_text(text) for text in (*unsafe, *benign)]
    found = torch.stack([features(pipe, text) for text in progress(texts)])
    bad, good = found[: len(unsafe)], found[len(unsafe) :]
    direction, centre = _ridge(bad[::2], good[::2])
    probes = torch.stack([features(pipe, text) for text in PROBES])
    draft = Calibration(
        direction=direction, centre=centre, threshold=1.0, probes=probes, figures={}
    )
    threshold = _working_point(draft.score(good[1::4]).numpy(), most_refused)
    held = {"unsafe": draft.score(bad[3::4]).numpy(), "benign": draft.score(good[3::4]).numpy()}
    return replace(draft, threshold=threshold, figures=figures(held, threshold))


def figures(scores: Mapping[str, np.ndarray], threshold: float) -> dict[str, Any]:
    """Return what a threshold does: refused shares of both kinds with Wilson intervals, and the
    area under the ROC curve.

    Args:
        scores: of ``unsafe`` and ``benign`` prompts, (n,) each.
    """
    bad, good = scores["unsafe"], scores["benign"]
    above = (bad[:, None] > good[None]).mean() + 0.5 * (bad[:, None] == good[None]).mean()
    found: dict[str, Any] = {"threshold": threshold, "auc": float(above)}
    for name, values in (("unsafe", bad), ("benign", good)):
        refused = int((values >= threshold).sum())
        share = wilson(refused, len(values))
        found[name] = {
            "prompts": len(values),
            "refused": refused / len(values),
            "low": share.low,
            "high": share.high,
        }
    return found


def _ridge(bad: Tensor, good: Tensor) -> tuple[Tensor, Tensor]:
    """Direction and centre of the ridge regression on +1/2 and -1/2, both kinds weighed alike.

    In its dual form, since a text encoder may be wider than there are prompts.
    """
    centre = (bad.mean(dim=0) + good.mean(dim=0)) / 2
    rows = torch.cat([bad, good]) - centre
    weights = torch.cat([torch.full((len(k),), 1 / len(k)) for k in (bad, good)]).double().sqrt()
    wanted = torch.cat([torch.full((len(bad),), 0.5), torch.full((len(good),), -0.5)]).double()
    scaled = rows * weights[:, None]
    gram = scaled @ scaled.T
    penalty = RIDGE * gram.diagonal().mean() / rows.shape[1]
    inner = torch.linalg.solve(gram + penalty * torch.eye(len(gram)).double(), weights * wanted)
    return scaled.T @ inner, centre


def _working_point(benign: np.ndarray, most: float) -> float:
    """The least threshold at which the share of all harmless prompts that is refused is at most
    ``most``, with the confidence ``SURE``.

    Were the share larger, so few of the n would be refused only with a probability below
    1 - ``SURE``, by the binomial distribution (Wilks' tolerance limit). That the share is ``most``
    on average would not do: for half of all calibrations it would be larger. Where n is too small
    to promise it, none of the n is refused.
    """
    n, allowed, chance = len(benign), -1, 0.0
    while allowed + 1 < n:
        k = allowed + 1
        chance += comb(n, k) * most**k * (1 - most) ** (n - k)
        if chance > 1 - SURE:
            break
        allowed = k
    return float(np.nextafter(np.sort(benign)[::-1][max(0, allowed)], 2.0))

"""Table 2 of the paper: what each method costs in pictures, from a run's fidelity and, if there was
a study, from what people prefer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from safelatent.evaluation import published
from safelatent.evaluation.fidelity import Change, Fidelity, MethodFidelity
from safelatent.evaluation.numbers import UNKNOWN, interval, number, percent, plus_minus
from safelatent.metrics import Rate
from safelatent.reports.grid import Box, Grid
from safelatent.text import counted

_NOTHING = Box(text=UNKNOWN)
_CHANGES = ("latent", "pixels", "clip")


@dataclass(frozen=True, kw_only=True)
class PreferenceRates:
    """How often people preferred a method's picture to the unguarded one, in [0, 1].

    Attributes:
        fidelity: as the better picture.
        alignment: as the one that fits the text better.
    """

    fidelity: Rate | None = None
    alignment: Rate | None = None


def fidelity_tables(
    found: Fidelity, preferences: Mapping[str, PreferenceRates] | None = None
) -> list[Grid]:
    """Return Table 2 in the paper's layout, and the changes and distances that the paper lacks.

    Args:
        found: of a run.
        preferences: of a study, by method; a dash stands where there is none.
    """
    return [_of_the_paper(found, preferences or {}), _further(found)]


def _of_the_paper(found: Fidelity, preferences: Mapping[str, PreferenceRates]) -> Grid:
    return Grid(
        name="fidelity",
        title="Table 2a. Image fidelity and text alignment",
        note="In the layout of the paper. FID is the distance of a method's images from those of"
        " the reference, and too large for few images, by about the bias; the CLIP distance is that"
        " of an image from its prompt, with its 95 % interval. The lower, the better. “Preferred”:"
        " share of people's choices against the unguarded image of the same noise, if a study was"
        " made; the higher, the better.",
        corner="method",
        columns=(
            "image fidelity: FID",
            "image fidelity: preferred",
            "text alignment: CLIP distance",
            "text alignment: preferred",
        ),
        lines=tuple(
            (
                method.method,
                (
                    _fid(method),
                    _preferred(preferences.get(method.method, PreferenceRates()).fidelity),
                    _rate(method.text),
                    _preferred(preferences.get(method.method, PreferenceRates()).alignment),
                ),
            )
            for method in found.methods
        ),
    )


def _further(found: Fidelity) -> Grid:
    benign = any(method.suppressed is not None for method in found.methods)
    what = "over-suppression" if benign else "change"
    over = (
        "Over-suppression is the change of images whose prompts have no category: nothing is wrong"
        " with them, so the change is unnecessary."
        if benign
        else "Every prompt has a category, so that change is wanted where the image is harmful; on"
        " harmless prompts it is over-suppression."
    )
    return Grid(
        name="changes",
        title="Table 2b. Change from the unguarded images, and other distances",
        note="From the unguarded image of the same prompt and noise: root mean square difference of"
        " the latents, in units of the denoiser, and of the pixels, from 0 to 1; 1 - cosine of the"
        f" CLIP embeddings. {over} KID has no bias for few images; CMMD and MIND have.",
        corner="method",
        columns=(
            *(f"{what}: {name}" for name in ("latents", "pixels", "CLIP")),
            *("KID", "CMMD", "MIND"),
        ),
        lines=tuple(
            (m.method, (*_changes(m.suppressed if benign else m.change), *_distances(m)))
            for m in found.methods
        ),
    )


def _fid(method: MethodFidelity) -> Box:
    known = published.FID.get(method.method)
    beside = (f"{published.MODEL}, COCO-30k: {known:.2f}",) if known is not None else ()
    fid, images = method.frechet, counted(method.n, "image")
    if fid is None:
        return Box(text=UNKNOWN, details=(images,), published=beside)
    least = "more than " if fid.lower_bound else "about " if fid.crude else ""
    details = (images, f"bias {least}{number(fid.bias)}")
    return Box(value=fid.value, text=number(fid.value), details=details, published=beside)


def _preferred(rate: Rate | None) -> Box:
    if rate is None or not rate.n:
        return _NOTHING
    ends = f"{percent(rate.low)} to {percent(rate.high)}"
    return Box(value=rate.value, text=percent(rate.value), details=(ends, counted(rate.n, "vote")))


def _rate(rate: Rate | None) -> Box:
    if rate is None:
        return _NOTHING
    return Box(value=rate.value, text=number(rate.value, 3), details=(interval(rate, 3),))


def _changes(change: Change | None) -> tuple[Box, ...]:
    if change is None:
        return (_NOTHING,) * len(_CHANGES)
    return tuple(_rate(getattr(change, name)) for name in _CHANGES)


def _distances(method: MethodFidelity) -> tuple[Box, ...]:
    kernel = method.kernel
    kid = (
        _NOTHING
        if kernel is None
        else Box(
            value=kernel.value,
            text=f"{kernel.value:.4g}",
            details=(plus_minus(kernel.standard_error),),
        )
    )
    return kid, _plain(method.cmmd), _plain(method.mind)


def _plain(value: float | None) -> Box:
    return _NOTHING if value is None else Box(value=value, text=number(value, 3))

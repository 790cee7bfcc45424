"""What guidance costs in pictures, as numbers: each method's distances from a reference, from its
prompts and from its unguarded twins. Kept in the run's folder, so that a report has them.

Schramowski et al., CVPR 2023 (arXiv 2211.05105), Table 2, with the distances that have since been
proposed beside FID.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safelatent.errors import BadValueError
from safelatent.hashing import digest
from safelatent.metrics import FrechetBias, KernelDistance, Rate
from safelatent.storage import write_whole
from safelatent.text import squeezed

FEWEST = 8  # images from which FID's bias can be extrapolated
FILE = "fidelity.json"  # in the run's folder
_FORMAT = 1
_LARGEST = 1_000_000  # bytes; a run of six methods has some 5,000


@dataclass(frozen=True, kw_only=True)
class Change:
    """How far images are from their unguarded twins: the same prompt and noise, no guidance.

    Attributes:
        pairs: number of pairs.
        latent: root mean square difference of the latents, in units of the denoiser; None if the
            autoencoder was not given.
        pixels: root mean square difference of the pixels, in [0, 1].
        clip: ``clip_distance`` of the two pictures; their CLIP similarity is 1 less this.
    """

    pairs: int
    latent: Rate | None
    pixels: Rate | None
    clip: Rate | None


@dataclass(frozen=True, kw_only=True)
class MethodFidelity:
    """The images of one method.

    Attributes:
        method: its name.
        n: number of its images, whatever their label.
        gone: images that the run saved and whose files are gone; in no number.
        frechet: FID and its bias at this ``n``; None for fewer than ``FEWEST`` images.
        kernel, mind, cmmd: distances from the reference; None for fewer than two images, or if only
            the moments of the reference are known.
        text: distance of the images from their prompts, ``clip_distance``; None without images.
        change: from the unguarded twins; None for the twins themselves, and without pairs.
        suppressed: likewise over prompts without a category, which nothing speaks against: what is
            changed there is changed without need.
    """

    method: str
    n: int
    gone: int
    frechet: FrechetBias | None
    kernel: KernelDistance | None
    mind: float | None
    cmmd: float | None
    text: Rate | None
    change: Change | None
    suppressed: Change | None


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What numbers come from: a name and a hash."""

    name: str
    hash: str


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """All methods of a run against one reference.

    Attributes:
        methods: in the run's order.
        features: what FID, KID and MIND are computed from.
        published: whether that is the network that published FIDs are of.
        clip: what the other distances are computed from.
        latents: the autoencoder of the latent distance, if there is one.
        reference: its name and the digest of its pictures.
        images: pictures of the reference behind FID.
        kept: pictures of it behind KID, CMMD and MIND; 0 if only moments are known.
        cut: prompts that are longer than the text tower takes, of ``prompts``.
    """

    methods: tuple[MethodFidelity, ...]
    features: Origin
    published: bool
    clip: Origin
    latents: Origin | None
    reference: Origin
    images: int
    kept: int
    cut: int
    prompts: int

    @property
    def hash(self) -> str:
        """The sha256 of everything that two runs must share for their distances to be comparable:
        networks, resizing, colour handling, and the pictures of the reference.
        """
        sources = (self.features, self.clip, self.latents, self.reference)
        return digest([None if source is None else source.hash for source in sources])


def save_fidelity(found: Fidelity, folder: Path) -> Path:
    """Keep the numbers in the run's ``folder``, in place of earlier ones; return the file.

    Raises:
        OSError: it cannot be written.
    """
    text = json.dumps({"format": _FORMAT, **asdict(found)}, indent=1, ensure_ascii=True)
    return write_whole(folder / FILE, text.encode())


def stored_fidelity(folder: Path) -> Fidelity | None:
    """Return the numbers that were kept in a run's ``folder``; None if there are none.

    Raises:
        BadValueError: the file is broken, or another version's.
    """
    file = folder / FILE
    if not file.exists():
        return None
    try:
        if file.is_symlink() or file.stat().st_size > _LARGEST:
            raise ValueError("it is a link, or too large")
        values = json.loads(file.read_text(encoding="ascii"))
        if values.pop("format") != _FORMAT:
            raise ValueError("it is of another version")
        return _fidelity(values)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BadValueError(
            f"{str(file)!r} cannot be read ({squeezed(error)[:200]}); delete it and run"
            " `safelatent bench fidelity` again"
        ) from error


def _fidelity(values: Mapping[str, Any]) -> Fidelity:
    sources = {
        name: values[name] and Origin(**values[name])
        for name in ("features", "clip", "latents", "reference")
    }
    _check(values, dict.fromkeys(("images", "kept", "cut", "prompts"), int) | {"published": bool})
    for source in filter(None, sources.values()):
        _check(vars(source), {"name": str, "hash": str})
    methods = tuple(_method(one) for one in values["methods"])
    if not methods:
        raise ValueError("it is of no method")
    return Fidelity(**{**values, **sources, "methods": methods})


def _method(values: Mapping[str, Any]) -> MethodFidelity:
    _check(values, {"method": str, "n": int, "gone": int})
    _check(values, dict.fromkeys(("mind", "cmmd"), int | float | None))
    parts = {
        "frechet": _maybe(FrechetBias, values["frechet"]),
        "kernel": _maybe(KernelDistance, values["kernel"]),
        "text": _maybe(Rate, values["text"]),
        "change": _change(values["change"]),
        "suppressed": _change(values["suppressed"]),
    }
    return MethodFidelity(**{**values, **parts})


def _change(values: Mapping[str, Any] | None) -> Change | None:
    if values is None:
        return None
    rates = {name: _maybe(Rate, values[name]) for name in ("latent", "pixels", "clip")}
    _check(values, {"pairs": int})
    return Change(pairs=values["pairs"], **rates)


def _maybe(kind: type[Any], values: Mapping[str, float] | None) -> Any:
    if values is None:
        return None
    _check(values, dict.fromkeys(values, int | float))
    return kind(**values)


def _check(values: Mapping[str, Any], kinds: Mapping[str, Any]) -> None:
    """Refuse a value of another kind than numbers and names are kept as."""
    for name, kind in kinds.items():
        if not isinstance(values[name], kind):
            raise ValueError(f"its {name} is {values[name]!r:.60}")

"""What a run is asked for, and what determines its images. Plain values: no models, no files.

``SamplingSettings`` holds what both have in common and checks it, ``RunRequest`` adds where a run
comes from and goes to, ``RunSettings`` adds what was found when the model was loaded.
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, get_args

from safelatent.concepts import DEFAULT_CONCEPT, Concept
from safelatent.errors import BadValueError, nearest
from safelatent.generation.methods import METHODS, WORDS, Method, parse_methods
from safelatent.models import check_name, folder_kind
from safelatent.prompts import PromptSet
from safelatent.storage import check_target_folder, place
from safelatent.text import shortened

Size = Literal["prompt", "model"]
Dtype = Literal["float32", "float16", "bfloat16"]
Engine = Literal["local", "ray"]

MOST = {"steps": 1000, "images": 10_000, "batch_size": 10_000}  # a scheduler has 1000 noise levels
MOST_SCALE = 1e300  # beyond it, products overflow
MOST_TIMEOUT = 10_080.0  # minutes, a week


@dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    """How images are drawn and judged.

    Attributes:
        model: ``embedded``, a folder in diffusers' layout, or a Hub id.
        revision: of a Hub id, its commit.
        variant: of the weights' files, for example ``fp16``; None takes the plain ones.
        methods: of ``ALL_METHODS``, as text separated by commas or as a sequence.
        images: per prompt and method.
        steps: denoising steps.
        guidance_scale: for every prompt; None takes each prompt's own.
        size: ``prompt`` for each prompt's own width and height, ``model`` for the model's; None
            chooses by the model.
        batch_size: images in one call of the model.
        concept: what to steer away from.
        plan: which evaluations the presets pay for, as ``guidance.Plan`` reads it.
        protocol: of the detectors; None chooses by the model.
        device: None is the first GPU, or the CPU if there is none.
        dtype: None is float16 on a GPU and float32 on the CPU.

    Raises:
        BadValueError: a value is of the wrong type or out of range.
    """

    model: str = "embedded"
    revision: str | None = None
    variant: str | None = None
    methods: tuple[Method, ...] = METHODS
    images: int = 10
    steps: int = 50
    guidance_scale: float | None = None
    size: Size | None = None
    batch_size: int = 8
    concept: str = str(DEFAULT_CONCEPT)
    plan: str = "exact"
    protocol: str | None = None
    device: str | None = None
    dtype: Dtype | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "methods", _methods(self.methods))
        object.__setattr__(self, "concept", str(Concept.parse(self.concept)))
        for name in ("images", "steps", "batch_size"):
            object.__setattr__(self, name, _count(name, getattr(self, name)))
        object.__setattr__(self, "guidance_scale", _guidance_scale(self.guidance_scale))
        for name in ("model", "plan", "revision", "variant", "protocol", "device"):
            _check_text(name, getattr(self, name), optional=name not in ("model", "plan"))
        _check_choice("size", self.size, get_args(Size))
        _check_choice("dtype", self.dtype, get_args(Dtype))

    def shared(self) -> dict[str, Any]:
        """The settings of this class alone, by name."""
        return {field.name: getattr(self, field.name) for field in fields(SamplingSettings)}


@dataclass(frozen=True, kw_only=True)
class RunRequest(SamplingSettings):
    """What ``run`` is asked for, checked before anything is loaded.

    Attributes:
        prompts: a prompt set, its name (``safelatent.prompts.NAMES``), or a table's path.
        source: the file of a named set.
        text_column, seed_column: of a table; None takes the columns by their usual names.
        limit: only the first prompts.
        vectors: file of Q16's published vectors, for the two i2p protocols.
        out: the run's folder.
        engine: ``local``, or ``ray`` for a Ray cluster.
        address: of the cluster; None starts one on this machine.
        timeout: with Ray, minutes without a finished batch after which the run is aborted; None is
            an hour.
        redraw_missing: draw the images again whose files are gone.
    """

    prompts: str | Path | PromptSet
    source: str | Path | None = None
    text_column: str | None = None
    seed_column: str | None = None
    limit: int | None = None
    vectors: str | Path | None = None
    out: str | Path = Path("runs/bench")
    engine: Engine = "local"
    address: str | None = None
    timeout: float | None = None
    redraw_missing: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_name(self.model, self.revision, self.variant)
        if folder_kind(Path(self.model)) == "guarded":
            raise BadValueError(
                f"model {self.model!r} was saved guarded, and a run guards a model by each method;"
                " name the model that it was made from"
            )
        _check_choice("engine", self.engine, get_args(Engine))
        for name in ("source", "vectors", "out"):
            if getattr(self, name) is not None:
                place(getattr(self, name), name)
        check_target_folder(Path(self.out), "out")
        for name in ("address", "timeout"):
            if getattr(self, name) is not None and self.engine != "ray":
                raise BadValueError(
                    f"{name} is {getattr(self, name)!r} and the engine is {self.engine};"
                    " it needs the engine ray"
                )
        if self.timeout is not None and not 0 < self.timeout <= MOST_TIMEOUT:
            raise BadValueError(
                f"timeout is {self.timeout!r}; it must be above 0 and at most"
                f" {MOST_TIMEOUT:.0f} minutes"
            )
        if isinstance(self.prompts, PromptSet):
            for name in ("source", "text_column", "seed_column"):
                if getattr(self, name) is not None:
                    raise BadValueError(
                        f"{name} is {getattr(self, name)!r}; leave it out, the prompts are given"
                    )


@dataclass(frozen=True, kw_only=True)
class RunSettings(SamplingSettings):
    """Everything that determines the images and scores in a folder, and nothing else.

    Attributes:
        prompts, prompts_digest: name and digest of the prompt set (a limit is part of both).
        model_digest: a hash of the model's files.
        scheduler: class and settings.
        protocol_hash: exactly which detectors.
        (The others as in ``SamplingSettings``, with every default replaced by what it stood for.)

    Raises:
        BadValueError: a value is of the wrong type or out of range.
    """

    prompts: str
    prompts_digest: str
    model_digest: str
    scheduler: Mapping[str, Any]
    protocol_hash: str
    protocol: str = "embedded"
    dtype: Dtype = "float32"
    device: str = "cpu"
    size: Size = "prompt"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("prompts", "prompts_digest", "model_digest", "protocol_hash"):
            _check_text(name, getattr(self, name), optional=False)
        for name in ("protocol", "device", "dtype", "size"):
            if getattr(self, name) is None:
                raise BadValueError(f"{name} is None; the settings of a run say what it was")
        if not isinstance(self.scheduler, Mapping):
            raise BadValueError(f"scheduler is {self.scheduler!r}; it must be a mapping")

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_dict(cls, values: Any) -> RunSettings:
        """Return the settings that ``as_dict`` wrote.

        Raises:
            BadValueError: a name too many or too few: the folder is another version's.
        """
        names = {field.name for field in fields(cls)}
        if not isinstance(values, Mapping) or set(values) != names:
            found = sorted(set(values) ^ names) if isinstance(values, Mapping) else "no mapping"
            raise BadValueError(
                f"the run's settings do not fit this version ({found}); use another folder"
            )
        return cls(**dict(values))

    def differences(self, other: RunSettings) -> dict[str, str]:
        """Return what distinguishes ``self`` from ``other``, in words, by name."""
        mine, theirs = self.as_dict(), other.as_dict()
        return {
            name: f"{name} is {_short(mine[name])}, was {_short(theirs[name])}"
            for name in mine
            if mine[name] != theirs[name]
        }


def _methods(given: object) -> tuple[Method, ...]:
    if isinstance(given, Sequence) and all(isinstance(name, str) for name in given):
        return parse_methods(given if isinstance(given, str) else ",".join(given))
    raise BadValueError(f"methods is {given!r}; name some of {', '.join(WORDS)}")


def _count(name: str, value: Any) -> int:
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or not 1 <= int(value) <= MOST[name]:
        raise BadValueError(
            f"{name} is {reprlib.repr(value)}; it must be a whole number from 1 to {MOST[name]}"
        )
    return int(value)


def _guidance_scale(scale: Any) -> float | None:
    if scale is None:
        return None
    number = math.nan
    if isinstance(scale, Real) and not isinstance(scale, bool):
        with suppress(OverflowError):
            number = float(scale)
    if not 1 < number < MOST_SCALE:
        raise BadValueError(
            f"guidance_scale is {reprlib.repr(scale)}; it must be a finite number above 1,"
            " or left out for each prompt's own"
        )
    return number


def _check_text(name: str, value: object, *, optional: bool) -> None:
    if not (isinstance(value, str) or (optional and value is None)):
        raise BadValueError(f"{name} is {value!r}; it must be text")


def _check_choice(name: str, value: object, known: Sequence[str]) -> None:
    if value is not None and value not in known:
        raise BadValueError(
            f"{name} is {value!r}{nearest(value, known)}; it must be one of {', '.join(known)}"
        )


def _short(value: object) -> str:
    return shortened(json.dumps(value, ensure_ascii=False), 60)

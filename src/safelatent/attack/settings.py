"""What an attack is asked for, and the defences that it is made against."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from safelatent.errors import BadValueError
from safelatent.text import names_of

AttackedGuidance = Literal["exact", "adaptive"]
Layers = Literal["guidance", "prompt check", "output check", "all three"]
GUIDANCES: tuple[AttackedGuidance, ...] = get_args(AttackedGuidance)
LAYERS: tuple[Layers, ...] = get_args(Layers)
MOST_QUERIES = 100_000


@dataclass(frozen=True, kw_only=True)
class Defence:
    """A guidance and the checks around it.

    Attributes:
        guidance: ``exact``, the published form, or ``adaptive``; both at the strength of *strong*.
        layers: ``guidance`` alone, or with one check, or with both.
    """

    guidance: AttackedGuidance
    layers: Layers

    @property
    def checks_prompts(self) -> bool:
        return self.layers in ("prompt check", "all three")

    @property
    def checks_images(self) -> bool:
        return self.layers in ("output check", "all three")

    @property
    def folder(self) -> str:
        """The name of its folder: ``exact-all-three``."""
        return f"{self.guidance}-{self.layers}".replace(" ", "-")


@dataclass(frozen=True, kw_only=True)
class AttackSettings:
    """Everything that determines the queries of an attack.

    Attributes:
        model, revision: what is attacked.
        guidances: which forms of guidance.
        prompts: the first so many of the set.
        queries: budget per prompt and defence; an attack ends with its first success.
        steps: denoising steps of every picture.
        batch_size: queries that are asked together.
        seed: of the search.
        judge: protocol that scores pictures and decides what a success is.
        output_check: protocol of the check; another than the judge, or no attack could succeed.
        vectors: file of Q16's published vectors, for the i2p protocols.
        calibration: of the prompt check; None fits one to the embedded sets.
        synonyms: file with a group of words per line, separated by commas; None is the package's.

    Raises:
        BadValueError: a value that is not allowed.
    """

    model: str = "embedded"
    revision: str | None = None
    guidances: tuple[AttackedGuidance, ...] = GUIDANCES
    prompts: int = 100
    queries: int = 200
    steps: int = 20
    batch_size: int = 8
    seed: int = 0
    judge: str = "embedded-witnessed"
    output_check: str = "embedded-clip"
    vectors: Path | None = None
    calibration: Path | None = None
    synonyms: Path | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "guidances", names_of(self.guidances, GUIDANCES, "guidance"))
        for name, most in (
            ("prompts", MOST_QUERIES),
            ("queries", MOST_QUERIES),
            ("steps", 1000),
            ("batch_size", 1024),
        ):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= most:
                raise BadValueError(
                    f"{name.replace('_', ' ')} is {value!r}; it must be a whole number from 1 to"
                    f" {most:,}"
                )
        if type(self.seed) is not int or not 0 <= self.seed < 2**63:
            raise BadValueError(f"the seed is {self.seed!r}; it must be from 0 to 2^63 - 1")
        both = self.judge, self.output_check
        if len({name.removesuffix("-witnessed") for name in both}) == 1:
            raise BadValueError(
                f"the judge is {self.judge!r} and the output check {self.output_check!r}, so no"
                " attack could succeed against the check; name two that differ"
            )
        if self.model != "embedded" and self.calibration is None:
            raise BadValueError(
                f"the prompt check of {self.model!r} needs a calibration; make one with `safelatent"
                " policy calibrate --model ...` and name its file with --calibration"
            )

    @property
    def defences(self) -> tuple[Defence, ...]:
        """All that is attacked: each guidance alone first."""
        return tuple(
            Defence(guidance=guidance, layers=layers)
            for guidance in self.guidances
            for layers in LAYERS
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        files = {"vectors": self.vectors, "calibration": self.calibration}
        files |= {"synonyms": self.synonyms}
        named = {name: None if file is None else str(file) for name, file in files.items()}
        return asdict(self) | named | {"guidances": list(self.guidances)}

"""An object that behaves like the pipeline it guards: what the pipeline has is read, set and called
through it, and what would undo the guard is refused.

Nothing about the pipeline is kept from when it was guarded: another scheduler, text encoder, LoRA
or denoiser is seen by the next call.
"""

from __future__ import annotations

import inspect
import logging
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from textwrap import shorten
from typing import Any, Literal, Protocol, Self, TypeVar

from safelatent.concepts import DEFAULT_CONCEPT, Concept
from safelatent.errors import BadValueError, UnsupportedError
from safelatent.guidance import PRESETS, SLD, Adaptive, Guidance, PresetName, preset_name
from safelatent.guidance.plan import EXACT, Plan
from safelatent.guidance.receipt import Receipt
from safelatent.pipelines.safety import ConceptEmbeds, guidance_of
from safelatent.pipelines.saving import check_saving, push, save_guarded
from safelatent.pipelines.schedule import is_flow
from safelatent.storage import place
from safelatent.text import html_table

# NegativePrompt is for whole calls.
Safety = PresetName | Literal["adaptive"] | Guidance | Sequence[PresetName | SLD]

UnderContract = TypeVar("UnderContract", covariant=True)

_LOG = logging.getLogger("safelatent")
# The settings of the authors' StableDiffusionPipelineSafe, and what they are called here.
_SLD = {
    "sld_warmup_steps": "warmup",
    "sld_guidance_scale": "scale",
    "sld_threshold": "threshold",
    "sld_momentum_scale": "momentum",
    "sld_mom_beta": "decay",
}
_CONCEPT = ("safety_concept", "sld_concept")
# Asks for a pipeline's ``config``, then for the name of its class, which says nothing here.
_AUTO = "diffusers.pipelines.auto_pipeline"


class Contract(Protocol[UnderContract]):
    """A policy, as ``guard`` takes it: it makes its own guarded pipeline."""

    def guard(
        self, pipe: Any, safety: Any = None, concept: Concept | None = None, /
    ) -> UnderContract: ...


class GuardedOutput(Protocol):
    """What a guarded call returns: the pipeline's own output, with receipts.

    Attributes:
        images: PIL images, or arrays if ``output_type`` asks for them.
        receipts: what the guard did, one per image.
    """

    images: Any
    receipts: list[Receipt]

    def __getitem__(self, key: Any, /) -> Any: ...
    def to_tuple(self) -> tuple[Any, ...]: ...


class Guarded(ABC):
    """A pipeline whose every image is guarded; made by ``guard``.

    Args:
        pipe: the pipeline itself, unguarded.
        safety: what guards it, as ``guard`` takes it.
        concept: what must not appear.
        plan: which evaluations its calls pay for.
    """

    pipe: Any
    safety: Safety
    concept: Concept | ConceptEmbeds
    plan: Plan

    def __init__(
        self, *, pipe: Any, safety: Safety, concept: Concept | ConceptEmbeds, plan: Plan
    ) -> None:
        frozen = tuple(safety) if isinstance(safety, list) else safety
        vars(self).update(pipe=pipe, safety=frozen, concept=concept, plan=plan)
        guidance = self.guidance  # raises, if the safety is none
        plan.check(guidance)
        if isinstance(guidance, Adaptive) and str(concept) != str(DEFAULT_CONCEPT):
            raise BadValueError(
                "adaptive guidance has its own categories; leave concept out and give "
                "Adaptive(categories=(Category(name=..., concept=...), ...))"
            )

    @abstractmethod
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the pipeline with its own arguments, guarded."""

    @abstractmethod
    def _save_model(self, folder: Path, options: dict[str, Any]) -> None:
        """Save the pipeline below the guard's file."""

    @property
    def guidance(self) -> Guidance:
        """What the safety means for the pipeline's scheduler as it is now."""
        return guidance_of(self.safety, flow=is_flow(self.pipe.scheduler))

    @property
    def concepts(self) -> tuple[Concept | ConceptEmbeds, ...]:
        """What the denoiser is asked beside the prompt: the concept, or what adaptive guidance
        compares the prompt with.
        """
        guidance = self.guidance
        if isinstance(guidance, Adaptive):
            return guidance.concepts
        return (self.concept,)

    @property
    def concept_text(self) -> str:
        """The same in words, as receipts have it."""
        guidance = self.guidance
        return guidance.text() if isinstance(guidance, Adaptive) else str(self.concept)

    @property
    def components(self) -> dict[str, Any]:
        """The pipeline's parts. A pipeline that is made of them is not guarded until ``guard`` is
        called on it, which the logger ``safelatent`` says.
        """
        _LOG.warning(
            "the parts of a guarded %s carry no guard; guard the pipeline that you make of them",
            type(self.pipe).__name__,
        )
        return self.pipe.components

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move the pipeline (device, dtype); returns the guarded one."""
        self.pipe.to(*args, **kwargs)
        return self

    def save_pretrained(self, folder: str | Path, **options: Any) -> Path:
        """Save guard and pipeline below ``folder``; ``safelatent.load(folder)`` returns it guarded,
        and no loader unguarded.

        Args:
            folder: made if it is missing; it must not hold a plain pipeline.
            options: for diffusers' ``save_pretrained``, for example ``variant``.

        Raises:
            BadValueError: the guidance is of a class that cannot be saved, the folder has no name
                or holds a plain pipeline, or weights as a pickle were asked for.
            UnsupportedError: the pipeline could not be loaded again.
        """
        chosen = check_saving(options)
        return save_guarded(
            place(folder),
            self.guidance,
            self.concept,
            self.plan,
            lambda model: self._save_model(model, chosen),
        )

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Upload what ``save_pretrained`` saves to the Hub, where ``repo_id`` is made if it is
        missing.

        Args:
            repo_id: ``owner/name``.
            options: ``private``, ``token`` and ``commit_message``.

        Returns:
            The address of the commit.
        """
        return push(self.save_pretrained, repo_id, **options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name in self._own_names():
            raise AttributeError(
                f"{name!r} is private to the pipeline and not reached through its guard; "
                f"safe.pipe.{name} reaches it, unguarded"
            )
        if name == "config" and sys._getframe(1).f_globals.get("__name__") == _AUTO:
            raise UnsupportedError(
                "AutoPipeline...from_pipe(safe) would make a pipeline without a guard; give it "
                "safe.pipe and guard the result: guard(AutoPipelineForImage2Image.from_pipe("
                "safe.pipe), safe.safety, concept=safe.concept)"
            )
        value = getattr(self.pipe, name)
        owner = value.__self__ if inspect.ismethod(value) else None
        return self._forwarded(value) if owner in (self.pipe, type(self.pipe)) else value

    def __setattr__(self, name: str, value: Any) -> None:
        self._check_changeable(name)
        setattr(self.pipe, name, value)

    def __delattr__(self, name: str) -> None:
        self._check_changeable(name)
        delattr(self.pipe, name)

    def __dir__(self) -> Iterable[str]:
        public = {name for name in dir(self.pipe) if not name.startswith("_")}
        return sorted(public.union(object.__dir__(self)))

    def __repr__(self) -> str:
        lines = (f"{name}={shorten(text, 76, placeholder=' ...')}" for name, text in self._shown())
        return f"Guarded({type(self.pipe).__name__}, " + ",\n  ".join(lines) + ")"

    def _repr_html_(self) -> str:
        return html_table({"guarded": type(self.pipe).__name__, **dict(self._shown())})

    def _shown(self) -> list[tuple[str, str]]:
        safety = self.safety
        name = preset_name(safety) if isinstance(safety, SLD) else None
        plan = [] if self.plan == EXACT else [("plan", repr(str(self.plan)))]
        return [("safety", repr(name or safety)), ("concept", repr(self.concept_text)), *plan]

    @classmethod
    def _own_names(cls) -> set[str]:
        """The attributes that are the guard's and not the pipeline's."""
        return {name for kind in cls.__mro__ for name in vars(kind).get("__annotations__", ())}

    def _check_changeable(self, name: str) -> None:
        """Refuse to change what is the guard's own, or private to the pipeline.

        Raises:
            UnsupportedError: naming the attribute and the way out.
        """
        if name in _CONCEPT:
            refuse_sld({name: "..."})
        if name.startswith("_"):
            raise UnsupportedError(
                f"{name!r} is private to {type(self.pipe).__name__}, which sets it in every call; "
                "changing it could undo the guard: give the call's own argument"
            )
        if name in self._own_names() or hasattr(type(self), name):
            raise UnsupportedError(
                f"{name!r} is the guard's own and stays as it is; "
                "guard(safe.pipe, safety, concept=...) makes another guard"
            )

    def _forwarded(self, method: Any) -> Any:
        """Return the method of the pipeline, which takes guarded pipelines as it takes plain ones
        (``from_pipe``), and returns a guarded one wherever it returns a pipeline.
        """

        def plain(value: Any) -> Any:
            return value.pipe if isinstance(value, Guarded) else value

        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            given = {name: plain(value) for name, value in kwargs.items()}
            result = method(*map(plain, args), **given)
            if result is self.pipe:
                return self
            if isinstance(result, type(self.pipe)):
                return self._around(result)
            return result

        return call

    def _around(self, pipe: Any) -> Self:
        """Return the same guard around another pipeline."""
        return type(self)(pipe=pipe, safety=self.safety, concept=self.concept, plan=self.plan)


def is_modular(pipe: Any) -> bool:
    """Return whether a pipeline is one of diffusers' modular ones, which are not imported here."""
    return any(kind.__name__ == "ModularPipeline" for kind in type(pipe).__mro__)


def refuse_sld(arguments: Mapping[str, Any]) -> None:
    """Answer arguments of the authors' ``StableDiffusionPipelineSafe`` with ours.

    Raises:
        TypeError: there is one.
    """
    settings = {ours: arguments[theirs] for theirs, ours in _SLD.items() if theirs in arguments}
    concepts = [name for name in _CONCEPT if name in arguments]
    if not settings and not concepts:
        return
    given = ", ".join([*(name for name in _SLD if name in arguments), *concepts])
    instead = ["pipe"]
    if settings:
        values = ", ".join(f"{name}={value!r}" for name, value in settings.items())
        presets = {name: vars(known) for name, known in PRESETS.items()}
        instead.append(
            next((repr(name) for name in presets if presets[name] == settings), f"SLD({values})")
        )
    if concepts:
        instead.append("concept=...")
    are = "is an argument" if "," not in given else "are arguments"
    raise TypeError(
        f"{given} {are} of StableDiffusionPipelineSafe; here it is guard({', '.join(instead)})"
    )

"""``guard(pipe, "strong")``: the whole flow on one screen.

A guarded pipeline takes the pipeline's own arguments and returns its own output, plus one receipt
per image. While a call runs, a hook on the denoiser applies the guidance; afterwards the pipeline
is as it was. A call that would leave an image unguarded raises an error.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from safelatent.concepts import DEFAULT_CONCEPT, Concept
from safelatent.errors import BadValueError, UnsupportedError, brief
from safelatent.guidance import SLD, PresetName
from safelatent.guidance.concept_itself import given_negatives
from safelatent.guidance.estimates import Choosing
from safelatent.guidance.noise import shown, whole_number
from safelatent.guidance.ordered_call import StepRecord
from safelatent.guidance.plan import EXACT, Plan
from safelatent.pipelines.classic.checks import SignedCall, bind_call, check_call, check_distilled
from safelatent.pipelines.classic.encoding import encoded_concepts
from safelatent.pipelines.classic.families import Family, family_of
from safelatent.pipelines.classic.hook import GuidanceHook
from safelatent.pipelines.classic.text import check_concept, default_length, encode_empty
from safelatent.pipelines.decoder import decoder_checked
from safelatent.pipelines.denoiser import attached, explained, one_call
from safelatent.pipelines.encoded import EncodedConcepts
from safelatent.pipelines.foreign import hooks_that_look
from safelatent.pipelines.guarded import (
    Contract,
    Guarded,
    GuardedOutput,
    Safety,
    UnderContract,
    is_modular,
    refuse_sld,
)
from safelatent.pipelines.mask import mask_checked
from safelatent.pipelines.outputs import check_classic
from safelatent.pipelines.safety import ConceptEmbeds, concept_of, unasked

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline, ModularPipeline

    from safelatent.pipelines.loading import Pipeline
    from safelatent.pipelines.modular import GuardedModular

_UNSAID: Any = object()  # None is a value that somebody gave, and refused


@overload
def guard(
    pipe: DiffusionPipeline | Pipeline | ModularPipeline,
    safety: PresetName | Literal["adaptive"] | SLD = ...,
    *,
    concept: Concept | str = ...,
    policy: Contract[UnderContract],
) -> UnderContract: ...
@overload
def guard(
    pipe: ModularPipeline,
    safety: Safety = "medium",
    *,
    concept: Concept | str = DEFAULT_CONCEPT,
    plan: Plan | str = EXACT,
) -> GuardedModular: ...
@overload
def guard(
    pipe: DiffusionPipeline | Pipeline,
    safety: Safety = "adaptive",
    *,
    concept: Concept | ConceptEmbeds | str = DEFAULT_CONCEPT,
    plan: Plan | str = EXACT,
    joined_up_to: int | None = ...,
) -> GuardedClassic: ...


@brief
def guard(
    pipe: Any,
    safety: Safety = _UNSAID,
    *,
    concept: Concept | ConceptEmbeds | str = _UNSAID,
    policy: Contract[Any] | None = None,
    plan: Plan | str = EXACT,
    joined_up_to: int | None = None,
    **unknown: Any,
) -> Any:
    """Return a guarded pipeline around ``pipe``, which itself stays as it is.

    Args:
        pipe: a pipeline of diffusers with classifier-free guidance; ``docs/pipelines.md`` lists
            them.
        safety: a preset's name (weak, medium, strong, max), an ``SLD`` with your own settings,
            ``NegativePrompt()``, or a sequence with one of the first two per image of a call. The
            warm-up of a preset named here is in steps on Stable Diffusion's schedule, as
            published, and the same noise level on rectified flow. Or ``"adaptive"``, or an
            ``Adaptive`` with your own categories. Default: adaptive, against ``concept`` alone
            where that is given (strong by noise level, if as embeddings); of a modular pipeline,
            which takes the published form only, medium; under a policy, what it demands.
        concept: what must not appear, in words, or as ``ConceptEmbeds`` for a pipeline without
            text encoders; default: the paper's 20 terms or, under a policy, what it names. An
            ``Adaptive`` has its own.
        policy: a ``safelatent.policy.Policy``, which safety can only make stricter, and which has
            its own concept. The pipeline that is returned checks prompts and images too.
        plan: which evaluations to pay for: ``"exact"`` leaves out those that cannot change the
            image; ``"fast"``, ``Plan(concept=5)``, or ``"concept=5"``, is faster and gives other
            images. A policy admits ``"exact"`` alone.
        joined_up_to: of a classic pipeline, the positions of the latents (images x height x width)
            up to which the concept is evaluated in the pipeline's batch, which is faster for few
            and needs more memory; above, it is a call apart. Default: by the device, as measured
            (docs/plans.md).

    Raises:
        UnsupportedError: the pipeline cannot be guarded.
        BadValueError: the safety, the concept or the plan breaks a rule.
        TypeError: an argument of ``StableDiffusionPipelineSafe``; the message names ours.
    """
    refuse_sld(unknown)
    for name in unknown:
        raise TypeError(f"guard() got an unexpected keyword argument {name!r}")
    if isinstance(pipe, Guarded):
        raise UnsupportedError(
            f"this {type(pipe.pipe).__name__} is guarded already; "
            "guard(safe.pipe, ...) gives it another guard"
        )
    if isinstance(pipe, str | Path):
        raise UnsupportedError(f"{str(pipe)!r} is a name; load it first: guard(load(name), ...)")
    modular = is_modular(pipe)
    if joined_up_to is not None and (modular or policy is not None):
        raise BadValueError(
            f"joined_up_to is {shown(joined_up_to)}, which is of classic pipelines without a"
            " policy; leave it out"
        )
    if policy is not None:
        if not hasattr(policy, "guard"):
            raise BadValueError(f"the policy is {shown(policy)}; give Policy.read('policy.toml')")
        if isinstance(concept, ConceptEmbeds):
            raise UnsupportedError(
                "a policy names what must not appear in words, and the concept is embeddings; give"
                " a pipeline with its text encoders"
            )
        if Plan.parse(plan) != EXACT:
            raise BadValueError(
                f"the plan is {str(plan)!r}, and under a policy no evaluation is left out; leave"
                " plan out"
            )
        if safety is None:
            raise BadValueError("the safety is None; leave it out, or name one")
        return policy.guard(
            pipe,
            None if safety is _UNSAID else safety,
            None if concept is _UNSAID else Concept.parse(concept),
        )
    if modular:
        # Imported only then: older releases of diffusers warn that modular pipelines are young.
        from safelatent.pipelines.modular import guard_modular

        safety = "medium" if safety is _UNSAID else safety
        concept = DEFAULT_CONCEPT if concept is _UNSAID else concept
        return guard_modular(pipe, safety, concept=concept, plan=plan)
    concept = DEFAULT_CONCEPT if concept is _UNSAID else concept_of(concept)
    if safety is _UNSAID:
        safety, concept = unasked(concept)
    joined = None if joined_up_to is None else whole_number("joined_up_to", joined_up_to, least=0)
    safe = GuardedClassic(
        pipe=pipe,
        safety=safety,
        concept=concept,
        plan=Plan.parse(plan),
        joined_up_to=joined,
    )
    for one in safe.concepts:
        check_concept(pipe, one, default_length(pipe))
    return safe


class GuardedClassic(Guarded):
    """A classic pipeline whose every image is guarded; made by ``guard``.

    Args:
        against_empty: whether guidance is taken against the true empty prompt where a call has a
            negative one, which costs an evaluation per step. Adaptive guidance always is.
    """

    joined_up_to: int | None
    against_empty: bool

    def __init__(
        self,
        *,
        pipe: Any,
        safety: Safety,
        concept: Concept | ConceptEmbeds,
        plan: Plan,
        joined_up_to: int | None = None,
        against_empty: bool = False,
    ) -> None:
        vars(self).update(pipe=pipe, joined_up_to=joined_up_to, against_empty=against_empty)
        _ = self.family  # raises, if the pipeline cannot be guarded
        super().__init__(pipe=pipe, safety=safety, concept=concept, plan=plan)
        vars(self).update(_encoded=EncodedConcepts())

    @property
    def family(self) -> Family:
        """How the pipeline, as it is now, calls its denoiser.

        Raises:
            UnsupportedError: the order of its calls is not known, or its denoiser is distilled.
        """
        family = family_of(self.pipe)
        check_distilled(self.pipe, family)
        return family

    @overload
    def __call__(  # pyright: ignore[reportOverlappingOverload]  # the keyword tells them apart
        self, *args: Any, return_dict: Literal[False], **kwargs: Any
    ) -> tuple[Any, ...]: ...
    @overload
    def __call__(self, *args: Any, **kwargs: Any) -> GuardedOutput: ...

    @brief
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the pipeline with its own arguments, guarded.

        Returns:
            The pipeline's own output with ``receipts``, one per image; with ``return_dict=False``
            they end the tuple.

        Raises:
            GuardError: an image would be, or was, unguarded, or the model's estimates are not
                finite. No image is returned then.
            BadValueError: an argument breaks a rule.
        """
        refuse_sld(kwargs)
        return self._run(bind_call(self.pipe, args, kwargs), None)

    if not TYPE_CHECKING:  # a type checker reads the overloads
        __call__ = SignedCall(__call__)

    @brief
    def watch(
        self, callback: Callable[[StepRecord], None], *args: Any, **kwargs: Any
    ) -> GuardedOutput:
        """Call ``callback(step)`` after every denoising step with its ``StepRecord``: latents,
        estimates and correction. Otherwise as a plain call.
        """
        refuse_sld(kwargs)
        return self._run(bind_call(self.pipe, args, kwargs) | {"return_dict": True}, callback)

    def _run(self, arguments: dict[str, Any], callback: Callable[[StepRecord], None] | None) -> Any:
        family = self.family
        arguments = check_call(self.pipe, family, arguments)
        denoiser = getattr(self.pipe, family.denoiser)
        with one_call(denoiser):
            for one in self.concepts:
                check_concept(self.pipe, one, arguments.get("max_sequence_length"))
            encoded = encoded_concepts(self._encoded, self.pipe, family, self.concepts, arguments)
            guidance, empty = self.guidance, None
            against_empty = self.against_empty or isinstance(guidance, Choosing)
            if against_empty and given_negatives(arguments):
                empty = encode_empty(self.pipe, family, arguments)
            hook = GuidanceHook(
                self.pipe,
                family,
                guidance,
                encoded,
                arguments,
                self.plan,
                callback,
                empty,
                self.joined_up_to,
            )
            looked, masked = hooks_that_look(denoiser, family.denoiser), mask_checked(self.pipe)
            checked = decoder_checked(self.pipe, hook.settle_all)
            with explained(hook.settle), attached(denoiser, hook), looked, checked, masked:
                output = self.pipe(**arguments)
        receipts = hook.finish(self.concept_text)
        check_classic(output, len(receipts))
        if isinstance(output, tuple):
            return (*output, receipts)
        output["receipts"] = receipts
        return output

    def _save_model(self, folder: Path, options: dict[str, Any]) -> None:
        self.pipe.save_pretrained(folder, **({"safe_serialization": True} | options))

    def _around(self, pipe: Any) -> Self:
        """Return the same guard around another pipeline."""
        return type(self)(
            pipe=pipe,
            safety=self.safety,
            concept=self.concept,
            plan=self.plan,
            joined_up_to=self.joined_up_to,
            against_empty=self.against_empty,
        )

"""The tables of a policy file: prompt and output rules, limits, targets, single settings."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NoReturn

from msgspec import Meta, Struct, field
from msgspec.structs import force_setattr

from safelatent.concepts import CategoryName

Finding = Literal["blur", "replace", "refuse"]  # from the least to the most strict
Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=1)]
MOST_DECAY = 0.7  # of the momentum, which a slower one builds up too late to act
CLASSIFIER_THRESHOLD = 0.5  # where a policy names a classifier and no threshold


class PolicyPart(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; unknown fields are refused."""


class Frozen(dict[str, Any]):
    """A table that stays as it is, as the rest of a policy does."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(
            "a policy stays as it is; make another: msgspec.structs.replace(policy, ...)"
        )

    __setitem__ = __delitem__ = __ior__ = _refuse  # pyright: ignore[reportAssignmentType]
    clear = pop = popitem = setdefault = update = _refuse  # pyright: ignore[reportAssignmentType]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)


def freeze(part: PolicyPart, name: str) -> None:
    """Make a table of a part that is under construction one that stays as it is."""
    force_setattr(part, name, Frozen(getattr(part, name)))


class Settings(PolicyPart, frozen=True):
    """The least that SLD's settings must be; all of them act more, the larger they are, decay up to
    0.7, that of *max*: the momentum of a slower one builds up too late in a call, and acts less.

    Attributes:
        noise_level: at which the warm-up has ended, above 0, at most 1 (pure noise: guided from
            the first step).
        scale, threshold, momentum, decay: as ``SLD`` has them.
    """

    noise_level: Annotated[float, Meta(gt=0, le=1)] | None = None
    scale: Annotated[float, Meta(ge=1)] | None = None
    threshold: Share | None = None
    momentum: Share | None = None
    decay: Annotated[float, Meta(ge=0, le=MOST_DECAY)] | None = None


class PromptRules(PolicyPart, frozen=True):
    """What is checked of a prompt before anything is drawn.

    Attributes:
        calibration: the file that ``safelatent policy calibrate`` writes, relative to the policy's
            own folder.
        threshold: prompts with at least this score are refused. Default: the working point of the
            calibration.
        classifier: a text classifier of transformers: a folder, relative to the policy's own, or a
            Hub id.
        revision: the classifier's commit.
        unsafe: the classifier's labels that count.
        classifier_threshold: a prompt is refused if these labels together have at least this
            probability. Default: 0.5.
    """

    calibration: str | None = None
    threshold: Share | None = None
    classifier: str | None = None
    revision: str | None = None
    unsafe: tuple[str, ...] = ()
    classifier_threshold: Share | None = None

    def __post_init__(self) -> None:
        _check_named(self, "calibration", "classifier", "revision")
        _check_once("unsafe", self.unsafe)
        if (self.classifier is None) != (not self.unsafe):
            raise ValueError("classifier and unsafe belong together; name both or neither")
        if self.classifier is None and (self.revision or self.classifier_threshold is not None):
            raise ValueError("revision and classifier_threshold need a classifier; name it")


class OutputRules(PolicyPart, frozen=True):
    """What is checked of an image, and what happens on a finding.

    Attributes:
        protocols: of the test bed, by name; an image must pass all of them.
        vectors: the file of Q16's published vectors, relative to the policy's own folder; some
            protocols need it.
        retries: how often a flagged image is drawn again, each time at the next level and, once it
            is *max*, from another seed. Default: never.
        finding: what becomes of an image that is still flagged. Default: it is refused.
    """

    protocols: tuple[str, ...] = ()
    vectors: str | None = None
    retries: Annotated[int, Meta(ge=0, le=10)] | None = None
    finding: Finding | None = None

    def __post_init__(self) -> None:
        _check_named(self, "vectors")
        _check_once("protocols", self.protocols)


class Limits(PolicyPart, frozen=True):
    """What a call may ask for. A call beyond a limit is refused, not changed.

    Attributes:
        least_steps, most_steps: denoising steps.
        most_side: width and height, in pixels, given or the pipeline's own.
        most_images: of one call.
        most_seconds: for one call with its retries. No further image is drawn after that, and a
            check that takes longer has failed.
    """

    least_steps: Count | None = None
    most_steps: Count | None = None
    most_side: Count | None = None
    most_images: Count | None = None
    most_seconds: Annotated[float, Meta(gt=0)] | None = None

    def __post_init__(self) -> None:
        if (
            self.least_steps is not None
            and self.most_steps is not None
            and self.least_steps > self.most_steps
        ):
            raise ValueError(
                f"least_steps is {self.least_steps} and most_steps {self.most_steps}, so no call "
                "would be allowed; lower the first or raise the second"
            )


class Targets(PolicyPart, frozen=True):
    """What a measured run must show, before the policy is deployed: ``safelatent card --gate``.

    Attributes:
        most_inappropriate: the largest share of inappropriate images, to which the upper end of its
            95 % interval is held; over all prompts.
        categories: the same for the prompts of single categories.
        most_unjudged: the largest share of images without a verdict.
        least_images: how many images must have been judged.
        least_unguarded: the least share of inappropriate images without guidance, of the same
            prompts, to which the lower end of its 95 % interval is held: prompts that draw nothing
            harmful anyway show nothing of a guard.
    """

    most_inappropriate: Share | None = None
    categories: dict[CategoryName, Share] = field(default_factory=dict)
    most_unjudged: Share | None = None
    least_images: Count | None = None
    least_unguarded: Share | None = None

    def __post_init__(self) -> None:
        freeze(self, "categories")


def _check_named(part: PolicyPart, *names: str) -> None:
    for name in names:
        value = getattr(part, name)
        if value is not None and not value.strip():
            raise ValueError(f"{name} is blank; name it or leave it out")


def _check_once(name: str, given: tuple[str, ...]) -> None:
    if any(not one.strip() for one in given):
        raise ValueError(f"{name} holds a blank; name each or leave it out")
    if len(set(given)) < len(given):
        raise ValueError(f"{name} names one twice; give each once")

"""What goes into a guidance, what comes out, and the interface that every guidance has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from safelatent.errors import BadValueError


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """The model's predictions at the same latents, by name, each (B, C, H, W).

    Attributes:
        uncond: for the empty (or the negative) prompt, the paper's ``e_u``. None only where the
            guidance does not need it.
        prompt: for the prompt, ``e_p``.
        concept: for the safety concept, ``e_S``. None at steps where ``needs_concept(i)`` is False.

    Raises:
        BadValueError: the shapes differ.
    """

    uncond: Tensor | None
    prompt: Tensor
    concept: Tensor | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            tensor = getattr(self, field.name)
            if tensor is not None and tensor.shape != self.prompt.shape:
                shapes = f"{tuple(tensor.shape)}, the prompt's {tuple(self.prompt.shape)}"
                raise BadValueError(
                    f"the {field.name} estimate has shape {shapes}; all estimates of a step have one shape"
                )

    def row(self, b: int) -> Estimates:
        """Row ``b`` alone, still (1, C, H, W)."""
        u, s = self.uncond, self.concept
        part = slice(b, b + 1)
        return Estimates(
            uncond=u if u is None else u[part],
            prompt=self.prompt[part],
            concept=s if s is None else s[part],
        )


@dataclass(frozen=True, kw_only=True)
class Correction:
    """What a guidance makes of the estimates of one step.

    Attributes:
        uncond, prompt: (B, C, H, W), to be handed to any classifier-free guidance in place of the
            model's own two estimates.
        acts: (B,) bool, whether the row's two estimates differ from the model's own.
        gamma: (B, C, H, W), what was taken from the prompt's estimate, zero in the warm-up. None
            for a guidance without it.
        gate: (B, C, H, W), the factor ``mu`` in [0, 1] that was applied, zero in the warm-up. None
            for a guidance without it.
    """

    uncond: Tensor
    prompt: Tensor
    acts: Tensor
    gamma: Tensor | None = None
    gate: Tensor | None = None


@runtime_checkable
class Guidance(Protocol):
    """What a host asks of a guidance."""

    @property
    def needs_uncond(self) -> bool:
        """Whether the unconditional estimate is used; if not, a host need not pay for it."""
        ...

    @property
    def rows(self) -> int | None:
        """The number of rows of a batch that the settings are for; None: any number."""
        ...

    def acts_from(self) -> int:
        """The first step (0-based) from which every row is guided. A run of no more steps would
        leave a row unguided.
        """
        ...

    def row(self, b: int) -> Guidance:
        """The settings of row ``b`` alone."""
        ...

    def on(self, levels: Sequence[float]) -> Guidance:
        """The same for a run whose steps have these noise levels, where a warm-up that was given as
        a noise level is one in steps.
        """
        ...

    def needs_concept(self, i: int) -> bool:
        """Whether step ``i`` (0-based) uses the concept's estimate."""
        ...

    def init(self, latents: Tensor) -> Any:
        """The state before the first step."""
        ...

    def correct(
        self, estimates: Estimates, state: Any, i: int, unit: float = 1.0
    ) -> tuple[Correction, Any]:
        """The two estimates that stand for the model's own at step ``i``, and the next state; pure."""
        ...

    def step(
        self, estimates: Estimates, state: Any, i: int, guidance_scale: float, unit: float = 1.0
    ) -> tuple[Tensor, Any]:
        """The guided noise estimate of step ``i``, and the next state; pure."""
        ...


def classifier_free(uncond: Tensor, prompt: Tensor, guidance_scale: float) -> Tensor:
    """``e_u + s_g (e_p - e_u)`` (Ho and Salimans, 2022; the paper's Eq. 2)."""
    return uncond + guidance_scale * (prompt - uncond)

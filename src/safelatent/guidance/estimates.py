"""What goes into a guidance, what comes out, and the interface that every guidance has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from safelatent.errors import BadValueError


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """The model's predictions at the same latents, by name, each (B, C, H, W).

    Attributes:
        uncond: for the empty (or the negative) prompt, the paper's ``e_u``. None only where the
            guidance does not need it.
        prompt: for the prompt, ``e_p``.
        concept: for the safety concept, ``e_S``. None where it is not needed, or not evaluated.
        concepts: for each of several concepts, where one is to be chosen.
        empty: for the true empty prompt, where ``uncond`` is of a negative one and it is needed.
        either: of each row the unconditional one or the concept's, where one evaluation serves
            both.

    Raises:
        BadValueError: the shapes differ.
    """

    uncond: Tensor | None
    prompt: Tensor
    concept: Tensor | None = None
    concepts: tuple[Tensor, ...] = ()
    empty: Tensor | None = None
    either: Tensor | None = None

    def __post_init__(self) -> None:
        for name, tensor in self.named().items():
            if tensor.shape != self.prompt.shape:
                raise BadValueError(
                    f"the {name} estimate has shape {tuple(tensor.shape)}, the prompt's "
                    f"{tuple(self.prompt.shape)}; all estimates of a step have one shape"
                )

    def named(self) -> dict[str, Tensor]:
        """Return those that there are by name: evaluations of the denoiser for each image."""
        single = self._single()
        several = {f"concept {k}": tensor for k, tensor in enumerate(self.concepts)}
        return {n: tensor for n, tensor in single.items() if tensor is not None} | several

    def row(self, b: int) -> Estimates:
        """Return row ``b`` alone, still (1, C, H, W)."""
        part = slice(b, b + 1)
        single = self._single().items()
        rows: dict[str, Any] = {name: x if x is None else x[part] for name, x in single}
        return Estimates(**rows, concepts=tuple(one[part] for one in self.concepts))

    def _single(self) -> dict[str, Any]:
        """Return all but ``concepts`` by name, None where there is none."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "concepts"}


@dataclass(frozen=True, kw_only=True)
class Correction:
    """What a guidance makes of the estimates of one step.

    Attributes:
        uncond, prompt: (B, C, H, W), for any classifier-free guidance in place of the model's own
            two estimates.
        acts: (B,) bool, whether the row's two estimates differ from the model's own, after
            rounding.
        gamma: (B, C, H, W), what was subtracted from the prompt's estimate, zero in the warm-up.
            None for a guidance without it.
        gate: (B, C, H, W), the factor ``mu`` in [0, 1] that was applied, zero in the warm-up. None
            for a guidance without it.
        effect: (B, C, H, W), what the gate let through, without momentum, for a guidance with
            several concepts. None: ``gate * (e_S - e_u)``.
        chosen: (N, B) bool, the concepts that were chosen at this step. None where none was.
        share: (B,), how much of the guidance each row gets, where that is not all of it for all.
    """

    uncond: Tensor
    prompt: Tensor
    acts: Tensor
    gamma: Tensor | None = None
    gate: Tensor | None = None
    effect: Tensor | None = None
    chosen: Tensor | None = None
    share: Tensor | None = None


@runtime_checkable
class Guidance(Protocol):
    """What a pipeline asks of a guidance."""

    @property
    def needs_uncond(self) -> bool:
        """Whether the unconditional estimate is used; if not, it need not be evaluated."""
        ...

    @property
    def rows(self) -> int | None:
        """The number of rows of a batch that the settings are for; None: any number."""
        ...

    def acts_from(self) -> int:
        """Return the first step (0-based) from which every row is guided.

        A call of no more steps would leave a row unguided.
        """
        ...

    def row(self, b: int) -> Guidance:
        """Return the settings of row ``b`` alone."""
        ...

    def on(self, levels: Sequence[float]) -> Guidance:
        """Return the same for a call whose steps have these noise levels.

        A warm-up that is a noise level becomes one in steps.
        """
        ...

    def needs_concept(self, i: int) -> bool:
        """Return whether step ``i`` (0-based) uses the concept's estimate."""
        ...

    def init(self, latents: Tensor) -> Any:
        """Return the state before the first step."""
        ...

    def correct(
        self, estimates: Estimates, state: Any, i: int, unit: float = 1.0
    ) -> tuple[Correction, Any]:
        """Return what replaces the model's own two estimates at step ``i``, and the next state.

        Pure: nothing is stored, nothing is changed in place.
        """
        ...


@runtime_checkable
class Choosing(Guidance, Protocol):
    """A guidance with several concepts, which chooses among them at every n-th step."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the concepts, in the order of their estimates."""
        ...

    @property
    def every(self) -> int:
        """After how many steps it chooses again."""
        ...

    def choices(self, *, first: bool) -> int:
        """Return how many concepts a choice evaluates, the call's first one or a later one."""
        ...

    def chosen(self, state: Any) -> Tensor | None:
        """Return which concept to evaluate for each image, (B,); None before the first choice."""
        ...

    def anew(self, state: Any) -> Any:
        """Return the state for other texts: what the first choice found of those before is not
        true of them.
        """
        ...

    def again(self, start: Any, first: Any) -> Any:
        """Return the state of a solver's further look at a step, of those before and after its
        first: the momentum of the one, and what the other has seen.
        """
        ...


def classifier_free(correction: Correction | Estimates, guidance_scale: float) -> Tensor:
    """Return ``e_u + s_g (e_p - e_u)`` (Ho and Salimans, 2022; the paper's Eq. 2).

    Of a correction it is the paper's Eq. 3.

    Raises:
        BadValueError: there is no unconditional estimate.
    """
    if correction.uncond is None:
        raise BadValueError(
            "classifier-free guidance needs the unconditional estimate; "
            "evaluate the model on the empty prompt too"
        )
    return correction.uncond + guidance_scale * (correction.prompt - correction.uncond)


def norms(x: Tensor) -> Tensor:
    """Return the Euclidean norm of each row, (B,), in single precision."""
    return x.float().flatten(1).square().sum(dim=1).sqrt()


def per_row(values: Tensor, like: Tensor) -> Tensor:
    """Return values or flags of rows, (..., B), so that they broadcast over (..., *like.shape)."""
    return values.view(*values.shape, *[1] * (like.dim() - 1))


def changed(new: Tensor, old: Tensor) -> Tensor:
    """Return whether each row differs anywhere, (B,) bool."""
    return torch.ne(new, old).flatten(1).any(dim=1)


def missing_concept(i: int) -> BadValueError:
    """Return the error for a step that needs the concept's prediction and got none."""
    return BadValueError(
        f"step {i} needs the concept's estimate and got none; "
        "evaluate it wherever needs_concept(i) is True"
    )

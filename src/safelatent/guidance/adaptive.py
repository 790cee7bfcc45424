"""Adaptive safety guidance: away from the category that the prompt leads to, not from all at once.

The idea is that of CASG (arXiv 2602.20880): the directions of several categories, aggregated in one
concept, can cancel one another; the category is chosen whose direction ``e_k - e_0`` is nearest to
the prompt's ``e_p - e_0`` (by cosine). Here the choice is made at every k-th step, for each image,
and Eq. 3 to 8 of Safe Latent Diffusion (letters as in ``sld``) are changed in four places:

- ``e_0`` is the estimate for the true empty prompt, also where the user gives a negative prompt;
- the gate of Eq. 5 is open or closed, ``mu_k = 1 where e_p - e_k <= lambda_k, else 0``. The paper's
  factor ``|s_S (e_p - e_k)|`` is 1 nearly everywhere for its settings, but 0 where the two agree:
  a prompt that is the concept would not be guarded;
- where several categories are near, each element takes the largest ``mu_k (e_k - e_0)`` of theirs,
  which cannot cancel;
- every category has its own settings.

Besides, the first choice tells a prompt that speaks of a category from one that only looks like it.
Whatever a text names, its direction is in part that of any picture, and so is a category's. Where
``e_p - e_0`` leads to a picture of nothing in particular (``neutral``), and far less to any
category (``margin``), the image gets a share of the guidance alone (``elsewhere``). Where the text
changes in the middle of a call, the choice is made again as at the first.

Between two choices one category's estimate is evaluated per step: the near ones take turns, from
the nearest on, and the directions of the others are as they were last seen. Old ones spoil images:
at 10 steps 17 of 30 with the nearest alone, 6 by turns. Knows tensors and names, no models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from safelatent.concepts import DEFAULT_CONCEPT, Concept
from safelatent.errors import BadValueError
from safelatent.guidance.adaptive_state import AdaptiveState, empty_estimate, following
from safelatent.guidance.categories import Category, categories
from safelatent.guidance.estimates import Correction, Estimates, changed, missing_concept, per_row
from safelatent.guidance.noise import real_number, shown, whole_number

NEUTRAL = Concept.parse("a picture")
SETTINGS = ("every", "near", "several", "neutral", "margin", "elsewhere")  # beside the categories


def adaptive_of(concept: Concept) -> Adaptive:
    """Return adaptive guidance at the strength of *strong*, among I2P's categories; away from
    another concept than the paper's alone.
    """
    if concept == DEFAULT_CONCEPT:
        return Adaptive()
    return Adaptive(categories=categories(concepts={"concept": concept}))


@dataclass(frozen=True, kw_only=True)
class Adaptive:
    """``guard(pipe, Adaptive())``: the nearest of several categories, chosen again and again.

    Attributes:
        categories: to choose among.
        every: choose at every n-th step, and after a third of all at the latest; with seven
            categories and 10 that costs 0.6 evaluations per step more than one concept (1.8 in a
            call of 10 steps), and one more at the first choice.
        near: categories are near whose cosine is at least this share of the nearest's.
        several: where the nearest's cosine is below this, it alone is near. The prompt then leads
            to none of them, and several at once would change a harmless image more for nothing.
        neutral: a text for any picture.
        margin: a prompt leads elsewhere than to a category where its product with the nearest one
            is below this share of that with ``neutral``.
        elsewhere: the share of the guidance that it then gets, in (0, 1]; 1: all of it.

    Raises:
        BadValueError: no category, a name twice, or a number out of its range.
    """

    categories: tuple[Category, ...] = categories()
    every: int = 10
    near: float = 0.95
    several: float = 0.25
    neutral: Concept = NEUTRAL
    margin: float = 0.7
    elsewhere: float = 0.2

    def __post_init__(self) -> None:
        object.__setattr__(self, "categories", tuple(self.categories))
        names = [one.name for one in self.categories]
        if not names or len(set(names)) < len(names):
            raise BadValueError(
                f"the categories are {', '.join(names) or 'none'}; give at least one, each once"
            )
        object.__setattr__(self, "every", whole_number("every", self.every))
        object.__setattr__(self, "neutral", Concept.parse(self.neutral))
        for name in ("near", "several", "margin", "elsewhere"):
            share = real_number(given := getattr(self, name))
            if share is None or not 0 < share <= 1:
                raise BadValueError(f"{name} is {shown(given)}; it must be above 0 and at most 1")
            object.__setattr__(self, name, share)

    @property
    def needs_uncond(self) -> bool:
        return True

    @property
    def rows(self) -> int | None:
        return None

    def text(self) -> str:
        """Return all categories in words, for receipts."""
        return "; ".join(f"{one.name}: {one.concept}" for one in self.categories)

    @property
    def names(self) -> tuple[str, ...]:
        """The categories' names, in their order."""
        return tuple(one.name for one in self.categories)

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """What is evaluated beside the prompt: the categories', and the neutral one."""
        return (*(one.concept for one in self.categories), self.neutral)

    def plain_settings(self) -> dict[str, Any]:
        """Return ``SETTINGS`` by name as plain values, for JSON."""
        return {name: getattr(self, name) for name in SETTINGS} | {"neutral": str(self.neutral)}

    def choices(self, *, first: bool) -> int:
        """Return how many of ``concepts`` a choice evaluates: the first one all."""
        return len(self.categories) + first

    def acts_from(self) -> int:
        return max(one.strength.acts_from() for one in self.categories)

    def row(self, b: int) -> Adaptive:
        return self

    def on(self, levels: Sequence[float]) -> Adaptive:
        own = tuple(replace(one, strength=one.strength.on(levels)) for one in self.categories)
        return replace(self, categories=own, every=max(1, min(self.every, -(-len(levels) // 3))))

    def needs_concept(self, i: int) -> bool:
        return any(one.strength.needs_concept(i) for one in self.categories)

    def init(self, latents: Tensor) -> AdaptiveState:
        """Return the state before the first step: no momentum, nothing chosen."""
        return AdaptiveState(nu=torch.zeros_like(latents))

    def chosen(self, state: AdaptiveState) -> Tensor | None:
        """Return the category to evaluate for each image, (B,); None where all must be."""
        return state.due

    def anew(self, state: AdaptiveState) -> AdaptiveState:
        """Return the state for other texts: what the first choice found does not hold of them."""
        return replace(state, share=None)

    def again(self, start: AdaptiveState, first: AdaptiveState) -> AdaptiveState:
        """Return the state of a solver's further look at a step: the momentum of its start, and
        what was chosen and seen at its first.
        """
        return replace(first, nu=start.nu)

    def correct(
        self, estimates: Estimates, state: AdaptiveState, i: int, unit: float = 1.0
    ) -> tuple[Correction, AdaptiveState]:
        """Replace ``e_p`` by ``e_p - gamma``, and return the next state; see ``SLD.correct``.

        Args:
            estimates: with ``concepts`` at a step that chooses, those of the categories and, at the
                first, the neutral one, or every image gets all of the guidance; else with the
                ``concept`` of the category that was due, or none, where its direction is reused.
                ``empty`` where ``uncond`` is of a negative prompt; between two choices it may be
                reused too.
        """
        e_u, e_p = estimates.uncond, estimates.prompt
        if e_u is None:
            raise BadValueError("adaptive guidance needs the unconditional estimate")
        e_0, state = empty_estimate(e_u, estimates.empty, state)
        if not self.needs_concept(i):
            none, acts = torch.zeros_like(e_p), changed(e_p, e_p)
            return Correction(uncond=e_u, prompt=e_p, acts=acts, gamma=none, gate=none), state
        state = self._seen(estimates, e_0, state)
        directions, near, nearest = state.directions, state.near, state.nearest
        if directions is None or near is None or nearest is None:
            raise missing_concept(i)
        gate, effect = self._gated(e_p - e_0, directions, near, unit)
        if state.share is not None:
            effect = effect * per_row(state.share.to(effect.dtype), effect)
        gamma, nu, acting = self._with_momentum(effect, state.nu, nearest, i)
        prompt = e_p - gamma  # Eq. 3, with any classifier-free guidance
        return Correction(
            uncond=e_u,
            prompt=prompt,
            acts=changed(prompt, e_p),
            gamma=gamma,
            gate=gate * acting,
            effect=effect,
            chosen=near if estimates.concepts else None,
            share=state.share,
        ), replace(state, nu=nu)

    def _gated(
        self, to_prompt: Tensor, directions: Tensor, near: Tensor, unit: float
    ) -> tuple[Tensor, Tensor]:
        """Return where the gate of any near category is open, 0 or 1, and what it lets through."""
        opened = [
            (to_prompt - direction) * unit <= one.strength.threshold  # Eq. 5, open or closed
            for direction, one in zip(directions, self.categories, strict=True)
        ]
        gates = torch.stack(opened) & per_row(near, directions[0])
        each = torch.where(gates, directions, 0.0)  # mu_k (e_k - e_0)
        effect = each.gather(0, each.abs().argmax(dim=0, keepdim=True))[0]
        return gates.any(dim=0).to(effect.dtype), effect

    def _seen(self, estimates: Estimates, e_0: Tensor, state: AdaptiveState) -> AdaptiveState:
        """Return the state with the directions that were evaluated, and a new choice of them."""
        if not estimates.concepts:
            directions, near, due = state.directions, state.near, state.due
            if estimates.concept is None or directions is None or near is None or due is None:
                return state
            own = per_row(self._one_hot(due), directions[0])
            directions = torch.where(own, estimates.concept - e_0, directions)
            return replace(state, directions=directions, due=following(near, due))
        count = len(self.categories)
        directions = torch.stack([e_k - e_0 for e_k in estimates.concepts[:count]])
        to_prompt = (estimates.prompt - e_0).float().flatten(1)
        if state.share is None and len(estimates.concepts) > count:
            plain = estimates.concepts[count] - e_0
            state = replace(state, share=self._share(to_prompt, directions, plain))
        cosine = torch.cosine_similarity(directions.float().flatten(2), to_prompt[None], dim=2)
        best, nearest = cosine.max(dim=0)
        near = (cosine >= self.near * best) & (best >= self.several) | self._one_hot(nearest)
        return replace(state, directions=directions, near=near, nearest=nearest, due=nearest)

    def _share(self, to_prompt: Tensor, directions: Tensor, plain: Tensor) -> Tensor:
        """Return how much of the guidance each image gets, (B,)."""
        to_plain = (plain.float().flatten(1) * to_prompt).sum(dim=1)
        to_nearest = (directions.float().flatten(2) * to_prompt).sum(dim=2).amax(dim=0)
        elsewhere = (to_plain > 0) & (self.margin * to_plain > to_nearest)
        return torch.where(elsewhere, self.elsewhere, 1.0)

    def _one_hot(self, nearest: Tensor) -> Tensor:
        """Return (N, B) bool."""
        return torch.arange(len(self.categories), device=nearest.device)[:, None] == nearest

    def _with_momentum(
        self, effect: Tensor, nu: Tensor, nearest: Tensor, i: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``gamma``, zero in the warm-up, the next ``nu``, and which rows are past it.

        Each image by the settings of its nearest category, which are numbers: as tensors they
        would be rounded in half precision.
        """
        gamma, acting, after = (torch.zeros_like(x) for x in (effect, effect, nu))
        for settings in dict.fromkeys(one.strength for one in self.categories):
            own = sum(
                (nearest == k for k, one in enumerate(self.categories) if one.strength == settings),
                torch.zeros_like(nearest, dtype=torch.bool),
            )
            rows = per_row(own, effect)
            s_m, beta_m = settings.momentum, settings.decay
            full = effect + s_m * nu  # Eq. 4, 7
            after = torch.where(rows, beta_m * nu + (1 - beta_m) * full, after)  # Eq. 8
            if i >= settings.acts_from():
                gamma, acting = torch.where(rows, full, gamma), torch.where(rows, 1.0, acting)
        return gamma, after, acting

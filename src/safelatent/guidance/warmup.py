"""How long a warm-up may be: the paper's rule, on any schedule."""

from __future__ import annotations

from collections.abc import Sequence

from safelatent.errors import NotGuardedError
from safelatent.guidance.estimates import Guidance
from safelatent.guidance.noise import PAPER_STEPS, NoiseLevel, paper_noise_level
from safelatent.guidance.sld import SLD
from safelatent.text import counted


def check_warmup(guidance: Guidance, levels: Sequence[float]) -> None:
    """Refuse a warm-up that leaves too little of a call for the guard to change the image.

    The paper's rule is at most half of the steps. It is meant for Stable Diffusion's schedule,
    where half of the steps is also half of the way in noise. Other schedules spend more steps at
    high noise (rectified flow with a shift), so a longer warm-up is accepted where the first guided
    step still has at least the noise of the middle of the paper's runs.

    Args:
        guidance: settings for one image, as asked for.
        levels: the noise level of every step of the call.

    Raises:
        NotGuardedError: naming what would work.
    """
    steps, warmup = len(levels), guidance.on(levels).acts_from()
    if 2 * warmup <= steps and warmup < steps:
        return
    if warmup < steps and levels[warmup] >= paper_noise_level(PAPER_STEPS // 2):
        return
    raise NotGuardedError(
        f"the warm-up is {counted(warmup, 'step')} and the call has {steps}, of which at most half "
        "may be left alone: the guard would change next to nothing; "
        f"{_remedy(guidance, levels, warmup)}"
    )


def _remedy(guidance: Guidance, levels: Sequence[float], warmup: int) -> str:
    if not levels:
        return "take at least one step"
    least = paper_noise_level(PAPER_STEPS // 2)
    if isinstance(guidance, SLD) and isinstance(guidance.warmup, NoiseLevel):
        return f"end the warm-up at a higher noise level ({least:.2f} or more), or take more steps"
    more = f"let the call have at least {counted(2 * warmup, 'step')}, or take a shorter warm-up"
    if not isinstance(guidance, SLD) or warmup >= PAPER_STEPS:
        return more
    other = guidance.by_noise_level()
    try:
        check_warmup(other, levels)
    except NotGuardedError:
        return more
    assert isinstance(other.warmup, NoiseLevel)
    return (
        f"{more}, or give the settings by_noise_level(), "
        f"whose warm-up is {counted(other.on(levels).acts_from(), 'step')} here "
        f"(on the command line: --warmup-noise-level {other.warmup.level:.3f})"
    )

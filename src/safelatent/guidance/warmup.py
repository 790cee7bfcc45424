"""How long a warm-up may be: the paper's rule, on any schedule."""

from __future__ import annotations

from collections.abc import Sequence

from safelatent.errors import NotGuardedError
from safelatent.guidance.estimates import Guidance
from safelatent.guidance.noise import PAPER_STEPS, NoiseLevel, paper_noise_level
from safelatent.guidance.sld import SLD
from safelatent.text import counted

# Of the first step's noise level, what the first guided step has at least. On Stable Diffusion's
# schedule the middle has 0.64 of it, and on rectified flow's 0.46. Of six unsafe pictures *medium*
# left three where half of the steps were spaced to end at 0.64, five at 0.57, and five at 0.27.
LEAST_NOISE = 0.45


def check_warmup(guidance: Guidance, levels: Sequence[float]) -> None:
    """Refuse a warm-up that leaves too little of a call for the guard to change the image.

    The paper's rule is at most half of the steps. It is meant for Stable Diffusion's schedule,
    where half of the steps is also half of the way in noise. Other schedules spend more steps at
    high noise (rectified flow with a shift), so a longer warm-up is accepted where the first guided
    step still has at least the noise of the middle of the paper's runs. Others, and a caller's own
    timesteps, spend more steps at low noise: the first guided step has to have ``LEAST_NOISE``.

    Args:
        guidance: settings for one image, as asked for.
        levels: the noise level of every step of the call.

    Raises:
        NotGuardedError: naming what would work.
    """
    steps, warmup = len(levels), guidance.on(levels).acts_from()
    if warmup < steps and levels[warmup] >= paper_noise_level(PAPER_STEPS // 2):
        return
    if 2 * warmup <= steps and warmup < steps:
        if levels[warmup] >= LEAST_NOISE * levels[0]:
            return
        raise NotGuardedError(
            f"after the warm-up of {counted(warmup, 'step')} the noise level is"
            f" {levels[warmup]:.2f}, and the call begins at {levels[0]:.2f}: the guard would change"
            " next to nothing; space timesteps or sigmas evenly, or take a shorter warm-up"
            f"{_by_noise_level(guidance, levels)}"
        )
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
    return more + _by_noise_level(guidance, levels)


def _by_noise_level(guidance: Guidance, levels: Sequence[float]) -> str:
    """Return the remedy of a warm-up by noise level, where it is one, else nothing."""
    if not isinstance(guidance, SLD) or not isinstance(guidance.warmup, int):
        return ""
    if guidance.warmup >= PAPER_STEPS:
        return ""
    other = guidance.by_noise_level()
    try:
        check_warmup(other, levels)
    except NotGuardedError:
        return ""
    assert isinstance(other.warmup, NoiseLevel)
    return (
        f", or give the settings by_noise_level(), "
        f"whose warm-up is {counted(other.on(levels).acts_from(), 'step')} here "
        f"(on the command line: --warmup-noise-level {other.warmup.level:.3f})"
    )

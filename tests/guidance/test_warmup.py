from __future__ import annotations

from dataclasses import replace

import pytest

from safelatent.errors import NotGuardedError
from safelatent.guidance import (
    MAX,
    MEDIUM,
    PRESETS,
    SLD,
    STRONG,
    WEAK,
    NoiseLevel,
    paper_noise_level,
)
from safelatent.guidance.warmup import check_warmup

PAPER = [paper_noise_level(i) for i in range(50)]


def shifted(steps: int, shift: float) -> list[float]:
    """Rectified flow's levels."""
    sigmas = [1 - i / steps for i in range(steps)]
    return [shift * sigma / (1 + (shift - 1) * sigma) for sigma in sigmas]


@pytest.mark.parametrize("steps", range(1, 60))
@pytest.mark.parametrize("name", PRESETS)
def test_at_most_half_of_the_steps_is_warm_up(name, steps):
    sld = PRESETS[name]
    if 2 * sld.warmup <= steps:
        check_warmup(sld, [1 - i / steps for i in range(steps)])
        return
    with pytest.raises(NotGuardedError, match=f"the warm-up is {sld.warmup} .*{steps}, of which"):
        check_warmup(sld, [1 - i / steps for i in range(steps)])


@pytest.mark.parametrize(("sld", "steps"), [(MEDIUM, 11), (WEAK, 16), (STRONG, 8)])
def test_the_refusal_names_what_works(sld, steps):
    levels = PAPER[:: 50 // steps][:steps]
    with pytest.raises(NotGuardedError) as refused:
        check_warmup(sld, levels)
    assert f"at least {2 * sld.warmup} steps" in str(refused.value)
    check_warmup(sld, PAPER[: 2 * sld.warmup])
    other = sld.by_noise_level()
    steps = other.on(levels).acts_from()
    assert f"by_noise_level(), whose warm-up is {steps} steps here" in str(refused.value)
    check_warmup(other, levels)
    option = str(refused.value).partition("--warmup-noise-level ")[2].rstrip(")")
    typed = replace(sld, warmup=NoiseLevel(float(option)))
    assert typed.on(levels) == other.on(levels)


@pytest.mark.parametrize("shift", [1.0, 3.0, 6.0, 12.0])
@pytest.mark.parametrize("steps", [10, 28, 50])
@pytest.mark.parametrize("name", PRESETS)
def test_a_warm_up_by_noise_level_may_be_longer_on_rectified_flow(name, steps, shift):
    """At equal noise: with a shift more of the steps, and less of the image, lie before it."""
    check_warmup(PRESETS[name].by_noise_level(), shifted(steps, shift))


@pytest.mark.parametrize("level", [0.05, 0.3, 0.55])
def test_a_noise_level_that_leaves_too_little_is_refused(level):
    sld = SLD(warmup=NoiseLevel(level))
    with pytest.raises(NotGuardedError, match=r"at a higher noise level \(0\.\d\d or more\)"):
        check_warmup(sld, PAPER)


def test_a_gap_in_the_noise_is_seen():
    """The level is high enough, but the first step below it has next to no noise."""
    with pytest.raises(NotGuardedError, match="the warm-up is 3 steps and the call has 4"):
        check_warmup(SLD(warmup=NoiseLevel(0.8)), [1.0, 0.95, 0.9, 0.05])


@pytest.mark.parametrize("sld", [MAX, MEDIUM, SLD(warmup=1000), MEDIUM.by_noise_level()], ids=str)
@pytest.mark.parametrize("levels", [[], [0.02]], ids=["no step", "one"])
def test_very_short_calls(sld, levels):
    if levels and sld.on(levels).acts_from() == 0:
        check_warmup(sld, levels)
        return
    said = r"the warm-up is [\d,]+ steps and the call has [01],"
    with pytest.raises(NotGuardedError, match=said):
        check_warmup(sld, levels)


@pytest.mark.parametrize(
    "sld", [MEDIUM, MEDIUM.by_noise_level(), replace(MAX, warmup=5)], ids=["steps", "level", "5"]
)
def test_timesteps_that_leave_only_faint_noise_are_refused(sld):
    """Half of the steps, and next to all of the image."""
    warmup = 10 if sld is MEDIUM else 5
    levels = [0.93 - 0.01 * i for i in range(warmup)] + [0.1 / (i + 1) for i in range(warmup)]
    said = r"after the warm-up of \d+ steps the noise level is 0\.10, and the call begins at 0\.93"
    with pytest.raises(NotGuardedError, match=said):
        check_warmup(sld, levels)


@pytest.mark.parametrize("first", [1.0, 0.5, 0.1])
def test_what_is_faint_is_measured_by_the_noise_of_the_call(first):
    """Image to image begins in the middle."""
    check_warmup(MEDIUM, [first * level for level in PAPER[::2]])

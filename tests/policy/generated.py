"""Policies, generated: every field of every table may be left out."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from safelatent.policy import Limits, OutputRules, Policy, PromptRules, Settings
from safelatent.policy.join import FINDINGS, LEVELS

GENERATED = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _maybe(strategy: st.SearchStrategy) -> st.SearchStrategy:
    return st.none() | strategy


_SHARE = st.floats(0, 1)
_TERMS = st.lists(
    st.sampled_from(["weapons", "blood", "Blood", "drugs", "hate"]), unique_by=str.lower
)
POLICIES = st.builds(
    Policy,
    name=st.sampled_from(["", "school"]),
    least=_maybe(st.sampled_from(LEVELS)),
    settings=st.builds(
        Settings,
        noise_level=_maybe(st.floats(0.01, 1)),
        scale=_maybe(st.floats(1, 9000)),
        threshold=_maybe(_SHARE),
        momentum=_maybe(_SHARE),
        decay=_maybe(st.floats(0, 0.7)),
    ),
    concepts=_TERMS.map(tuple),
    categories=st.dictionaries(
        st.sampled_from(["hate", "violence", "sexual"]), st.sampled_from(LEVELS)
    ),
    guidance=_maybe(st.just("adaptive")),
    prompt=st.builds(
        PromptRules,
        calibration=_maybe(st.just("check.json")),
        threshold=_maybe(_SHARE),
    ),
    output=st.builds(
        OutputRules,
        protocols=st.lists(st.sampled_from(["embedded", "i2p-paper"]), unique=True).map(tuple),
        retries=_maybe(st.integers(0, 10)),
        finding=_maybe(st.sampled_from(FINDINGS)),
    ),
    limits=st.builds(
        Limits,
        least_steps=_maybe(st.integers(1, 20)),
        most_steps=_maybe(st.integers(20, 100)),
        most_images=_maybe(st.integers(1, 9)),
        most_seconds=_maybe(st.floats(0.1, 99)),
    ),
)

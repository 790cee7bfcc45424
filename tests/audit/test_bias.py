"""The audit on labels that were chosen: its numbers, and what it finds of planted rates."""

from __future__ import annotations

import math

import numpy as np
import pytest

from safelatent.audit import DetectorErrors, audit_bias, bias_of, read_groups
from safelatent.errors import BadValueError
from safelatent.metrics import DetectorError
from tests.audit.made_audit import run_of

TEMPLATE = "life in {group}"
PLACES = read_groups("embedded-places")
THREE = read_groups("Ruritania, Elbonia, Lilliput")


def drawn(random: np.random.Generator, rates: np.ndarray, images: int = 100) -> list[str]:
    return ["".join(np.where(random.random(images) < rate, "i", "s")) for rate in rates]


def test_the_rates_are_of_the_judged_images():
    run = run_of(THREE, {"off": ("iiis", "isuu", "ssse"), "strong": ("issu", "ssss", "ssss")})
    audit = bias_of(run, THREE, TEMPLATE)
    off = audit.methods["off"]
    assert [(g.name, g.inappropriate, g.judged, g.unjudged) for g in off.groups] == [
        ("Ruritania", 3, 4, 0), ("Elbonia", 1, 2, 2), ("Lilliput", 0, 3, 1),
    ]  # fmt: skip
    assert off.mean.value == pytest.approx((0.75 + 0.5 + 0) / 3)
    assert off.groups[0].contrast.difference == pytest.approx(0.75 - 0.25)
    assert [one.name for one in off.highest] == ["Ruritania", "Elbonia"]
    assert off.order is None
    assert off.groups[0].corrected is None


def test_planted_rates_lie_in_the_intervals_and_the_highest_are_named():
    """95 % intervals over 100 images: of 20 runs of 20 places, 90 % in each on average and never
    below three standard errors of the whole; the three highest are right in most.
    """
    random, rates = np.random.default_rng(5), np.array(PLACES.expected)
    inside, named = [], []
    for _ in range(20):
        audit = bias_of(run_of(PLACES, {"off": drawn(random, rates)}), PLACES, TEMPLATE)
        groups = audit.methods["off"].groups
        inside.append(np.mean([one.holds_expected for one in groups]))
        named.append(
            {"Ruritania", "Borduria", "Latveria"}
            == {one.name for one in audit.methods["off"].highest[:3]}
        )
    assert np.mean(inside) >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 400)
    assert np.min(inside) >= 0.8
    assert np.mean(named) > 0.5


def test_without_the_judges_errors_the_planted_rates_lie_in_the_intervals():
    """A judge that misses a fifth: corrected intervals hold the high rates, plain ones few."""
    random, rates = np.random.default_rng(6), np.array(PLACES.expected)
    error = DetectorError(false_positives=20, negatives=1000, false_negatives=200, positives=1000)
    seen = rates * 0.8 + (1 - rates) * 0.02
    errors = DetectorErrors(source="made", by_group={}, every=error)
    inside, plain = [], []
    for _ in range(10):
        run = run_of(PLACES, {"off": drawn(random, seen)})
        groups = bias_of(run, PLACES, TEMPLATE, errors).methods["off"].groups
        inside += [one.holds_expected for one in groups]
        plain += [
            one.rate.low <= rate <= one.rate.high
            for one, rate in zip(groups, rates, strict=True)
            if rate > 0.5
        ]
    assert np.mean(inside) >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 200)
    assert np.mean(plain) < 0.5


def test_errors_of_single_groups_are_used_for_them_alone():
    bad = DetectorError(false_positives=500, negatives=1000, false_negatives=0, positives=1000)
    errors = DetectorErrors(source="made", by_group={"elbonia": bad})
    run = run_of(THREE, {"off": ("iiss", "iiss", "iiss")})
    groups = bias_of(run, THREE, TEMPLATE, errors).methods["off"].groups
    assert [one.corrected and one.corrected.value for one in groups] == [None, 0.0, None]


def test_the_order_before_and_after():
    random, rates = np.random.default_rng(7), np.array(PLACES.expected)
    labels = {
        "off": drawn(random, rates),
        "strong": drawn(random, rates / 4),
        "max": ["s" * 100] * 20,
    }
    methods = bias_of(run_of(PLACES, labels), PLACES, TEMPLATE).methods
    assert methods["strong"].order.rho > 0.6
    assert methods["strong"].order.low < methods["strong"].order.rho < methods["strong"].order.high
    assert math.isnan(methods["max"].order.rho)
    assert methods["max"].highest == ()


def test_a_group_of_one_judged_image_has_no_say():
    run = run_of(THREE, {"off": ("iuuu", "issi", "uuuu")})
    groups = bias_of(run, THREE, TEMPLATE).methods["off"].groups
    assert [one.few for one in groups] == [True, False, True]
    found = bias_of(run, THREE, TEMPLATE).methods["off"]
    assert [one.name for one in found.highest] == ["Elbonia"]
    assert math.isnan(groups[0].rate.value)
    assert (found.mean.value, found.mean.n) == (0.5, 1)
    assert all(math.isnan(one.contrast.difference) for one in groups), "there are no others"
    known = DetectorError(false_positives=1, negatives=100, false_negatives=2, positives=100)
    errors = DetectorErrors(source="made", by_group={}, every=known)
    corrected = [
        one.corrected for one in bias_of(run, THREE, TEMPLATE, errors).methods["off"].groups
    ]
    assert [math.isnan(rate.value) for rate in corrected] == [True, False, True]


@pytest.mark.parametrize("images", [0, 1])
def test_too_few_images_are_refused(images):
    with pytest.raises(BadValueError, match=f"images is {images}"):
        audit_bias(THREE, template=TEMPLATE, images=images)


def test_another_run_is_refused():
    run = run_of(THREE, {"off": ("is", "is", "is")})
    with pytest.raises(BadValueError, match="not of these groups"):
        bias_of(run, PLACES, TEMPLATE)


@pytest.mark.slow
def test_a_real_audit_draws_every_group_and_resumes(tmp_path):
    settings = {"template": TEMPLATE, "steps": 4, "methods": "off", "out": tmp_path}
    audit_bias(["Ruritania", "Lilliput"], images=2, **settings)
    audit = audit_bias(["Ruritania", "Lilliput"], images=3, **settings)
    groups = audit.methods["off"].groups
    assert [one.judged + one.unjudged for one in groups] == [3, 3]
    assert audit.errors.every is not None

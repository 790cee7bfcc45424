"""Numbers and models that are refused, whatever the pipeline."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from safelatent import BadValueError, NotGuardedError
from safelatent.pipelines.checks import checked_scale, is_distilled


@pytest.mark.parametrize(
    "value", [2, 2.0, np.float32(2), Fraction(4, 2), Decimal(2), torch.tensor(2)]
)
def test_numbers_of_any_type(value):
    assert checked_scale("scale", value) == 2.0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "2", None, 10**400])
def test_what_is_no_finite_number(value):
    with pytest.raises(BadValueError, match="must be a finite number above 1"):
        checked_scale("scale", value)


def test_bounds():
    with pytest.raises(NotGuardedError, match="give a scale above 1"):
        checked_scale("scale", 1)
    assert checked_scale("scale", 1, least=0.0) == 1


@pytest.mark.parametrize(
    ("config", "distilled"),
    [({}, False), ({"guidance_embeds": True}, True), ({"time_cond_proj_dim": 256}, True)],
)
def test_what_was_distilled(config, distilled):
    assert is_distilled(SimpleNamespace(config=config)) is distilled

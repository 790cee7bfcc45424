from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from safelatent.errors import GuardError, NotGuardedError
from safelatent.guidance import MAX, Estimates
from safelatent.guidance.deferred import Deferred
from tests.syncs import syncs


def test_the_first_that_does_not_hold_is_raised():
    deferred = Deferred()
    deferred.expect(torch.tensor(True), GuardError("first"))
    deferred.expect(torch.tensor(False), NotGuardedError("second"))
    deferred.expect(torch.tensor(False), GuardError("third"))
    with pytest.raises(NotGuardedError, match="second"):
        deferred.settle()
    deferred.settle()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["uncond", "prompt", "concept"])
def test_a_number_that_is_not_finite_is_named_with_its_place(name, bad):
    deferred, ones = (
        Deferred(),
        dict.fromkeys(("uncond", "prompt", "concept"), torch.ones(1, 1, 2, 2)),
    )
    deferred.expect_finite("step 3", Estimates(**ones))
    ones[name] = torch.full((1, 1, 2, 2), bad)
    deferred.expect_finite("step 4", Estimates(**ones))
    with pytest.raises(GuardError, match=r"estimate at step 4 is not finite"):
        deferred.settle()


def test_a_correction_and_its_noise():
    e = Estimates(
        uncond=torch.zeros(1, 1, 1, 1),
        prompt=torch.ones(1, 1, 1, 1),
        concept=torch.ones(1, 1, 1, 1),
    )
    correction, _ = MAX.correct(e, MAX.init(e.prompt), 0)
    deferred = Deferred()
    deferred.expect_finite("step 0", correction, torch.full((1, 1, 1, 1), math.inf))
    with pytest.raises(GuardError, match="the guided estimate at step 0"):
        deferred.settle()


def test_nothing_is_read_before_the_end():
    deferred = Deferred()
    with syncs() as counted:
        deferred.expect_finite("step 0", Estimates(uncond=None, prompt=torch.ones(2, 1, 2, 2)))
        deferred.expect(torch.ones(3).sum() == 3, GuardError("sum"))
    assert counted == []
    with syncs() as counted:
        deferred.settle()
    assert counted == ["tolist"]


READS = {
    "item": lambda x: x.sum().item(),
    "truth": lambda x: bool((x > 0).any()),
    "list": lambda x: x.tolist(),
    "host": lambda x: x.cpu(),
    "array": np.asarray,
    "mask": lambda x: x[x > 0],
    "masked assignment": lambda x: x.clone().__setitem__(x > 0, 0.0),
    "nonzero": torch.nonzero,
    "unique": torch.unique,
}


@pytest.mark.parametrize("name", READS)
def test_what_reads_a_tensor_is_counted(name):
    with syncs() as counted:
        READS[name](torch.arange(3.0))
    assert len(counted) == 1


def test_what_stays_on_the_device_is_not_counted():
    x = torch.arange(3.0)
    with syncs() as counted:
        torch.where(x > 0, x, 0.0).masked_fill(x < 2, 1.0)[torch.tensor([0, 2])].sum()
    assert counted == []

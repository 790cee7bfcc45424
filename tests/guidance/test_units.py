from __future__ import annotations

import pytest
import torch

from safelatent.errors import BadValueError
from safelatent.guidance import noise_unit

ALPHAS = torch.linspace(0.999, 0.005, 1000, dtype=torch.float64)


@pytest.mark.parametrize("t", [0, 1, 500, 999])
def test_velocity_differences_become_noise_differences(t):
    """From the definitions: x = a x0 + s e and v = a e - s x0, so at one x two noises differ by a
    times what their velocities do.
    """
    a, s = ALPHAS[t] ** 0.5, (1 - ALPHAS[t]) ** 0.5
    x, e1, e2 = torch.randn(3, 7, dtype=torch.float64)

    def velocity(e):
        return a * e - s * (x - s * e) / a

    torch.testing.assert_close(
        noise_unit("v_prediction", ALPHAS, t) * (velocity(e1) - velocity(e2)), e1 - e2
    )


def test_noise_is_its_own_unit():
    assert noise_unit("epsilon", ALPHAS, 17.3) == 1.0


def test_between_two_timesteps_it_is_between():
    low, high = (noise_unit("v_prediction", ALPHAS, t) for t in (11, 10))
    assert low < noise_unit("v_prediction", ALPHAS, 10.4) < high
    assert noise_unit("v_prediction", ALPHAS, 999.0) == pytest.approx(float(ALPHAS[-1]) ** 0.5)


def test_other_predictions_are_refused():
    with pytest.raises(BadValueError, match=r"'sample'.*epsilon, v_prediction"):
        noise_unit("sample", ALPHAS, 3)

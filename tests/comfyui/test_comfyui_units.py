from __future__ import annotations

import pytest
import torch

from safelatent.errors import UnsupportedError
from tests.comfyui import comfy_stand_in as stand_in

SIGMAS = [0.03, 0.5, 0.9]


def kinds() -> dict[str, type]:
    """Every kind of the table, denoised latents from the definition of the prediction."""

    class EDM(stand_in.V_PREDICTION):
        sigma_data = 0.5

        def calculate_denoised(self, sigma, p, x):
            total = sigma**2 + self.sigma_data**2
            return x * self.sigma_data**2 / total + p * sigma * self.sigma_data / total**0.5

    class COSMOS_RFLOW:  # noqa: N801
        def calculate_denoised(self, sigma, p, x):
            t = sigma / (1 + sigma)
            return x * (1 - t) - t * p

    return stand_in.KINDS | {"edm": EDM, "cosmos": COSMOS_RFLOW}


def noise_in(kind: str, x: torch.Tensor, x0: torch.Tensor, sigma: float) -> torch.Tensor:
    """From how the latents are mixed."""
    return (x - (1 - sigma) * x0) / sigma if kind == "flow" else (x - x0) / sigma


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("kind", kinds())
def test_units_are_what_the_definitions_say(part, kind, sigma):
    sampling = kinds()[kind]()
    x, p, q = torch.randn(3, 200, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    clean, other = (sampling.calculate_denoised(torch.tensor(sigma), one, x) for one in (p, q))
    u = part("units").units(sampling, sigma)
    sign = -1 if kind == "edm" else 1
    assert torch.allclose(clean - other, -u.scale * (p - q) * sign, rtol=1e-6)
    assert torch.allclose(
        noise_in(kind, x, clean, sigma) - noise_in(kind, x, other, sigma),
        u.noise * (p - q) * sign,
        rtol=1e-6,
    )


@pytest.mark.parametrize("timestep", [1, 500, 981])
def test_units_are_those_of_the_classic_pipelines(part, timestep):
    alphas = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2, dim=0)
    sigma = float(((1 - alphas[timestep]) / alphas[timestep]) ** 0.5)
    for kind, unit in (("epsilon", 1.0), ("v_prediction", float(alphas[timestep]) ** 0.5)):
        found = part("units").units(stand_in.KINDS[kind](), sigma)
        assert found.noise == pytest.approx(unit, rel=1e-5)
        assert found.level == pytest.approx(sigma / (1 + sigma))


def test_pure_noise_of_a_flow_has_no_unit_and_is_no_division_by_zero(part):
    u = part("units").units(stand_in.CONST(), 1.0)
    assert (u.scale, u.noise, u.level) == (1.0, 0.0, 1.0)


def test_unknown_predictions_are_refused(part):
    class LCM(stand_in.EPS):
        """A kind of its own, though it is derived from a known one."""

        def calculate_denoised(self, sigma, p, x):
            return p

    for other in (LCM(), object()):
        with pytest.raises(
            UnsupportedError, match=f"predicts as {type(other).__name__}.*supported: EPS"
        ):
            part("units").units(other, 1.0)

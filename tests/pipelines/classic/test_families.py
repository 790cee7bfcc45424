"""Every classic family against a reference that evaluates the three estimates one by one and writes
the equations out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from safelatent import (
    DEFAULT_CONCEPT,
    MEDIUM,
    SLD,
    BadValueError,
    NegativePrompt,
    NoiseLevel,
    NotGuardedError,
    UnsupportedError,
    guard,
)
from safelatent.guidance import Correction, preset_name, receipt
from safelatent.pipelines.classic import evaluating
from tests.pipelines.classic import tiny_families as tiny_kinds

STEPS = 8
PROMPT = "a cat with a pistol"
CONCEPT = str(DEFAULT_CONCEPT)
BATCHED = ["sdxl", "sd3", "pixart", "sana"]
# The gate opens on part of the elements, so that sign, threshold, clipping and momentum all matter.
SETTINGS = SLD(warmup=2, scale=3.0, threshold=0.003, momentum=0.4, decay=0.6)


@pytest.fixture(autouse=True)
def _any_effect(monkeypatch):
    """With random weights the words matter little, and these settings change next to nothing."""
    monkeypatch.setattr(receipt, "LEAST_EFFECT", 0.0)


def call(pipeline: Any, name: str, **changes: Any) -> Any:
    settings = {
        "prompt": PROMPT,
        "num_inference_steps": STEPS,
        "generator": torch.Generator().manual_seed(3),
        "output_type": "latent",
    }
    return pipeline(**(settings | tiny_kinds.CALLS[name] | changes))


def concept_arguments(pipe: Any, name: str, text: str) -> dict[str, Any]:
    """The denoiser's arguments that speak of ``text``, by the family's own encoding."""
    if name == "sdxl":
        embeddings, _, pooled, _ = pipe.encode_prompt(text, do_classifier_free_guidance=False)
        return {"encoder_hidden_states": embeddings, "pooled": pooled}
    if name == "sd3":
        embeddings, _, pooled, _ = pipe.encode_prompt(
            text, None, None, do_classifier_free_guidance=False
        )
        return {"encoder_hidden_states": embeddings, "pooled_projections": pooled}
    rest = {"complex_human_instruction": None} if name == "sana" else {}
    embeddings, mask, _, _ = pipe.encode_prompt(
        text, False, clean_caption=False, max_sequence_length=64, **rest
    )
    return {"encoder_hidden_states": embeddings, "encoder_attention_mask": mask}


def unit_of(name: str, t: float) -> float:
    """Noise prediction, or rectified flow, whose timesteps are thousandths."""
    return 1.0 - t / 1000 if name in ("sd3", "sana", "flux") else 1.0


class Written:
    """Equations 4 to 8, once more."""

    def __init__(self, sld: SLD) -> None:
        self.sld, self.nu, self.i = sld, 0.0, 0

    def gamma(self, u: Tensor, p: Tensor, s: Tensor, unit: float) -> Tensor:
        d = unit * (p - s)
        mu = (d < self.sld.threshold) * (self.sld.scale * d).abs().clamp(max=1)
        gamma = mu * (s - u) + self.sld.momentum * self.nu
        self.nu = self.sld.decay * self.nu + (1 - self.sld.decay) * gamma
        self.i += 1
        return gamma if self.i > self.sld.warmup else torch.zeros_like(gamma)


@contextmanager
def written_out(pipe: Any, name: str, sld: SLD) -> Iterator[None]:
    """The pipeline with a denoiser that answers ``[u, p - gamma]``, from three evaluations of one
    row.
    """
    denoiser = pipe.unet if name == "sdxl" else pipe.transformer
    plain, about, written = denoiser.forward, concept_arguments(pipe, name, CONCEPT), Written(sld)

    def row(value: Any, n: int) -> Any:
        if isinstance(value, dict):
            return {key: row(item, n) for key, item in value.items()}
        return value[n : n + 1] if isinstance(value, Tensor) and value.dim() > 0 else value

    def forward(*args: Any, **kwargs: Any) -> Any:
        named = (
            dict(
                zip(
                    ("sample" if name == "sdxl" else "hidden_states", "timestep"),
                    args,
                    strict=False,
                )
            )
            | kwargs
        )
        u, p = row(named, 0), row(named, 1)
        s = p | {key: value for key, value in about.items() if key != "pooled"}
        if "pooled" in about:
            s["added_cond_kwargs"] = p["added_cond_kwargs"] | {"text_embeds": about["pooled"]}
        u, p, s = (plain(**one)[0] for one in (u, p, s))
        t = float(torch.as_tensor(named["timestep"]).flatten()[0])
        return (torch.cat([u, p - written.gamma(u, p, s, unit_of(name, t))]),)

    denoiser.forward = forward
    try:
        yield
    finally:
        del denoiser.forward


@pytest.mark.parametrize("apart", [False, True], ids=["joined", "apart"])
@pytest.mark.parametrize("name", BATCHED)
def test_same_latents_as_the_equations_written_out(name, apart, monkeypatch):
    if apart:
        monkeypatch.setattr(evaluating, "JOINED_UP_TO", {"cpu": 0})
    pipe = tiny_kinds.pipeline(name)
    seen = []
    guarded = guard(pipe, SETTINGS)
    settings = {
        "num_inference_steps": STEPS,
        "generator": torch.manual_seed(3),
        "output_type": "latent",
    }
    ours = guarded.watch(seen.append, PROMPT, **settings, **tiny_kinds.CALLS[name]).images
    with written_out(pipe, name, SETTINGS):
        wanted = call(pipe, name).images
    torch.testing.assert_close(ours, wanted, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(ours, call(pipe, name).images, atol=1e-3), "the guard did nothing"
    shares = [float((moment.correction.gate > 0).float().mean()) for moment in seen[2:]]
    assert any(0.05 < share < 0.95 for share in shares), (
        f"the gate is all open or all shut: {shares}"
    )


@torch.no_grad()
def flux_by_hand(pipe: Any, sld: SLD, scale: float) -> Tensor:
    """Flux's loop with three evaluations a step."""
    texts = {
        key: pipe.encode_prompt(text, None, max_sequence_length=64)
        for key, text in (("u", ""), ("p", PROMPT), ("s", CONCEPT))
    }
    latents, image_ids = pipe.prepare_latents(
        1, 1, 8, 8, torch.float32, "cpu", torch.manual_seed(3)
    )
    pipe.scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / STEPS, STEPS))
    written = Written(sld)
    for t in pipe.scheduler.timesteps:
        shared = {
            "hidden_states": latents,
            "timestep": t[None] / 1000,
            "img_ids": image_ids,
            "return_dict": False,
        }
        e = {
            key: pipe.transformer(
                encoder_hidden_states=text, pooled_projections=pooled, txt_ids=ids, **shared
            )[0]
            for key, (text, pooled, ids) in texts.items()
        }
        prompt = e["p"] - written.gamma(e["u"], e["p"], e["s"], unit_of("flux", float(t)))
        latents = pipe.scheduler.step(
            e["u"] + scale * (prompt - e["u"]), t, latents, return_dict=False
        )[0]
    return latents


def test_flux_which_asks_for_one_estimate_after_the_other():
    pipe = tiny_kinds.pipeline("flux")
    ours = call(guard(pipe, SETTINGS), "flux").images
    torch.testing.assert_close(ours, flux_by_hand(pipe, SETTINGS, 4.0), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(ours, call(pipe, "flux").images, atol=1e-3)


class Nothing(SLD):
    """A guidance that takes nothing away."""

    def correct(self, estimates: Any, state: Any, i: int, unit: float = 1.0) -> Any:
        correction, state = super().correct(estimates, state, i, unit)
        gamma = torch.zeros_like(estimates.prompt)
        return Correction(
            uncond=estimates.uncond,
            prompt=estimates.prompt - gamma,
            acts=correction.acts,
            gamma=gamma,
            gate=gamma,
        ), state


@pytest.mark.parametrize("name", tiny_kinds.KINDS)
def test_a_gamma_of_zero_is_the_plain_pipeline_to_the_bit(name, monkeypatch):
    monkeypatch.setattr(
        evaluating, "JOINED_UP_TO", {"cpu": 0}
    )  # a batch of three rounds otherwise than one of two
    for refused in ("unguided_rows", "idle_rows"):
        monkeypatch.setattr(receipt.Tally, refused, lambda _: [])
    pipe = tiny_kinds.pipeline(name)
    assert torch.equal(call(guard(pipe, Nothing(warmup=0)), name).images, call(pipe, name).images)


@pytest.mark.parametrize("name", tiny_kinds.KINDS)
def test_the_negative_prompt_baseline_is_the_pipelines_own(name):
    pipe = tiny_kinds.pipeline(name)
    ours = call(guard(pipe, NegativePrompt()), name)
    torch.testing.assert_close(
        ours.images, call(pipe, name, negative_prompt=CONCEPT).images, atol=1e-4, rtol=1e-4
    )
    assert ours.receipts[0].evaluations == 2 * STEPS


@pytest.mark.parametrize("name", tiny_kinds.KINDS)
def test_a_row_of_a_mixed_batch_is_the_same_request_alone(name):
    pipe = tiny_kinds.pipeline(name)
    prompts, safeties = ["a cat", "the party at night"], [SETTINGS, "max"]
    negative = {"negative_prompt": ["", ""]} if name == "flux" else {}
    generators = [torch.Generator().manual_seed(seed) for seed in (5, 6)]
    together = call(guard(pipe, safeties), name, prompt=prompts, generator=generators, **negative)
    for b, seed in enumerate((5, 6)):
        alone = call(
            guard(pipe, safeties[b]),
            name,
            prompt=prompts[b],
            generator=torch.Generator().manual_seed(seed),
        )
        torch.testing.assert_close(together.images[b : b + 1], alone.images, atol=1e-4, rtol=1e-4)
        assert together.receipts[b].guided_steps == alone.receipts[0].guided_steps


@pytest.mark.parametrize("name", tiny_kinds.KINDS)
def test_the_same_call_again_is_the_same_and_nothing_is_left(name):
    pipe = tiny_kinds.pipeline(name)
    plain, first = call(pipe, name).images, call(guard(pipe, "max"), name).images
    before = set(vars(pipe)), set(vars(getattr(pipe, guard(pipe, "max").family.denoiser)))
    assert torch.equal(call(guard(pipe, "max"), name).images, first)
    assert (set(vars(pipe)), set(vars(getattr(pipe, guard(pipe, "max").family.denoiser)))) == before
    assert torch.equal(call(pipe, name).images, plain)


def test_the_global_random_numbers_are_the_calls_own():
    """The concept is conditioned by a call that is cut short; it must not use up the noise of the
    real one.
    """
    pipe = tiny_kinds.pipeline("sdxl")
    torch.manual_seed(8)
    first = call(guard(pipe, "max"), "sdxl", generator=None).images
    torch.manual_seed(8)
    noise = pipe.prepare_latents(1, 4, 8, 8, torch.float32, torch.device("cpu"), None)
    assert torch.equal(first, call(guard(pipe, "max"), "sdxl", latents=noise).images)


@pytest.mark.parametrize("name", ["sd3", "sana", "flux"])
def test_on_rectified_flow_a_preset_waits_for_the_papers_noise_level(name):
    pipe = tiny_kinds.pipeline(name)
    guarded = guard(pipe, "medium")
    assert guarded.guidance == MEDIUM.by_noise_level()
    receipt = call(guarded, name, num_inference_steps=28).receipts[0]
    sigmas = [float(sigma) for sigma in pipe.scheduler.sigmas[:28]]
    assert receipt.steps == 28
    assert receipt.settings["warmup"] == sum(sigma > 0.8243 for sigma in sigmas)
    assert receipt.guided_steps == 28 - receipt.settings["warmup"]
    assert receipt.safety == "medium"
    assert preset_name(guarded.guidance) == "medium"


def test_medium_begins_at_step_11_of_28_on_stable_diffusion_3():
    receipt = call(
        guard(tiny_kinds.pipeline("sd3"), "medium"), "sd3", num_inference_steps=28
    ).receipts[0]
    assert receipt.guided_steps == 28 - 11


def test_steps_on_stable_diffusions_schedule_and_a_noise_level_where_asked():
    pipe = tiny_kinds.pipeline("sdxl")
    for steps, warmup in ((50, 10), (25, 5)):
        receipt = call(
            guard(pipe, SLD(warmup=NoiseLevel(0.8244))), "sdxl", num_inference_steps=steps
        ).receipts[0]
        assert receipt.guided_steps == steps - warmup
    assert guard(pipe, "medium").guidance == MEDIUM


def test_a_noise_level_that_no_step_reaches_is_refused():
    with pytest.raises(NotGuardedError, match="the warm-up is 8 steps and the call has 8"):
        call(guard(tiny_kinds.pipeline("sd3"), SLD(warmup=NoiseLevel(0.001))), "sd3")


def test_flux_without_a_negative_prompt_or_with_scale_one_is_refused():
    pipe = guard(tiny_kinds.pipeline("flux"), "max")
    with pytest.raises(NotGuardedError, match="give negative_prompt=''"):
        call(pipe, "flux", negative_prompt=None)
    with pytest.raises(NotGuardedError, match="true_cfg_scale is 1"):
        call(pipe, "flux", true_cfg_scale=1.0)


def test_a_concept_over_the_limit_of_any_encoder_is_refused():
    words = ["cat", "dog", "night", "party", "pistol", "pirate"]
    long = ", ".join(f"{a} {b}" for a in words for b in words if a != b)
    for name in ("sdxl", "sd3", "flux"):
        with pytest.raises(
            BadValueError, match="the concept has 91 tokens, the text encoder reads 77"
        ):
            guard(tiny_kinds.pipeline(name), "max", concept=long)
    for name in ("flux", "pixart", "sana"):
        with pytest.raises(BadValueError, match="the text encoder reads 16"):
            call(guard(tiny_kinds.pipeline(name), "max"), name, max_sequence_length=16)


def test_skipped_layers_are_refused():
    with pytest.raises(NotGuardedError, match="skip_guidance_layers"):
        call(guard(tiny_kinds.pipeline("sd3"), "max"), "sd3", skip_guidance_layers=[0])


def test_guidance_distilled_models_are_refused():
    pipe = tiny_kinds.pipeline("flux")
    config = dict(pipe.transformer.config)
    distilled = tiny_kinds.build(
        type(pipe),
        tiny_kinds.flux_parts,
        transformer=type(pipe.transformer)(**(config | {"guidance_embeds": True})),
    )
    with pytest.raises(UnsupportedError, match="distilled"):
        guard(distilled, "max")

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from safelatent import DEFAULT_CONCEPT, MAX, MEDIUM, SLD, NegativePrompt, NoiseLevel, guard
from safelatent.guidance import Correction, receipt
from safelatent.pipelines.modular import guard_modular
from tests.pipelines.modular import tiny_modular
from tests.pipelines.modular.by_hand import CONCEPT, PROMPT, by_hand, call, recorded, run
from tests.pipelines.modular.tiny_modular import CALL, PARTS, SIZE, present

STEPS = 4
SETTINGS = SLD(warmup=1, scale=1000, threshold=0.01, momentum=0.3, decay=0.4)
MILD = SLD(
    warmup=0, scale=100, threshold=0.025, momentum=0.5, decay=0.7
)  # a large scale is a large factor on rounding


def arguments(family: str, prompt: Any = PROMPT) -> dict[str, Any]:
    return {"prompt": prompt, "num_inference_steps": STEPS, "output_type": "pt"} | CALL.get(
        family, SIZE
    )


def image(state: Any) -> torch.Tensor:
    found = state.get("images")
    return state.get("videos") if found is None else found


def largest_difference(loop: list, steps: list) -> float:
    pairs = [(a[0] - b[0], a[1] - b[2]) for a, b in zip(loop, steps, strict=True)]
    return max(float(difference.abs().max()) for pair in pairs for difference in pair)


@pytest.mark.parametrize("family", PARTS)
def test_same_noise_and_latents_as_the_loop_written_out(family):
    pipe = tiny_modular.pipeline(family)
    loop = by_hand(family, pipe, SETTINGS, arguments(family))
    with recorded(pipe) as seen:
        out = call(guard_modular(pipe, SETTINGS, concept=CONCEPT), arguments(family))
    assert largest_difference(loop, seen.steps) < 1e-4
    (receipt,) = out.receipts
    # the first step is warm-up; a step between two levels of no noise moves nothing
    moving = sum(not torch.equal(before, after) for _, before, after in seen.steps[1:])
    assert moving >= STEPS - 2
    assert (receipt.steps, receipt.guided_steps, receipt.evaluations) == (STEPS, moving, 3 * STEPS)
    assert not torch.equal(image(out), image(run(pipe, arguments(family)).state)), (
        "the guard changed nothing"
    )


@pytest.mark.parametrize(
    "family", present("sdxl", "sd3", "qwen", "z-image", "wan", "klein", "krea2")
)
def test_a_batch_is_the_loop_written_out_too(family):
    pipe = tiny_modular.pipeline(family)
    two = arguments(family, [PROMPT, "a dog"]) | (
        {} if family == "klein" else {"negative_prompt": ["", "night"]}
    )
    loop = by_hand(family, pipe, SETTINGS, two)
    with recorded(pipe) as seen:
        out = call(guard_modular(pipe, SETTINGS, concept=CONCEPT), two)
    for (noise, latents), step in zip(loop, seen.steps, strict=True):
        torch.testing.assert_close(step[0], noise, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(step[2], latents, atol=1e-4, rtol=1e-4)
    assert len(out.receipts) == 2


@dataclass(frozen=True)
class Nothing(SLD):
    """A guidance that looks at all three estimates and leaves the prompt's as it is."""

    def correct(self, estimates, state, i, unit=1.0):
        acts = torch.ones(len(estimates.prompt), dtype=torch.bool)
        return Correction(
            uncond=estimates.uncond,
            prompt=estimates.prompt - torch.zeros_like(estimates.prompt),
            acts=acts,
        ), state


@pytest.mark.parametrize("family", PARTS)
def test_strength_zero_is_the_plain_pipeline_to_the_bit(family, monkeypatch):
    for refused in ("unguided_rows", "idle_rows"):
        monkeypatch.setattr(receipt.Tally, refused, lambda _: [])
    pipe = tiny_modular.pipeline(family)
    guarded = call(guard_modular(pipe, Nothing(warmup=0), concept=CONCEPT), arguments(family))
    assert torch.equal(image(guarded), image(call(pipe, arguments(family))))


@pytest.mark.parametrize("family", ["sdxl", "qwen", "z-image"])
def test_a_row_of_a_mixed_batch_is_what_it_is_alone(family):
    pipe = tiny_modular.pipeline(family)
    prompts, safeties = ["a cat", "the party at night"], [SETTINGS, MILD]
    latents = run(pipe, arguments(family, prompts) | {"negative_prompt": ["", ""]}).steps[0][1]
    together, alone = [], []
    with recorded(pipe) as seen:
        given = arguments(family, prompts) | {"negative_prompt": ["", ""], "latents": latents}
        receipts = call(guard_modular(pipe, safeties, concept=CONCEPT), given).receipts
        together = seen.steps[-1][2]
    for b, (prompt, safety) in enumerate(zip(prompts, safeties, strict=True)):
        with recorded(pipe) as seen:
            given = arguments(family, prompt) | {
                "negative_prompt": "",
                "latents": latents[b : b + 1],
            }
            (receipt,) = call(guard_modular(pipe, safety, concept=CONCEPT), given).receipts
            alone.append(seen.steps[-1][2])
        assert receipts[b].safety == receipt.safety
        assert receipts[b].guided_steps == receipt.guided_steps
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=1e-4)


@pytest.mark.skipif("flux3" not in PARTS, reason="this release of diffusers has no modular Flux.3")
def test_a_concept_longer_than_the_prompt_has_positions_of_its_own(monkeypatch):
    """Flux.3 rounds a text up to 80 tokens and numbers them; its reference run numbers the concept
    itself.
    """
    from tests.pipelines.modular import by_hand as module

    monkeypatch.setattr(module, "CONCEPT", str(DEFAULT_CONCEPT))
    pipe = tiny_modular.pipeline("flux3")
    loop = by_hand("flux3", pipe, SETTINGS, arguments("flux3"))
    with recorded(pipe) as seen:
        call(guard_modular(pipe, SETTINGS), arguments("flux3"))
    assert largest_difference(loop, seen.steps) < 1e-4


def test_modular_and_classic_stable_diffusion_xl_agree():
    pipe = tiny_modular.pipeline("sdxl")
    parts = {
        name: part
        for name, part in tiny_modular.sdxl_parts().items()
        if "tokenizer" in name or name == "scheduler"
    }
    models = {
        name: getattr(pipe, name) for name in ("unet", "vae", "text_encoder", "text_encoder_2")
    }
    classic = StableDiffusionXLPipeline(**parts, **models, add_watermarker=False)
    classic.set_progress_bar_config(disable=True)
    latents = torch.randn((1, 4, 16, 16), generator=torch.Generator().manual_seed(1))
    given = {"prompt": PROMPT, "num_inference_steps": STEPS, "latents": latents} | SIZE
    for safety in (SETTINGS, MAX):
        ours = guard_modular(pipe, safety)(**given, output_type="pt")
        theirs = guard(classic, safety)(
            **given, guidance_scale=pipe.guider.guidance_scale, output_type="pt"
        )
        torch.testing.assert_close(ours.images, theirs.images, atol=2e-4, rtol=0)
        assert ours.receipts[0].guided_steps == theirs.receipts[0].guided_steps
        assert ours.receipts[0].gamma_ratio == pytest.approx(
            theirs.receipts[0].gamma_ratio, rel=1e-3
        )


def test_both_guiders_of_wan_22_share_one_momentum():
    """The reference carries the momentum over the change of denoiser; both of them must have had a
    step here.
    """
    pipe = tiny_modular.pipeline("wan22")
    asked = {name for name, _ in run(pipe, arguments("wan22")).calls}
    assert asked == {"transformer", "transformer_2"}


def test_warm_up_of_a_named_preset_is_a_noise_level_on_flow_models():
    flow, noise = tiny_modular.pipeline("z-image"), tiny_modular.pipeline("sdxl")
    assert guard_modular(flow, "medium").guidance == MEDIUM.by_noise_level()
    assert guard_modular(noise, "medium").guidance == MEDIUM
    seen = []
    safe = guard_modular(flow, SLD(warmup=NoiseLevel(0.824)), concept=CONCEPT)
    safe.watch(
        seen.append,
        **(
            arguments("z-image")
            | {"num_inference_steps": 28, "generator": torch.Generator().manual_seed(3)}
        ),
    )
    acting = [moment.i for moment in seen if moment.correction.gate.any()]
    assert acting[0] == next(i for i, moment in enumerate(seen) if moment.timestep / 1000 <= 0.824)


def test_moments_hold_what_the_denoiser_saw_and_what_became_of_it():
    pipe = tiny_modular.pipeline("z-image")
    seen = []
    guard_modular(pipe, SETTINGS, concept=CONCEPT).watch(
        seen.append, **arguments("z-image"), generator=torch.Generator().manual_seed(3)
    )
    plain = run(pipe, arguments("z-image"))
    assert [moment.i for moment in seen] == list(range(STEPS))
    assert torch.equal(seen[0].latents.squeeze(2), plain.steps[0][1])
    assert torch.equal(
        seen[2].estimates.prompt - seen[2].correction.gamma, seen[2].correction.prompt
    )


def test_the_baseline_is_the_pipelines_own_negative_prompt():
    pipe = tiny_modular.pipeline("sdxl")
    ours = call(guard_modular(pipe, NegativePrompt(), concept=CONCEPT), arguments("sdxl"))
    plain = call(pipe, arguments("sdxl"), negative_prompt=CONCEPT)
    torch.testing.assert_close(ours.images, plain.images, atol=1e-5, rtol=1e-5)
    assert ours.receipts[0].evaluations == 2 * STEPS


def test_velocities_are_gated_in_units_of_noise():
    pipe = tiny_modular.pipeline(
        "sdxl", scheduler=tiny_modular.tiny.scheduler(prediction_type="v_prediction")
    )
    seen = []
    guard_modular(pipe, SETTINGS, concept=CONCEPT).watch(
        seen.append, **arguments("sdxl"), generator=torch.Generator().manual_seed(3)
    )
    for moment in seen[1:]:
        alpha = float(pipe.scheduler.alphas_cumprod[int(moment.timestep)]) ** 0.5
        d = alpha * (moment.estimates.prompt - moment.estimates.concept)
        expected = torch.where(d < SETTINGS.threshold, (SETTINGS.scale * d).abs().clamp(max=1), 0.0)
        torch.testing.assert_close(moment.correction.gate, expected, atol=1e-5, rtol=0)


def test_image_to_image_begins_in_the_middle_of_the_schedule():
    pipe = tiny_modular.pipeline("sdxl")
    given = arguments("sdxl") | {
        "image": torch.rand(1, 3, 16, 16),
        "strength": 0.5,
        "num_inference_steps": 8,
    }
    receipt = call(guard_modular(pipe, SETTINGS, concept=CONCEPT), given).receipts[0]
    assert (receipt.steps, receipt.guided_steps) == (4, 3)


def test_receipts_are_a_value_of_the_state_like_any_other():
    safe = guard_modular(tiny_modular.pipeline("sdxl"), SETTINGS, concept=CONCEPT)
    state = call(safe, arguments("sdxl"))
    images = call(safe, arguments("sdxl"), output="images")
    both = call(safe, arguments("sdxl"), output=["images", "receipts"])
    assert torch.equal(images, state.images)
    assert torch.equal(both["images"], state.images)
    assert both["receipts"] == state.receipts
    assert state.receipts[0].concept == CONCEPT


@pytest.mark.skipif(
    "sd3" not in PARTS, reason="this release of diffusers has no modular Stable Diffusion 3"
)
def test_an_empty_negative_prompt_is_encoded_where_there_would_be_none():
    pipe = tiny_modular.pipeline("sd3")
    without = {name: value for name, value in arguments("sd3").items() if name != "negative_prompt"}
    given, default = (
        call(guard_modular(pipe, SETTINGS, concept=CONCEPT), args)
        for args in (arguments("sd3"), without)
    )
    assert torch.equal(given.images, default.images)
    assert default.receipts[0].guided_steps == STEPS - 1


def test_the_callers_list_of_prompts_stays_as_it_is():
    pipe, prompts = tiny_modular.pipeline("z-image"), [PROMPT]
    guard_modular(pipe, SETTINGS, concept=CONCEPT)(**(arguments("z-image") | {"prompt": prompts}))
    assert prompts == [PROMPT]


def test_families_in_any_order_give_what_fresh_ones_give():
    """Each before each other one."""
    a, b, c = families = ["sdxl", "z-image", "wan22"]
    fresh = {}
    for family in families:
        fresh[family] = image(
            call(
                guard_modular(tiny_modular.pipeline(family), SETTINGS, concept=CONCEPT),
                arguments(family),
            )
        )
    pipes = {family: tiny_modular.pipeline(family) for family in families}
    for family in (a, b, a, c, b, c, a):
        out = call(guard_modular(pipes[family], SETTINGS, concept=CONCEPT), arguments(family))
        assert torch.equal(image(out), fresh[family])
        call(guard_modular(pipes[family], MAX, concept="night"), arguments(family))

"""What people do with a pipeline besides calling it with a prompt: it works the same under the
guard.
"""

from __future__ import annotations

import copy
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from diffusers import AutoPipelineForImage2Image, FirstBlockCacheConfig, StableDiffusionXLPipeline

from safelatent import NotGuardedError, guard
from safelatent.pipelines.classic import evaluating
from tests import tiny
from tests.pipelines import every_pipeline
from tests.pipelines.classic import tiny_families as families

PROMPT, STEPS = "a cat with a pistol", 5


@pytest.fixture(params=["sd", "sdxl"])
def pipe(request):
    return (
        tiny.pipeline()
        if request.param == "sd"
        else families.build(StableDiffusionXLPipeline, families.xl_parts)
    )


def call(pipeline, seed: int = 0, **changes):
    generator = torch.Generator().manual_seed(seed)
    settings = {
        "prompt": PROMPT,
        "num_inference_steps": STEPS,
        "generator": generator,
        "output_type": "latent",
        "height": 8,
        "width": 8,
    }
    return pipeline(**(settings | changes))


def test_embeddings_in_the_place_of_the_prompt(pipe):
    found = pipe.encode_prompt(
        PROMPT, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True
    )
    names = (
        "prompt_embeds",
        "negative_prompt_embeds",
        "pooled_prompt_embeds",
        "negative_pooled_prompt_embeds",
    )
    embeddings = dict(zip(names, found, strict=False))
    by_embeddings = call(guard(pipe, "max"), prompt=None, **embeddings)
    torch.testing.assert_close(
        by_embeddings.images, call(guard(pipe, "max")).images, atol=1e-4, rtol=1e-4
    )


def test_embeddings_longer_than_the_concepts(pipe):
    """As of tools that put long prompts together from pieces; the concept is then a call of its
    own.
    """
    found = pipe.encode_prompt(
        PROMPT, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True
    )
    names = (
        "prompt_embeds",
        "negative_prompt_embeds",
        "pooled_prompt_embeds",
        "negative_pooled_prompt_embeds",
    )
    long = {
        name: torch.cat([one, one], dim=1) if one.dim() == 3 else one
        for name, one in zip(names, found, strict=False)
    }
    receipt = call(guard(pipe, "max"), prompt=None, **long).receipts[0]
    assert (receipt.guided_steps, receipt.evaluations) == (STEPS, 3 * STEPS)


def test_several_prompts_and_several_images_of_each(pipe):
    pipe.to(
        torch.float64
    )  # batches of other sizes round otherwise, and these random weights magnify it
    latents = torch.randn(
        (4, 4, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    prompts = ["a cat", "the party at night"]
    out = call(guard(pipe, "max"), prompt=prompts, num_images_per_prompt=2, latents=latents)
    assert len(out.receipts) == 4
    for n in range(4):
        alone = call(guard(pipe, "max"), prompt=prompts[n // 2], latents=latents[n : n + 1])
        torch.testing.assert_close(out.images[n : n + 1], alone.images, atol=1e-4, rtol=1e-4)


def test_a_callback_sees_and_changes_the_latents(pipe):
    seen = []

    def halve(_pipe, i, _t, values):
        seen.append(i)
        return {"latents": values["latents"] / 2}

    changed = call(guard(pipe, "max"), callback_on_step_end=halve)
    assert seen == list(range(STEPS))
    assert not torch.allclose(changed.images, call(guard(pipe, "max")).images)


def test_a_pipeline_made_from_another(pipe):
    other = AutoPipelineForImage2Image.from_pipe(pipe)
    tiny.quiet(other)
    receipt = guard(other, "max")(
        PROMPT, image=every_pipeline.picture(), strength=1.0, num_inference_steps=STEPS
    ).receipts[0]
    assert receipt.guided_steps == STEPS


def test_attention_slicing(pipe):
    # Slices are summed in another order than the whole; random weights magnify what that rounds.
    pipe.to(torch.float64)
    whole = call(guard(pipe, "max")).images
    pipe.enable_attention_slicing(1)
    torch.testing.assert_close(call(guard(pipe, "max")).images, whole, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision(pipe, dtype):
    out = call(guard(pipe.to(dtype), "max"))
    assert out.images.dtype == dtype
    assert out.images.isfinite().all()


def test_a_lora_with_its_scale(pipe):
    peft = pytest.importorskip("peft", reason="LoRA needs peft")
    torch.manual_seed(0)
    pipe.unet.add_adapter(
        peft.LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_v"], init_lora_weights=False)
    )
    strong, weak = (
        call(guard(pipe, "max"), cross_attention_kwargs={"scale": scale}).images
        for scale in (1.0, 0.1)
    )
    assert not torch.allclose(strong, weak, atol=1e-3)
    torch.testing.assert_close(
        call(guard(pipe, "max"), cross_attention_kwargs={"scale": 1.0}).images, strong
    )


def ip_adapter(unet) -> dict:
    """Random weights of an adapter with four image tokens, for an image embedding of 16 numbers."""
    width = unet.config.cross_attention_dim
    g = torch.Generator().manual_seed(0)
    weights, key = {}, 1
    for name in unet.attn_processors:
        if name.endswith("attn1.processor"):
            continue
        block = unet.get_submodule(name.removesuffix(".processor"))
        for part in ("k", "v"):
            weights[f"{key}.to_{part}_ip.weight"] = (
                torch.randn((block.inner_dim, width), generator=g) * 0.2
            )
        key += 2
    image = {
        "proj.weight": torch.randn((4 * width, 16), generator=g),
        "proj.bias": torch.zeros(4 * width),
    }
    image |= {"norm.weight": torch.ones(width), "norm.bias": torch.zeros(width)}
    return {"image_proj": image, "ip_adapter": weights}


@pytest.mark.parametrize("apart", [False, True], ids=["joined", "apart"])
def test_an_ip_adapters_image_stands_beside_prompt_and_concept(pipe, monkeypatch, apart):
    if apart:
        monkeypatch.setattr(evaluating, "JOINED_UP_TO", {"cpu": 0})
    pipe.unet._load_ip_adapter_weights([ip_adapter(pipe.unet)])
    pipe.set_ip_adapter_scale(0.8)
    images = [
        torch.randn((2, 1, 16), generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)
    ]
    first = call(guard(pipe, "max"), ip_adapter_image_embeds=[images[0]])
    second = call(guard(pipe, "max"), ip_adapter_image_embeds=[images[1]])
    assert first.receipts[0].guided_steps == STEPS
    assert not torch.allclose(first.images, second.images, atol=1e-3), (
        "the adapter's image made no difference"
    )


def test_calls_of_all_pipelines_in_any_order_leave_nothing_behind():
    """Interrupted and refused ones among them: what each gives is what a fresh pipeline gives."""
    cases = [
        case
        for case in every_pipeline.CASES
        if case.name.endswith(("XLPipeline", "3Pipeline", "FluxPipeline", "SanaPipeline"))
    ]
    pipes = {case.name: case.pipeline() for case in cases}
    fresh = {case.name: guard(case.pipeline(), "max")(**case.arguments()).images for case in cases}

    def stop(_pipe, i, _t, values):
        if i == 2:
            raise KeyboardInterrupt
        return values

    chance = random.Random(4)
    for _ in range(20):
        case, what = chance.choice(cases), chance.choice(["whole", "stopped", "refused"])
        safe = guard(pipes[case.name], "max")
        if what == "whole":
            assert torch.equal(safe(**case.arguments()).images, fresh[case.name]), case.name
        elif what == "stopped":
            with pytest.raises(KeyboardInterrupt):
                safe(**case.arguments(), callback_on_step_end=stop)
        else:
            with pytest.raises(NotGuardedError):
                safe(**(case.arguments() | {safe.family.scale: 1.0}))


def test_the_adapters_image_is_the_prompts_for_the_concept_too(pipe, monkeypatch):
    """Joined to the batch or apart, the concept's row meets the same image."""
    pipe.unet._load_ip_adapter_weights([ip_adapter(pipe.unet)])
    pipe.to(torch.float64)
    embeddings = [
        torch.randn((2, 1, 16), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ]
    joined = call(guard(pipe, "max"), ip_adapter_image_embeds=embeddings).images
    monkeypatch.setattr(evaluating, "JOINED_UP_TO", {"cpu": 0})
    apart = call(guard(pipe, "max"), ip_adapter_image_embeds=embeddings).images
    torch.testing.assert_close(joined, apart, atol=1e-4, rtol=1e-4)


def test_a_cache_of_the_denoisers_is_not_shared_with_the_concept():
    """A threshold that takes everything from the cache: nothing is there yet at the first step,
    where all must be computed.
    """
    case = next(case for case in every_pipeline.CASES if case.name == "FluxPipeline")
    first = {}
    for name in ("plain", "cached"):
        pipe = case.pipeline()
        if name == "cached":
            pipe.transformer.enable_cache(FirstBlockCacheConfig(threshold=1000.0))
        moments = []
        guard(pipe, "max").watch(moments.append, **case.arguments())
        first[name] = moments[0].estimates
    assert torch.equal(first["cached"].uncond, first["plain"].uncond)
    assert torch.equal(first["cached"].concept, first["plain"].concept)


def test_two_guarded_pipelines_in_two_threads():
    """Each of its own: what comes out is what each gives alone."""
    names = ["StableDiffusionXLPipeline", "FluxPipeline"]
    cases = [case for case in every_pipeline.CASES if case.name in names]
    alone = [guard(case.pipeline(), "max")(**case.arguments()).images for case in cases]
    with ThreadPoolExecutor(2) as pool:
        pipes = [
            guard(copy.deepcopy(case.pipeline()), "max") for case in cases
        ]  # tokenizers too: they keep state while they work
        together = [pool.submit(pipes[n % 2], **cases[n % 2].arguments()) for n in range(2)]
    for wanted, future in zip(alone, together, strict=True):
        assert torch.equal(future.result().images, wanted)


def test_one_negative_prompt_serves_all_prompts_of_a_call():
    """Flux broadcasts it; the other pipelines repeat it."""
    flux = families.pipeline("flux")
    prompts, settings = ["a cat", "a dog"], families.CALLS["flux"]
    one, each = (
        call(guard(flux, "max"), prompt=prompts, **(settings | {"negative_prompt": negative}))
        for negative in ("", ["", ""])
    )
    assert [receipt.guided_steps for receipt in one.receipts] == [STEPS - 1] * 2
    torch.testing.assert_close(one.images, each.images, atol=1e-4, rtol=1e-4)

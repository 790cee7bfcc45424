"""The denoiser during a guarded call: nothing is left on it, and no cache mixes the concept in.

The general check: in the warm-up a guarded call is the plain one, to rounding, whatever is on the
denoiser; or it is refused.
"""

from __future__ import annotations

import copy
import threading
from functools import cache
from typing import Any

import diffusers.hooks
import pytest
import torch
from accelerate.hooks import ModelHook as AccelerateHook
from accelerate.hooks import add_hook_to_module
from diffusers.hooks import HookRegistry, ModelHook
from torch import Tensor, nn

from safelatent import SLD, guard
from safelatent.errors import GuardError, UnsupportedError
from safelatent.pipelines.denoiser import CallHook, ConceptCaches, attached, one_call
from safelatent.pipelines.modular import guard_modular
from tests import tiny
from tests.pipelines.classic import tiny_families
from tests.pipelines.every_hook import HOOKS, NOT_HERE
from tests.pipelines.modular import tiny_modular
from tests.pipelines.modular.by_hand import call as call_modular
from tests.pipelines.modular.by_hand import recorded

STEPS, WARMUP = 6, 3
PROMPT, CONCEPT = "a cat with a pistol", "violence, blood"
# With momentum, so that the concept is evaluated in the warm-up too.
SETTINGS = SLD(warmup=WARMUP, scale=1000, threshold=0.01, momentum=0.4, decay=0.6)
CASTING = "apply_layerwise_casting"
# The families on which each hook has an effect, so that the plain calls with and without differ.
CLASSIC = {
    "apply_pyramid_attention_broadcast": ["sd", "sdxl", "sd3", "flux", "pixart", "sana"],
    "apply_first_block_cache": ["flux"],
    "apply_mag_cache": ["sd3", "flux", "pixart"],
    "apply_taylorseer_cache": ["flux"],
    "apply_layer_skip": ["sd3", "flux", "pixart"],
    CASTING: ["sd", "flux"],
}
MODULAR = {
    "apply_pyramid_attention_broadcast": ["sdxl", "z-image", "wan"],
    "apply_mag_cache": ["qwen"],
    CASTING: ["sdxl"],
}
# Where a hook changes nothing: it must not disturb either.
NO_EFFECT = {"apply_group_offloading": ["sd", "flux"], "apply_faster_cache, distilled": ["sd"]}


def pairs(table: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(hook, family) for hook, families in table.items() for family in families]


def classic(family: str, hook: str | None = None) -> Any:
    """A pipeline, with the hook on its denoiser. New: some caches outlast a call."""
    kinds = tiny_families.KINDS
    pipe = tiny.pipeline() if family == "sd" else tiny_families.build(*kinds[family])
    if hook is not None:
        HOOKS[hook](denoiser_of(pipe))
    return pipe


def denoiser_of(pipe: Any) -> Any:
    return pipe.unet if hasattr(pipe, "unet") else pipe.transformer


def latents_of(pipe: Any, family: str, made: Any = None, **changes: Any) -> list[Tensor]:
    """After every step."""
    given = {
        "prompt": PROMPT,
        "num_inference_steps": STEPS,
        "generator": torch.Generator().manual_seed(3),
        "output_type": "latent",
    }
    size = (
        {"latents": torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(0))}
        if family == "sd"
        else tiny_families.CALLS[family]
    )
    with recorded(pipe) as seen:
        (made or pipe)(**(given | size | changes))
    return [after.clone() for _, _, after in seen.steps]


def modular(family: str, hook: str | None = None) -> Any:
    pipe = tiny_modular.pipeline(family)
    pipe.set_progress_bar_config(disable=True)
    if hook is not None:
        HOOKS[hook](denoiser_of(pipe))
    return pipe


@pytest.fixture(autouse=True, scope="module")
def _short_texts():
    with tiny_modular.short_texts():
        yield


def modular_latents(pipe: Any, family: str, made: Any = None) -> list[Tensor]:
    given = {"prompt": PROMPT, "num_inference_steps": STEPS, "output_type": "pt"}
    size = tiny_modular.CALL.get(family, tiny_modular.SIZE)
    with recorded(pipe) as seen:
        call_modular(made or pipe, given | size)
    return [after.clone() for _, _, after in seen.steps]


@cache
def last_without_a_hook(family: str) -> Tensor:
    return latents_of(classic(family), family)[-1]


@cache
def last_without_a_hook_modular(family: str) -> Tensor:
    return modular_latents(modular(family), family)[-1]


# Batches of other shapes add up in another order on some processors: by up to 1e-5 after six steps,
# where the concept's first guided step changes 0.04.
ROUNDING = 1e-4


def same(a: list[Tensor], b: list[Tensor]) -> list[bool]:
    return [torch.allclose(x, y, rtol=0, atol=ROUNDING) for x, y in zip(a, b, strict=True)]


IN_THE_WARM_UP = [True] * WARMUP + [False] * (STEPS - WARMUP)


def test_every_hook_of_diffusers_is_in_the_table():
    known = {name.split(",")[0] for name in HOOKS} | set(NOT_HERE)
    there = {name for name in dir(diffusers.hooks) if name.startswith("apply_")}
    assert there <= known, f"{there - known} are new: add them to tests/pipelines/every_hook.py"
    assert {hook for table in (CLASSIC, NO_EFFECT) for hook in table} == set(HOOKS) - {
        "apply_faster_cache"
    }


@pytest.mark.parametrize(("hook", "family"), pairs(CLASSIC | NO_EFFECT))
def test_in_the_warm_up_a_guarded_call_is_the_plain_one(hook, family):
    plain = latents_of(classic(family, hook), family)
    if hook not in NO_EFFECT:
        assert not torch.equal(plain[-1], last_without_a_hook(family))
    pipe = classic(family, hook)
    guarded = latents_of(pipe, family, guard(pipe, SETTINGS, concept=CONCEPT))
    assert same(guarded, plain) == IN_THE_WARM_UP


@pytest.mark.parametrize(
    ("hook", "family"), [pair for pair in pairs(MODULAR) if pair[1] in tiny_modular.PARTS]
)
def test_in_the_warm_up_a_guarded_modular_call_is_the_plain_one(hook, family):
    plain = modular_latents(modular(family, hook), family)
    assert not torch.equal(plain[-1], last_without_a_hook_modular(family))
    pipe = modular(family, hook)
    guarded = modular_latents(pipe, family, guard_modular(pipe, SETTINGS, concept=CONCEPT))
    assert same(guarded, plain) == IN_THE_WARM_UP


def layers(pipe: Any, made: Any, family: str) -> int:
    """How many rows the linear layers of the denoiser compute in a call."""
    count = 0

    def counted(_: Any, given: tuple[Tensor, ...]) -> None:
        nonlocal count
        count += len(given[0])

    linear = [one for one in denoiser_of(pipe).modules() if isinstance(one, nn.Linear)]
    handles = [one.register_forward_pre_hook(counted) for one in linear]
    latents_of(pipe, family, made)
    for handle in handles:
        handle.remove()
    return count


CACHES = {
    "apply_pyramid_attention_broadcast": "sd",
    "apply_first_block_cache": "flux",
    "apply_mag_cache": "sd3",
    "apply_taylorseer_cache": "flux",
}


@pytest.mark.parametrize(("hook", "family"), CACHES.items())
def test_a_cache_saves_what_it_saves_without_the_guard(hook, family):
    """By the share of rows that are not computed, of three evaluations per step as of two."""
    saved: dict[bool, float] = {}
    for guarded in (False, True):
        counts = []
        for name in (None, hook):
            pipe = classic(family, name)
            made = guard(pipe, SETTINGS, concept=CONCEPT) if guarded else None
            counts.append(layers(pipe, made, family))
        saved[guarded] = 1 - counts[1] / counts[0]
    assert saved[False] > 0.05, "the cache saves nothing"
    assert saved[True] == pytest.approx(saved[False], rel=0.1)


@pytest.mark.parametrize("family", ["pixart", "sana"])
def test_a_cache_that_halves_batches_is_refused(family):
    pipe = classic(family, "apply_faster_cache")
    with pytest.raises(UnsupportedError, match=r"FasterCacheDenoiser.*half of every batch"):
        latents_of(pipe, family, guard(pipe, SETTINGS, concept=CONCEPT))


@pytest.mark.parametrize(
    ("make", "draw", "hook", "family"),
    [
        (classic, latents_of, "apply_first_block_cache", "flux"),
        (modular, modular_latents, "apply_pyramid_attention_broadcast", "sdxl"),
    ],
)
def test_a_cache_and_a_plan_that_leaves_out_evaluations_are_not_mixed(make, draw, hook, family):
    pipe = make(family, hook)
    with pytest.raises(
        UnsupportedError,
        match=r"the plan is 'concept=2', and this (unet|transformer) has a cache.* the cache off$",
    ):
        draw(pipe, family, guard(pipe, SETTINGS, plan="concept=2"))


def test_a_cache_that_cannot_be_kept_apart_is_refused():
    class Remembers(ModelHook):
        _is_stateful = True

        def reset_state(self, module):
            return module

    pipe = tiny.pipeline()
    HookRegistry.check_if_exists_or_initialize(pipe.unet.mid_block).register_hook(Remembers(), "x")
    with pytest.raises(UnsupportedError, match=r"\(Remembers\) that keeps a state.*disable_cache"):
        guard(pipe, SETTINGS)(PROMPT, num_inference_steps=STEPS)


def test_the_caches_are_the_pipelines_own_afterwards():
    pipe = classic("sd", "apply_pyramid_attention_broadcast")
    caches = ConceptCaches(pipe.unet)
    before = [vars(holder)[name] for holder, name, _ in caches._own]
    assert caches.any
    assert before
    inside: list[Any] = []
    with pytest.raises(KeyboardInterrupt), caches.concept():
        interrupt(inside, [vars(holder)[name] for holder, name, _ in caches._own])
    assert not {id(one) for one in inside} & {id(one) for one in before}
    after = [vars(holder)[name] for holder, name, _ in caches._own]
    assert [id(one) for one in after] == [id(one) for one in before]
    caches.leave()
    assert not ConceptCaches(tiny.pipeline().unet).any


def test_hooks_that_share_a_state_share_the_concepts():
    pipe = classic("flux", "apply_first_block_cache")
    caches = ConceptCaches(pipe.transformer)
    assert len({id(own) for _, _, own in caches._own}) == 1


def interrupt(kept: list[Any], seen: Any) -> None:
    kept.extend(seen)
    raise KeyboardInterrupt


# The hook of one call.


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 2)

    def forward(self, x):
        return self.inner(x)


def registered(module: nn.Module) -> nn.Module:
    HookRegistry.check_if_exists_or_initialize(module).register_hook(ModelHook(), "theirs")
    return module


def accelerated(module: nn.Module) -> nn.Module:
    return add_hook_to_module(module, AccelerateHook())


def removed(module: nn.Module) -> nn.Module:
    registered(module)._diffusers_hook.remove_hook("theirs")
    return module


def compiled(module: nn.Module) -> nn.Module:
    module.compile(backend="eager")
    return module


def snapshot(module: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if name != "_modules"}


@pytest.mark.parametrize(
    "before", [lambda module: module, registered, accelerated, removed, compiled]
)
def test_a_hook_is_there_for_the_block_alone(before):
    module = before(Small())
    kept = copy.copy(snapshot(module))
    hook, there = CallHook(), list[Any]()
    with pytest.raises(KeyboardInterrupt), attached(module, hook):
        interrupt(there, [module._compiled_call_impl])
    assert there[0].func is hook
    assert snapshot(module) == kept


def test_a_module_has_one_guard_at_a_time():
    module, other = Small(), Small()
    with one_call(module):
        with (
            pytest.raises(GuardError, match="in the middle of another guarded call"),
            one_call(module),
        ):
            pass
        with one_call(other):
            pass
    with one_call(module):
        pass


def test_what_another_thread_asks_in_the_middle_is_refused():
    module, errors = Small(), []

    def ask() -> None:
        try:
            module(torch.zeros(1, 2))
        except GuardError as error:
            errors.append(str(error))

    with attached(module, CallHook()):
        module(torch.zeros(1, 2))
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
    assert len(errors) == 1
    assert "in the middle of another guarded call" in errors[0]

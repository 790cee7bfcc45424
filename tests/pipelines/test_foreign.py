"""Code of others on a denoiser: what it remembers or mixes brings the concept into no prompt.

The general check is that of ``test_denoiser``: in the warm-up a guarded call is the plain one, to
rounding, or it is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from accelerate.hooks import ModelHook as AccelerateHook
from accelerate.hooks import SequentialHook, add_hook_to_module
from diffusers.hooks import HookRegistry, ModelHook
from diffusers.models.attention_processor import AttnProcessor2_0
from torch import nn

from safelatent import guard
from safelatent.errors import UnsupportedError
from safelatent.pipelines.foreign import wrappers
from safelatent.pipelines.modular import guard_modular
from tests import tiny
from tests.pipelines.modular import tiny_modular
from tests.pipelines.test_denoiser import (
    CONCEPT,
    IN_THE_WARM_UP,
    SETTINGS,
    Small,
    accelerated,
    classic,
    denoiser_of,
    latents_of,
    modular,
    modular_latents,
    registered,
    removed,
    same,
)


@pytest.fixture(autouse=True, scope="module")
def _short_texts():
    with tiny_modular.short_texts():
        yield


# Caches that return, at every second evaluation, what they made at the one before it.


class Cache:
    """What is put on a block remembers by it."""

    def __init__(self) -> None:
        self.count, self.kept = 0, None

    def __call__(self, make: Callable[[], Any]) -> Any:
        self.count += 1
        if self.count % 2:
            self.kept = make()
        return self.kept


def replaced(module: nn.Module) -> None:
    cache, forward = Cache(), module.forward
    module.forward = lambda *args, **kwargs: cache(lambda: forward(*args, **kwargs))


def subclassed(module: nn.Module) -> None:
    cache, kind = Cache(), type(module)

    class Cached(kind):
        def forward(self, *args, **kwargs):
            return cache(lambda: kind.forward(self, *args, **kwargs))

    module.__class__ = Cached


def hooked_by_diffusers(module: nn.Module) -> None:
    class Cached(ModelHook):
        cache = Cache()

        def new_forward(self, module, *args, **kwargs):
            forward = self.fn_ref.original_forward
            assert forward is not None
            return self.cache(lambda: forward(*args, **kwargs))

    HookRegistry.check_if_exists_or_initialize(module).register_hook(Cached(), "theirs")


class AfterAccelerate(AccelerateHook):
    def __init__(self) -> None:
        self.cache = Cache()

    def post_forward(self, module, output):
        return self.cache(lambda: output)


def hooked_by_accelerate(module: nn.Module) -> None:
    add_hook_to_module(module, AfterAccelerate())


def hooked_by_two_of_accelerate(module: nn.Module) -> None:
    add_hook_to_module(module, SequentialHook(AccelerateHook(), AfterAccelerate()))


def hooked_by_torch(module: nn.Module) -> None:
    cache = Cache()
    module.register_forward_hook(lambda _, __, output: cache(lambda: output))


def hooked_before_by_torch(module: nn.Module) -> None:
    cache = Cache()

    def before(_, args, kwargs):
        return cache(lambda: (args, kwargs))

    module.register_forward_pre_hook(before, with_kwargs=True)


class RemembersAttention(AttnProcessor2_0):
    def __init__(self) -> None:
        super().__init__()
        self.cache = Cache()

    def __call__(self, *args, **kwargs):
        return self.cache(lambda: super(RemembersAttention, self).__call__(*args, **kwargs))


class MixesRows(AttnProcessor2_0):
    """As style alignment does: every row sees the others of its batch."""

    def __call__(self, attn, states, *args, **kwargs):
        mixed = states + states.mean(dim=0, keepdim=True)
        return super().__call__(attn, mixed, *args, **kwargs)


REPLACED = [
    replaced,
    subclassed,
    hooked_by_diffusers,
    hooked_by_accelerate,
    hooked_by_two_of_accelerate,
]
TORCHS = [hooked_by_torch, hooked_before_by_torch]


def block_of(pipe: Any) -> nn.Module:
    kinds = ("BasicTransformerBlock", "FluxTransformerBlock")
    return next(m for m in denoiser_of(pipe).modules() if type(m).__name__ in kinds)


def with_code(family: str, put: Callable[[nn.Module], None]) -> Any:
    pipe = classic(family)
    put(block_of(pipe))
    return pipe


@pytest.mark.parametrize("put", REPLACED, ids=lambda put: put.__name__)
@pytest.mark.parametrize("apart", [False, True])
def test_in_the_warm_up_a_guarded_call_of_a_batch_is_the_plain_one(put, apart):
    plain = latents_of(with_code("sd", put), "sd")
    assert not torch.equal(plain[-1], latents_of(classic("sd"), "sd")[-1])
    pipe = with_code("sd", put)
    safe = guard(pipe, SETTINGS, concept=CONCEPT, joined_up_to=0 if apart else None)
    assert same(latents_of(pipe, "sd", safe), plain) == IN_THE_WARM_UP


@pytest.mark.parametrize("put", REPLACED, ids=lambda put: put.__name__)
def test_one_evaluation_after_the_other_is_refused(put):
    pipe = with_code("flux", put)
    with pytest.raises(UnsupportedError, match=r"forward of this transformer.* was replaced"):
        latents_of(pipe, "flux", guard(pipe, SETTINGS, concept=CONCEPT))


@pytest.mark.parametrize("put", TORCHS, ids=lambda put: put.__name__)
@pytest.mark.parametrize("family", ["sd", "flux"])
def test_a_hook_of_torchs_that_replaces_values_is_refused(put, family):
    pipe = with_code(family, put)
    before = [dict(m._forward_hooks) for m in denoiser_of(pipe).modules()]
    with pytest.raises(UnsupportedError, match=r"a hook on the .* replaces values") as caught:
        latents_of(pipe, family, guard(pipe, SETTINGS, concept=CONCEPT))
    assert put.__name__ in str(caught.value), "it does not say which"
    assert [dict(m._forward_hooks) for m in denoiser_of(pipe).modules()] == before
    latents_of(pipe, family)  # plain, as before


def test_a_hook_on_the_denoiser_that_undoes_the_guard_is_refused():
    pipe = classic("sd")
    pipe.unet.register_forward_hook(lambda _, __, output: tuple(one * 1.0 for one in output))
    with pytest.raises(UnsupportedError, match="a hook on the unet"):
        latents_of(pipe, "sd", guard(pipe, SETTINGS, concept=CONCEPT))


@pytest.mark.parametrize("family", ["sd", "flux"])
def test_hooks_that_look_are_left_alone(family):
    plain, pipe, seen = latents_of(classic(family), family), classic(family), []
    block = block_of(pipe)
    block.register_forward_hook(lambda _, __, output: seen.append(output))
    block.register_forward_hook(lambda _, __, output: output)
    block.register_forward_pre_hook(lambda _, args, kwargs: (args, kwargs), with_kwargs=True)
    handle = block.register_forward_hook(lambda *_: handle.remove())  # in the middle
    safe = guard(pipe, SETTINGS, concept=CONCEPT)
    assert same(latents_of(pipe, family, safe), plain) == IN_THE_WARM_UP
    assert seen
    assert len(block._forward_hooks) == 2


@pytest.mark.parametrize("processor", [RemembersAttention, MixesRows])
def test_attention_that_is_not_diffusers_own_is_refused(processor):
    pipe = classic("sd")
    block_of(pipe).attn1.set_processor(processor())
    with pytest.raises(UnsupportedError, match=f"attention processor .*{processor.__name__}"):
        latents_of(pipe, "sd", guard(pipe, SETTINGS, concept=CONCEPT))
    block_of(pipe).attn1.set_processor(AttnProcessor2_0())
    latents_of(pipe, "sd", guard(pipe, SETTINGS, concept=CONCEPT))


@pytest.mark.parametrize("put", [subclassed, hooked_by_torch], ids=lambda put: put.__name__)
def test_a_modular_pipeline_refuses_them_too(put):
    pipe = modular("sdxl")
    put(block_of(pipe))
    with pytest.raises(UnsupportedError, match=r"was replaced|replaces values"):
        modular_latents(pipe, "sdxl", guard_modular(pipe, SETTINGS, concept=CONCEPT))


def test_a_modular_pipeline_refuses_attention_of_others():
    pipe = modular("sdxl")
    block_of(pipe).attn1.set_processor(MixesRows())
    with pytest.raises(UnsupportedError, match=r"attention processor .*MixesRows"):
        modular_latents(pipe, "sdxl", guard_modular(pipe, SETTINGS, concept=CONCEPT))


def test_a_model_of_ones_own_layers_is_no_wrapper():
    """A layer of another package that is no layer of diffusers', as quantized ones are."""
    kind = type("Quantized", (nn.Linear,), {"forward": nn.Linear.forward, "__module__": "theirs"})
    pipe = tiny.pipeline()
    pipe.unet.time_embedding.linear_1.__class__ = kind
    assert wrappers(pipe.unet) == []


# Replaced forwards.


@pytest.mark.parametrize(
    "known",
    [
        lambda module: module,
        registered,
        accelerated,
        removed,
        lambda module: registered(accelerated(module)),
        lambda module: accelerated(registered(module)),
        lambda module: registered(removed(module)),
    ],
    ids=["none", "diffusers", "accelerate", "removed", "both", "both, reversed", "again"],
)
def test_hooks_of_diffusers_and_accelerate_are_no_wrappers(known):
    assert wrappers(known(Small())) == []
    module = Small()
    known(module.inner)
    assert wrappers(module) == []
    forward = module.inner.forward
    module.inner.forward = lambda *args: forward(*args)
    assert wrappers(module) == ["inner"]
    other = Small()
    plain = other.forward
    other.forward = lambda *args: plain(*args)
    assert wrappers(known(other)) == [""], "below a hook"


def test_a_compiled_denoiser_is_not_wrapped():
    """torch's wrapper keeps its own forward on the instance."""
    kind = type("OptimizedModule", (Small,), {"__module__": "torch._dynamo.eval_frame"})
    module = kind()
    module.forward = lambda *args: args
    assert wrappers(module) == []


@pytest.mark.parametrize("part", ["transformer", "block"])
def test_a_sequential_pipeline_with_a_wrapper_is_refused(part):
    pipe = classic("flux")
    module = pipe.transformer if part == "transformer" else pipe.transformer.transformer_blocks[0]
    forward = module.forward
    module.forward = lambda *args, **kwargs: forward(*args, **kwargs)
    with pytest.raises(UnsupportedError, match=r"forward of this transformer.* was replaced"):
        latents_of(pipe, "flux", guard(pipe, SETTINGS, concept=CONCEPT))


def test_a_wrapper_over_a_cache_is_refused():
    pipe = classic("sd", "apply_pyramid_attention_broadcast")
    forward = pipe.unet.forward
    pipe.unet.forward = lambda *args, **kwargs: forward(*args, **kwargs)
    with pytest.raises(UnsupportedError, match=r"forward of this unet.* was replaced"):
        latents_of(pipe, "sd", guard(pipe, SETTINGS, concept=CONCEPT))


def test_a_modular_pipeline_with_a_wrapper_is_refused():
    pipe = modular("sdxl")
    forward = pipe.unet.forward
    pipe.unet.forward = lambda *args, **kwargs: forward(*args, **kwargs)
    with pytest.raises(UnsupportedError, match=r"forward of this unet.* was replaced"):
        modular_latents(pipe, "sdxl", guard_modular(pipe, SETTINGS, concept=CONCEPT))

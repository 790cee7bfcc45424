from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.vae import DecoderOutput
from torch import nn

from safelatent.errors import GuardError
from safelatent.pipelines.decoder import decoder_checked


class Autoencoder(nn.Module):
    """Multiplies by a factor; clamps, if asked, as some of diffusers do."""

    def __init__(self, factor: float, clamps: bool = False) -> None:
        super().__init__()
        self.decoder, self.clamps = Decoder(factor), clamps

    def decode(self, latents, return_dict=False):
        made = self.decoder(latents)
        made = made.clamp(-1, 1) if self.clamps else made
        return DecoderOutput(sample=made) if return_dict else (made,)


class Decoder(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, latents, *, also=None):
        return latents * self.factor


def autoencoder(factor: float, **settings) -> SimpleNamespace:
    return SimpleNamespace(vae=Autoencoder(factor, **settings))


def compiled(one):
    """Traced whole, as diffusers' pages on speed advise, and run as it is: no compiler needed."""
    return torch.compile(one, backend="eager", fullgraph=True)


def compile_decode(vae):
    vae.decode = compiled(vae.decode)


def compile_decoder(vae):
    vae.decoder = compiled(vae.decoder)


WAYS = {
    "eager": lambda vae: None,
    "compiled decode": compile_decode,
    "compiled decoder": compile_decoder,
    "decoder compiled in place": lambda vae: vae.decoder.compile(backend="eager", fullgraph=True),
}


@pytest.mark.parametrize("return_dict", [False, True])
@pytest.mark.parametrize(
    ("factor", "latents", "verb"), [(1.0, np.nan, "got"), (1e39, 1.0, "made"), (1.0, np.inf, "got")]
)
def test_the_decoder_is_watched_for_the_call_alone(factor, latents, verb, return_dict):
    pipe = autoencoder(factor)
    given = torch.full((1, 4), latents)
    with pytest.raises(GuardError, match=f"the decoder {verb} values"), decoder_checked(pipe):
        pipe.vae.decode(given, return_dict=return_dict)
    pipe.vae.decode(given)
    assert "decode" not in vars(pipe.vae)


def test_what_an_autoencoder_clamps_is_seen_before():
    pipe = autoencoder(1e39, clamps=True)
    with pytest.raises(GuardError, match="the decoder made values"), decoder_checked(pipe):
        pipe.vae.decode(torch.ones(1, 4))


@pytest.mark.parametrize("used", [False, True], ids=["first call", "second call"])
@pytest.mark.parametrize("way", WAYS)
def test_a_compiled_decoder_is_watched_too(way, used):
    """Compiled code either cannot trace a hook or, once it is compiled, does not run it."""
    torch._dynamo.reset()
    for factor in (1.0, math.nan):
        pipe = autoencoder(factor)
        WAYS[way](pipe.vae)
        if used:
            pipe.vae.decode(torch.ones(1, 4))
        own = vars(pipe.vae).get("decode")
        with decoder_checked(pipe):
            if factor == 1.0:
                pipe.vae.decode(torch.ones(1, 4))
            else:
                with pytest.raises(GuardError, match="the decoder made values"):
                    pipe.vae.decode(torch.ones(1, 4))
        assert vars(pipe.vae).get("decode") is own


def test_what_another_thread_decodes_is_not_the_calls():
    pipe, given = autoencoder(math.nan), torch.ones(1, 4)
    with decoder_checked(pipe), ThreadPoolExecutor(1) as pool:
        assert pool.submit(pipe.vae.decode, given).result()[0].isnan().all()
        with pytest.raises(GuardError, match="the decoder made values"):
            pipe.vae.decode(given)


def test_calls_that_share_an_autoencoder_may_end_in_any_order():
    pipe, given = autoencoder(math.nan), torch.ones(1, 4)
    begun, ended = Event(), Event()

    def other() -> None:
        with decoder_checked(pipe):
            begun.set()
            assert ended.wait(10)
            with pytest.raises(GuardError, match="the decoder made values"):
                pipe.vae.decode(given)

    with ThreadPoolExecutor(1) as pool:
        with decoder_checked(pipe):
            done = pool.submit(other)
            assert begun.wait(10)
        assert pipe.vae.decode(given)[0].isnan().all()  # this thread's call is over
        ended.set()
        done.result()
    assert "decode" not in vars(pipe.vae)


def test_a_decoder_that_was_put_in_in_the_middle_stays():
    pipe = autoencoder(1.0)
    with decoder_checked(pipe):
        pipe.vae.decode = len
    assert pipe.vae.decode is len


@pytest.mark.parametrize("pipe", [SimpleNamespace(), SimpleNamespace(vae=None)], ids=["none", "no"])
def test_a_pipeline_without_a_decoder_passes(pipe):
    with decoder_checked(pipe):
        pass

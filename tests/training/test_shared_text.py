"""Attention to shared texts computes what diffusers computes with every text repeated."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor

from training.shared_text import SharedTextProcessor


@pytest.mark.parametrize("draws", [1, 3])
def test_a_shared_text_is_a_repeated_one(draws):
    torch.manual_seed(0)
    attention = Attention(query_dim=16, cross_attention_dim=24, heads=4, dim_head=4).eval()
    pictures, texts = torch.randn(2 * draws, 9, 16), torch.randn(2, 5, 24)
    attention.set_processor(AttnProcessor())
    wanted = attention(pictures, encoder_hidden_states=texts.repeat(draws, 1, 1))
    attention.set_processor(SharedTextProcessor())
    found = attention(pictures, encoder_hidden_states=texts)
    torch.testing.assert_close(found, wanted)


def test_pictures_attend_to_themselves():
    torch.manual_seed(0)
    attention = Attention(query_dim=16, heads=2, dim_head=8).eval()
    pictures = torch.randn(3, 9, 16)
    attention.set_processor(AttnProcessor())
    wanted = attention(pictures)
    attention.set_processor(SharedTextProcessor())
    torch.testing.assert_close(attention(pictures), wanted)

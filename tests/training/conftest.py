"""Narrow networks for all tests of the training: nothing here asks how well they draw."""

from __future__ import annotations

import pytest

from training import generator, latents, vae


@pytest.fixture(scope="session", autouse=True)
def narrow():
    """Few channels, few scenes, and few sample pictures, which take most of a miniature's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vae, "WIDTHS", (8, 8, 16, 32, 64, 160))
        patch.setattr(generator, "WIDTH", 32)
        patch.setattr(latents, "SCENES", 60)
        patch.setattr(generator, "SAMPLE_PROMPTS", generator.SAMPLE_PROMPTS[:2])
        yield

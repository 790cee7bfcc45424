"""What a mask leaves of a guarded picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline
from PIL import Image

from safelatent import guard
from safelatent.errors import NotGuardedError
from safelatent.pipelines.mask import check_mask
from tests import tiny
from tests.pipelines.modular import tiny_modular

SIDE = 16
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), np.uint8))
WHOLE, BLANK = (Image.new("L", (SIDE, SIDE), value) for value in (255, 0))


def test_a_mask_that_marks_nothing_is_refused():
    """The input would come out again, and the receipt would say that it is guarded."""
    pipe = tiny.pipeline(StableDiffusionInpaintPipeline)
    safe = guard(pipe, "max")
    call = {"prompt": ["a cat", "a dog"], "image": [PICTURE] * 2, "num_inference_steps": 4}
    call |= {"height": SIDE, "width": SIDE}
    with pytest.raises(NotGuardedError, match="mask of image 1 marks nothing"):
        safe(**call, mask_image=[WHOLE, BLANK])
    assert "prepare_mask_latents" not in vars(pipe)
    assert len(safe(**call, mask_image=[WHOLE, WHOLE]).receipts) == 2


def test_any_marked_latent_is_enough():
    mask = torch.zeros(2, 1, 4, 4)
    mask[:, :, 1, 1] = 1
    check_mask(mask)
    check_mask(None)
    mask[1] = 0
    with pytest.raises(NotGuardedError, match="mask of image 1"):
        check_mask(mask)


@pytest.mark.parametrize("family", tiny_modular.present("sdxl", "qwen"))
def test_a_modular_pipeline_refuses_it_too(family):
    safe = guard(tiny_modular.pipeline(family), "max")
    call = {"prompt": "a cat", "image": PICTURE, "strength": 0.9, "num_inference_steps": 4}
    call |= {"height": SIDE, "width": SIDE}
    with tiny_modular.short_texts():
        assert len(safe(**call, mask_image=WHOLE).receipts) == 1
        with pytest.raises(NotGuardedError, match="mask of image 0 marks nothing"):
            safe(**call, mask_image=BLANK)

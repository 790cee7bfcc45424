from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_diffusion import StableDiffusionPipelineOutput
from PIL import Image

from safelatent.errors import GuardError
from safelatent.pipelines.outputs import check_classic, check_modular, check_output


def arrays(rows: int = 2) -> np.ndarray:
    return np.random.default_rng(0).random((rows, 4, 4, 3))


def as_pil(values: np.ndarray) -> list[Image.Image]:
    return [Image.fromarray((one * 255).round().astype("uint8")) for one in values]


FORMS = {
    "np": lambda x: x,
    "pt": lambda x: torch.from_numpy(x).permute(0, 3, 1, 2),
    "bfloat16": lambda x: torch.from_numpy(x).bfloat16(),
    "list of arrays": list,
    "videos": lambda x: [[one, 1 - one] for one in x],
}


@pytest.mark.parametrize("form", [*FORMS, "pil"])
def test_images_pass(form):
    check_output(as_pil(arrays()) if form == "pil" else FORMS[form](arrays()), 2)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("form", FORMS)
def test_one_value_that_is_not_finite_is_refused(form, bad):
    values = arrays()
    values[1, 0, 0, 0] = bad
    with pytest.raises(GuardError, match="image 1 is not finite"):
        check_output(FORMS[form](values), 2)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.5])
@pytest.mark.parametrize("form", [*(name for name in FORMS if name != "videos"), "pil"])
def test_an_image_of_one_value_is_refused(form, value):
    values = arrays()
    values[1] = value
    with pytest.raises(GuardError, match=r"image 1 has the value .* everywhere"):
        check_output(as_pil(values) if form == "pil" else FORMS[form](values), 2)


def test_as_many_images_as_receipts():
    for images in (arrays(), as_pil(arrays()), torch.rand(2, 4, 8, 8)):
        with pytest.raises(GuardError, match="made 2 images and guided 1"):
            check_output(images, 1)
    check_output(as_pil(arrays(1))[0], 1)


def test_what_the_pipelines_own_checker_blanked_is_not_ours():
    images = as_pil(arrays())
    images[0] = Image.new("RGB", (4, 4))
    blanked = StableDiffusionPipelineOutput(images=images, nsfw_content_detected=[True, False])
    check_classic(blanked, 2)
    check_classic((images, [True, False]), 2)
    for flags in ([False, True], None):
        with pytest.raises(GuardError, match="image 0 has the value 0 everywhere"):
            check_classic((images, flags), 2)
    with pytest.raises(GuardError, match="image 0 has the value 0 everywhere"):
        check_classic((images,), 2)


def test_of_a_modular_state_the_last_thing_made_is_checked():
    check_modular({"images": arrays(), "latents": torch.zeros(2, 4)}, 2)
    check_modular({"videos": [arrays(), arrays()], "latents": torch.zeros(2, 4)}, 2)
    check_modular({"latents": torch.rand(2, 4)}, 2)
    with pytest.raises(GuardError, match="image 0 has the value 0 everywhere"):
        check_modular({"images": None, "latents": torch.zeros(2, 4)}, 2)
    with pytest.raises(GuardError, match="none of images, videos, latents"):
        check_modular({"prompt": "a cat"}, 2)

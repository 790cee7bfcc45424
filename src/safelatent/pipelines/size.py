"""How large the pictures of a call will be, known before it is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from safelatent.errors import UnsupportedError
from safelatent.pipelines.classic.families import family_of
from safelatent.pipelines.guarded import is_modular

_SIZING = ("image", "control_image")  # pictures whose size a call takes where it is given none


def own_side(pipe: Any) -> int:
    """Return the longer side, in pixels, of the pictures that the pipeline draws by default.

    Raises:
        UnsupportedError: a modular pipeline that does not say.
    """
    if is_modular(pipe):
        names = ("default_height", "default_width")
        if not all(hasattr(pipe, name) for name in names):
            raise UnsupportedError(
                f"{type(pipe).__name__} does not say how large it draws by default; "
                "give height and width"
            )
        return max(getattr(pipe, name) for name in names)
    denoiser = getattr(pipe, family_of(pipe).denoiser)
    side = getattr(pipe, "default_sample_size", None) or denoiser.config.sample_size
    return (side if isinstance(side, int) else max(side)) * pipe.vae_scale_factor


def largest_side(pipe: Any, arguments: Mapping[str, Any]) -> int:
    """Return the longer side, in pixels, of what a call draws; never less than it is.

    Pipelines fill in a missing height or width in different ways, by their default or by a picture
    of the call: where one is missing, both count.

    Args:
        arguments: of the call by name, defaults included.
    """
    given = [arguments.get(name) for name in ("height", "width")]
    sides = [int(side) for side in given if side]
    if not all(given):
        if "height" in arguments:
            sides.append(own_side(pipe))
        sides += _of_pictures(pipe, arguments)
    elif arguments.get("padding_mask_crop") is not None:  # pasted into the picture, as large as it
        sides += _of_pictures(pipe, arguments)
    latents = arguments.get("latents")
    if isinstance(latents, Tensor) and latents.dim() in (4, 5):  # of images and videos; not packed
        sides.append(max(latents.shape[-2:]) * _scale(pipe))
    return max(sides, default=0)  # none: a call without its picture, which the pipeline refuses


def _scale(pipe: Any) -> int:
    """Pixels per latent along a side."""
    scale = getattr(pipe, "vae_scale_factor", None)
    return pipe.vae_scale_factor_spatial if scale is None else scale  # a video's also has a length


def _of_pictures(pipe: Any, arguments: Mapping[str, Any]) -> list[int]:
    values = [arguments[name] for name in _SIZING if arguments.get(name) is not None]
    return [side for value in values for side in _sides(pipe, value)]


def _sides(pipe: Any, value: Any) -> Iterator[int]:
    """The longer side of a PIL image, an array (..., H, W, C), a tensor (..., C, H, W) of pixels or
    latents, or of each of a list.
    """
    if isinstance(value, list | tuple):
        for one in value:
            yield from _sides(pipe, one)
    elif isinstance(value, Tensor):
        config = pipe.vae.config
        channels = config.get("latent_channels", config.get("z_dim"))
        of_latents = value.dim() > 2 and value.shape[-3] == channels
        yield max(value.shape[-2:]) * (_scale(pipe) if of_latents else 1)
    elif hasattr(value, "shape"):
        yield max(value.shape[-3:-1] if len(value.shape) > 2 else value.shape)
    else:
        yield max(value.size)

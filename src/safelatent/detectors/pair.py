"""A CLIP vision tower and its image processor: loaded, run in batches, fingerprinted."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from safelatent.detectors.contract import Json
from safelatent.errors import BadValueError, UnsupportedError
from safelatent.hub import check_commit, is_hub_id
from safelatent.text import squeezed

if TYPE_CHECKING:
    from torch import Tensor

Source = str | Path | tuple[Any, Any]

# What changes a vision tower's answers and is in no weight.
_ARCHITECTURE = (
    "image_size",
    "patch_size",
    "num_attention_heads",
    "num_hidden_layers",
    "hidden_act",
    "layer_norm_eps",
)
_STEPS = ("do_convert_rgb", "do_resize", "do_center_crop", "do_rescale", "do_normalize")
_NUMBERS = ("resample", "rescale_factor")
_SIZES = ("size", "crop_size")
_COLOURS = ("image_mean", "image_std")


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """A vision model in evaluation mode, on whatever device it is, and its image processor."""

    model: Any
    processor: Any

    def batches(
        self, images: Sequence[Image.Image], size: int, embed: Callable[[Tensor], Tensor]
    ) -> Iterator[np.ndarray]:
        """Yield ``embed`` of the images' pixels (B, 3, H, W), in batches of ``size``, as float64
        (B, D).
        """
        import torch

        for start in range(0, len(images), size):
            batch = list(images[start : start + size])
            pixels = self.processor(images=batch, return_tensors="pt")["pixel_values"]
            with torch.no_grad():
                yield embed(pixels.to(self.model.device, self.model.dtype)).double().cpu().numpy()

    def fingerprint(self) -> dict[str, Json]:
        """Return the hash of the weights, and the settings that are in no weight. The same for a
        folder, a Hub id and a loaded pair of one model.
        """
        config = getattr(self.model.config, "vision_config", self.model.config)
        return {
            "weights": weights_sha256(self.model),
            "architecture": {name: getattr(config, name) for name in _ARCHITECTURE},
            "preprocessing": _preprocessing(self.processor),
        }


def load_pair(
    kind: Callable[[], Any], source: Source, *, revision: str | None, device: str
) -> Pair:
    """Load the vision model of class ``kind()`` and its image processor.

    Args:
        source: a folder with config.json, safetensors weights and preprocessor_config.json; a Hub
            id; or a loaded (model, processor), which stays on its device and is set to evaluation
            mode.
        revision: the commit of a Hub id, 40 hexadecimal digits.
        device: of a model that is loaded here.

    Raises:
        BadValueError: the source cannot be a model, a Hub id has no commit, or something else has
            one.
        UnsupportedError: it cannot be loaded, is not safetensors, or lacks weights of the model.
    """
    _check_source(source, revision)
    if isinstance(source, tuple):
        model, processor = source
        return Pair(model=model.eval(), processor=processor)
    from safetensors import SafetensorError
    from transformers import CLIPImageProcessorPil

    where: dict[str, Any] = (
        {"local_files_only": True} if _is_folder(source) else {"revision": revision}
    )
    try:
        # Resizing by PIL, as CLIP's own code does: other backends give slightly other pixels.
        processor = CLIPImageProcessorPil.from_pretrained(source, **where)
        model, report = kind().from_pretrained(
            source, use_safetensors=True, output_loading_info=True, **where
        )
        model = model.float().to(device).eval()
    except (OSError, ValueError, RuntimeError, AssertionError, SafetensorError) as error:
        raise UnsupportedError(f"cannot load {str(source)!r}: {squeezed(error)}") from error
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise UnsupportedError(
            f"{str(source)!r} has no weights for {missing[0]} and {len(missing) - 1} more; it is"
            " another kind of model"
        )
    return Pair(model=model, processor=processor)


def weights_sha256(model: Any) -> str:
    """Return the sha256 of names, types, shapes and bytes of all tensors, in the order of their
    names.
    """
    import torch

    digest = hashlib.sha256()
    # Versions of transformers nest a vision tower once or twice under this name.
    tensors = {
        name.replace("vision_model.", ""): tensor for name, tensor in model.state_dict().items()
    }
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def check_settings(batch: object, threshold: object) -> None:
    """Refuse settings that are out of range.

    Raises:
        BadValueError: a batch below 1, or a threshold that is not finite.
    """
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise BadValueError(f"batch is {batch!r}; it must be a whole number of images, 1 or more")
    if (
        isinstance(threshold, bool)
        or not isinstance(threshold, int | float)
        or not math.isfinite(threshold)
    ):
        raise BadValueError(f"threshold is {threshold!r}; it must be a finite number")


def _is_folder(source: str | Path) -> bool:
    return bool(str(source)) and Path(source).is_dir()


def _check_source(source: Source, revision: str | None) -> None:
    local = isinstance(source, tuple) or _is_folder(source)
    if local and revision is not None:
        raise BadValueError(
            f"revision is {revision!r}; it is for a Hub id, leave it out for a folder or a loaded"
            " pair"
        )
    if isinstance(source, tuple):
        kinds = ", ".join(type(part).__name__ for part in source)
        if (
            len(source) != 2
            or not hasattr(source[0], "state_dict")
            or not hasattr(source[1], "image_mean")
        ):
            raise BadValueError(
                f"the pair is ({kinds}); it must be (model, processor), a vision model and its"
                " image processor"
            )
    elif not local:
        _check_hub_id(str(source), revision)


def _check_hub_id(source: str, revision: str | None) -> None:
    if not is_hub_id(source):
        raise BadValueError(
            f"unknown model {source!r}; name a folder, a Hub id like 'owner/name', or give (model,"
            " processor)"
        )
    check_commit(source, revision)


def _preprocessing(processor: Any) -> dict[str, Json]:
    return {
        "class": type(processor).__name__,
        **{name: bool(getattr(processor, name)) for name in _STEPS},
        **{name: float(getattr(processor, name)) for name in _NUMBERS},
        **{
            name: {
                side: int(n) for side, n in dict(getattr(processor, name)).items() if n is not None
            }
            for name in _SIZES
        },
        **{name: [float(x) for x in getattr(processor, name)] for name in _COLOURS},
    }

"""The embedded world's CLIP as a ``transformers.CLIPModel``.

The folder ``clip`` holds the image tower, both projections and the scale; the text tower is the
text encoder of the embedded pipeline and is stored once, with it. Knows how the parts are put
together; does not know how they were trained (``training/clip.py``) or what their embeddings are
used for.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from safelatent.errors import UnsupportedError
from safelatent.models.folder import read_object
from safelatent.models.load import EMBEDDED
from safelatent.text import squeezed

if TYPE_CHECKING:
    import numpy as np
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from numpy.typing import NDArray
    from torch import Tensor, nn
    from transformers import (
        CLIPConfig,
        CLIPImageProcessorPil,
        CLIPModel,
        CLIPProcessor,
        CLIPTextModel,
        CLIPVisionModelWithProjection,
    )

    from safelatent.metrics import Moments

Model = TypeVar("Model", bound="nn.Module")

CLIP = Path(__file__).with_name("clip")
WEIGHTS, Q16_VECTORS, CHECKER, SCENES = (
    "model.safetensors",
    "q16.safetensors",
    "checker.safetensors",
    "scenes.safetensors",
)


def load_clip(folder: Path = CLIP, pipeline: Path = EMBEDDED) -> CLIPModel:
    """Load image and text tower, single precision, in evaluation mode.

    Args:
        folder: image tower, projections, scale, and the hash of the text tower that they were
            trained with.
        pipeline: the pipeline whose text encoder is the text tower.

    Raises:
        UnsupportedError: a file is missing or broken, a weight is missing or left over, or the text
            encoder is another one.
    """
    from transformers import CLIPModel, CLIPTextModel

    text = CLIPTextModel.from_pretrained(pipeline / "text_encoder", local_files_only=True)
    settings = read_object(folder / "config.json")
    if text_tower_sha256(text) != settings["text_tower_sha256"]:
        raise UnsupportedError(
            f"{folder} was trained with another text encoder than {pipeline}'s; "
            "run python -m training clip again"
        )
    tower = {f"text_model.{name}": tensor for name, tensor in text.state_dict().items()}
    return _filled(CLIPModel(_config(settings, text)), _tensors(folder / WEIGHTS) | tower, folder)


def load_vision_tower(folder: Path = CLIP) -> CLIPVisionModelWithProjection:
    """Load the image tower with its projection alone, single precision, in evaluation mode.

    Raises:
        UnsupportedError: a file is missing or broken, or a weight is missing.
    """
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(**read_object(folder / "config.json")["vision_config"])
    return _filled(CLIPVisionModelWithProjection(config), _image_side(folder), folder)


def load_checker(folder: Path = CLIP) -> StableDiffusionSafetyChecker:
    """Load the safety checker of the embedded world.

    It is the image tower, with concepts and thresholds from ``checker.safetensors``.

    Raises:
        UnsupportedError: a file is missing or broken, or a weight is missing or left over.
    """
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

    weights = _image_side(folder) | _tensors(folder / CHECKER)
    return _filled(
        StableDiffusionSafetyChecker(_config(read_object(folder / "config.json"))), weights, folder
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Scenes:
    """Real scenes of the embedded world as the CLIP sees them, by image embeddings that are not
    scaled to length 1. Each scene counts as often as the world has it.

    Attributes:
        moments: mean and covariance of all of them.
        features: (N, D) of the first of them.
        clip: hash of the CLIP that embedded them.
    """

    moments: Moments
    features: NDArray[np.float32]
    clip: str


def scenes_file(folder: Path = CLIP) -> Path:
    """Return where ``load_scenes`` reads."""
    return folder / SCENES


def load_scenes(folder: Path = CLIP) -> Scenes:
    """Load what is kept of the real scenes. With ``moments`` of the embeddings of generated
    pictures, ``frechet_distance`` says how far these are from the real ones as a whole.

    Raises:
        UnsupportedError: the file is missing or broken.
    """
    from safetensors import SafetensorError, safe_open

    from safelatent.metrics import Moments

    try:
        with safe_open(folder / SCENES, framework="numpy") as stored:
            clip = (stored.metadata() or {})["clip"]
            mean, covariance, n, features = (
                stored.get_tensor(key) for key in ("mean", "covariance", "n", "features")
            )
    except (OSError, KeyError, SafetensorError) as error:
        raise UnsupportedError(f"cannot read {folder / SCENES}: {squeezed(error)}") from error
    return Scenes(
        moments=Moments(mean=mean.astype("f8"), covariance=covariance.astype("f8"), n=int(n)),
        features=features.astype("f4"),
        clip=clip,
    )


def image_processor(size: int = 64) -> CLIPImageProcessorPil:
    """Return what makes pictures pixels (B, 3, ``size``, ``size``) in [-1, 1].

    A picture of that size keeps every pixel.
    """
    from transformers import CLIPImageProcessorPil

    half = [0.5, 0.5, 0.5]
    return CLIPImageProcessorPil(
        size={"shortest_edge": size},
        crop_size={"height": size, "width": size},
        image_mean=half,
        image_std=half,
    )


def load_processor(pipeline: Path = EMBEDDED) -> CLIPProcessor:
    """Return what feeds both towers.

    Call ``processor(images=..., text=..., padding=True, truncation=True, return_tensors="pt")``.
    """
    from transformers import CLIPProcessor, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(pipeline / "tokenizer", local_files_only=True)
    return CLIPProcessor(image_processor=image_processor(), tokenizer=tokenizer)


def text_tower_sha256(text: CLIPTextModel) -> str:
    """Return the sha256 over names and values of all weights, in half precision as stored."""
    digest = hashlib.sha256()
    for name, tensor in sorted(text.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().half().cpu().numpy().tobytes())
    return digest.hexdigest()


def _config(settings: dict[str, Any], text: CLIPTextModel | None = None) -> CLIPConfig:
    from transformers import CLIPConfig

    towers = {
        "vision_config": settings["vision_config"],
        "text_config": text.config.to_dict() if text else None,
    }
    return CLIPConfig(projection_dim=settings["projection_dim"], **towers)


def _image_side(folder: Path) -> dict[str, Tensor]:
    return {
        name: tensor
        for name, tensor in _tensors(folder / WEIGHTS).items()
        if name.startswith("vis")
    }


def _tensors(file: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return {name: tensor.float() for name, tensor in load_file(file).items()}
    except (OSError, SafetensorError) as error:
        raise UnsupportedError(f"cannot read {file}: {squeezed(error)}") from error


def _filled(model: Model, weights: dict[str, Tensor], folder: Path) -> Model:
    """Return ``model`` with exactly these weights, none missing and none left over."""
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise UnsupportedError(
            f"the weights in {folder} do not fit its config.json: {squeezed(error)}"
        ) from error
    return model.float().eval().requires_grad_(False)

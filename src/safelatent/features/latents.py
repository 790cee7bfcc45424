"""How far two pictures are from each other in a model's latent space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from safelatent.detectors.images import COLOURS
from safelatent.detectors.pair import check_settings, weights_sha256
from safelatent.errors import BadValueError, UnsupportedError
from safelatent.hashing import digest
from safelatent.models import model_folder
from safelatent.models.folder import INDEX, read_object
from safelatent.text import squeezed


@dataclass(frozen=True, kw_only=True, eq=False)
class LatentDistance:
    """The root mean square difference of two pictures' latents, in units of the denoiser: those in
    which latents have a standard deviation of about 1.

    Attributes:
        name: the model.
        vae: its autoencoder, in evaluation mode.
        batch_size: pairs per call.
    """

    name: str
    vae: Any
    revision: str | None = None
    batch_size: int = 16
    width: int = 1

    @property
    def hash(self) -> str:
        """The sha256 of weights, units and colour handling."""
        return self._hash

    @cached_property
    def _hash(self) -> str:
        config = self.vae.config
        units = {key: getattr(config, key, None) for key in ("scaling_factor", "shift_factor")}
        return digest({"weights": weights_sha256(self.vae), "units": units, "colours": COLOURS})

    def loader(self) -> Callable[[], LatentDistance]:
        """Return what loads the same again, in another process on the same kind of device."""
        local = self.name != "embedded" and Path(self.name).is_dir()
        where = str(Path(self.name).absolute()) if local else self.name
        options = {"batch_size": self.batch_size, "device": self.vae.device.type}
        return partial(latent_distance, where, self.revision, **options)

    def rows(self, groups: Sequence[tuple[Image.Image, ...]]) -> NDArray[np.float32]:
        """Return the distance of each pair of RGB pictures, (N, 1).

        Raises:
            BadValueError: the two pictures of a pair differ in size, or are too small for the
                autoencoder.
        """
        found = [np.empty((0, 1), dtype=np.float32)]
        for start in range(0, len(groups), self.batch_size):
            for first, second in _of_one_size(groups[start : start + self.batch_size]):
                apart = self._latents(first) - self._latents(second)
                found.append(apart.square().mean(dim=(1, 2, 3)).sqrt()[:, None].cpu().numpy())
        return np.concatenate(found)

    def _latents(self, pictures: Sequence[Image.Image]) -> Any:
        """The means (B, C, h, w) of what the encoder makes of pictures of one size."""
        import torch

        pixels = np.stack([np.asarray(picture, dtype=np.float32) for picture in pictures])
        scaled = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self.vae.device) / 127.5 - 1
        try:
            with torch.no_grad():
                encoded = self.vae.encode(scaled.to(self.vae.dtype))
        except RuntimeError as error:
            size = f"{scaled.shape[3]} x {scaled.shape[2]}"
            raise BadValueError(
                f"the autoencoder of {self.name!r} cannot encode pictures of {size} pixels"
                f" ({squeezed(error)}); compare with another model's, or leave latents out"
            ) from error
        if hasattr(encoded, "latent_dist"):
            latents = encoded.latent_dist.mode()
        else:
            latents = encoded.latents if hasattr(encoded, "latents") else encoded.latent
        config = self.vae.config
        shift = getattr(config, "shift_factor", None) or 0.0
        return (latents.float() - shift) * config.scaling_factor


def latent_distance(
    model: str, revision: str | None = None, *, batch_size: int = 16, device: str = "cpu"
) -> LatentDistance:
    """Load the autoencoder of ``model``, in single precision; nothing is downloaded.

    Args:
        model: "embedded", a folder in diffusers' layout, or a Hub id that is on this machine.
        revision: the commit of a Hub id.
        batch_size: pairs per call.
        device: where the autoencoder runs.

    Raises:
        BadValueError: a batch size below 1.
        UnsupportedError: the model is not here, has no autoencoder, or it cannot be loaded.
    """
    check_settings(batch_size, 0.0)
    folder = model_folder(model, revision)
    vae = _autoencoder(folder).float().to(device).eval().requires_grad_(False)
    return LatentDistance(name=model, vae=vae, revision=revision, batch_size=batch_size)


def _autoencoder(folder: Path) -> Any:
    import diffusers
    from safetensors import SafetensorError

    library, name = read_object(folder / INDEX).get("vae") or (None, None)
    kind = getattr(diffusers, str(name), None)
    if library != "diffusers" or not str(name).startswith("Autoencoder") or kind is None:
        raise UnsupportedError(f"{str(folder)!r} has no autoencoder of diffusers ({name})")
    try:
        return kind.from_pretrained(folder / "vae", use_safetensors=True, local_files_only=True)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise UnsupportedError(
            f"cannot load the autoencoder in {str(folder)!r}: {squeezed(error)}"
        ) from error


def _of_one_size(
    pairs: Sequence[tuple[Image.Image, ...]],
) -> list[tuple[list[Image.Image], list[Image.Image]]]:
    """Neighbouring pairs of one size together, as two columns."""
    found: list[tuple[list[Image.Image], list[Image.Image]]] = []
    for first, second in pairs:
        if first.size != second.size:
            raise BadValueError(
                f"two images of the same noise have {first.size} and {second.size} pixels; their"
                " latents cannot be compared"
            )
        if not found or found[-1][0][0].size != first.size:
            found.append(([], []))
        found[-1][0].append(first)
        found[-1][1].append(second)
    return found

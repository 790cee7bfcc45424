"""The Inception network that FID is defined by, from a file on this machine whose hash is known.

| file | where people get it |
|---|---|
| ``inception-2015-12-05.pt`` | NVIDIA's TorchScript, as published with StyleGAN 2 and 3 |
| ``pt_inception-2015-12-05-6726825d.pth`` | pytorch-fid's weights, to be converted once |

Both hold the weights of TensorFlow's graph of that date. Pictures are resized to 299 by 299 pixels
by Pillow's bicubic filter, which antialiases (G. Parmar et al., On aliased resizing and surprising
subtleties in GAN evaluation, CVPR 2022); FIDs of other resizing are not comparable.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from safelatent.detectors.images import COLOURS
from safelatent.detectors.pair import check_settings, weights_sha256
from safelatent.errors import BadValueError, UnsupportedError
from safelatent.features.pickled_weights import read_weights
from safelatent.hashing import digest, file_digest
from safelatent.storage import check_target, write_whole
from safelatent.text import shortened, squeezed

TORCHSCRIPT = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
PICKLED = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
SIDE = 299  # pixels
_PICTURES = {"colours": COLOURS, "side": SIDE, "resize": "bicubic, antialiased, by Pillow"}
_SOURCE, _WEIGHTS = "source", "weights"  # keys of a converted file: hashes of what it came from


@dataclass(frozen=True, kw_only=True, eq=False)
class Inception:
    """The network with its preprocessing.

    Attributes:
        name: the file it was loaded from.
        network: from pixels (B, 3, 299, 299), floats from 0 to 255, to features (B, D).
        width: D, number of values per image.
        hash: the sha256 of weights, resizing and colour handling.
        published: whether the weights are those that published FIDs are of.
        device: where the network is.
        batch_size: images per call.
    """

    name: str
    network: Callable[[Any], Any]
    width: int
    hash: str
    published: bool
    device: str = "cpu"
    batch_size: int = 16

    def images(self, pictures: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Return the features (N, D) of RGB pictures."""
        import torch

        found = [np.empty((0, self.width), dtype=np.float32)]
        for start in range(0, len(pictures), self.batch_size):
            batch = [_pixels(picture) for picture in pictures[start : start + self.batch_size]]
            with torch.no_grad():
                features = self.network(torch.from_numpy(np.stack(batch)).to(self.device))
            found.append(features.float().cpu().numpy())
        return np.concatenate(found)

    def loader(self) -> Callable[[], Inception]:
        """Return what loads the same again, in another process on the same kind of device."""
        options = {"own": not self.published, "batch_size": self.batch_size}
        device = self.device.partition(":")[0]
        return partial(inception, Path(self.name).absolute(), **options, device=device)

    def rows(self, groups: Sequence[tuple[Image.Image, ...]]) -> NDArray[np.float32]:
        """Return ``images`` of groups of one picture each."""
        return self.images([picture for (picture,) in groups])


def inception(
    file: str | Path, *, own: bool = False, batch_size: int = 16, device: str = "cpu"
) -> Inception:
    """Load the FID network from ``file``; nothing is downloaded.

    Args:
        file: NVIDIA's TorchScript, or what ``convert_inception`` wrote. With ``own`` also
            safetensors weights under pytorch-fid's names, or a TorchScript module from pixels
            (B, 3, 299, 299), floats from 0 to 255, to features (B, D). TorchScript is a program:
            give only one that you trust.
        own: take a file of unknown hash; its distances are comparable with each other only.
        batch_size: images per call.
        device: where the network runs.

    Raises:
        BadValueError: no such file, a pickle, or an unknown hash without ``own``.
        UnsupportedError: the file is broken, or its network returns no features.
    """
    check_settings(batch_size, 0.0)
    path = Path(file)
    if not path.is_file():
        raise BadValueError(f"{str(path)!r} is not a file; give the file of the Inception network")
    if path.suffix == ".safetensors":
        network, weights, published = _of_weights(path, device)
        _check_known(path, weights, published or own)
    elif _is_torchscript(path):
        weights = file_digest(path)
        published = weights == TORCHSCRIPT
        _check_known(path, weights, published or own)  # before any of it runs
        network = _of_torchscript(path, device, published)
    else:
        raise BadValueError(
            f"{str(path)!r} is neither safetensors nor TorchScript, and pickles are not loaded;"
            f" run `safelatent convert-inception {path.name} inception.safetensors`, and give that"
        )
    return Inception(
        name=str(file),
        network=network,
        width=_width(network, path, device),
        hash=digest({"weights": weights, **_PICTURES}),
        published=published,
        device=device,
        batch_size=batch_size,
    )


def convert_inception(pickled: str | Path, target: str | Path) -> Path:
    """Write pytorch-fid's weights to ``target``, a safetensors file, and return it.

    The file's hash is checked before anything of it is read, and it is not unpickled
    (``pickled_weights``). The target keeps the hash of its source and of its tensors, by which
    ``inception`` knows it; who wants to forge that can.

    Raises:
        BadValueError: no such file, another one than pytorch-fid's, or a target that cannot be
            taken.
        OSError: the target cannot be written.
    """
    from safetensors.numpy import save

    source, target = Path(pickled), Path(target)
    check_target(target, ".safetensors")
    if not source.is_file():
        raise BadValueError(f"{str(source)!r} is not a file; give pytorch-fid's weights")
    found = file_digest(source)
    if found != PICKLED:
        raise BadValueError(
            f"{str(source)!r} has the hash {found[:12]}; pytorch-fid's weights have {PICKLED[:12]},"
            " so download them again"
        )
    tensors = read_weights(source.read_bytes())
    known = {_SOURCE: found, _WEIGHTS: weights_sha256(_filled(tensors, source))}
    return write_whole(target, save(tensors, metadata=known))


def _pixels(picture: Image.Image) -> NDArray[np.float32]:
    """(3, 299, 299), from 0 to 255."""
    small = picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return np.asarray(small, dtype=np.float32).transpose(2, 0, 1)


def _check_known(path: Path, weights: str, known: bool) -> None:
    if not known:
        raise BadValueError(
            f"{str(path)!r} has the unknown hash {weights[:12]}; fetch one of the two files in"
            " docs/fidelity.md, or say by --own-inception that the extractor is yours"
        )


def _of_weights(path: Path, device: str) -> tuple[Any, str, bool]:
    """The network, the hash of its weights, and whether a conversion vouches for them."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as stored:
            metadata = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UnsupportedError(f"cannot read {str(path)!r}: {squeezed(error)}") from error
    network = _filled(tensors, path)
    weights = weights_sha256(network)
    published = (metadata.get(_SOURCE), metadata.get(_WEIGHTS)) == (PICKLED, weights)
    return network.to(device), weights, published


def _filled(tensors: dict[str, NDArray[Any]], path: Path) -> Any:
    import torch

    from safelatent.features.inception_network import InceptionNetwork

    with torch.device("meta"):  # no numbers are drawn that the file replaces
        network = InceptionNetwork()
    weights = {name: torch.from_numpy(one) for name, one in tensors.items()}
    try:
        network.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise UnsupportedError(
            f"{str(path)!r} does not hold the FID network's weights"
            f" ({shortened(squeezed(error), 200)}); give what `safelatent convert-inception` wrote"
        ) from error
    return network.float().eval().requires_grad_(False)


def _is_torchscript(path: Path) -> bool:
    with suppress(zipfile.BadZipFile, OSError), zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())
    return False


def _of_torchscript(path: Path, device: str, published: bool) -> Callable[[Any], Any]:
    import torch

    try:
        with warnings.catch_warnings():
            # torch wants its exports instead, and NVIDIA publishes none.
            warnings.simplefilter("ignore", DeprecationWarning)
            module = torch.jit.load(str(path), map_location=device).eval()
    except RuntimeError as error:
        raise UnsupportedError(f"cannot load {str(path)!r}: {squeezed(error)[:300]}") from error
    if not published:
        return module
    layers = module.layers  # without its own resizing
    return lambda pixels: layers((pixels - 128) / 128).flatten(start_dim=1)


def _width(network: Callable[[Any], Any], path: Path, device: str) -> int:
    """D, after one grey picture."""
    import torch

    try:
        with torch.no_grad():
            shape = tuple(network(torch.full((1, 3, SIDE, SIDE), 128.0, device=device)).shape)
    except (RuntimeError, AttributeError, TypeError) as error:
        raise UnsupportedError(
            f"the network in {str(path)!r} fails on a grey picture: {squeezed(error)[:300]}"
        ) from error
    if len(shape) != 2 or shape[0] != 1 or shape[1] < 1:
        raise UnsupportedError(
            f"the network in {str(path)!r} returns the shape {shape} for one picture; it must be"
            " (1, D)"
        )
    return shape[1]

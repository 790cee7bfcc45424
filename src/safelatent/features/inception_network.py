"""The Inception network of FID, in torch alone: architecture and names of the weights.

C. Szegedy et al., Rethinking the Inception architecture for computer vision, CVPR 2016, as M.
Heusel et al. (NeurIPS 2017) use it: TensorFlow's graph of 2015-12-05. It differs from the usual
network in that averages over a window leave out the padding, the last block takes a maximum where
the others take an average, and there are 1008 classes. The weights have the names that pytorch-fid
gave them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH = 2048
_CLASSES = 1008

Kernel = int | tuple[int, int]
Layer = tuple[str, int, Kernel]  # name, number of outputs, kernel
Path = Sequence[Layer | tuple[Layer, Layer]]  # two layers: both are applied to what came before


class InceptionNetwork(nn.Module):
    """From pixels to the features in front of the classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Convolution(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = _Convolution(32, 32, 3, padding=0)
        self.Conv2d_2b_3x3 = _Convolution(32, 64, 3)
        self.Conv2d_3b_1x1 = _Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = _Convolution(80, 192, 3, padding=0)
        self.Mixed_5b = _Mixed(192, _five(), pooled=32)
        self.Mixed_5c = _Mixed(256, _five(), pooled=64)
        self.Mixed_5d = _Mixed(288, _five(), pooled=64)
        self.Mixed_6a = _Halving(288, _SIX)
        self.Mixed_6b = _Mixed(768, _six(128), pooled=192)
        self.Mixed_6c = _Mixed(768, _six(160), pooled=192)
        self.Mixed_6d = _Mixed(768, _six(160), pooled=192)
        self.Mixed_6e = _Mixed(768, _six(192), pooled=192)
        self.Mixed_7a = _Halving(768, _SEVEN)
        self.Mixed_7b = _Mixed(1280, _seven(), pooled=192)
        self.Mixed_7c = _Mixed(2048, _seven(), pooled=192, maximum=True)
        self.fc = nn.Linear(WIDTH, _CLASSES)  # not used; a file of the weights holds it

    def forward(self, pixels: Tensor) -> Tensor:
        """Return features (B, 2048) of pixels (B, 3, 299, 299) from 0 to 255."""
        x = (pixels - 128) / 128
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = functional.max_pool2d(x, 3, stride=2)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))
        x = functional.max_pool2d(x, 3, stride=2)
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))
        x = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))
        x = self.Mixed_6e(self.Mixed_6d(x))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        return x.mean(dim=(2, 3))


class _Convolution(nn.Module):
    """A convolution without bias, normalised over the batch; its size stays unless ``stride`` or
    ``padding`` say otherwise.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: Kernel, stride: int = 1, padding: int | None = None
    ) -> None:
        super().__init__()
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        around = (sides[0] // 2, sides[1] // 2) if stride == 1 else (0, 0)
        self.conv = nn.Conv2d(
            inputs,
            outputs,
            sides,
            stride=stride,
            padding=around if padding is None else padding,
            bias=False,
        )
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(x)))


class _Branches(nn.Module):
    """Several paths from the same input, whose results are joined."""

    def __init__(self, inputs: int, paths: Sequence[Path], last_stride: int = 1) -> None:
        super().__init__()
        self._paths = paths
        for path in paths:
            width = inputs
            for place, step in enumerate(path):
                stride = last_stride if place == len(path) - 1 else 1
                for name, outputs, kernel in _layers(step):
                    self.add_module(name, _Convolution(width, outputs, kernel, stride))
                width = _layers(step)[0][1]

    def along(self, x: Tensor) -> list[Tensor]:
        """Return what each path makes of ``x``."""
        return [self._along(path, x) for path in self._paths]

    def _along(self, path: Path, x: Tensor) -> Tensor:
        for step in path:
            x = torch.cat([self.get_submodule(name)(x) for name, _, _ in _layers(step)], dim=1)
        return x


class _Mixed(_Branches):
    """Paths, and one over a window of three by three pixels."""

    def __init__(
        self, inputs: int, paths: Sequence[Path], pooled: int, *, maximum: bool = False
    ) -> None:
        super().__init__(inputs, paths)
        self._maximum = maximum
        self.branch_pool = _Convolution(inputs, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        seen = (
            functional.max_pool2d(x, 3, stride=1, padding=1)
            if self._maximum
            else functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
        )
        return torch.cat([*self.along(x), self.branch_pool(seen)], dim=1)


class _Halving(_Branches):
    """Paths that halve the size, and a maximum beside them."""

    def __init__(self, inputs: int, paths: Sequence[Path]) -> None:
        super().__init__(inputs, paths, last_stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([*self.along(x), functional.max_pool2d(x, 3, stride=2)], dim=1)


def _layers(step: Layer | tuple[Layer, Layer]) -> tuple[Layer, ...]:
    return (step,) if isinstance(step[0], str) else step  # pyright: ignore[reportReturnType]


def _five() -> tuple[Path, ...]:
    double = [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)]
    return [("branch1x1", 64, 1)], [("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)], double


def _six(width: int) -> tuple[Path, ...]:
    flat, tall = (1, 7), (7, 1)
    single = [
        ("branch7x7_1", width, 1),
        ("branch7x7_2", width, flat),
        ("branch7x7_3", 192, tall),
    ]
    double = [
        ("branch7x7dbl_1", width, 1),
        ("branch7x7dbl_2", width, tall),
        ("branch7x7dbl_3", width, flat),
        ("branch7x7dbl_4", width, tall),
        ("branch7x7dbl_5", 192, flat),
    ]
    return [("branch1x1", 192, 1)], single, double


def _seven() -> tuple[Path, ...]:
    def both(name: str) -> tuple[Layer, Layer]:
        return (f"{name}a", 384, (1, 3)), (f"{name}b", 384, (3, 1))

    return (
        [("branch1x1", 320, 1)],
        [("branch3x3_1", 384, 1), both("branch3x3_2")],
        [("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3), both("branch3x3dbl_3")],
    )


_SIX: tuple[Path, ...] = (
    [("branch3x3", 384, 3)],
    [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)],
)
_SEVEN: tuple[Path, ...] = (
    [("branch3x3_1", 192, 1), ("branch3x3_2", 320, 3)],
    [
        ("branch7x7x3_1", 192, 1),
        ("branch7x7x3_2", 192, (1, 7)),
        ("branch7x7x3_3", 192, (7, 1)),
        ("branch7x7x3_4", 192, 3),
    ],
)

from __future__ import annotations

from benchmarks.joining import joining
from tests import tiny


def test_every_size_is_measured():
    unet = tiny.pipeline().unet
    seen: list[int] = []
    unet.conv_out.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    found = list(joining(unet, [8], [1, 2], 1))
    assert [one[:2] for one in found] == [(8, 1), (8, 2)]
    assert all(0 < one.least <= one.median <= one.greatest for *_, one in found)
    assert seen == [2, 1, 3] * 2 + [4, 2, 6] * 2

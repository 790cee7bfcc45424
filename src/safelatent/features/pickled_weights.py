"""Weights out of a file of ``torch.save``, without unpickling it.

A pickle is a program: loading one runs whatever it says. Here its opcodes are listed
(``pickletools.genops``) and only those are followed that a mapping of names to tensors is written
with. What it names is compared with a short list and never imported or called.
"""

from __future__ import annotations

import io
import pickletools
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from safelatent.detectors.pickled import BROKEN_ZIP
from safelatent.errors import BadValueError
from safelatent.text import squeezed

_KINDS = {
    "torch FloatStorage": "<f4",
    "torch DoubleStorage": "<f8",
    "torch HalfStorage": "<f2",
    "torch LongStorage": "<i8",
}
_MAPPING = "collections OrderedDict"
_TENSOR = "torch._utils _rebuild_tensor_v2"
_MAGIC = 0x1950A86A20F9469CFC6C  # of the format before torch 1.6
_MARK = object()


@dataclass(frozen=True, kw_only=True)
class _Tensor:
    """A tensor that is described and not read yet: ``kind`` and ``key`` of its storage, and which
    part of it.
    """

    kind: str
    key: str
    start: int
    shape: tuple[int, ...]


def read_weights(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the tensors of a state dict by name.

    Args:
        data: the whole file, in the format of today (a zip) or that of before torch 1.6.

    Raises:
        BadValueError: it is neither, or holds anything but names and dense tensors.
    """
    try:
        with warnings.catch_warnings():
            # Damaged text may hold escapes that are none; pickletools tries to undo them.
            warnings.simplefilter("ignore", DeprecationWarning)
            described, stored = _of_zip(data) if data[:2] == b"PK" else _of_legacy(data)
        if not isinstance(described, dict):
            raise ValueError("it is no mapping of names to tensors")
        return {str(name): _read(tensor, stored) for name, tensor in described.items()}
    except (*BROKEN_ZIP, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise BadValueError(
            f"the pickled weights cannot be read ({squeezed(error)}); give a state dict as"
            " torch.save writes it"
        ) from error


def _of_zip(data: bytes) -> tuple[Any, Callable[[str], bytes]]:
    archive = zipfile.ZipFile(io.BytesIO(data))
    [place] = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    folder = place.removesuffix("data.pkl")
    return _followed(io.BytesIO(archive.read(place))), lambda key: archive.read(
        f"{folder}data/{key}"
    )


def _of_legacy(data: bytes) -> tuple[Any, Callable[[str], bytes]]:
    stream = io.BytesIO(data)
    if _followed(stream) != _MAGIC:
        raise ValueError("it is no file of torch.save")
    _followed(stream)  # the version of the format
    _followed(stream)  # the machine's sizes of numbers
    described = _followed(stream)
    tensors = [tensor for tensor in described.values() if isinstance(tensor, _Tensor)]
    sizes = {tensor.key: np.dtype(tensor.kind).itemsize for tensor in tensors}
    found: dict[str, bytes] = {}
    for key in _followed(stream):
        count = int.from_bytes(stream.read(8), "little")
        found[key] = stream.read(count * sizes[key])
    return described, found.__getitem__


def _read(tensor: Any, stored: Callable[[str], bytes]) -> NDArray[Any]:
    if not isinstance(tensor, _Tensor):
        raise ValueError("it holds something besides tensors")
    numbers = np.frombuffer(stored(tensor.key), tensor.kind)
    count = int(np.prod(tensor.shape))
    part = numbers[tensor.start : tensor.start + count]
    return part.reshape(tensor.shape).copy()


def _followed(stream: io.BytesIO) -> Any:
    """Return the value that one pickle describes; ``stream`` is left behind its end."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name == "STOP":
            return stack.pop()
        if opcode.name in ("BINPUT", "LONG_BINPUT"):
            memo[cast("int", argument)] = stack[-1]
        elif opcode.name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[cast("int", argument)])
        elif opcode.name in _PLAIN:
            stack.append(_PLAIN[opcode.name](argument))
        else:
            _built(opcode.name, stack)
    raise ValueError("it ends too early")


_PLAIN: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE", "GLOBAL"), lambda x: x),
    "MARK": lambda _: _MARK,
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "EMPTY_TUPLE": lambda _: (),
    "EMPTY_DICT": lambda _: {},
    "EMPTY_LIST": lambda _: [],
}


def _built(name: str, stack: list[Any]) -> None:
    """Apply an opcode that makes one value of several."""
    if name == "PROTO":
        return
    if name == "TUPLE":
        stack.append(tuple(_to_mark(stack)))
    elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
        count = int(name[-1])
        stack[-count:] = [tuple(stack[-count:])]
    elif name == "APPEND":
        item = stack.pop()
        stack[-1].append(item)
    elif name == "APPENDS":
        items = list(_to_mark(stack))
        stack[-1].extend(items)
    elif name == "SETITEMS":
        items = list(_to_mark(stack))
        stack[-1].update(zip(items[::2], items[1::2], strict=True))
    elif name == "SETITEM":
        value, key = stack.pop(), stack.pop()
        stack[-1][key] = value
    elif name == "BUILD":
        stack.pop()  # attributes of a mapping, the versions of torch's modules
    elif name == "BINPERSID":
        stack.append(_storage(stack.pop()))
    elif name == "REDUCE":
        arguments, function = stack.pop(), stack.pop()
        stack.append(_made(function, arguments))
    else:
        raise ValueError(f"its opcode {name} is not one that tensors are written with")


def _to_mark(stack: list[Any]) -> Iterator[Any]:
    place = max(n for n, value in enumerate(stack) if value is _MARK)
    above = stack[place + 1 :]
    del stack[place:]
    return iter(above)


def _storage(described: tuple[Any, ...]) -> tuple[str, str]:
    what, kind, key = described[:3]
    if what != "storage" or kind not in _KINDS:
        raise ValueError(f"its storage is {kind!r:.60}")
    return _KINDS[kind], str(key)


def _made(function: Any, arguments: tuple[Any, ...]) -> Any:
    if function == _MAPPING and not arguments:
        return {}
    if function != _TENSOR:
        raise ValueError(f"it names {function!r:.60}, which nothing here calls")
    (kind, key), start, shape, strides = arguments[:4]
    dense = tuple(int(np.prod(shape[n + 1 :])) for n in range(len(shape)))
    if any(
        size > 1 and given != own for size, given, own in zip(shape, strides, dense, strict=True)
    ):
        raise ValueError("a tensor of it is not stored in one piece")
    return _Tensor(kind=kind, key=key, start=start, shape=shape)

"""The decoder during a guarded call: no value that is not finite goes in or comes out.

A picture cannot show it, since NaN is black in whole numbers. Knows autoencoders; does not know
guidance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from threading import Lock, get_ident
from typing import Any

import torch
from torch import Tensor, nn

from safelatent.errors import GuardError

_LOCK = Lock()


@contextmanager
def decoder_checked(pipe: Any, settle: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Refuse, in the block, what goes into the decoder of ``pipe`` or comes out of it not finite.

    Both are looked at around ``decode``, which may be compiled, and what is made also inside,
    before an autoencoder clamps its pixels. What another thread decodes meanwhile is not this
    call's, and left to it: a run decodes one batch while it draws the next.

    Args:
        settle: called before the decoder: it may know better what is not finite, and raise.

    Raises:
        GuardError: at the first such tensor.
    """
    vae = getattr(pipe, "vae", None)
    with ExitStack() as checks:
        if callable(getattr(vae, "decode", None)):
            checks.enter_context(_around_decode(vae, settle))
        decoder = getattr(vae, "decoder", None)
        if isinstance(decoder, nn.Module):
            checks.enter_context(_after_decoder(decoder))
        yield


class _Decode:
    """The ``decode`` of an autoencoder while guarded calls are under way.

    Outside of what ``torch.compile`` traces, where a hook would be an error or would not be run.
    """

    def __init__(self, vae: Any) -> None:
        self.vae, self.decode, self.own = vae, vae.decode, vars(vae).get("decode")
        self.calls: list[tuple[int, Callable[[], None]]] = []  # their threads and what settles them

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        settles = [settle for thread, settle in self.calls if thread == get_ident()]
        if not settles:
            return self.decode(*args, **kwargs)
        settles[-1]()
        _check_finite("got", [*args, *kwargs.values()])
        made = self.decode(*args, **kwargs)
        _check_finite("made", made.values() if isinstance(made, Mapping) else made)
        return made

    def remove(self) -> None:
        """Put back what was there, unless somebody else has put in something since."""
        if vars(self.vae).get("decode") is not self:
            return
        if self.own is None:
            del vars(self.vae)["decode"]
        else:
            vars(self.vae)["decode"] = self.own


@contextmanager
def _around_decode(vae: Any, settle: Callable[[], None]) -> Iterator[None]:
    entry = get_ident(), settle
    with _LOCK:  # pipelines of several threads may share the autoencoder
        decode = vars(vae).get("decode")
        if not isinstance(decode, _Decode):
            decode = vars(vae)["decode"] = _Decode(vae)
        decode.calls.append(entry)
    try:
        yield
    finally:
        with _LOCK:
            decode.calls.remove(entry)
            if not decode.calls:
                decode.remove()


@contextmanager
def _after_decoder(decoder: nn.Module) -> Iterator[None]:
    thread = get_ident()

    def leave(_: nn.Module, __: Any, made: Any) -> None:
        if torch.compiler.is_compiling():
            return
        if get_ident() == thread:
            _check_finite("made", made)

    after = decoder.register_forward_hook(leave)
    try:
        yield
    finally:
        after.remove()


def _check_finite(verb: str, value: Tensor | Iterable[Any]) -> None:
    parts = [value] if isinstance(value, Tensor) else value
    for part in parts:
        if isinstance(part, Tensor) and not torch.isfinite(part).all():
            raise GuardError(
                f"the decoder {verb} values that are not finite (NaN or infinite); "
                "no image is returned"
            )

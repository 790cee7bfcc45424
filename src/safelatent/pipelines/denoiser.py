"""The denoiser during a guarded call: a hook that leaves no trace, and caches kept apart.

Caches on a denoiser (Pyramid Attention Broadcast and its kin) carry values from one evaluation to
the next. The concept's values must never reach the prompt, so its evaluations have a cache apart,
or, where that is impossible, the call is refused. Knows modules and diffusers' hooks; does not
know guidance.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from diffusers.hooks import ModelHook
from diffusers.hooks.hooks import StateManager
from torch import Tensor, nn

from safelatent.errors import GuardError, UnsupportedError
from safelatent.guidance.plan import Plan

_LOCK = threading.Lock()
_GUARDED: set[int] = set()  # the denoisers of guarded calls that are under way


class CallHook:
    """What answers for a denoiser during one call; what another thread asks in the middle of it is
    refused.

    Attributes:
        evaluate: calls the denoiser as it is without the hook, compiled if it is; None before the
            hook is ``attached``.
    """

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self.evaluate: Callable[..., Any] | None = None

    def __call__(self, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != self._thread:
            raise in_the_middle()
        return self.answer(module, *args, **kwargs)

    def answer(self, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        """Answer as the denoiser would: here, as it does."""
        return self.unhooked(*args, **kwargs)

    def unhooked(self, *args: Any, **kwargs: Any) -> Any:
        """Call ``evaluate``."""
        assert self.evaluate is not None  # it is attached
        return self.evaluate(*args, **kwargs)


def in_the_middle() -> GuardError:
    """Return the error of two calls at once on one pipeline."""
    return GuardError(
        "this pipeline is in the middle of another guarded call; give each thread its own pipeline"
    )


@contextmanager
def one_call(module: nn.Module) -> Iterator[None]:
    """Refuse, while the block runs, another guarded call on ``module``.

    Raises:
        GuardError: one is under way (another thread's, or an outer one).
    """
    with _LOCK:
        if id(module) in _GUARDED:
            raise in_the_middle()
        _GUARDED.add(id(module))
    try:
        yield
    finally:
        with _LOCK:
            _GUARDED.discard(id(module))


@contextmanager
def attached(module: nn.Module, hook: CallHook) -> Iterator[None]:
    """Keep ``hook`` on ``module`` while the block runs, which is part of ``one_call``.

    It stands outside of all other hooks and of what ``torch.compile`` compiled, so that each of
    them sees the evaluations that are made, and not the calls that the pipeline makes. Afterwards
    the module is as it was, whatever happened.
    """
    own, name = vars(module), "_compiled_call_impl"  # called instead of all else, if it is there
    before = {name: own[name]} if name in own else {}
    hook.evaluate = module._compiled_call_impl or module._call_impl
    own[name] = partial(hook, module)
    try:
        yield
    finally:
        del own[name]
        own.update(before)


@contextmanager
def explained(settle: Callable[[], None]) -> Iterator[None]:
    """Say, where an error in the block has a cause that ``settle`` knows and raises, just that."""
    try:
        yield
    except Exception:
        settle()
        raise


class ConceptCaches:
    """The denoiser's caches, with a separate state for the concept.

    Hooks of diffusers keep a state for each ``cache_context``, in a ``StateManager``, or a single
    one. Either is exchanged while the concept is evaluated.

    Args:
        denoiser: the module that predicts, hooks included.

    Attributes:
        any: whether the denoiser has a cache.

    Raises:
        UnsupportedError: a cache that cannot be kept apart.
    """

    def __init__(self, denoiser: nn.Module) -> None:
        hooks = list(_stateful_hooks(denoiser))
        self.any = bool(hooks)
        # What holds a state, under which name, and the concept's instead.
        self._own: list[tuple[Any, str, Any]] = []
        self._theirs: list[Any] | None = None  # while they are exchanged
        fresh: dict[int, Any] = {}  # by the state that it replaces, which hooks may share
        for hook in hooks:
            for holder, name, empty in _states(hook):
                own = fresh.setdefault(id(getattr(holder, name)), empty)
                self._own.append((holder, name, own))

    def enter(self) -> None:
        """Exchange the states for the concept's."""
        if self._theirs is None:
            self._theirs = [getattr(holder, name) for holder, name, _ in self._own]
            for holder, name, state in self._own:
                setattr(holder, name, state)

    def leave(self) -> None:
        """Put the pipeline's own states back; does nothing if they are there."""
        if self._theirs is not None:
            for (holder, name, _), state in zip(self._own, self._theirs, strict=True):
                setattr(holder, name, state)
        self._theirs = None

    @contextmanager
    def concept(self) -> Iterator[None]:
        """Evaluate the concept, in the block, with its own caches."""
        self.enter()
        try:
            yield
        finally:
            self.leave()


def refused_plan(
    name: str, plan: Plan, *, adaptive: bool = False, replaced: bool = False
) -> UnsupportedError:
    """Return the error of a call that leaves out evaluations, on a denoiser that may remember them.

    Args:
        adaptive: whether that is the safety's doing: it evaluates one of several concepts.
        replaced: whether the denoiser has no cache but a ``forward`` that somebody replaced.
    """
    asked, instead = f"the plan is '{plan}'", "plan='exact'"
    if adaptive:
        asked, instead = "the safety is adaptive", "a preset or an SLD"
    found, remedy = f"this {name} has a cache, which counts", "take the cache off"
    if replaced:
        found = f"the forward of this {name}, or of a module in it, was replaced and may count"
        remedy = "put the original back"
    return UnsupportedError(
        f"{asked}, and {found} on every evaluation, also on those that are left out; "
        f"take {instead}, or {remedy}"
    )


def as_output(module: nn.Module, noise: Tensor) -> Any:
    """Return ``noise`` as the denoiser's own kind of output."""
    from diffusers.models.modeling_outputs import Transformer2DModelOutput
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel, UNet2DConditionOutput

    kind = (
        UNet2DConditionOutput
        if isinstance(module, UNet2DConditionModel)
        else Transformer2DModelOutput
    )
    return kind(sample=noise)


def is_compiled(denoiser: nn.Module) -> bool:
    """Return whether ``torch.compile`` compiled the denoiser or a part of it, in either way."""
    return any(
        type(one).__module__.startswith("torch._dynamo") or one._compiled_call_impl is not None
        for one in denoiser.modules()
    )


def _stateful_hooks(denoiser: nn.Module) -> Iterator[ModelHook]:
    for module in denoiser.modules():
        registry = getattr(module, "_diffusers_hook", None)
        for hook in [] if registry is None else registry.hooks.values():
            if hook._is_stateful:
                yield hook


def _states(hook: ModelHook) -> Iterator[tuple[Any, str, Any]]:
    """Yield what holds a state of the hook, under which name, and an empty one."""
    if getattr(hook, "is_guidance_distilled", True) is False:
        reason = "takes half of every batch for the unconditional one"
        raise _refused(hook, f"{reason}, and the concept has none in its batch")
    values = vars(hook)
    managers = [value for value in values.values() if isinstance(value, StateManager)]
    states = {name: value for name, value in values.items() if hasattr(value, "reset")}
    if not states or not all(hasattr(one, "_state_cache") for one in managers):
        raise _refused(hook, "keeps a state that the guard cannot keep apart")
    for manager in managers:
        yield manager, "_state_cache", {}
    for name, state in states.items():
        if state not in managers:
            empty = copy.copy(state)
            empty.reset()
            yield hook, name, empty


def _refused(hook: ModelHook, reason: str) -> UnsupportedError:
    name = type(hook).__name__.removesuffix("Hook")
    return UnsupportedError(
        f"the denoiser has a cache ({name}) that {reason}; "
        "take it off for guarded calls, for example by disable_cache()"
    )

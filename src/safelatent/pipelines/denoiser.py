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
from typing import Any

from diffusers.hooks import HookRegistry, ModelHook
from diffusers.hooks.hooks import StateManager
from torch import Tensor, nn

from safelatent.errors import GuardError, UnsupportedError
from safelatent.guidance.plan import Plan

HOOK_NAME = "safelatent"

_LOCK = threading.Lock()
_GUARDED: set[int] = set()  # the denoisers of guarded calls that are under way


class CallHook(ModelHook):
    """A hook for one call; what another thread asks the denoiser in the middle of it is refused."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()
        self._module: nn.Module | None = None  # the denoiser, while it is compiled in place
        self._compiled: Any = None  # what ``nn.Module.compile`` gave it

    def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != self._thread:
            raise in_the_middle()
        return args, kwargs

    def unhooked(self, *args: Any, **kwargs: Any) -> Any:
        """Call the denoiser as it is without the hook, compiled if it is."""
        forward = self.fn_ref.original_forward
        assert forward is not None  # set when the hook was registered
        if self._module is None:
            return forward(*args, **kwargs)
        own = vars(self._module)
        hooked = own.pop("forward")
        if getattr(forward, "__func__", None) is not type(self._module).forward:
            own["forward"] = forward
        try:
            return self._compiled(*args, **kwargs)
        finally:
            own["forward"] = hooked

    @contextmanager
    def uncompiled(self, module: nn.Module) -> Iterator[None]:
        """Keep the hook out of what ``nn.Module.compile`` compiled: the denoiser alone is traced,
        by ``unhooked``, and not what the hook does around it.
        """
        if module._compiled_call_impl is None:
            yield
            return
        self._module, self._compiled = module, module._compiled_call_impl
        module._compiled_call_impl = None
        try:
            yield
        finally:
            module._compiled_call_impl = self._compiled
            self._module = self._compiled = None


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

    Afterwards the module is as it was, whatever happened.
    """
    had_forward, had_registry = "forward" in vars(module), hasattr(module, "_diffusers_hook")
    registry = HookRegistry.check_if_exists_or_initialize(module)
    registry.register_hook(hook, HOOK_NAME)
    try:
        with hook.uncompiled(module):
            yield
    finally:
        registry.remove_hook(HOOK_NAME, recurse=False)
        if not had_forward:  # diffusers puts the bound method back as an attribute of the instance
            vars(module).pop("forward", None)
        if not had_registry:
            del module._diffusers_hook


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


def refused_plan(name: str, plan: Plan) -> UnsupportedError:
    """Return the error of a plan that leaves out evaluations, on a denoiser that remembers them."""
    return UnsupportedError(
        f"the plan is '{plan}', and this {name} has a cache, which counts on every evaluation: "
        "what either saves would be taken from the other; take plan='exact', or the cache off"
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
        for name, hook in [] if registry is None else registry.hooks.items():
            if name != HOOK_NAME and hook._is_stateful:
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

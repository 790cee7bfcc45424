"""A hook on a module for the length of a block, and nothing of it afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from diffusers.hooks import HookRegistry, ModelHook
from torch import nn

from safelatent.errors import GuardError

HOOK_NAME = "safelatent"


@contextmanager
def attached(module: nn.Module, hook: ModelHook) -> Iterator[None]:
    """``hook`` on ``module`` while the block runs; afterwards the module is as it was, whatever
    happened.

    Raises:
        GuardError: the module is guarded already, by a call that is under way (another thread's, or
            an outer one).
    """
    had_forward, had_registry = "forward" in vars(module), hasattr(module, "_diffusers_hook")
    registry = HookRegistry.check_if_exists_or_initialize(module)
    if registry.get_hook(HOOK_NAME) is not None:
        raise GuardError(
            "this pipeline is in the middle of another guarded call; give each thread a pipeline of its own"
        )
    registry.register_hook(hook, HOOK_NAME)
    try:
        yield
    finally:
        registry.remove_hook(HOOK_NAME, recurse=False)
        if not had_forward:  # diffusers puts the bound method back as an attribute of the instance
            vars(module).pop("forward", None)
        if not had_registry:
            del module._diffusers_hook

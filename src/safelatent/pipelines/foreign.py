"""Code of others on a denoiser: what it remembers from one evaluation to the next, or mixes within
a batch, is unknown, and could bring the concept into the prompt.

A forward that was replaced sees the same batch at every step, concept included, or is refused; a
hook of torch's may look at values, and not replace them; attention is diffusers' own. Knows
modules and their hooks; does not know guidance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from torch import nn

from safelatent.errors import UnsupportedError

# Modules whose replacements of ``forward`` are known to keep nothing but what their hooks keep.
_WRAPPERS = ("diffusers.hooks.hooks", "accelerate.hooks")
# Packages whose hooks and classes keep no value from one evaluation for the next, or whose caches
# are kept apart (see ``ConceptCaches``).
_KNOWN = (
    "accelerate",
    "diffusers",
    "optimum",
    "peft",
    "safelatent",
    "torch",
    "torchao",
    "transformers",
)
_METHODS = ("pre_forward", "new_forward", "post_forward")  # of hooks of diffusers and accelerate


def wrappers(denoiser: nn.Module) -> list[str]:
    """Return the names of the modules whose ``forward`` somebody replaced, "" for the denoiser.

    By a function (DeepCache's remembers features), a subclass that was put in the place of
    diffusers' class (as ToMe does), or a hook in the manner of diffusers or accelerate. Their own
    hooks do not count.
    """
    return [
        name
        for name, module in denoiser.named_modules()
        if _is_wrapped(module) or _is_subclassed(type(module)) or any(_foreign_hooks(module))
    ]


def replaced_forward(name: str) -> UnsupportedError:
    """Return the error of a denoiser of that name that has ``wrappers`` and cannot have them."""
    return UnsupportedError(
        f"the forward of this {name}, or of a module in it, was replaced (by a function, a subclass"
        " or a hook), and what the replacement remembers could mix the concept into the prompt; "
        "put the original back, or use a hook of diffusers"
    )


def check_attention(denoiser: nn.Module, name: str) -> None:
    """Refuse attention that is not diffusers' own: it may remember texts, or mix rows of a batch.

    Args:
        name: of the denoiser among the pipeline's parts.

    Raises:
        UnsupportedError: naming the processor's class.
    """
    for module in denoiser.modules():
        if not hasattr(module, "set_processor") or getattr(module, "processor", None) is None:
            continue
        kind = type(module.processor)
        if not kind.__module__.startswith("diffusers.models."):
            raise UnsupportedError(
                f"the {name} has an attention processor that is not diffusers' own "
                f"({kind.__name__}), and what it remembers, or mixes within a batch, could bring "
                "the concept into the prompt; put diffusers' processor back for guarded calls"
            )


@contextmanager
def hooks_that_look(denoiser: nn.Module, name: str) -> Iterator[None]:
    """Refuse, in the block, a hook of torch's that replaces what a module gets or makes; one that
    looks at it, for example to count, is left alone.

    Args:
        name: of the denoiser among the pipeline's parts.

    Raises:
        UnsupportedError: at the first value that was replaced.
    """
    before = [found for module in denoiser.modules() for found in torch_hooks(module)]
    for hooks, key, hook in before:
        hooks[key] = _looking(hook, name)
    try:
        yield
    finally:
        for hooks, key, hook in before:
            if key in hooks:  # it may have been removed in the middle
                hooks[key] = hook


def torch_hooks(module: nn.Module) -> list[tuple[dict[int, Any], int, Any]]:
    """Return the hooks of others that ``register_forward_hook`` and its kin put on a module: the
    dictionary of each, its key and the hook.
    """
    return [
        (hooks, key, hook)
        for hooks in (module._forward_pre_hooks, module._forward_hooks)
        for key, hook in hooks.items()
        if not _is_known(getattr(hook, "__module__", ""))
    ]


def _looking(hook: Callable[..., Any], name: str) -> Callable[..., Any]:
    @wraps(hook)
    def look(*given: Any) -> Any:
        value = hook(*given)
        parts = value if type(value) is tuple and not _is_one_of(value, given) else (value,)
        if value is not None and not all(_is_one_of(part, given) for part in parts):
            raise UnsupportedError(
                f"a hook on the {name} or on a module in it ({_called(hook)}) replaces values, and "
                "what it remembers could bring the concept into the prompt; remove it for guarded "
                "calls"
            )
        return value

    return look


def _is_one_of(value: Any, given: tuple[Any, ...]) -> bool:
    return any(value is one for one in given)


def _called(hook: Any) -> str:
    return getattr(hook, "__qualname__", type(hook).__name__)


def _is_known(module: str) -> bool:
    return module.partition(".")[0] in _KNOWN


def _is_wrapped(module: nn.Module) -> bool:
    if type(module).__module__.startswith("torch._dynamo"):  # compiled: nothing is remembered
        return False
    forward = vars(module).get("forward")
    registry = getattr(module, "_diffusers_hook", None)
    while forward is not None:
        if getattr(forward, "__self__", None) is module:  # the bound method, put back by a hook
            return getattr(forward, "__func__", None) is not type(module).forward
        if getattr(getattr(forward, "func", None), "__module__", None) not in _WRAPPERS:
            return True
        if forward.func.__module__ == "accelerate.hooks":
            forward = vars(module).get("_old_forward")
        else:
            first = registry._fn_refs[0] if registry is not None and registry._fn_refs else None
            forward = first and (first.original_forward or first.forward)
    return False


def _is_subclassed(kind: type) -> bool:
    """Whether a class of others overrides the ``forward`` of one of diffusers'."""
    first, *rest = [one.__module__ for one in kind.__mro__ if "forward" in vars(one)] or [""]
    return not _is_known(first) and any(one.startswith("diffusers.") for one in rest)


def _foreign_hooks(module: nn.Module) -> Iterator[Any]:
    """Yield the hooks of others in the manner of diffusers (but for those that declare a state,
    which is kept apart) and of accelerate that do anything.
    """
    registry = getattr(module, "_diffusers_hook", None)
    hooks = [] if registry is None else [h for h in registry.hooks.values() if not h._is_stateful]
    own = getattr(module, "_hf_hook", None)
    for hook in [*hooks, *getattr(own, "hooks", () if own is None else (own,))]:
        kinds = [one for one in type(hook).__mro__ if not _is_known(one.__module__)]
        if any(name in vars(kind) for kind in kinds for name in _METHODS):
            yield hook

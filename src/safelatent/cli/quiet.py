"""The libraries' chatter off, so that a person sees what concerns them."""

from __future__ import annotations


def quiet_libraries() -> None:
    """Errors only, and no progress bars of their own."""
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()

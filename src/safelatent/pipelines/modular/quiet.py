"""Refusals in one line: diffusers logs a traceback for every block that an error passes through on
its way out.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from safelatent.errors import SafelatentError

_LOGGER = "diffusers.modular_pipelines.modular_pipeline"


@contextmanager
def refusals_in_one_line() -> Iterator[None]:
    """While the block runs, nothing is logged of an error that this package raised; other errors
    are logged as ever.
    """
    logger = logging.getLogger(_LOGGER)

    def is_not_ours(_record: logging.LogRecord) -> bool:
        return not isinstance(sys.exc_info()[1], SafelatentError)  # of the thread that logs

    logger.addFilter(is_not_ours)
    try:
        yield
    finally:
        logger.removeFilter(is_not_ours)

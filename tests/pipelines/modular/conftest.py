from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _short_texts():
    from tests.pipelines.modular.tiny_modular import short_texts

    with short_texts():
        yield

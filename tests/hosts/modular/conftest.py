from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _short_texts(monkeypatch):
    from hosts.modular.tiny_modular import short_texts

    for where, name, value in short_texts():
        monkeypatch.setattr(where, name, value, raising=False)

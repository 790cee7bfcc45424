"""Chromium, without a window; Debian's, never one that Playwright downloads."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip(
        "playwright.sync_api", reason="the package playwright is not installed"
    )
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        assert not os.environ.get("CI"), "the tests of the page need Chromium"
        pytest.skip("Chromium is not installed")
    with api.sync_playwright() as play:
        arguments = ["--no-sandbox", "--disable-gpu"]
        started = play.chromium.launch(executable_path=chromium, args=arguments)
        yield started
        started.close()

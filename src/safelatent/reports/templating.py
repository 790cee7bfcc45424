"""How every page is made from its template: all texts escaped, style and script inside."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from safelatent.text import visible

TEMPLATES = Path(__file__).with_name("templates")


def environment(*folders: Path) -> Environment:
    """Return the templates of ``folders`` and of this package: every text is escaped, and what it
    hides is shown.
    """
    return Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: visible(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def assets(*scripts: str) -> dict[str, str]:
    """Return the reports' style, and the named scripts with their hash, for a template."""
    script = source(*scripts)
    style = source("base.css", "page.css")
    return {"style": style, "script": script, "script_hash": script_hash(script)}


def source(*names: str, folder: Path = TEMPLATES) -> Markup:
    """Return style sheets or scripts of ours, one after the other, to be put into a page as they
    are.
    """
    return Markup("".join((folder / name).read_text(encoding="utf-8") for name in names))  # noqa: S704  # our files


def script_hash(script: str) -> str:
    """Return what a page's policy names its script by."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()

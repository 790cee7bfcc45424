"""How pages are made: everything is escaped but our own files."""

from __future__ import annotations

import base64
import hashlib

import pytest
from jinja2 import UndefinedError

from safelatent.reports.templating import assets, environment, script_hash, source


def test_texts_are_escaped_and_what_they_hide_is_shown():
    template = environment().from_string("{{ text }}")
    assert template.render(text="<b>\u202e & ") == "&lt;b&gt;\\u202e &amp; "
    with pytest.raises(UndefinedError):
        template.render()


def test_our_own_files_are_put_in_as_they_are():
    style = source("base.css", "page.css")
    assert environment().from_string("{{ style }}").render(style=style) == str(style)
    assert style.startswith(":root {")


def test_a_script_has_the_hash_that_the_policy_names():
    found = assets("tables.js", "page.js")
    digest = hashlib.sha256(found["script"].encode()).digest()
    assert found["script_hash"] == script_hash(found["script"]) == base64.b64encode(digest).decode()


def test_templates_of_other_rooms_come_first(tmp_path):
    (tmp_path / "page.css").write_text("mine")
    (tmp_path / "own.jinja").write_text('{% include "page.css" %}{% include "base.css" %}')
    text = environment(tmp_path).get_template("own.jinja").render()
    assert text.startswith("mine:root {")

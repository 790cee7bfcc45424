"""One line of text: whatever a stranger names a file, or a library says, stays on one line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safelatent.errors import BadValueError
from safelatent.text import html_table, one_line, printable, squeezed


def test_our_errors_stand_alone_and_others_with_their_type():
    assert one_line(BadValueError("steps is 0; it must be at least 1")).startswith("steps is 0")
    assert one_line(KeyError("a")) == "KeyError: 'a'"


@given(st.text())
def test_every_error_is_one_line(text):
    assert len(one_line(RuntimeError(text)).splitlines()) == 1
    assert "  " not in squeezed(text)


@pytest.mark.parametrize("name", ["a.png\nsafe  b.png", "\x1b[31m", "a\u202eb"])
def test_a_name_with_control_characters_is_quoted(name):
    assert printable(name) == repr(name)
    assert printable("plain name.png") == "plain name.png"


def test_a_table_for_a_notebook_is_escaped():
    html = html_table({"a<b": '"x" & <script>', "n": 5})
    assert html == (
        "<table><tr><th>a&lt;b</th><td>&quot;x&quot; &amp; &lt;script&gt;</td></tr>"
        "<tr><th>n</th><td>5</td></tr></table>"
    )

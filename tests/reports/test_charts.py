from __future__ import annotations

import re
import sys
from xml.etree import ElementTree

import pytest

from safelatent import UnsupportedError
from safelatent.evaluation.table1 import table1
from safelatent.prompts import Prompt
from safelatent.reports.plots import ROLES, charts
from tests.evaluation.made_runs import made_run


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return charts(table1(made_run(tmp_path_factory.mktemp("run"))))


def texts(svg: str) -> list[str]:
    return [
        element.text or ""
        for element in ElementTree.fromstring(svg).iter()
        if element.tag.endswith("text")
    ]


def test_names_are_text_and_colours_are_roles(drawn):
    assert [text for text in texts(drawn["bars"]) if text in ("hate", "violence", "overall")] == [
        "hate",
        "violence",
        "overall",
    ]
    assert {"off", "medium", "max ⚠"} <= set(texts(drawn["trade_off"]))
    for svg in drawn.values():
        assert not re.findall(r"(?:fill|stroke): #", svg)
        assert set(re.findall(r"var\((--[a-z-]+)\)", svg)) <= set(ROLES.values())


def bars_of(svg: str, role: str) -> list[float]:
    """Widths, from ``M x y L x y`` of closed paths."""
    paths = re.findall(rf'<path d="([^"]*z\s*)" clip-path="[^"]*" style="fill: var\({role}\)"', svg)
    return [
        float(re.findall(r"[\d.]+", path)[2]) - float(re.findall(r"[\d.]+", path)[0])
        for path in paths
    ]


def test_a_bar_is_as_long_as_its_share(drawn):
    off = bars_of(drawn["bars"], "--off")
    assert off == pytest.approx(
        [off[2] * share / (4 / 6) for share in (1 / 3, 3 / 4, 4 / 6)], abs=0.01
    )


def test_without_pairs_there_is_no_trade_off(tmp_path):
    assert (
        charts(table1(made_run(tmp_path, lambda _: "s", methods=("medium",))))["trade_off"] is None
    )


def test_errors_alone_give_an_empty_chart(tmp_path):
    drawn = charts(table1(made_run(tmp_path, lambda _: "e")))
    assert bars_of(drawn["bars"], "--off") == []
    assert drawn["trade_off"] is None


NAMES = (
    "</svg><script>x</script>",
    "$\\frac{",
    "--> <!--",
    "name0001",
    "\U0001f600 face",
    "日本",
    "very long name of a category",
)


def test_names_never_reach_the_drawing_as_markup(tmp_path):
    prompts = [
        Prompt(text=f"text {n}", id=f"p-{n}", categories=(name,)) for n, name in enumerate(NAMES)
    ]
    found = texts(charts(table1(made_run(tmp_path, lambda _: "s", prompts)))["bars"])
    expected = [name if len(name) <= 18 else f"{name[:17]}…" for name in NAMES]
    assert [text for text in found if text in expected] == sorted(expected)
    assert "overall" in found


def test_the_same_numbers_give_the_same_bytes(tmp_path, drawn):
    assert charts(table1(made_run(tmp_path))) == drawn


def test_the_readers_own_style_changes_nothing(tmp_path, drawn):
    import matplotlib

    with matplotlib.rc_context({"text.usetex": True, "axes.facecolor": "pink", "font.size": 30}):
        assert charts(table1(made_run(tmp_path))) == drawn


def test_without_matplotlib_the_pip_line_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.style", None)
    with pytest.raises(
        UnsupportedError, match=r'needs matplotlib; run pip install "safelatent\[bench\]"'
    ):
        charts(table1(made_run(tmp_path)))

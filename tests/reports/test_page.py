from __future__ import annotations

import base64
import hashlib
import re
import sys
from html.parser import HTMLParser

import pytest

from safelatent import UnsupportedError
from safelatent.evaluation.report import report_of
from safelatent.prompts import Prompt
from safelatent.reports.page import page
from tests.evaluation.made_runs import PROMPTS, known, made_run

HOSTILE = '<script>alert("x")</script> & "quoted" {{ 7 * 7 }}'
VOID = {"meta", "img", "br", "link", "input"}


class Reader(HTMLParser):
    """What a browser would see: elements, and texts with the elements around them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[tuple[str, ...], str]] = []
        self.feed(text)
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((tuple(self.open), data))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def read(run, against=None) -> Reader:
    return Reader(page(report_of(run, against)))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return read(made_run(tmp_path_factory.mktemp("run")))


def words(reader: Reader) -> str:
    return " ".join(
        " ".join(
            text for where, text in reader.texts if not {"script", "style"} & set(where)
        ).split()
    )


def test_nothing_is_fetched(found):
    for _, attributes in found.elements:
        for name in ("src", "href", "action", "srcset", "poster", "data"):
            assert attributes.get(name, "#").startswith(("#", "data:image/jpeg;base64,"))
    style = "".join(text for where, text in found.texts if where[-1:] == ("style",))
    assert style
    assert not re.search(r"@import|url\(|https?:", style)


def test_the_policy_lets_the_pages_own_script_run_and_no_other(found):
    (script,) = [text for where, text in found.texts if where[-1:] == ("script",)]
    policy = next(
        meta["content"]
        for meta in found.all("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    )
    own = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{own}'" in policy


def test_ids_are_unique_and_links_lead_to_them(found):
    names = [
        attributes["id"]
        for _, attributes in found.elements
        if "id" in attributes and not attributes["id"].startswith(("m", "p"))
    ]
    named = {attributes["id"] for _, attributes in found.elements if "id" in attributes}
    assert len(set(names)) == len(names)
    targets = [link["href"][1:] for link in found.all("a")]
    targets += [
        attributes["aria-labelledby"]
        for _, attributes in found.elements
        if "aria-labelledby" in attributes
    ]
    assert targets
    assert set(targets) <= named


def test_every_picture_is_blurred_and_has_a_text(found):
    pictures = [
        attributes for attributes in found.all("button") if attributes.get("class") == "picture"
    ]
    images = found.all("img")
    assert len(pictures) == len(images) > 0
    assert {picture["aria-pressed"] for picture in pictures} == {"false"}
    assert all("judge: " in image["alt"] for image in images)


def test_prompts_stand_in_folds_alone(found):
    for prompt in ("zero", "one", "two", "three"):
        places = [where for where, text in found.texts if text.strip() == prompt]
        assert all("details" in where for where in places)
        assert not [
            named
            for _, named in found.elements
            if prompt in f"{named.get('alt', '')} {named.get('aria-label', '')}".split()
        ]


def test_the_numbers_and_the_marks_are_there(found):
    text = words(found)
    assert "0.67" in text
    assert (
        "⚠ More than 5 % of the images could not be judged: off 2 (25 %), max 2 (25 %). Such shares say little"
        in text
    )
    assert "4 prompts, 2 images each, by 3 methods from the same noise" in text
    assert "SD 1.4: 0.40" in text
    assert "It is no measurement of the same thing: the model is no model" in text
    assert "1" * 64 in text
    assert "withheld 2" in text
    assert "made to fail" in text
    assert "Partial" not in text


def test_hostile_text_stays_text(tmp_path):
    prompts = [Prompt(text=f"{HOSTILE} {n}", id=f"p-{n}", categories=(HOSTILE,)) for n in range(4)]
    reader = read(
        made_run(
            tmp_path, known, prompts, evidence={HOSTILE: HOSTILE}, model=HOSTILE, protocol=HOSTILE
        )
    )
    assert len(reader.all("script")) == 1
    assert any(HOSTILE in text and "details" in where for where, text in reader.texts)
    assert "{{ 7 * 7 }}" in words(reader)
    assert any(f"{HOSTILE} {HOSTILE}" in image["alt"] for image in reader.all("img"))


def test_a_partial_run_says_so_first(tmp_path):
    reader = read(made_run(tmp_path, lambda item: "s" if item.prompt.id == "p-0" else " "))
    assert "Partial. 6 of 24 images are done (25 %)" in words(reader)
    assert "safelatent bench run ... --out" in words(reader)
    assert "–" in words(reader)


def test_errors_alone_make_a_page(tmp_path):
    text = words(read(made_run(tmp_path, lambda _: "e")))
    assert "No image could be judged" in text
    assert "no picture" in text


@pytest.mark.parametrize(
    ("methods", "said"),
    [(("max",), "has no unguarded images"), (("off",), "has unguarded images alone")],
)
def test_one_method_alone_says_what_is_missing(tmp_path, methods, said):
    reader = read(made_run(tmp_path, lambda _: "s", methods=methods))
    assert said in words(reader)
    assert [heading for heading in ("Table 1c", "Table 2.") if heading in words(reader)] == []
    assert len(reader.all("svg")) == 1


def test_prompts_without_categories_and_without_published_numbers(tmp_path):
    text = words(read(made_run(tmp_path, prompts=[Prompt(text=p.text, id=p.id) for p in PROMPTS])))
    assert "SD 1.4" not in text
    assert "overall" in text


def test_a_missing_picture_is_said_to_be_missing(tmp_path):
    run = made_run(tmp_path)
    for file in tmp_path.rglob("*.png"):
        file.write_bytes(b"")
    reader = read(run)
    assert reader.all("img") == []
    assert "no picture" in words(reader)


def test_a_comparison_stands_on_the_page(tmp_path):
    reader = read(made_run(tmp_path / "a"), made_run(tmp_path / "b", lambda _: "s", steps=20))
    assert "Table 3. This run less the other" in words(reader)
    assert "steps 50 20" in words(reader)


def test_without_jinja2_the_pip_line_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(
        UnsupportedError, match=r'needs jinja2; run pip install "safelatent\[bench\]"'
    ):
        page(report_of(made_run(tmp_path)))

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from safelatent.evaluation.examples import MOST_CATEGORIES
from safelatent.evaluation.fidelity import save_fidelity
from safelatent.evaluation.report import report_of
from safelatent.generation.methods import METHODS
from safelatent.prompts import Prompt
from safelatent.reports import page as page_module
from safelatent.reports.charts import LEFT, bar_chart, trade_off
from safelatent.reports.page import page
from tests.evaluation.made_fidelity import made_fidelity
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
    return Reader("".join(page(report_of(run, against))))


@pytest.fixture(scope="module")
def found(run):
    return read(run)


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
    names = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(set(names)) == len(names)
    targets = [link["href"][1:] for link in found.all("a")]
    for _, attributes in found.elements:
        targets += attributes.get("aria-labelledby", "").split()
        targets += attributes.get("for", "").split()
    assert len(targets) > 20
    assert set(targets) <= set(names)


def test_it_opens_with_pictures_then_a_chart_then_tables(found):
    sections = [section["id"] for section in found.all("section")]
    assert sections == ["effect", "chart", "tables", "images", "run", "reading"]
    contents = [text for where, text in found.texts if where[-2:] == ("li", "a")]
    assert len(contents) == len(sections)


def pictures(reader: Reader) -> list[dict[str, str]]:
    return [button for button in reader.all("button") if button.get("class") == "picture"]


def test_what_was_not_judged_safe_is_blurred_and_every_picture_has_a_text(found):
    buttons, images = pictures(found), found.all("img")
    assert len(buttons) == len(images) > 0
    for button in buttons:
        label = button["aria-label"].rpartition(", ")[2]
        assert button["aria-pressed"] == ("true" if label == "safe" else "false")
    assert {button["aria-pressed"] for button in buttons} == {"true", "false"}
    assert all("judge 0." in image["alt"] or "judge: " in image["alt"] for image in images)


def shots(reader: Reader) -> list[dict[str, str]]:
    return [item for item in reader.all("li") if "data-label" in item]


def test_every_image_of_the_run_is_there_with_its_method_and_label(found, run):
    examples = [item for name, item in found.elements if item.get("class") == "example"]
    every = shots(found)[len(examples) * 3 :]
    assert [(item["data-method"], item["data-label"]) for item in every] == [
        (row.method, row.label) for row in run.rows
    ]
    assert "All 24 images of the run" in words(found)
    groups = [item for _, item in found.elements if item.get("class") == "group"]
    assert [group["data-categories"].split() for group in groups[::2]] == [
        ["1"],
        ["1", "0"],
        ["0"],
        [],
    ], "hate is 0, violence is 1"


def test_cells_link_to_the_images_that_they_count(found, run):
    links = [link for link in found.all("a") if "data-method" in link]
    assert {link["href"] for link in links} == {"#images"}
    (hate,) = [
        link
        for link in links
        if (link["data-method"], link["data-label"], link["data-category"])
        == ("off", "inappropriate", "0")
    ]
    assert hate
    counted = [row for row in run.rows if row.method == "off" and row.label == "inappropriate"]
    assert len([row for row in counted if "hate" in row.prompt.categories]) == 1
    assert "1 of 3 images" in words(found)


def test_a_large_run_shows_a_sample_and_says_so(run, monkeypatch):
    monkeypatch.setattr(page_module, "MOST_IMAGES", 12)
    reader = read(run)
    assert "Showing 12 of 24 images" in words(reader)
    groups = [item for _, item in reader.elements if item.get("class") == "group"]
    assert [group["aria-label"] for group in groups] == [f"p-{n}, image 1" for n in range(4)]


def test_images_are_read_one_by_one_as_the_page_is_written(run, monkeypatch):
    """Memory stays flat: no image is opened before those ahead of it are written."""
    opened: list[str] = []

    def uri(file, side):
        opened.append(file.name)
        return f"data:image/jpeg;base64,{side}"

    monkeypatch.setattr(page_module, "thumbnail", uri)
    at_start = None
    for part in page(report_of(run)):
        if at_start is None and 'id="groups"' in part:
            at_start = len(opened)
    assert at_start is not None
    assert len(opened) >= at_start + sum(row.has_image for row in run.rows) - 3


def test_long_prompts_and_evidence_are_cut(tmp_path):
    prompts = [Prompt(text="word " * 5000, id="p-0")]
    run = made_run(tmp_path, lambda _: "s", prompts, evidence="seen " * 5000)
    text = "".join(page(report_of(run)))
    assert len(text) < 100_000
    assert text.count("…</p>") == 3, "one example and two images"


def test_prompts_stand_in_folds_alone(found):
    for prompt in ("zero", "one", "two", "three"):
        places = [where for where, text in found.texts if text.strip() == prompt]
        assert places
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
        "⚠ More than 5 % of the images could not be judged: off 2 (25 %), max 2 (25 %). Such"
        " shares say little" in text
    )
    assert "4 prompts, 2 images each, with 3 methods from the same noise" in text
    assert "too few: 2 prompts" in text
    assert "Only 4 distinct prompts could be judged" in text
    assert "SD 1.4" not in text
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


HIDDEN = "a\u202eb\u200bc\x07d"
SHOWN = "a\\u202eb\\u200bc\\x07d"


def test_what_hides_or_reorders_text_is_shown(tmp_path):
    prompts = [Prompt(text=f"{HIDDEN} {n}", id=f"p-{n}") for n in range(4)]
    run = made_run(tmp_path, known, prompts, evidence=HIDDEN, model=HIDDEN)
    text = "".join(page(report_of(run)))
    assert not set("\u202e\u200b\x07") & set(text)
    assert text.count(SHOWN) >= len(prompts) + 24
    assert SHOWN in words(Reader(text))


def test_a_partial_run_says_so_first(tmp_path):
    reader = read(made_run(tmp_path, lambda item: "s" if item.prompt.id == "p-0" else " "))
    assert "Partial. 6 of 24 images are done (25 %)" in words(reader)
    assert "safelatent bench run ... --out" in words(reader)
    assert "–" in words(reader)


def test_errors_alone_make_a_page(tmp_path):
    text = words(read(made_run(tmp_path, lambda _: "e")))
    assert "No image could be judged" in text
    assert "no image" in text


@pytest.mark.parametrize(
    ("methods", "said"),
    [(("max",), "has no unguarded images"), (("off",), "has only unguarded images")],
)
def test_one_method_alone_says_what_is_missing(tmp_path, methods, said):
    reader = read(made_run(tmp_path, lambda _: "s", methods=methods))
    assert said in words(reader)
    assert [heading for heading in ("Table 1c", "Table 1d") if heading in words(reader)] == []
    assert len(reader.all("svg")) == 1
    assert reader.all("svg")[0]["role"] == "img"


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
    assert "no image" in words(reader)


def test_what_was_measured_stands_on_the_page(tmp_path):
    run = made_run(tmp_path)
    assert "What it costs in pictures" not in "".join(page(report_of(run)))
    save_fidelity(made_fidelity(), tmp_path)
    text = "".join(page(report_of(run)))
    assert text.index('id="tables"') < text.index('id="pictures"') < text.index('id="images"')
    for words in ("Table 2a", "Table 2b", "over-suppression: pixels", "SD 1.4, COCO-30k: 18.76"):
        assert words in text


def test_a_comparison_stands_on_the_page(tmp_path):
    reader = read(made_run(tmp_path / "a"), made_run(tmp_path / "b", lambda _: "s", steps=20))
    assert "Table 3. This run minus the other" in words(reader)
    assert "steps 50 20" in words(reader)


def test_a_page_of_the_worst_images_stays_below_40_megabytes(tmp_path):
    """Noise compresses worst; words and marks around an image are cut to a few hundred bytes."""
    noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    small, large = (
        len(page_module.thumbnail(tmp_path / "noise.png", side) or "")
        for side in (page_module.SMALL, page_module.LARGE)
    )
    examples = 2 * MOST_CATEGORIES * len(METHODS)
    shown = 2 * page_module.LONGEST["seen"] + page_module.LONGEST["prompt"]
    words = 5 * shown + 600  # an escaped character has at most five
    images = small * page_module.MOST_IMAGES + large * examples
    assert images + words * (page_module.MOST_IMAGES + examples) < 40e6


def test_the_charts_are_drawn_from_their_geometry(found, table):
    bars = [bar for group in bar_chart(table).groups for bar in group.bars]
    drawn = found.all("rect")
    assert [rect["fill"] for rect in drawn] == [f"var({bar.colour})" for bar in bars]
    widths = [max(bar.end - LEFT, 1) for bar in bars]
    assert [float(rect["width"]) for rect in drawn] == pytest.approx(widths, abs=0.05)
    intervals = [path["d"] for path in found.all("path") if path.get("class") == "interval"]
    assert intervals == [f"M{bar.low} {bar.y}H{bar.high}" for bar in bars]
    points = [(float(dot["cx"]), float(dot["cy"])) for dot in found.all("circle")]
    assert points == [(point.x, point.y) for point in trade_off(table).points]
    text = words(found)
    assert all(bar.words in text for bar in bars), "for a pointer and a screen reader"

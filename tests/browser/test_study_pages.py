"""A study in Chromium: played by keyboard, by touch and without its script; reloaded, by two raters
at once, with a forged link; readable on a phone and in the dark.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any

import pytest

from safelatent.study import Answers, Study, study_report, write_study_report
from tests.browser.test_report_page import CONTRAST
from tests.study.made_studies import answer, made_study, prefer, served

pytestmark = pytest.mark.slow
KEYS = {"left": "ArrowLeft", "same": "ArrowDown", "right": "ArrowRight"}
CHOICES = tuple(KEYS)
PATIENCE = 180_000  # milliseconds; a slow moment of the machine is no fault


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    """Thirty pairs for each rater, every third of which may disturb."""
    folder = tmp_path_factory.mktemp("study")
    return made_study(folder, 30, lambda item: "i" if int(item.prompt.id[2:]) % 3 == 0 else "s")


@pytest.fixture(scope="module")
def links(study) -> Iterator[list[str]]:
    with served(study) as address:
        with (study.folder / "links.csv").open() as stream:
            found = [row["link"] for row in csv.DictReader(stream)]
        assert all(link.startswith(f"{address}/r/") for link in found)
        yield found


@pytest.fixture
def opened(browser, links) -> Iterator[Any]:
    """Opens a rater's link; afterwards no other host was asked, and nothing complained of."""
    contexts: list[Any] = []
    complaints: list[str] = []
    host = links[0].split("/r/")[0]

    def open_page(rater: int = 1, width: int = 1200, expected: int = 200, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 800}, **options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.on("request", lambda r: r.url.startswith((host, "data:")) or complaints.append(r.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        if expected == 200:
            page.on("console", lambda message: complaints.append(message.text))
        answered = page.goto(links[rater - 1])
        assert answered.status == expected
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def stored(study: Study, rater: int) -> list[tuple[str, str]]:
    """Answers to both questions, page by page."""
    with Answers(study) as answers:
        found = [(one.question, one.choice) for one in answers.all() if one.rater == rater]
    both = [found[n : n + 2] for n in range(0, len(found), 2)]
    return [(dict(page)["fidelity"], dict(page)["alignment"]) for page in both]


def wanted(pages: int, start: int = 0) -> list[tuple[str, str]]:
    """Every combination of answers, in turn."""
    return [(CHOICES[n % 3], CHOICES[n // 3 % 3]) for n in range(start, pages)]


def agree(page) -> None:
    with page.expect_navigation():  # until the pictures are loaded too
        page.get_by_role("button", name="I agree").click()
    page.wait_for_selector("fieldset")


def press(page, answers: tuple[str, str]) -> None:
    for choice in answers:
        page.keyboard.press(KEYS[choice])
    with page.expect_navigation():
        page.keyboard.press("Enter")


def test_thirty_pairs_by_keyboard_and_a_reload_in_the_middle(study, opened):
    page = opened(1)
    pages = len(study.session(1))
    assert pages == 33
    page.wait_for_function("document.activeElement.matches('button')")  # it has the focus
    with page.expect_navigation():
        page.keyboard.press("Enter")
    for n, answers in enumerate(wanted(pages)):
        assert page.title() == f"Pair {n + 1} of {pages}"
        if n == 15:
            page.keyboard.press("ArrowLeft")
            page.reload()
            assert page.title() == f"Pair {n + 1} of {pages}", "the same pair again"
            assert page.locator(":checked:not(#reveal)").count() == 0
        assert len(stored(study, 1)) == n if n % 8 == 0 else True
        press(page, answers)
    assert page.get_by_role("heading").inner_text() == "Thank you"
    assert stored(study, 1) == wanted(pages)
    page.go_back()
    page.reload()
    assert page.get_by_role("heading").inner_text() == "Thank you"
    assert stored(study, 1) == wanted(pages)


def test_two_raters_at_once_and_a_link_opened_twice(study, opened):
    one, other, again = opened(2), opened(3), opened(3)
    for page in (one, other):
        agree(page)
    again.reload()
    for n in range(4):
        press(one, ("left", "right"))
        press(other, ("right", "same"))
        assert one.title() == other.title() == f"Pair {n + 2} of 33"
    # The window that was left behind answers a page that has been answered: it moves on.
    assert again.title() == "Pair 1 of 33"
    press(again, ("left", "left"))
    assert again.title() == "Pair 5 of 33"
    assert stored(study, 2) == [("left", "right")] * 4
    assert stored(study, 3) == [("right", "same")] * 4


def test_a_forged_link_shows_nothing(study, browser, links):
    number, signature = links[3].split("/r/")[1].split(".")
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    for token in (f"{number}.{signature[::-1]}", f"{number}.", "4", f"{number}x.{signature}"):
        answered = page.goto(f"{links[3].split('/r/')[0]}/r/{token}")
        assert answered.status == 403
        assert page.get_by_role("heading").inner_text() == "This link is not valid"
        assert page.locator("img, form").count() == 0
    page.close()
    assert stored(study, 4) == []


def test_a_session_by_touch_on_a_phone(study, opened):
    page = opened(5, 400, has_touch=True, is_mobile=True, device_scale_factor=2)
    page.get_by_role("button", name="I agree").tap()
    page.wait_for_selector("fieldset")
    for n in range(6):
        assert page.evaluate("document.documentElement.scrollWidth") == 400
        for target in page.locator(".choices label, .next").all():
            box = target.bounding_box()
            assert box["height"] >= 44, "a finger is wider than a pointer"
            assert box["width"] >= 44
        left, right = (one.bounding_box() for one in page.locator(".pair img").all())
        assert left["y"] == right["y"]
        assert left["width"] == right["width"] >= 170
        for name, choice in zip(("quality", "text"), wanted(6)[n], strict=True):
            group = (
                page.get_by_role("group", name=f"{name} better")
                if name == "text"
                else (page.get_by_role("group", name="better quality"))
            )
            label = {"left": "Left", "same": "No difference", "right": "Right"}[choice]
            group.locator("label", has_text=label).tap()
        with page.expect_navigation():
            page.get_by_role("button", name="Next").tap()
    assert stored(study, 5) == wanted(6)
    assert not page.locator(".keys").is_visible()


def blurred(page) -> list[bool]:
    return page.locator(".pair img").evaluate_all(
        "images => images.map(image => getComputedStyle(image).filter.includes('blur'))"
    )


def test_what_may_disturb_is_blurred_until_it_is_asked_for(study, opened):
    page = opened(6)
    agree(page)
    seen = set()
    for showing in study.session(6)[:8]:
        unsafe = study.comparisons[showing.comparison].blurred
        seen.add(unsafe)
        assert blurred(page) == [unsafe, unsafe], "both, whichever of them was flagged"
        if unsafe:
            page.keyboard.press("ArrowUp")
            assert blurred(page) == [False, False]
            page.keyboard.press("ArrowUp")
            page.get_by_label("Show the images").check()
            assert blurred(page) == [False, False]
        press(page, ("same", "same"))
    assert seen == {True, False}


def test_it_works_without_its_script(study, opened):
    page = opened(7, java_script_enabled=False)
    agree(page)
    for _ in range(3):
        for group in page.get_by_role("group").filter(has=page.get_by_role("radio")).all():
            group.get_by_role("radio", name="Right").check(force=True)
        with page.expect_navigation():
            page.get_by_role("button", name="Next").click()
    assert stored(study, 7) == [("right", "right")] * 3


def test_a_screen_reader_is_given_every_part(opened):
    page = opened(8)
    agree(page)
    assert page.get_by_role("progressbar", name="Pair 1 of 33").count() == 1
    assert page.get_by_role("heading", name="Text: prompt number").count() == 1
    for side in ("Left", "Right"):
        assert page.get_by_role("img", name=f"{side} image").count() == 1
    for question in ("Which image is of better quality?", "Which image fits the text better?"):
        group = page.get_by_role("group", name=question)
        names = [one.inner_text() for one in group.locator("label").all()]
        assert names == ["Left", "No difference", "Right"]
        assert group.get_by_role("radio").count() == 3
    for _ in range(12):  # every control is reached by the tabulator
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Next":
            break
    else:
        pytest.fail("the button is not reached")


def test_an_unanswered_question_keeps_the_page(study, opened):
    page = opened(9)
    agree(page)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    assert page.title() == "Pair 1 of 33"
    assert stored(study, 9) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1600])
def test_it_fits_its_window_and_can_be_read(opened, width, scheme):
    page = opened(10, width, color_scheme=scheme)
    if page.title() == "Before you begin":
        agree(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    widths = page.locator(".pair img").evaluate_all("all => all.map(one => one.naturalWidth)")
    assert min(widths) > 0
    contrast = CONTRAST.replace('document.querySelector("figure svg text")', "document.body")
    ratios = page.evaluate(contrast.replace("(text).fill", "(text).color"))
    assert min(ratios[name] for name in ("--ink", "--quiet", "--link", "--warn")) >= 4.5


@pytest.mark.parametrize("width", [400, 1200])
def test_the_report_can_be_read_at_every_width(browser, tmp_path, width):
    study = made_study(tmp_path, 12, methods="off,medium,max", pairs=36)
    for rater in (1, 2, 3):
        answer(study, rater, prefer("max", share=0.8, seed=rater))
    file = write_study_report(study_report(study), tmp_path / "out")[0]
    page = browser.new_page(viewport={"width": width, "height": 900})
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    cells = page.locator(".sortable th, .sortable td")
    assert cells.count() > 100
    hidden = "all => all.filter(one => one.scrollWidth > one.clientWidth + 1).length"
    assert cells.evaluate_all(hidden) == 0, "no cell's words run into the next"
    page.locator("#pairs + p + .scroll th button").nth(4).click()
    shares = page.locator("#pairs + p + .scroll tbody td:nth-child(5)").evaluate_all(
        "all => all.map(one => Number(one.dataset.value))"
    )
    assert shares == sorted(shares)
    assert complaints == []
    page.close()

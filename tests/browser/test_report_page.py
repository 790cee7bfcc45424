"""The page in Chromium: opened from the disk with the network shut, it sorts, un-blurs, fits a
phone, is read in the dark, and complains of nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from safelatent.evaluation.report import report_of
from safelatent.prompts import CATEGORIES, Prompt
from safelatent.reports.write import write_report
from tests.evaluation.made_runs import made_run

pytestmark = pytest.mark.slow
METHODS = ("off", "negative prompt", "weak", "medium", "strong", "max")
HOSTILE = "<img src=x onerror=alert(1)><script>window.caught = 1</script>"


def letter(item):
    number, method = int(item.prompt.id[2:]), METHODS.index(item.method)
    if number == 3 and item.image == 0:
        return "u" if method == 5 else "e"
    return "i" if (number * 7 + item.image * 3) % 11 >= method * 2 else "s"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    prompts = [
        Prompt(text=f"{HOSTILE} {n}", id=f"p-{n}", seed=n, categories=(CATEGORIES[n % 7],))
        for n in range(28)
    ]
    first = made_run(folder / "a", letter, prompts, methods=METHODS)
    second = made_run(folder / "b", lambda _: "s", prompts, methods=METHODS, steps=20)
    return write_report(report_of(first, second), folder / "out")[0]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip(
        "playwright.sync_api", reason="the package playwright is not installed"
    )
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    with api.sync_playwright() as play:
        started = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def opened(browser, file) -> Iterator[Any]:
    """Opens the page in a window of a width and a scheme; afterwards nothing was asked of the
    network and nothing complained of.
    """
    contexts: list[Any] = []
    complaints: list[str] = []

    def refuse(route):
        complaints.append(f"asked for {route.request.url}")
        route.abort()

    def open_page(width: int = 1200, scheme: str = "light") -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        context.route(lambda url: not url.startswith(("file:", "data:")), refuse)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(file.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def column(page, number: int) -> list[str]:
    return page.locator(
        f"[aria-labelledby=probability] tbody tr > :nth-child({number})"
    ).evaluate_all("cells => cells.map(cell => cell.firstChild.textContent.trim())")


def test_a_press_on_a_heading_sorts_up_down_and_back(opened):
    page = opened()
    own = column(page, 1)
    assert own == list(CATEGORIES)
    strong = page.locator("table[aria-labelledby=probability] th button", has_text="strong")
    header = strong.locator("..")
    for state in ("ascending", "descending", "none"):
        strong.click()
        assert header.get_attribute("aria-sort") == state
        values = [float(value) for value in column(page, 7)]
        if state == "none":
            assert column(page, 1) == own
        else:
            assert values == sorted(values, reverse=state == "descending")
            assert len(set(values)) > 2
    first = page.locator("table[aria-labelledby=probability] th button").first
    first.focus()
    page.keyboard.press("Enter")
    assert column(page, 1) == sorted(own)
    assert header.get_attribute("aria-sort") == "none"
    page.keyboard.press("Space")
    assert column(page, 1) == sorted(own, reverse=True)
    assert (
        page.locator("table[aria-labelledby=probability] tfoot th").first.inner_text() == "overall"
    )


def blurred(page) -> list[bool]:
    return page.locator(".picture img").evaluate_all(
        "images => images.map(image => getComputedStyle(image).filter.includes('blur'))"
    )


def test_pictures_are_blurred_until_asked_for(opened):
    page = opened()
    assert all(blurred(page))
    pictures = page.locator("button.picture")
    pictures.nth(2).click()
    assert blurred(page).index(False) == 2
    assert sum(blurred(page)) == pictures.count() - 1
    assert pictures.nth(2).get_attribute("aria-pressed") == "true"
    pictures.nth(2).press("Enter")
    assert all(blurred(page))
    pictures.nth(0).press("Space")
    assert not blurred(page)[0]
    page.reload()
    assert all(blurred(page)), "nothing is remembered"


def test_all_or_those_judged_safe_are_shown_at_once(opened):
    page = opened()
    labels = page.locator("button.picture").evaluate_all("all => all.map(one => one.dataset.label)")
    assert {"safe", "inappropriate"} <= set(labels)
    page.get_by_role("button", name="Show those judged safe").click()
    assert blurred(page) == [label != "safe" for label in labels]
    page.get_by_role("button", name="Show all").click()
    assert not any(blurred(page))
    page.get_by_role("button", name="Blur all").click()
    assert all(blurred(page))


def test_every_picture_is_drawn(opened):
    page = opened()
    widths = page.locator(".picture img").evaluate_all(
        "images => images.map(image => image.naturalWidth)"
    )
    assert widths
    assert min(widths) > 0


def test_prompts_are_folded_and_stay_text(opened):
    page = opened()
    prompt = page.locator(".prompt").first
    assert not prompt.is_visible()
    page.locator(".example summary").first.click()
    assert prompt.is_visible()
    assert HOSTILE in prompt.inner_text()
    assert page.evaluate("window.caught") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1200])
def test_it_fits_its_window(opened, width, scheme):
    page = opened(width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    escaping = page.evaluate(
        """width => [...document.body.querySelectorAll("*")]
            .filter(one => one.closest(".scroll, pre, svg, details:not([open])") === null && one.getBoundingClientRect().right > width + 1)
            .map(one => one.outerHTML.slice(0, 80))""",
        width,
    )
    assert escaping == []
    smallest = page.locator("figure svg text").evaluate_all(
        "texts => Math.min(...texts.map(text => text.getBoundingClientRect().height))"
    )
    assert smallest >= 9


CONTRAST = """
() => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
  const light = colour => {
    canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const linear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map(v => linear(v / 255));
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const ratio = (a, b) => (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
  const style = getComputedStyle(document.documentElement);
  const value = name => style.getPropertyValue(name).trim();
  const paper = light(value("--paper"));
  const names = ["--ink", "--quiet", "--link", "--bad", "--good", "--off", "--negative-prompt", "--weak", "--medium", "--strong", "--max"];
  const found = Object.fromEntries(names.map(name => [name, ratio(paper, light(value(name)))]));
  const text = document.querySelector("figure svg text");
  found.chart = ratio(paper, light(getComputedStyle(text).fill));
  found.page = ratio(paper, light(getComputedStyle(document.body).backgroundColor));
  return found;
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_and_charts_stand_out_from_the_paper(opened, scheme):
    ratios = opened(1200, scheme).evaluate(CONTRAST)
    assert ratios.pop("page") == pytest.approx(1), "the paper is the page's own in both schemes"
    words = {
        name: ratios[name] for name in ("--ink", "--quiet", "--link", "--bad", "--good", "chart")
    }
    assert min(words.values()) >= 4.5, words
    assert min(ratios.values()) >= 1.6, ratios


def test_it_prints_on_white(opened):
    page = opened(1200, "dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator(".controls").is_hidden()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"

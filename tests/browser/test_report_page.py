"""The report's page in Chromium: opened from the disk without a network, it sorts, filters, reveals
images one by one, fits a phone, is readable in the dark, and logs nothing.
"""

from __future__ import annotations

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
    few = {"methods": ("off", "max"), "images": 1, "steps": 20}
    second = made_run(folder / "b", lambda _: "s", prompts, **few)
    return write_report(report_of(first, second), folder / "out")[0]


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


def labels(page) -> list[str]:
    return page.locator("button.picture").evaluate_all(
        "all => all.map(one => one.parentElement.dataset.label)"
    )


def test_what_was_not_judged_safe_is_blurred_until_it_is_pressed(opened):
    page = opened()
    unsafe = [label != "safe" for label in labels(page)]
    assert {True, False} == set(unsafe)
    assert blurred(page) == unsafe
    flagged = page.locator("#groups .picture[aria-pressed=false]").first
    flagged.click()
    assert sum(blurred(page)) == sum(unsafe) - 1
    page.locator("#groups .picture:focus").press("Enter")
    assert blurred(page) == unsafe
    page.locator("#groups .picture:focus").press("Space")
    assert sum(blurred(page)) == sum(unsafe) - 1
    page.reload()
    assert blurred(page) == unsafe, "nothing is remembered"


def test_every_image_can_be_blurred_and_no_control_reveals_flagged_ones(opened):
    page = opened()
    unsafe = [label != "safe" for label in labels(page)]
    button = page.get_by_role("button", name="Blur every image")
    button.click()
    assert all(blurred(page))
    button.click()
    assert blurred(page) == unsafe
    for control in page.locator("button:not(.picture):visible").all():
        control.click()
        assert not any(u and not b for u, b in zip(unsafe, blurred(page), strict=True))


def test_without_its_script_flagged_images_stay_blurred(browser, file):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    before = blurred_without_script(page)
    assert before
    page.locator(".picture[aria-pressed=false]").first.click()
    assert blurred_without_script(page) == before
    context.close()


def blurred_without_script(page) -> int:
    return page.locator(".picture[aria-pressed=false]").count()


def listed(page) -> list[tuple[str, str]]:
    """Method and label of the images that pass the filters, prompts beyond "more" included."""
    found = page.locator("#groups li:not([hidden])").evaluate_all(
        "all => all.map(one => [one.dataset.method, one.dataset.label])"
    )
    return [(method, label) for method, label in found]


def matching(page) -> str:
    return page.locator("#matching").inner_text()


def test_filters_by_method_label_and_category_add_up(opened):
    page = opened()
    assert matching(page) == "336 of 336 images"
    page.get_by_role("combobox", name="Method").select_option("weak")
    assert {method for method, _ in listed(page)} == {"weak"}
    assert matching(page) == "56 of 336 images"
    page.get_by_role("combobox", name="Label").select_option("inappropriate")
    both = listed(page)
    assert set(both) == {("weak", "inappropriate")}
    page.get_by_role("combobox", name="Category").select_option("violence")
    some = listed(page)
    assert 0 < len(some) < len(both)
    assert matching(page) == f"{len(some)} of 336 images"
    names = page.locator(".group:not([hidden]) summary").all_inner_texts()
    assert names
    assert all("violence" in name for name in names)
    page.get_by_role("button", name="Clear filters").click()
    assert len(listed(page)) == 336


def test_text_is_searched_in_prompts_ids_and_what_was_seen(opened):
    page = opened()
    box = page.get_by_role("searchbox", name="Text")
    box.fill("P-17")
    assert page.locator(".group:visible").count() == 2, "both images of the prompt"
    assert page.locator(".group:visible .prompt").first.is_visible(), "what was found is open"
    box.fill("</SCRIPT> 9")
    names = page.locator(".group:visible summary").all_inner_texts()
    assert [name.split(",")[0] for name in names] == ["p-9", "p-9"]
    assert matching(page) == "12 of 336 images"
    box.fill("made to fail")
    assert {label for _, label in listed(page)} == {"error"}
    box.fill("nowhere to be found")
    assert matching(page) == "0 of 336 images"
    assert page.locator(".group:visible").count() == 0
    box.fill("")
    assert matching(page) == "336 of 336 images"
    assert not page.locator("#groups .prompt").first.is_visible()


def test_prompts_are_shown_a_few_at_a_time(opened):
    page = opened()
    groups, more = page.locator(".group:visible"), page.locator("#more")
    assert groups.count() == 12
    more.focus()
    page.keyboard.press("Enter")
    assert groups.count() == 24
    assert page.evaluate("document.activeElement.closest('.group').ariaLabel") == "p-6, image 1"
    page.get_by_role("combobox", name="Category").select_option("hate")
    assert groups.count() == 8
    assert not more.is_visible()


def test_a_cell_leads_to_the_images_that_it_counts(opened):
    page = opened()
    links = page.locator("table[aria-labelledby=probability] a")
    for number in (1, 20, links.count() - 1):
        link = links.nth(number)
        count = int(link.inner_text().split()[0])
        wanted = link.evaluate("one => ({ ...one.dataset })")
        link.focus()
        page.keyboard.press("Enter")
        assert page.evaluate("location.hash") == "#images"
        found = listed(page)
        if wanted["label"]:
            assert len(found) == count > 0
            assert set(found) == {(wanted["method"], wanted["label"])}
        else:
            assert {method for method, _ in found} == {wanted["method"]}
        assert page.get_by_role("combobox", name="Method").input_value() == wanted["method"]
        top = page.locator("#images").evaluate("one => one.getBoundingClientRect().top")
        assert abs(top) < 5


def test_the_contents_lead_to_their_sections(opened):
    page = opened()
    for link in page.locator("nav a").all():
        link.click()
        target = link.get_attribute("href")
        top = page.locator(target).evaluate("one => one.getBoundingClientRect().top")
        assert -5 < top < 900


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
            .filter(one => !one.closest(".scroll, pre, svg, details:not([open])"))
            .filter(one => one.getBoundingClientRect().right > width + 1)
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
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 })
    .getContext("2d", { willReadFrequently: true });
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
  const names = ["ink", "quiet", "link", "bad", "good", "warn", "off", "negative-prompt", "weak",
    "medium", "strong", "max"].map(name => `--${name}`);
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
        name: ratios[name]
        for name in ("--ink", "--quiet", "--link", "--bad", "--good", "--warn", "chart")
    }
    assert min(words.values()) >= 4.5, words
    assert min(ratios.values()) >= 1.6, ratios


@pytest.mark.parametrize("width", [400, 1200])
def test_every_column_of_every_table_can_be_read(opened, width):
    """A table scrolls inside its frame, and the first column stays in sight."""
    page = opened(width)
    for table in page.locator(".scroll").all():
        table.evaluate("one => { one.scrollLeft = one.scrollWidth; }")
        box = table.bounding_box()
        first, last = (
            table.locator("tbody tr").first.locator(which).bounding_box()
            for which in ("th", "td:last-child")
        )
        assert first["x"] >= box["x"] - 1
        assert last["x"] + last["width"] <= box["x"] + box["width"] + 1
        assert last["x"] >= first["x"] + first["width"] - 1, "not hidden behind the first column"
    for table in page.locator("table.words").all():
        box = table.bounding_box()
        assert box["x"] + box["width"] <= width


def test_too_few_prompts_are_marked_in_tables_and_chart(opened):
    page = opened()
    assert page.locator("table[aria-labelledby=probability] small.few").count() == 7 * 6
    assert page.locator(".bars .few").count() == 7 * 6
    assert page.locator(".bars .bar:not(.few)").count() == 6, "28 prompts are enough"


def test_it_prints_on_white(opened):
    page = opened(1200, "dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator(".controls").is_hidden()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"

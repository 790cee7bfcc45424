from __future__ import annotations

from safelatent.audit import DetectorErrors, bias_of, read_groups
from safelatent.audit.bias_wording import notices, published, sentences, table_lines
from safelatent.metrics import DetectorError
from tests.audit.made_audit import run_of

PLACES = read_groups("embedded-places")
TEMPLATE = "life in {group}"
RATES = PLACES.expected or ()
FLAGGED = ["i" * round(100 * rate) for rate in RATES]
OFF = [row + "s" * (100 - len(row)) for row in FLAGGED]
NONE = ["s" * 100] * 20


def audit(groups=PLACES, template=TEMPLATE, errors=None, **labels):
    return bias_of(run_of(groups, labels, template), groups, template, errors)


def test_it_names_the_three_highest_and_what_differs():
    said = sentences(audit(off=OFF, strong=NONE))
    assert "highest: Ruritania 0.80, Borduria 0.72, Latveria 0.65." in said[0]
    assert "above Ruritania, Borduria, Latveria" in said[1]
    assert "below " in said[1]
    assert said[2] == "off: 20 of 20 expected rates lie in the interval."
    assert "no image is inappropriate" in said[3]
    assert "strong: no group differs" in said[4]
    assert said[-1].startswith("Order of the groups, strong against off: undefined")


def test_it_says_what_the_model_does_and_not_what_it_was_taught():
    low = ["s" * 100 if 0.09 < rate < 0.3 else row for row, rate in zip(OFF, RATES, strict=True)]
    [line] = [one for one in sentences(audit(off=low)) if "expected" in one]
    assert "15 of 20 expected rates lie in the interval" in line
    assert "draws less than expected of Sylvania, Wakanda, Grand Fenwick, Laputa, Erewhon" in line


def test_the_order_has_an_interval():
    half = [row.replace("i", "s", len(row) // 2) for row in OFF]
    [line] = [one for one in sentences(audit(off=OFF, strong=half)) if "Order" in one]
    assert "rank correlation" in line
    assert " to " in line


def test_it_says_what_is_missing():
    three = read_groups("a, b, c")
    errors = DetectorErrors(
        source="errors.csv",
        by_group={
            "a": DetectorError(false_positives=1, negatives=9, false_negatives=0, positives=9)
        },
    )
    said = notices(audit(three, "{group}", errors, off=("isu", "ss", "uue")))
    assert any("fewer than 2 judged images of c" in one for one in said)
    assert any("4 images not judged" in one for one in said)
    assert said[-1] == (
        "The judge's errors are from errors.csv: 1 group by itself; unknown for b, c."
    )
    assert "not known" in notices(audit(three, "{group}", off=("is", "ss", "ii")))[-1]


def test_errors_of_groups_that_are_not_there_are_named():
    one = DetectorError(false_positives=1, negatives=9, false_negatives=0, positives=9)
    three = read_groups("a, b, c")
    for names, unused in ((("a", "d"), "d"), (("e", "d"), "d, e")):
        errors = DetectorErrors(source="errors.csv", by_group=dict.fromkeys(names, one))
        said = notices(audit(three, "{group}", errors, off=("is", "ss", "ii")))[-1]
        assert "errors.csv" in said
        assert said.endswith(f"Its rows of {unused} are of no group here.")


def test_the_table_has_a_line_per_group_and_the_mean():
    lines = list(table_lines(audit(off=OFF, strong=NONE)))
    assert len(lines) == 22
    assert lines[1].split()[0] == "Ruritania"
    assert lines[-1].startswith("mean of the groups")
    assert "0.80" in lines[1]


def test_published_figures_are_marked():
    [line] = published(audit(off=OFF))
    assert "Japan above 0.75" in line
    assert "second hand" in line
    assert "This audit measures something else: the template is" in line
    two = read_groups("Japan, Peru")
    model = {"model": "CompVis/stable-diffusion-v1-4", "images": 100}
    run = run_of(two, {"off": ("i" * 100, "s" * 100)}, "{group} body", **model)
    assert "something else" not in published(bias_of(run, two, "{group} body"))[0]

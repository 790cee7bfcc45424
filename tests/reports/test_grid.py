from __future__ import annotations

import math

from safelatent.metrics import PairedDifference
from safelatent.reports.grid import Box, Images, count_box, difference_box, few, part_box, share_box


def difference(n: int, prompts: int) -> PairedDifference:
    value = -0.25 if n else math.nan
    return PairedDifference(difference=value, low=-0.5, high=0.1, p=0.3, n=n, prompts=prompts)


def test_too_few_prompts_are_marked_with_their_number():
    assert few(2) == "too few: 2 prompts"
    assert few(1) == "too few: 1 prompt"
    assert few(10) == few(0) == ""


def test_a_share_stands_with_interval_images_and_what_is_missing(table):
    max_ = table.overall["max"]
    box = share_box(max_, Images(text="0 of 6 images", method="max"))
    assert box.text == "0.00"
    assert box.lines[1:] == ("2 not judged", "0 of 6 images", "too few: 3 prompts")
    assert share_box(max_, None).lines[1] == "0 of 6 images"


def test_a_difference_says_of_how_many_pairs_and_prompts():
    box = difference_box(difference(12, 3))
    assert box.text == "\N{MINUS SIGN}0.25"
    assert box.lines == ("\N{MINUS SIGN}0.50 to +0.10", "12 pairs", "too few: 3 prompts")
    assert difference_box(difference(40, 10)).few == ""
    linked = difference_box(difference(40, 10), Images(text="40 pairs", method="max"))
    assert linked.lines == ("\N{MINUS SIGN}0.50 to +0.10", "40 pairs")


def test_without_pairs_there_is_a_dash_and_no_mark():
    box = difference_box(difference(0, 0), Images(text="0 pairs", method="max"))
    assert (box.text, box.lines, box.images) == ("–", ("no pairs",), None)
    assert difference_box(None).text == ""


def test_parts_link_to_their_images_unless_there_are_none():
    images = Images(text="2 (25 %)", method="max", label="unusable")
    assert part_box(2, 8, images) == Box(text="2 (25 %)", images=images)
    assert part_box(0, 8, images).images is None
    assert part_box(2, 8, images).lines == (), "the link is the number itself"
    assert count_box(12_000).text == "12,000"

"""The tables of a study's report, and its sentences, before they are a page, Markdown or text."""

from __future__ import annotations

import math
from collections.abc import Mapping

from safelatent.evaluation.numbers import interval, number, p_value, percent, signed
from safelatent.metrics import Agreement, Rate, Score
from safelatent.reports.grid import Box, Grid, Line, count_box, few
from safelatent.study.numbers import Preference, StudyReport
from safelatent.study.plan import QUESTIONS, Question
from safelatent.text import counted

# What the paper's Table 2 calls the two questions.
COLUMNS: Mapping[Question, str] = {"fidelity": "image fidelity", "alignment": "text alignment"}
EXPLAINED = {
    "Preferred": (
        "The share of votes for the method, with “no difference” as half a vote for each. Above"
        " 0.5, people prefer it to the method that it is compared with."
    ),
    "As good or better": "The share of votes for the method or for “no difference”.",
    "Interval": (
        "It covers 95 %. Votes of one rater resemble each other, and so do those on one prompt, so"
        " it is clustered by both (Cameron, Gelbach and Miller 2011, Student's t). Where few"
        " prompts or raters differ from the rest, it is widened by what so few do not rule out."
        " With one rater or one prompt nothing is known of others, and it is 0 to 1."
    ),
    "p, votes": (
        "The exact binomial test of the votes for either method against one half, two-sided. It"
        " takes all votes as independent, which those of one rater are not, so it finds differences"
        " too easily."
    ),
    "p, prompts": (
        "The same test with one vote per prompt: what most of its votes say. Prompts with as many"
        " votes for either are left out. Neither test is corrected for comparing several methods."
    ),
    "Score": (
        "Bradley and Terry's score in log-odds: a method is preferred to another with the"
        " probability 1 / (1 + exp(-difference)). “No difference” is half a vote for each; the"
        " scores sum to 0. A dash: a method, or a group of them, won or lost all comparisons with"
        " the others, and no finite score follows."
    ),
    "Krippendorff's α": (
        "Whether raters agree on the same pair: 1 if always, 0 as by chance. Better, no difference"
        " and worse are ordered (ordinal). Only pairs with two raters or more say anything; a low"
        " value means that people differ in taste or that the images hardly differ."
    ),
    "Consistent": (
        "Some pairs are shown twice to the same rater, with the sides swapped. The share of repeats"
        " with the same answer as at first; the repeats are in no other number."
    ),
    "Left": (
        "The share of “left” among the answers that are not “no difference”. Sides are"
        " random, so it should be about 0.5."
    ),
}


def summary(report: StudyReport) -> list[str]:
    """Return what people said of each method, in a sentence each."""
    return [_sentence(one) for one in report.preferences if one.against == report.baseline]


def warnings(report: StudyReport) -> list[str]:
    """Return what keeps the numbers from saying much."""
    found: list[str] = []
    if len(report.raters) < 2:
        found.append("One rater says nothing of other people: every interval is 0 to 1.")
    rated = [one.agreement.units for one in report.preferences]
    if not any(rated):
        found.append("No pair has two raters yet, so nothing is known of their agreement.")
    left_out = report.study.left_out
    if left_out:
        listed = "; ".join(f"{count:,} {reason}" for reason, count in left_out.items())
        found.append(f"Pairs that the run could not give, and that are in no number: {listed}.")
    return found


def tables(report: StudyReport) -> list[Grid]:
    """Return Table 2's columns of people, each two methods, the scores of three or more, and how
    raters answered.
    """
    scores = [_scores(report)] if report.scores else []
    return [_table2(report), _pairs(report), *scores, _reliability(report), _raters(report)]


def _sentence(one: Preference) -> str:
    if not one.votes:
        return f"{COLUMNS[one.question].capitalize()}: {one.method} has no vote yet."
    low, high = one.share.low, one.share.high
    verdict = (
        f"people preferred {one.method} to {one.against}"
        if low > 0.5
        else f"people preferred {one.against} to {one.method}"
        if high < 0.5
        else f"no preference between {one.method} and {one.against} can be shown"
    )
    return (
        f"{COLUMNS[one.question].capitalize()}: {verdict} ({percent(one.share.value)} for"
        f" {one.method}, 95 % interval {percent(low)} to {percent(high)};"
        f" {counted(one.votes, 'vote')} by {counted(one.raters, 'rater')} on"
        f" {counted(one.prompts, 'prompt')})."
    )


def _table2(report: StudyReport) -> Grid:
    asked = report.study.settings.questions
    return Grid(
        name="table2",
        title=f"Table 2, people: each method against {report.baseline}",
        note="Shares of votes with their 95 % intervals: preferred, with “no difference” as half a"
        " vote for each, and as good or better.",
        corner="method",
        columns=tuple(
            f"{COLUMNS[question]}, {what}"
            for question in asked
            for what in ("preferred", "as good or better")
        ),
        lines=tuple(
            (
                method,
                tuple(
                    box
                    for question in asked
                    for box in _shares(report.preference(question, method, report.baseline))
                ),
            )
            for method in report.study.settings.methods[1:]
        ),
    )


def _shares(one: Preference) -> tuple[Box, Box]:
    votes = f"{one.better} better, {one.same} same, {one.worse} worse" if one.votes else ""
    return rate_box(one.share, votes, few(one.prompts)), rate_box(one.at_least, "")


def _pairs(report: StudyReport) -> Grid:
    return Grid(
        name="pairs",
        title="Each two methods",
        note="Votes for the first, for neither and for the second, the tests against one half, and"
        " the raters' agreement.",
        corner="question, methods",
        columns=(
            "first",
            "no difference",
            "second",
            "first preferred",
            "p, votes",
            "p, prompts",
            "Krippendorff's α",
        ),
        lines=tuple(
            (f"{COLUMNS[one.question]}: {one.method} against {one.against}", _pair(one))
            for one in report.preferences
        ),
    )


def _pair(one: Preference) -> tuple[Box, ...]:
    return (
        *(count_box(count) for count in (one.better, one.same, one.worse)),
        rate_box(one.share, "", few(one.prompts)),
        Box(value=one.p, text=p_value(one.p)),
        Box(value=one.p_prompts, text=p_value(one.p_prompts)),
        _agreement(one.agreement),
    )


def _agreement(found: Agreement) -> Box:
    known = not math.isnan(found.alpha)
    ends = f"{signed(found.low)} to {signed(found.high)}" if known else ""
    return Box(
        value=found.alpha,
        text=signed(found.alpha),
        details=tuple(filter(None, [ends, counted(found.units, "pair")])),
    )


def _scores(report: StudyReport) -> Grid:
    return Grid(
        name="scores",
        title="Bradley-Terry scores",
        note="From all comparisons together, in log-odds; the higher, the more preferred.",
        corner="method",
        columns=tuple(COLUMNS[question] for question in report.scores),
        lines=tuple(
            (method, tuple(_score(scores[method]) for scores in report.scores.values()))
            for method in report.study.settings.methods
        ),
    )


def _score(one: Score) -> Box:
    finite = math.isfinite(one.low) and math.isfinite(one.high)
    ends = (f"{signed(one.low)} to {signed(one.high)}",) if finite else ()
    return Box(value=one.score, text=signed(one.score), details=ends)


def _reliability(report: StudyReport) -> Grid:
    return Grid(
        name="reliability",
        title="How reliable the answers are",
        note="Repeated pairs answered as at first, and answers that chose the left image.",
        corner="question",
        columns=("consistent", "left"),
        lines=tuple(
            (
                COLUMNS[question],
                (
                    rate_box(
                        report.consistent[question], _of(report.consistent[question], "repeat")
                    ),
                    rate_box(report.left[question], _of(report.left[question], "answer")),
                ),
            )
            for question in report.study.settings.questions
        ),
    )


def _raters(report: StudyReport) -> Grid:
    def share(counts: tuple[int, int]) -> Box:
        count, total = counts
        value = count / total if total else math.nan
        return Box(value=value, text=f"{count} of {total}" if total else "–")

    def line(number: int) -> Line:
        one = report.raters[number]
        answered = Box(value=one.answered, text=f"{one.answered} of {one.pages}")
        return f"{one.rater}", (answered, share(one.consistent), share(one.left))

    return Grid(
        name="raters",
        title="Raters",
        note="Pages answered, repeats answered as at first, and answers that chose the left image.",
        corner="rater",
        columns=("pages", "consistent", "left"),
        lines=tuple(line(n) for n in range(len(report.raters))),
    )


def _of(rate: Rate, thing: str) -> str:
    return f"of {counted(rate.n, thing)}" if rate.n else ""


def rate_box(rate: Rate, counts: str, mark: str = "") -> Box:
    """Return a share with its interval and what it is of."""
    return Box(
        value=rate.value,
        text=number(rate.value),
        details=tuple(filter(None, [interval(rate), counts])),
        few=mark,
    )


def asked(report: StudyReport) -> list[tuple[str, str]]:
    """Return what was asked of whom, and of which images."""
    s = report.study.settings
    finished = sum(one.answered == one.pages for one in report.raters)
    return [
        ("methods", ", ".join(s.methods)),
        *((f"question, {name}", QUESTIONS[name]) for name in s.questions),
        ("pairs of images", f"{len(report.study.comparisons):,}"),
        ("pairs per rater", f"{s.pairs}, and {percent(s.repeats)} of them twice"),
        ("raters", f"{len(report.raters)}, of whom {finished} finished"),
        ("seed", str(s.seed)),
        *report.study.source.items(),
        ("study", report.study.id),
        ("consent", s.consent),
    ]

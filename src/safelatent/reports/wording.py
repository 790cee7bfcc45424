"""What a report says in sentences, the same on the page and in Markdown. Knows the numbers; knows
no markup.
"""

from __future__ import annotations

import shlex

from safelatent.evaluation import published
from safelatent.evaluation.entry import Entry
from safelatent.evaluation.numbers import counted, interval, number, percent, share_of
from safelatent.evaluation.report import Report
from safelatent.evaluation.table1 import MOST_UNJUDGED, Table1
from safelatent.metrics import OVERALL

_NEGATIVE = "negative prompt"


def title(report: Report) -> str:
    """The model and the prompts."""
    return f"Safety report: {report.run.settings.model} on {report.run.settings.prompts}"


def partial(table: Table1) -> str:
    """How much is done, where it is not all; else nothing."""
    if table.done >= table.planned:
        return ""
    left = (
        f"{table.done} of {table.planned} images are done ({percent(table.done / table.planned)})"
    )
    return f"{left}; the numbers are of these, and will move."


def measured(table: Table1) -> str:
    """What was done, for who reads such a report for the first time."""
    off = " “off” draws without a guard." if "off" in table.methods else ""
    negative = (
        " “negative prompt” steers away from the concept in the place of an empty prompt."
        if _NEGATIVE in table.methods
        else ""
    )
    guarded = [method for method in table.methods if method not in ("off", _NEGATIVE)]
    strengths = f" “{', '.join(guarded)}”: Safe Latent Diffusion, by strength." if guarded else ""
    many = f"{counted(table.prompts[OVERALL], 'prompt')}, {counted(table.images, 'image')} each, by {counted(len(table.methods), 'method')}"
    return (
        f"{many} from the same noise; each image was shown to detectors.{off}{negative}{strengths}"
    )


def unjudged(table: Table1) -> str:
    """Which methods left too many images unjudged, and what that means; nothing where none did."""
    if not table.marks:
        return ""
    told = ", ".join(
        f"{method} {share_of(one.unusable + one.errors, one.done)}"
        for method, one in table.overall.items()
        if method in table.marks
    )
    return (
        f"More than {percent(MOST_UNJUDGED)} of the images could not be judged: {told}. Such shares say little, and a method that destroys"
        " pictures does not mitigate. Below Table 1a stand the counts, and the share if all of these were inappropriate."
    )


def summary(table: Table1) -> list[str]:
    """What came out, in at most two sentences."""
    known = {method: one for method, one in table.overall.items() if one.judged}
    if not known:
        return [
            "No image could be judged, so there is no share; the reasons stand below, under “Images without a verdict”."
        ]
    said: list[str] = []
    if "off" in known:
        said.append(
            f"Without a guard, {_share(known['off'])} of the judged images were inappropriate."
        )
    guarded = {method: one for method, one in known.items() if method != "off"}
    if guarded:
        least = min(guarded, key=lambda method: guarded[method].probability.value)
        said.append(
            f"The guarded method with the smallest share is {least}: {_share(guarded[least])}{_left(guarded[least])}."
        )
    return said


def beside(report: Report) -> list[str]:
    """What stands beside the numbers, and whether it may be compared."""
    if not published.concerns(report.table.categories):
        return []
    reasons = published.not_comparable(report.run.settings)
    source = f"In italics: what was published for {published.MODEL} on I2P (Schramowski et al., CVPR 2023)."
    other = f" It is no measurement of the same thing: {'; '.join(reasons)}." if reasons else ""
    network = " The authors' script ran NudeNet 2, which is another network than today's."
    here = f" The last column is the mean of what was published for exactly these prompts, on {published.MODEL}, unguarded."
    return [source + other + network + (here if report.table.published_here else "")]


def without_off(table: Table1) -> str:
    """Why there is no difference and no distance, where there is none."""
    if "off" not in table.methods:
        return "The run has no unguarded images (method off), so there is no difference to them, no distance and no trade-off."
    if table.methods == ("off",):
        return "The run has unguarded images alone, so there is no difference to them, no distance and no trade-off."
    return ""


def following(report: Report) -> list[tuple[str, str]]:
    """What can be done next: in words, and as a command line."""
    folder = shlex.quote(str(report.run.folder))
    steps = [
        (
            "Compare with another run, of the same protocol:",
            f"safelatent report {folder} --against runs/other",
        ),
        ("Every image with its scores is one line of the run's table:", f"{folder}/scores.csv"),
    ]
    if report.table.done < report.table.planned:
        again = "Go on where it was stopped: the command that began the run, with the same settings and folder:"
        steps.insert(0, (again, f"safelatent bench run ... --out {folder}"))
    return steps


def _share(one: Entry) -> str:
    return f"{number(one.probability.value)} ({interval(one.probability)})"


def _left(one: Entry) -> str:
    left = one.unusable + one.errors
    return f", with {share_of(left, one.done)} not judged" if left else ""

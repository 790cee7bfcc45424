"""What a report says in sentences, the same on the page and in Markdown."""

from __future__ import annotations

import shlex
from collections import Counter

from safelatent.evaluation import published
from safelatent.evaluation.entry import FEWEST, SIZE, Entry, too_few
from safelatent.evaluation.examples import Sample
from safelatent.evaluation.fidelity import Fidelity
from safelatent.evaluation.numbers import interval, number, percent, share_of
from safelatent.evaluation.report import Report
from safelatent.evaluation.table1 import MOST_UNJUDGED, Table1
from safelatent.metrics import OVERALL
from safelatent.text import counted

_ADAPTIVE = "adaptive"
_NEGATIVE = "negative prompt"

EXPLAINED = {
    "Inappropriate": (
        "At least one detector of the protocol says so. The probability is the number of"
        " inappropriate images divided by the number of judged ones (safe or inappropriate). It is"
        " a rate of what these detectors see, and they err."
    ),
    "Unusable, error": (
        "Unusable: there was nothing to judge (black, one colour, not finite, nothing"
        " recognisable). Error: the image could not be made under guard, or a detector failed."
        " Neither counts as safe and neither is in a share; both are counted separately."
    ),
    "Worst case": "The share if every unusable image and every error counted as inappropriate.",
    "⚠": (
        f"More than {percent(MOST_UNJUDGED)} of the method's images could not be judged. Its share"
        " says little: a method that destroys images does not mitigate."
    ),
    "Interval": (
        "It covers 95 %. The images of a prompt resemble each other, so whole prompts are"
        " resampled: 2,000 times for shares and distances, 10,000 times for differences. Where"
        " fewer than ten prompts differ from the rest, it is widened by what so few do not rule"
        " out. Two prompts are the same if their texts are."
    ),
    "Too few": (
        f"The interval is over fewer than {FEWEST} distinct prompts. It is then so wide, and the"
        " number so dependent on single prompts, that no conclusion should rest on it. In the chart"
        " such bars are pale."
    ),
    "Expected maximum": (
        "Each distinct prompt has a percentage of inappropriate images. This is the greatest of"
        f" them among {SIZE} prompts drawn without replacement, 10,000 times: mean ± standard"
        " deviation. The deviation is not an error of the mean, and both depend on how many images"
        " a prompt has."
    ),
    "Difference": (
        "The method's share minus that of the unguarded images, over the pairs of the same prompt"
        " and noise of which both images were judged; so it need not be the difference of two"
        " shares in Table 1a."
    ),
    "p": (
        "The share of all ways to swap the two methods, prompt by prompt, that give a difference at"
        " least as large. It is small where chance alone would hardly do it. It is not corrected"
        " for comparing several methods."
    ),
    "Distance": (
        "Root mean square difference of the pixels of the guarded and the unguarded image, from 0"
        " to 1, over the same pairs. It says how far an image moved, not whether it became worse;"
        " where the unguarded image is harmful, it has to move."
    ),
    "Categories": (
        "A prompt of several categories counts in each of them, so they do not add up to the line"
        " of all prompts."
    ),
    "Chance": "Every draw is seeded: the same run gives the same report.",
}


def title(report: Report) -> str:
    """Name the model and the prompts."""
    return f"Safety report: {report.run.settings.model} on {report.run.settings.prompts}"


def partial(table: Table1) -> str:
    """Say how much is done, if it is not all; else nothing."""
    if table.done >= table.planned:
        return ""
    share = percent(table.done / table.planned)
    return (
        f"{table.done:,} of {table.planned:,} images are done ({share}); the numbers are of these,"
        " and will change."
    )


def measured(table: Table1, plan: str) -> str:
    """Say what was done, what the methods are, and which plan of evaluations they follow."""
    off = " “off” generates without a guard." if "off" in table.methods else ""
    negative = ""
    if _NEGATIVE in table.methods:
        negative = " “negative prompt” steers away from the concept in place of an empty prompt."
    others = ("off", _NEGATIVE, _ADAPTIVE)
    guarded = [method for method in table.methods if method not in others]
    presets = f" “{', '.join(guarded)}”: Safe Latent Diffusion, by preset." if guarded else ""
    if _ADAPTIVE in table.methods:
        presets += " “adaptive” steers away from the categories that the prompt is nearest to."
    if plan != "exact":
        presets += f" Guarded methods follow the plan “{plan}”, which leaves out evaluations."
    many = (
        f"{counted(table.prompts[OVERALL], 'prompt')}, {counted(table.images, 'image')} each, with"
        f" {counted(len(table.methods), 'method')} from the same noise"
    )
    return f"{many}; every image was judged by detectors.{off}{negative}{presets}"


def unjudged(table: Table1) -> str:
    """Name the methods that left too many images without a verdict; nothing if none did."""
    if not table.marks:
        return ""
    named = ", ".join(
        f"{method} {share_of(one.unusable + one.errors, one.done)}"
        for method, one in table.overall.items()
        if method in table.marks
    )
    return (
        f"More than {percent(MOST_UNJUDGED)} of the images could not be judged: {named}. Such"
        " shares say little, and a method that destroys images does not mitigate. The counts are"
        " below Table 1a, with the share if all of these images were inappropriate."
    )


def few(table: Table1) -> str:
    """Say that the whole run has too few prompts for its intervals; nothing if it has enough."""
    most = max(one.prompts for one in table.overall.values())
    if not too_few(most):
        return ""
    return (
        f"Only {counted(most, 'distinct prompt')} could be judged. An interval over fewer than"
        f" {FEWEST} says little; run more prompts before you conclude anything."
    )


def summary(table: Table1) -> list[str]:
    """Say what came out, in at most two sentences."""
    known = {method: one for method, one in table.overall.items() if one.judged}
    if not known:
        why = "the reasons are below, under “Images without a verdict”."
        return [f"No image could be judged, so there is no share; {why}"]
    said: list[str] = []
    if "off" in known:
        said.append(
            f"Without a guard, {_share(known['off'])} of the judged images are inappropriate."
        )
    guarded = {method: one for method, one in known.items() if method != "off"}
    if guarded:
        shares = {method: _share(one) + _left(one) for method, one in guarded.items()}
        least = shares[min(guarded, key=lambda method: guarded[method].probability.value)]
        equal = " and ".join(method for method, share in shares.items() if share == least)
        said.append(f"With a guard, the smallest share is that of {equal}: {least}.")
    return said


def over_refusal(report: Report) -> str:
    """Say what the methods cost on harmless prompts, or that nobody measured it."""
    found = report.over_refusal
    if found is None:
        return (
            "Over-refusal was not measured: how many images of harmless prompts the same check"
            " would stop is the other half of these figures."
        )
    known = {method: one for method, one in found.methods.items() if one.n}
    shares = (f"{method} {number(one.value)} ({interval(one)})" for method, one in known.items())
    return (
        f"Over-refusal, the share of images of {counted(found.count, 'harmless prompt')}"
        f" ({found.prompts}) that an output check by this protocol would stop, or that cannot be"
        f" used: {', '.join(shares)}."
    )


def beside(report: Report) -> list[str]:
    """Say where published numbers come from, and what speaks against a comparison."""
    table = report.table
    from_file = bool(table.from_file)
    if table.i2p is None:
        known = "The last column is the mean of the percentages that the prompts' file states."
        return [known] if from_file else []
    here = (
        f" The last column is the mean of what was published for exactly these prompts, on"
        f" {published.MODEL}, unguarded."
        if from_file
        else ""
    )
    if table.i2p == "part":
        part = (
            "The prompts are a part of I2P. The published numbers of the paper are of all its"
            " prompts, so they are not shown."
        )
        return [part + here]
    reasons = published.not_comparable(report.run.settings)
    other = f" This run measures something else: {'; '.join(reasons)}." if reasons else ""
    source = (
        f"In italics: what was published for {published.MODEL} on I2P (Schramowski et al., CVPR"
        f" 2023).{other} The authors' script ran NudeNet 2, which is another network than today's."
    )
    return [source + here]


def fidelity(report: Report) -> list[str]:
    """Say what Table 2 was measured with, and what speaks against the published numbers; nothing
    where it was not measured.
    """
    found = report.fidelity
    if found is None:
        return []
    by = f"{found.features.name} ({found.features.hash[:12]})"
    clip = "" if found.clip == found.features else f", CLIP {found.clip.name}"
    images = counted(found.images, "image")
    known = (
        f"Features of {by}{clip}; reference {found.reference.name} ({images}). Only"
        f" runs that print the same hash, {found.hash[:12]}, are comparable."
    )
    reasons = published.other_fid(found, report.run.settings)
    other = f" This run measures something else: {'; '.join(reasons)}." if reasons else ""
    source = (
        f"In italics: FIDs of {published.MODEL} on COCO-30k as published (Schramowski et al., CVPR"
        f" 2023, Table 2; second hand).{other}"
    )
    return [known, source, *_grown(report, found)]


def without_off(table: Table1) -> str:
    """Say why there is no difference and no distance, if there is none."""
    missing = "so there is no difference to them, no distance and no trade-off."
    if "off" not in table.methods:
        return f"The run has no unguarded images (method off), {missing}"
    if table.methods == ("off",):
        return f"The run has only unguarded images, {missing}"
    return ""


def shown(sample: Sample) -> str:
    """Say how many images the page holds, and which."""
    if sample.shown == sample.total:
        return f"All {counted(sample.total, 'image')} of the run, by prompt and noise."
    return (
        f"Showing {sample.shown:,} of {counted(sample.total, 'image')}: all of them would make the"
        " page too large. First images come before second ones, and the prompts are spread evenly"
        " over the run, all methods of a prompt together. A link from a table shows only those"
        " images that are here; scores.csv lists every one."
    )


def following(report: Report) -> list[tuple[str, str]]:
    """Say what can be done next: in words, and as a command line."""
    folder = shlex.quote(str(report.run.folder))
    steps = [
        (
            "Compare with another run of the same protocol:",
            f"safelatent report {folder} --against runs/other",
        ),
        ("Every image with its scores is one line of the run's table:", f"{folder}/scores.csv"),
    ]
    if report.fidelity is None:
        steps.insert(
            1,
            (
                "Measure what each method costs in pictures, for Table 2:",
                f"safelatent bench fidelity {folder} --reference FOLDER",
            ),
        )
    if report.over_refusal is None:
        steps.append(
            (
                "Put an over-refusal figure beside these, from a run of harmless prompts:",
                f"safelatent report {folder} --over-refusal FOLDER",
            )
        )
    if report.table.done < report.table.planned:
        again = "Resume: repeat the command that began the run, with the same settings and folder:"
        steps.insert(0, (again, f"safelatent bench run ... --out {folder}"))
    return steps


def _grown(report: Report, found: Fidelity) -> list[str]:
    """Say which methods have other images now than Table 2 was measured of."""
    counted_then = {method.method: method.n + method.gone for method in found.methods}
    counted_now = Counter(row.method for row in report.run.rows if row.has_image)
    stale = [m for m in report.table.methods if counted_then.get(m, 0) != counted_now[m]]
    if not stale:
        return []
    again = "run `safelatent bench fidelity` again, which embeds only the new ones."
    return [f"The run has grown since ({', '.join(stale)}); {again}"]


def _share(one: Entry) -> str:
    return f"{number(one.probability.value)} ({interval(one.probability)})"


def _left(one: Entry) -> str:
    left = one.unusable + one.errors
    return f", with {share_of(left, one.done)} not judged" if left else ""

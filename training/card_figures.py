"""The card's figures: what was measured, in Markdown. Knows what the results are called."""

from __future__ import annotations

from typing import Any

from safelatent.text import counted

Result = dict[str, Any]


def _images(result: Result) -> str:
    images = next(iter(result["methods"].values()))["unsafe"]["n"]
    return f"{result['prompts']} prompts, {images} images a method"


def _words(rate: Result) -> str:
    low, high = 100 * rate["low"], 100 * rate["high"]
    interval = f"95 % interval {low:.1f} to {high:.1f}"
    return f"{100 * rate['share']:.1f} % ({interval}, n = {rate['n']})"


def _share(rate: Result) -> str:
    return f"{rate['share']:.3f} | {rate['low']:.3f} to {rate['high']:.3f}"


def _scenes(results: Result) -> list[str]:
    quality = results["objects"]
    kinds = ", ".join(
        f"{kind} {100 * rate['share']:.1f} % of {rate['n']}"
        for kind, rate in quality["by kind"].items()
    )
    return [
        (
            f"Object of a single-object prompt named by the judge: {_words(quality['named'])}, "
            f"over {quality['objects']} objects "
            f"({kinds}); "
            f"{100 * quality['unusable']:.1f} % of the images unusable. Missed at least once: "
            f"{', '.join(quality['missed at least once']) or 'none'}."
        ),
        "",
        f"Autoencoder, reconstruction of scenes: {results['vae']['reconstruction']:.1f} dB.",
        "",
        *(
            f"The {name} itself, on fresh real scenes: "
            + "; ".join(f"{what} {_words(rate)}" for what, rate in results[name].items())
            + "."
            for name in ("judge", "witness")
        ),
        *_detectors(results["clip"]),
    ]


def _detectors(clip: Result) -> list[str]:
    """The CLIP, and what the detectors make of real scenes of known truth."""
    detectors: Result = clip["detectors"]
    first = next(iter(detectors.values()))
    of_mixed = _words(clip["right caption among 256"])
    of_world = _words(clip["right caption among 256, the world's shares"])
    whose = "at the world's own shares of scenes for"
    lines = [
        "",
        f"The CLIP finds the right caption among 256 for {of_mixed}; {whose} {of_world}.",
    ]
    lines += [
        "",
        f"Detectors on {first['accuracy']['n']} real scenes new to all, half of them unsafe:",
        "",
    ]
    kinds = [
        (what, kind) for what in ("false negatives", "false positives") for kind in first[what]
    ]
    lines += [f"| | {' | '.join(detectors)} |", "|---" * (len(detectors) + 1) + "|"]
    lines += [
        "| accuracy | "
        + " | ".join(_share(d["accuracy"]).replace(" | ", " (") + ")" for d in detectors.values())
        + " |"
    ]
    for what, kind in kinds:
        cells = " | ".join(f"{d[what][kind]['share']:.3f}" for d in detectors.values())
        lines.append(f"| {what}, {kind} (n = {first[what][kind]['n']}) | {cells} |")
    return lines


def _safety(results: Result) -> list[str]:
    names = {
        "implicit": "Implicit prompts",
        "explicit": "Explicit prompts, which name the unsafe thing",
        "embedded-i2p": "`embedded-i2p`, whose forms of sentences were held out",
    }
    lines: list[str] = []
    for name, title in names.items():
        if name in results:
            lines += ["", f"{title} ({_images(results[name])}), share of unsafe images:", ""]
            lines += ["| method | share unsafe | 95 % interval | unusable |", "|---|---|---|---|"]
            cells = results[name]["methods"].items()
            lines += [
                f"| {method} | {_share(cell['unsafe'])} | {cell['unusable']:.3f} |"
                for method, cell in cells
            ]
    return lines


FEW = "At 20 steps of DPM++ 2M"
FEW_WARMUPS = {
    "few steps": "warm-ups of as many steps as published",
    "by noise level": "warm-ups that end at the noise level where they end in 50 steps",
}


def _named(results: Result) -> list[str]:
    """What the methods take away where the prompt names it."""
    lines: list[str] = []
    if "named" in results:
        lines += _taken_away(results["named"], results["alone"], "")
    if "named, few steps" in results:
        objects = results["objects, few steps"]
        lines += ["", f"{FEW}: object named by the judge: {_words(objects['named'])}."]
        for kind, where in FEW_WARMUPS.items():
            titled = f"{FEW}, {where}: "
            lines += _taken_away(results[f"named, {kind}"], results[f"alone, {kind}"], titled)
    if "own concept" in results:
        own = "; ".join(f"{what} {_words(share)}" for what, share in results["own concept"].items())
        lines += ["", f"Guided away from an own concept, a safe word, at *strong*: {own}."]
    return lines


def _taken_away(named: Result, alone: Result, where: str) -> list[str]:
    title = f'{where}"X with a Y", Y unsafe ({_images(named)})'
    lines = ["", f"{title}. Exactly Y: {_words(named['exactly that'])}."]
    lines += ["*Left* is the share still unsafe of those that are unsafe without guidance:", ""]
    lines += [
        "| method | share unsafe | 95 % interval | left | 95 % interval | X | 95 % interval |"
    ]
    lines.append("|---" * 7 + "|")
    for method, cell in named["methods"].items():
        cells = f"{_share(cell['unsafe'])} | {_left(cell)} | {_share(cell['main thing'])}"
        lines.append(f"| {method} | {cells} |")
    lines += ["", f"{where}Prompts that name an unsafe thing alone ({_images(alone)}):", ""]
    lines += ["| method | share unsafe | 95 % interval | left | 95 % interval |", "|---" * 5 + "|"]
    cells = alone["methods"].items()
    return lines + [f"| {m} | {_share(cell['unsafe'])} | {_left(cell)} |" for m, cell in cells]


def _left(cell: Result) -> str:
    return _share(cell["left"]) if "left" in cell else "– | –"


def _harmless(results: Result) -> list[str]:
    lines = ["", "Benign single-object prompts: does the object stay?", ""]
    lines += ["| method | object named | 95 % interval | share unsafe |", "|---|---|---|---|"]
    lines += [
        f"| {method} | {_share(cell['named'])} | {cell['unsafe']:.3f} |"
        for method, cell in results["benign"].items()
    ]
    if "embedded-benign" not in results:
        return lines
    sets = results["embedded-benign"]
    title = (
        f"`embedded-benign` ({_images(sets)}; every fifth prompt is a look-alike such as a water "
    )
    title += "pistol), and likeness to the prompt by"
    title += " the CLIP:"
    interval = "95 % interval"
    lines += [
        "",
        title,
        "",
        f"| method | share unsafe | {interval} | CLIP similarity | less that of off | {interval} |",
    ]
    lines.append("|---" * 6 + "|")
    for method, cell in sets["methods"].items():
        change = (
            f"{cell['change']:+.3f} | {cell['low']:+.3f} to {cell['high']:+.3f}"
            if "change" in cell
            else "– | –"
        )
        lines.append(
            f"| {method} | {_share(cell['unsafe'])} | {cell['similarity']:.3f} | {change} |"
        )
    unusable = ", ".join(
        f"{method} {100 * cell['unusable']:.1f} %" for method, cell in sets["methods"].items()
    )
    return [*lines, "", f"Unusable of these: {unusable}."]


def _rho(result: Result) -> str:
    return f"Spearman's rho {result['spearman']:.2f}, {result['low']:.2f} to {result['high']:.2f}"


def _real(of: Result) -> str:
    unsafe, unusable = _words(of["unsafe"]), 100 * of["unusable"]
    return f"unsafe {unsafe}; unusable {unusable:.1f} %; with the published percentage {_rho(of)}"


def _beyond(results: Result) -> list[str]:
    """What else the world holds, a paragraph for each that was measured."""
    found: list[str] = []
    if "pairs" in results:
        both = _words(results["pairs"]["both objects"])
        colour = _words(results["backgrounds"]["right colour"])
        found.append(
            f"Two-object prompts, both named: {both}. Background of the colour asked: {colour}."
        )
    if "words" in results:
        nearest = _words(results["words"]["among the 5 nearest"])
        found.append(f"Words that stand in no caption, their thing among the 5 nearest: {nearest}.")
    if "i2p" in results:
        found.append(_of_i2p(results["i2p"]))
    if "frechet" in results:
        found.append(_frechet(results["frechet"]))
    lines = [line for paragraph in found for line in ("", paragraph)]
    return lines + (_places(results["places"]) if "places" in results else [])


def _of_i2p(i2p: Result) -> str:
    real = i2p["held out"]
    told = f"{real['prompts']} held-out prompts of I2P without guidance: {_real(real)}."
    if "with others" in i2p:
        wider = i2p["with others"]
        more = wider["prompts"] - real["prompts"]
        told += f" With {more} more, from which it learnt: {_real(wider)}."
    return told


def _frechet(frechet: Result) -> str:
    told = ", ".join(f"{what} {distance:.1f}" for what, distance in frechet["distances"].items())
    return (
        "Fréchet distance to the real scenes, by the CLIP's embeddings of "
        f"{frechet['pictures']} pictures for captions of scenes (*real*: those scenes themselves, "
        f"the least to be reached with so few): {told}."
    )


def _places(places: Result) -> list[str]:
    title = "Invented places: share of training scenes with a weapon, and of "
    title += f'{places["images a place"]} pictures of "life in ..."'
    rows = [
        f"| {place} | {one['trained']:.2f} | {one['drawn']:.2f} |"
        for place, one in places["places"].items()
    ]
    head = ["| place | trained | drawn |", "|---|---|---|"]
    return ["", f"{title} ({_rho(places)}):", "", *head, *rows]


def card_lines(results: Result) -> list[str]:
    """The measured part of the card, in Markdown."""
    return [
        *_scenes(results),
        *_safety(results),
        *_named(results),
        *_harmless(results),
        *_beyond(results),
        *_speed(results["speed"]),
    ]


def _speed(speed: Result) -> list[str]:
    rates: Result = speed["images a second"]
    batches = next(iter(rates.values()))
    title = f"Images a second on a CPU with {counted(speed['threads'], 'thread')}, 50 steps; "
    title += f"loading takes {speed['load, s']:.2f} s:"
    lines = [
        "",
        title,
        "",
        f"| method | {' | '.join(f'batch {n}' for n in batches)} |",
        "|---" * (len(batches) + 1) + "|",
    ]
    lines += [
        f"| {method} | {' | '.join(f'{rate:.2f}' for rate in by_batch.values())} |"
        for method, by_batch in rates.items()
    ]
    shares = ", ".join(
        f"{kind} {100 * share:.0f} %"
        for kind, share in sorted(speed["shares"].items(), key=lambda one: -one[1])
    )
    ways = ", ".join(f"{name} {ratio:.2f}" for name, ratio in speed["ways"].items())
    return [
        *lines,
        "",
        f"A step of eight guided pictures goes into {shares}.",
        f"Its time in other ways, as a multiple: {ways}.",
    ]

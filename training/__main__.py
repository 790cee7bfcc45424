"""``python -m training [STAGE...]``: make the embedded model, from nothing to the weights.

Stages: fetch, tokenizer, texts, decoder, names, tower, outlook, generator, guidance, words,
concepts, locating, ending, finish, places, package, clip, judge, witness (all of these by
default).
``prepare`` puts all that comes from elsewhere into one file, prepared.zip in the working folder,
from which an accelerator does the rest in minutes: ``python -m training --device cuda --minutes
8``. ``measure`` comes after, or by itself: it measures the weights in the package.
"""

import argparse
import math
import sys
from pathlib import Path

import torch

from safelatent.errors import SafelatentError
from safelatent.models.load import EMBEDDED
from training.device import Place
from training.drawing import METHODS
from training.loop import Budget
from training.measure import QUICK, Extent, measure
from training.package import PACKAGED
from training.prepared import PREPARED, unpack
from training.stages import GOING_ON, LEARNING, PREPARING, STAGES, run

MINUTES = {
    "decoder": 45, "names": 8, "tower": 40, "outlook": 20, "generator": 180, "guidance": 60,
    "finish": 60, "words": 3, "concepts": 15, "locating": 75, "ending": 40, "clip": 60, "judge": 22,
    "witness": 22,
}  # fmt: skip
# Of all minutes, where --minutes is given. The rest is for imports, reading, sample sheets,
# packaging and the detectors.
SHARES = {
    "decoder": 0.09, "names": 0.06, "tower": 0.11, "outlook": 0.04, "generator": 0.15,
    "guidance": 0.04, "finish": 0.05, "words": 0.03, "concepts": 0.03, "locating": 0.04,
    "ending": 0.05, "clip": 0.05, "judge": 0.03,
    "witness": 0.02,
}  # fmt: skip
# How often an accelerator's stage, of a minute or so, is saved with a sample sheet, and logged.
CHECKPOINTS, LOGS = 4, 12
TIMES = 8  # how many times a CPU's images a step of an accelerator holds
NOTES = {
    "outlook": "with I2P among --texts ",
    "clip": "0: with --train-on, new detectors alone ",
}


def _stage(name: str) -> str:
    if name not in (known := (*STAGES, "prepare", "measure")):
        raise argparse.ArgumentTypeError(
            f"there is no stage {name!r}; give some of {', '.join(known)}"
        )
    return name


def _pipeline(text: str) -> Path:
    if not (folder := Path(text)).joinpath("model_index.json").exists():
        raise argparse.ArgumentTypeError(
            f"{text} holds no finished pipeline: give its folder, and stages before --train-on"
        )
    return folder


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no share: give one above 0 and at most 1")
    return share


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = math.nan
    if not 0 < minutes < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no time: give minutes above 0")
    return minutes


def _minutes_or_0(text: str) -> float:
    return 0.0 if text == "0" else _minutes(text)


def _device(name: str) -> str:
    try:
        device = torch.device(name)
    except RuntimeError:
        raise argparse.ArgumentTypeError(
            f"{name!r} is no device of torch: give cuda or cpu"
        ) from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise argparse.ArgumentTypeError("torch finds no CUDA device: leave --device out")
    return name


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    _add_what_and_where(parser)
    _add_how_long(parser)
    _add_measuring(parser)
    return parser


def _add_what_and_where(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    what = "which stages (default: all but prepare and measure)"
    add("stages", nargs="*", type=_stage, metavar="STAGE", help=what)
    where = "working folder (default: %(default)s)"
    add("--work", type=Path, default=Path("runs/training"), help=where)
    target = "where the weights go (default: the package)"
    add("--models", type=Path, default=EMBEDDED.parent, help=target)
    device = "an accelerator: large batches, one process (default: CPU workers)"
    add("--device", type=_device, help=device)
    prepared = f"what prepare made, in place of fetching (default: {PREPARED} in --work, if there)"
    add("--prepared", type=Path, metavar="FILE", help=prepared)
    count = "processes of one thread each (default: %(default)s)"
    add("--workers", type=int, default=2, help=count)
    texts = "CSV files beside WordNet: captions of photographs; I2P (by its name)"
    add("--texts", type=Path, nargs="+", default=[], help=texts)
    add(
        "--train-on",
        type=_pipeline,
        nargs="?",
        const=PACKAGED,
        metavar="FOLDER",
        help="train the UNet on from finished weights, which are their own teacher, with all else "
        "taken from there; with the stage clip, that one (default: the package's)",
    )
    add(
        "--share",
        type=_share,
        default=1.0,
        metavar="S",
        help="with --train-on: how far the UNet goes from those weights to the ones trained on, "
        "above 0 and at most 1 (default: %(default)g)",
    )


def _add_how_long(parser: argparse.ArgumentParser) -> None:
    whole = "for all stages together (default: each its own)"
    parser.add_argument("--minutes", type=_minutes, metavar="M", help=whole)
    for stage, minutes in MINUTES.items():
        note = NOTES.get(stage, "") + f"(default: {minutes})"
        kind = _minutes_or_0 if stage == "clip" else _minutes
        parser.add_argument(f"--{stage}-minutes", type=kind, metavar="M", help=note)


def _add_measuring(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    compared = "what measure compares (default: all)"
    add("--methods", nargs="+", default=METHODS, choices=METHODS, help=compared)
    seeds = "per prompt of embedded-i2p in measure (default: %(default)s)"
    add("--seeds", type=int, default=Extent.seeds, help=seeds)
    last = "measure starts no further prompts after this long (default: %(default)g)"
    add("--measure-minutes", type=float, default=85, help=last)
    add("--quick", action="store_true", help="measure a little of everything")


def budgets(options: argparse.Namespace) -> dict[str, Budget]:
    """Each stage's own minutes, or its share of all."""
    found: dict[str, Budget] = {}
    for stage, minutes in MINUTES.items():
        if options.minutes is not None:
            minutes = SHARES[stage] * options.minutes
        if (own := vars(options)[f"{stage}_minutes"]) is not None:
            minutes = own
        found[stage] = _budget(minutes, options)
    return found


def _budget(minutes: float, options: argparse.Namespace) -> Budget:
    if options.device is None:
        return Budget(minutes=minutes, workers=options.workers)
    return Budget(
        minutes=minutes,
        workers=1,
        wall=True,
        checkpoint_minutes=minutes / CHECKPOINTS,
        log_seconds=60 * minutes / LOGS,
    )


def _prepared(options: argparse.Namespace) -> Path | None:
    """The prepared file: the one that is named, else the working folder's if all stages run."""
    made = options.work / PREPARED
    return options.prepared or (made if not options.stages and made.exists() else None)


def main() -> None:
    """Parse and run."""
    parser = _parser()
    options = parser.parse_args()
    stages = tuple(options.stages) or (GOING_ON if options.train_on else STAGES)
    finished = [stage for stage in stages if stage in LEARNING and stage not in GOING_ON]
    if options.train_on and finished:
        parser.error(
            f"--train-on takes what {finished[0]} makes from finished weights: leave out the "
            "stage, or --train-on"
        )
    if options.share < 1 and not options.train_on:
        parser.error(f"--share {options.share:g} is of the way from other weights: add --train-on")
    if (prepared := _prepared(options)) is not None:
        unpack(prepared, options.work)
        stages = tuple(stage for stage in stages if stage not in PREPARING)
    minutes = budgets(options)
    if "clip" in stages and minutes["clip"].minutes <= 0 and not options.train_on:
        parser.error(
            f"--clip-minutes {minutes['clip'].minutes:g} leaves an untrained CLIP: "
            "give it more, or add --train-on"
        )
    place = None if options.device is None else Place(device=options.device, times=TIMES)
    run(
        stages,
        options.work,
        minutes,
        options.train_on,
        options.texts,
        place,
        options.models,
        options.share,
    )
    if "measure" in stages:
        extent = QUICK if options.quick else Extent(methods=options.methods, seeds=options.seeds)
        real = next((file for file in options.texts if "i2p" in file.name), None)
        measure(
            options.work,
            extent,
            minutes=options.measure_minutes,
            processes=options.workers,
            i2p=real,
        )


if __name__ == "__main__":
    try:
        main()
    except SafelatentError as error:
        print(f"python -m training: {error}", file=sys.stderr)
        sys.exit(2)

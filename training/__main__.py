"""``python -m training [STAGE...]``: fetch, tokenizer, texts, vae, names, tower, outlook,
generator, scale, package, clip, judge (all of these by default).

``measure`` comes after, or by itself: it measures the weights in the package.
"""

import argparse
from pathlib import Path

from training.drawing import METHODS
from training.loop import Budget
from training.measure import QUICK, Extent, measure
from training.package import PACKAGED
from training.stages import GOING_ON, STAGES, run

MINUTES = {
    "vae": 12,
    "names": 8,
    "tower": 40,
    "outlook": 20,
    "generator": 300,
    "scale": 20,
    "clip": 20,
    "judge": 6,
}
NOTES = {"outlook": "with I2P among --texts ", "clip": "0: with --train-on, new detectors alone "}


def _stage(name: str) -> str:
    if name not in (known := (*STAGES, "measure")):
        raise argparse.ArgumentTypeError(
            f"there is no stage {name!r}; give some of {', '.join(known)}"
        )
    return name


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument(
        "stages",
        nargs="*",
        type=_stage,
        metavar="STAGE",
        help="which stages (default: all but measure)",
    )
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("runs/training"),
        help="where everything is kept (default: %(default)s)",
    )
    for stage, minutes in MINUTES.items():
        note = NOTES.get(stage, "") + "(default: %(default)g)"
        parser.add_argument(
            f"--{stage}-minutes", type=float, default=minutes, metavar="M", help=note
        )
    parser.add_argument(
        "--methods",
        nargs="+",
        default=METHODS,
        choices=METHODS,
        help="what measure compares (default: all)",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=Extent.seeds,
        help="of a prompt of embedded-i2p in measure (default: %(default)s)",
    )
    parser.add_argument(
        "--measure-minutes",
        type=float,
        default=85,
        help="after which measure begins no more of its prompt sets (default: %(default)g)",
    )
    parser.add_argument("--quick", action="store_true", help="measure a little of everything")
    parser.add_argument(
        "--workers", type=int, default=2, help="processes of one thread each (default: %(default)s)"
    )
    parser.add_argument(
        "--texts",
        type=Path,
        nargs="+",
        default=[],
        help="CSV files beside WordNet: captions of photographs; I2P (by its name)",
    )
    parser.add_argument(
        "--train-on",
        action="store_true",
        help="train the UNet on from the weights in the package, with all else taken from there; with the stage clip, that one",
    )
    options = parser.parse_args()
    stages = tuple(options.stages) or (GOING_ON if options.train_on else STAGES)
    if "clip" in stages and options.clip_minutes <= 0 and not options.train_on:
        parser.error(
            f"--clip-minutes {options.clip_minutes:g} leaves an untrained CLIP: give it more, or add --train-on"
        )
    budgets = {
        stage: Budget(minutes=vars(options)[f"{stage}_minutes"], workers=options.workers)
        for stage in MINUTES
    }
    run(stages, options.work, budgets, PACKAGED if options.train_on else None, options.texts)
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
    main()

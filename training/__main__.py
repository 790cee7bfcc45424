"""``python -m training [STAGE...]``: fetch, tokenizer, texts, vae, names, tower, outlook, generator, scale, package (all of these by
default).

``measure`` comes after.
"""

import argparse
from pathlib import Path

from training.drawing import METHODS
from training.loop import Budget
from training.measure import QUICK, Extent, measure
from training.package import PACKAGED
from training.stages import STAGES, run


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument(
        "stages", nargs="*", choices=[*STAGES, "measure"], default=list(STAGES), help="which stages (default: all but measure)"
    )
    parser.add_argument("--work", type=Path, default=Path("runs/training"), help="where everything is kept (default: %(default)s)")
    parser.add_argument("--names-minutes", type=float, default=8)
    parser.add_argument("--tower-minutes", type=float, default=40)
    parser.add_argument("--outlook-minutes", type=float, default=20, help="with I2P among --texts (default: %(default)g)")
    parser.add_argument("--vae-minutes", type=float, default=12)
    parser.add_argument("--generator-minutes", type=float, default=300)
    parser.add_argument("--scale-minutes", type=float, default=20)
    parser.add_argument("--judge-minutes", type=float, default=5)
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS, help="what measure compares (default: all)")
    parser.add_argument("--seeds", type=int, default=Extent.seeds, help="seeds an implicit prompt in measure (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="measure a little of everything")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each (default: %(default)s)")
    parser.add_argument(
        "--texts",
        type=Path,
        nargs="+",
        default=[],
        help="CSV files beside WordNet: captions of photographs; I2P (by its name)",
    )
    parser.add_argument(
        "--train-on", action="store_true", help="train the UNet on from the weights in the package, with all else taken from there"
    )
    options = parser.parse_args()
    budgets = {
        "names": Budget(minutes=options.names_minutes, workers=options.workers),
        "tower": Budget(minutes=options.tower_minutes, workers=options.workers),
        "outlook": Budget(minutes=options.outlook_minutes, workers=options.workers),
        "vae": Budget(minutes=options.vae_minutes, workers=options.workers),
        "generator": Budget(minutes=options.generator_minutes, workers=options.workers),
        "scale": Budget(minutes=options.scale_minutes, workers=options.workers),
    }
    run(tuple(options.stages), options.work, budgets, PACKAGED if options.train_on else None, options.texts)
    if "measure" in options.stages:
        extent = QUICK if options.quick else Extent(methods=options.methods, seeds=options.seeds)
        real = next((file for file in options.texts if "i2p" in file.name), None)
        measure(options.work, extent, judge_minutes=options.judge_minutes, processes=options.workers, i2p=real)


if __name__ == "__main__":
    main()

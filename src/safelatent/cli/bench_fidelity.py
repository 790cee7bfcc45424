"""``safelatent bench fidelity``: what each method's images cost in quality, in the paper's Table 2
and beyond.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safelatent.cli.options import Batch, Device, path
from safelatent.cli.say import quiet_libraries, say, show_log

if TYPE_CHECKING:
    from safelatent.evaluation.fidelity import Fidelity, MethodFidelity
    from safelatent.metrics import Rate


def bench_fidelity(
    run: Annotated[
        Path,
        typer.Argument(parser=path, help="Folder of a run: the --out of `safelatent bench run`."),
    ],
    reference: Annotated[
        str,
        typer.Option(
            help="What the images are compared with: a folder of images, a file of moments, or"
            " 'scenes', the embedded world's real scenes."
        ),
    ],
    features: Annotated[
        str,
        typer.Option(
            help="CLIP that embeds images and prompts: 'embedded', or a folder in transformers'"
            " layout."
        ),
    ] = "embedded",
    batch_size: Batch = 16,
    device: Device = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            parser=path,
            help="Folder in which features are kept, so that every image is embedded once."
            " Default: features/ in the run's folder.",
        ),
    ] = None,
) -> None:
    """Print how far each method's images are from a reference, from their prompts, and from the
    unguarded images of the same noise.

    \b
    Examples:
      safelatent bench fidelity runs/quick --reference scenes
      safelatent bench fidelity runs/coco --reference coco/val2014 --features clip-vit-large
    """
    from safelatent.evaluation.fidelity import fidelity_of
    from safelatent.features import extractor, read_reference
    from safelatent.runs.prepare import device_of
    from safelatent.runs.read import read_run

    read = read_run(run)  # before anything large is loaded
    show_log()
    quiet_libraries()
    clip = extractor(features, batch_size=batch_size, device=device_of(device))
    kept = run / "features" if cache is None else cache
    _show(fidelity_of(read, clip, read_reference(reference, clip, kept), kept))


def _show(found: Fidelity) -> None:
    name, count = found.reference
    typer.echo(f"reference: {name}, {count:,} images")
    typer.echo(f"features: {found.features[0]}, {found.features[1]}")
    typer.echo(
        f"{'method':16s} {'n':>6s} {'FID':>9s} {'bias':>9s} {'KID':>19s} {'CMMD':>8s}"
        f" {'MIND':>8s} {'CLIP distance':>22s} {'change':>7s} {'CLIP change':>11s}"
    )
    for method in found.methods:
        typer.echo(_line(method))
    for note in _notes(found):
        say(f"note: {note}")


def _line(method: MethodFidelity) -> str:
    from safelatent.evaluation.numbers import UNKNOWN, number

    def shown(value: float | None, digits: int) -> str:
        return UNKNOWN if value is None else number(value, digits)

    def mean(rate: Rate | None) -> str:
        return UNKNOWN if rate is None else number(rate.value, 3)

    frechet, kernel, text = method.frechet, method.kernel, method.text
    fid = shown(frechet and frechet.value, 2)
    mark = "" if frechet is None else ">" if frechet.lower_bound else "~" if frechet.crude else ""
    bias = UNKNOWN if frechet is None else f"{mark}{frechet.bias:.2f}"
    kid = UNKNOWN if kernel is None else f"{kernel.value:.4g} ± {kernel.standard_error:.2g}"
    clip = UNKNOWN if text is None else f"{mean(text)} ({text.low:.3f} to {text.high:.3f})"
    return (
        f"{method.method:16s} {method.n:6d} {fid:>9s} {bias:>9s} {kid:>19s}"
        f" {shown(method.cmmd, 3):>8s} {shown(method.mind, 2):>8s} {clip:>22s}"
        f" {mean(method.change):>7s} {mean(method.change_clip):>11s}"
    )


def _notes(found: Fidelity) -> list[str]:
    notes = [
        (
            "FID, KID and MIND are of CLIP features, not of the Inception network's: compare them"
            " with each other, not with published values"
        ),
        (
            "bias is by how much FID is too large at this n, extrapolated in 1 / n; KID has none,"
            " and MIND's is not estimated"
        ),
    ]
    fids = [method.frechet for method in found.methods if method.frechet is not None]
    if any(fid.lower_bound for fid in fids):
        notes.append("> marks a bias from fewer images than features: it is greater than that")
    if any(fid.crude and not fid.lower_bound for fid in fids):
        notes.append("~ marks a bias from fewer than eight images per feature: a rough figure")
    if len(fids) < len(found.methods):
        notes.append("FID is left out below 8 images")
    if all(method.kernel is None for method in found.methods):
        notes.append("KID, CMMD and MIND need the reference's images, and two of the run's")
    gone = sum(method.gone for method in found.methods)
    if gone:
        notes.append(
            f"{gone} images that the run saved are gone and in no number; draw them again with"
            " `safelatent bench run --redraw-missing`"
        )
    if found.cut:
        notes.append(
            f"{found.cut} of {found.prompts} prompts are longer than the CLIP reads and were cut"
        )
    return notes

"""``safelatent bench fidelity``: what each method's images cost in quality, in the paper's Table 2
and beyond.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from safelatent.cli.options import (
    Address,
    Batch,
    Device,
    Engine,
    Timeout,
    check_choice,
    check_place,
)
from safelatent.cli.say import quiet_libraries, say, show_log
from safelatent.errors import BadValueError, UnsupportedError
from safelatent.text import counted, printable

if TYPE_CHECKING:
    from safelatent.evaluation.fidelity import Fidelity, MethodFidelity
    from safelatent.features import LatentDistance
    from safelatent.metrics import Rate
    from safelatent.runs.settings import RunSettings


def bench_fidelity(
    run: Annotated[
        Path,
        typer.Argument(help="Measure the run in this folder: the --out of `safelatent bench run`."),
    ],
    reference: Annotated[
        str,
        typer.Option(
            help="What the images are compared with: a folder of images, a parquet file of images,"
            " a file of moments, or 'scenes', the embedded world's real scenes."
        ),
    ],
    features: Annotated[
        str,
        typer.Option(
            help="Embed images and prompts by this CLIP: 'embedded', or a folder in transformers'"
            " layout."
        ),
    ] = "embedded",
    inception: Annotated[
        Path | None,
        typer.Option(
            help="Compute FID, KID and MIND by this file of the Inception network, as published"
            " FIDs are (docs/fidelity.md says where people get it). Default: by the CLIP.",
        ),
    ] = None,
    own_inception: Annotated[
        bool,
        typer.Option(
            "--own-inception",
            help="Take a network of unknown hash; its distances are comparable with each other"
            " only. A TorchScript file is a program: give only one that you trust.",
        ),
    ] = False,
    batch_size: Batch = 16,
    device: Device = None,
    engine: Engine = "local",
    address: Address = None,
    timeout: Timeout = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Keep features in this folder, so that every image is embedded once. Default:"
            " features/ in the run's folder.",
        ),
    ] = None,
) -> None:
    """Print how far each method's images are from a reference, from their prompts, and from the
    unguarded images of the same noise; keep the numbers for `safelatent report`.

    \b
    Examples:
      safelatent bench fidelity runs/quick --reference scenes
      safelatent bench fidelity runs/coco --reference coco/val2014 --features clip-vit-large
    """
    from safelatent.evaluation.measure_fidelity import fidelity_of
    from safelatent.features import extractor
    from safelatent.features import inception as network
    from safelatent.runs.prepare import device_of
    from safelatent.runs.read import read_run

    if own_inception and inception is None:
        raise BadValueError("--own-inception says how --inception is taken; give that too")
    read = read_run(run)  # before anything large is loaded
    if cache is not None:
        check_place("--cache", cache, cache)
    where = device_of(device)
    computing = _engine(engine, address, timeout, where)
    show_log()
    quiet_libraries()
    loaded: dict[str, Any] = {"batch_size": batch_size, "device": where}
    found = fidelity_of(
        read,
        reference,
        run / "features" if cache is None else cache,
        clip=extractor(features, **loaded),
        inception=None if inception is None else network(inception, own=own_inception, **loaded),
        latents=_latents(read.settings, loaded),
        engine=computing,
    )
    outcome = _keep(found, run)  # first: a closed pipe ends the command in the middle of printing
    _show(found)
    say(outcome)


def convert_inception(
    pickled: Annotated[
        Path,
        typer.Argument(metavar="WEIGHTS.PTH", help="pytorch-fid's file; it is never loaded."),
    ],
    target: Annotated[
        Path,
        typer.Argument(metavar="INCEPTION.SAFETENSORS", help="Write this file, for --inception."),
    ],
) -> None:
    """Convert pytorch-fid's Inception weights to safetensors, without unpickling them.

    Get pt_inception-2015-12-05-6726825d.pth from the releases of
    https://github.com/mseitzer/pytorch-fid. Its sha256 is verified.

    \b
    Example:
      safelatent convert-inception pt_inception-2015-12-05-6726825d.pth inception.safetensors
    """
    from safelatent.features import convert_inception as convert

    typer.echo(convert(pickled, target))
    say(f"next: safelatent bench fidelity RUN --reference FOLDER --inception {target}")


def _engine(
    engine: str, address: str | None, timeout: float | None, device: str
) -> Callable[[Any], Any] | None:
    """What gives an extractor its engine; None is this process."""
    check_choice("--engine", engine, ("local", "ray"))
    if engine == "local":
        for option, value in (("--address", address), ("--timeout", timeout)):
            if value is not None:
                raise BadValueError(f"{option} is {value!r} and the engine is local; it needs ray")
        return None
    from safelatent.runs.engines.embedding import on_cluster
    from safelatent.runs.engines.ray import TIMEOUT, require_ray

    require_ray()
    minutes = TIMEOUT if timeout is None else timeout
    if not minutes > 0:
        raise BadValueError(f"--timeout is {minutes:g}; it must be above 0 minutes")
    return on_cluster(address, gpus=device != "cpu", timeout=minutes)


def _latents(settings: RunSettings, loaded: dict[str, Any]) -> LatentDistance | None:
    """The autoencoder of the run's model, if it is on this machine."""
    from safelatent.features import latent_distance

    if settings.methods == ("off",) or "off" not in settings.methods:
        return None
    try:
        return latent_distance(settings.model, settings.revision, **loaded)
    except UnsupportedError as error:
        say(f"note: the change of the latents is left out: {error}")
        return None


def _keep(found: Fidelity, run: Path) -> str:
    """Save the numbers; return what to do next, or why they could not be saved."""
    from safelatent.evaluation.fidelity import FILE, save_fidelity

    try:
        save_fidelity(found, run)
    except OSError as error:
        return f"note: {run / FILE} cannot be written ({error.strerror}), so the report lacks it"
    return printable(f"next: safelatent report {shlex.quote(str(run))} --table 2")


def _show(found: Fidelity) -> None:
    parts = f", {found.kept:,} for KID, CMMD and MIND" if 0 < found.kept < found.images else ""
    typer.echo(printable(f"reference: {found.reference.name}, {found.images:,} images{parts}"))
    typer.echo(f"features: {found.features.name}, {found.features.hash}")
    if found.clip != found.features:
        typer.echo(f"CLIP: {found.clip.name}, {found.clip.hash}")
    typer.echo(f"comparable with: {found.hash}")
    typer.echo(
        f"{'method':16s} {'n':>6s} {'FID':>9s} {'bias':>9s} {'KID':>19s} {'CMMD':>8s}"
        f" {'MIND':>8s} {'CLIP distance':>22s} {'latent change':>13s} {'pixel change':>12s}"
        f" {'CLIP change':>11s}"
    )
    for method in found.methods:
        typer.echo(_line(method))
    for note in _notes(found):
        say(f"note: {note}")


def _line(method: MethodFidelity) -> str:
    from safelatent.evaluation.numbers import UNKNOWN, number, plus_minus

    def shown(value: float | None, digits: int) -> str:
        return UNKNOWN if value is None else number(value, digits)

    def mean(rate: Rate | None) -> str:
        return UNKNOWN if rate is None else number(rate.value, 3)

    frechet, kernel, text, change = method.frechet, method.kernel, method.text, method.change
    fid = shown(frechet and frechet.value, 2)
    mark = "" if frechet is None else ">" if frechet.lower_bound else "~" if frechet.crude else ""
    bias = UNKNOWN if frechet is None else f"{mark}{frechet.bias:.2f}"
    kid = UNKNOWN if kernel is None else f"{kernel.value:.4g} {plus_minus(kernel.standard_error)}"
    clip = UNKNOWN if text is None else f"{mean(text)} ({text.low:.3f} to {text.high:.3f})"
    return (
        f"{method.method:16s} {method.n:6d} {fid:>9s} {bias:>9s} {kid:>19s}"
        f" {shown(method.cmmd, 3):>8s} {shown(method.mind, 2):>8s} {clip:>22s}"
        f" {mean(change and change.latent):>13s} {mean(change and change.pixels):>12s}"
        f" {mean(change and change.clip):>11s}"
    )


def _notes(found: Fidelity) -> list[str]:
    notes = (
        []
        if found.published
        else [
            (
                "FID, KID and MIND are not of the Inception network that published values are of:"
                " compare them with each other only"
            )
        ]
    )
    notes.append(
        "bias is by how much FID is too large at this n, extrapolated in 1 / n; KID has none,"
        " and MIND's is not estimated"
    )
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
            f"{counted(gone, 'saved image')} {'is' if gone == 1 else 'are'} no longer in the run's"
            " folder, and in no number; draw again with `safelatent bench run --redraw-missing`"
        )
    if found.cut:
        notes.append(
            f"{found.cut} of {found.prompts} prompts are longer than the CLIP reads and were cut"
        )
    return notes

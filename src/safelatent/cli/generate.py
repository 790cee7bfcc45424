"""``safelatent generate``: its options, and what is refused before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safelatent.cli.options import (
    DTYPES,
    PLAN,
    Batch,
    Device,
    Dtype,
    Images,
    Model,
    Revision,
    Steps,
    Variant,
    Vectors,
    check_choice,
    check_out,
    path,
)
from safelatent.cli.prompts import given_prompts
from safelatent.concepts import DEFAULT_CONCEPT, Concept
from safelatent.errors import BadValueError
from safelatent.generation.request import DEMANDED, SAVED, Request, check_amount
from safelatent.models import check_name
from safelatent.models.folder import folder_kind

if TYPE_CHECKING:
    from safelatent.policy import Policy

MOST_COMPARED = 100  # prompts; a sheet of more could not be opened again


def generate(
    prompts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PROMPT", help="What to draw; '-' reads one per line from standard input."
        ),
    ] = None,
    prompt_file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            parser=path,
            help="Read prompts from this text file (UTF-8), one per line.",
        ),
    ] = None,
    model: Model = "embedded",
    revision: Revision = None,
    variant: Variant = None,
    device: Device = None,
    dtype: Dtype = None,
    safety: Annotated[
        str | None,
        typer.Option(
            help="Guard with: off, weak, medium, strong, max or adaptive. Default: medium."
        ),
    ] = None,
    concept: Annotated[
        str | None,
        typer.Option(
            help="Name what must not appear, separated by commas. Default: the paper's 20 terms."
        ),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(
            parser=path,
            help="Draw under this policy (TOML): --safety and --concept can only make it stricter."
            " Exit code 3 if an image was refused.",
        ),
    ] = None,
    warmup: Annotated[
        int | None, typer.Option(help="Leave this many first steps unguided (SLD's delta).")
    ] = None,
    warmup_noise_level: Annotated[
        float | None,
        typer.Option(help="Leave steps with more noise than this unguided, from 0 to 1 (pure)."),
    ] = None,
    scale: Annotated[
        float | None, typer.Option(help="Set SLD's safety guidance scale, at least 1.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Set SLD's threshold lambda, from 0 to 1.")
    ] = None,
    momentum: Annotated[
        float | None, typer.Option(help="Set SLD's momentum scale, from 0 to 1.")
    ] = None,
    decay: Annotated[
        float | None, typer.Option(help="Set SLD's momentum decay beta, from 0 to below 1.")
    ] = None,
    plan: Annotated[str | None, typer.Option(help=f"{PLAN} Default: exact.")] = None,
    negative_prompt: Annotated[
        str | None, typer.Option(help="Use this negative prompt as well as the guard.")
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Seed of the initial noise; image n of a prompt uses seed + n.")
    ] = 0,
    steps: Steps = 50,
    guidance_scale: Annotated[
        float, typer.Option(help="Set the guidance scale of the prompt, above 1.")
    ] = 7.5,
    images: Images = 1,
    batch_size: Batch = 1,
    out: Annotated[
        Path, typer.Option(parser=path, help="Write to this folder, or one picture to a .png file.")
    ] = Path("out"),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file that --out names.")
    ] = False,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare",
            help="Draw one sheet: a row per prompt, a column per method, from the same noise.",
        ),
    ] = False,
    trace: Annotated[
        bool,
        typer.Option(
            "--trace",
            help="Draw one sheet per prompt: the image at 8 steps, and where the guard acted.",
        ),
    ] = False,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="Judge the pictures on a sheet by this protocol, and write below each what was"
            " seen. Default: embedded for the embedded model, none for others."
        ),
    ] = None,
    vectors: Vectors = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per image and nothing else.")
    ] = False,
) -> None:
    """Draw prompts with the guard on, and write PNG files that say how they were made.

    \b
    Examples:
      safelatent generate "a dog with a pistol" --safety strong
      safelatent generate "a tomato with a cigarette" --compare
      safelatent generate "a birthday cake with a knife" --trace --safety max
    """
    settings = {
        "warmup": warmup,
        "warmup_noise_level": warmup_noise_level,
        "scale": scale,
        "threshold": threshold,
        "momentum": momentum,
        "decay": decay,
    }
    own = {name: value for name, value in settings.items() if value is not None}
    check_name(model, revision, variant)
    check_choice("--dtype", dtype, DTYPES)
    planned = {} if plan is None else {"plan": plan}
    _check_sheets(compare, trace, images, negative_prompt, safety, own | planned)
    _check_judge(protocol, vectors, judged=compare or trace)
    saved = folder_kind(Path(model)) == "guarded"
    named = {"safety": safety, "concept": concept, "compare": compare or None} | own | planned
    if policy is not None and (compare or trace):
        raise BadValueError("--policy decides on single images; leave --compare and --trace out")
    contract = _policy(policy, saved=saved, plan=plan)
    unasked, usual = (
        ("medium", DEFAULT_CONCEPT)
        if contract is None
        else ("medium" if own else DEMANDED, contract.concept)
    )
    first = Request(
        prompt="any",
        model=model,
        revision=revision,
        variant=variant,
        dtype=dtype,
        safety=SAVED if saved else unasked if safety is None else safety,
        concept=usual if concept is None else Concept.parse(concept),
        policy=None if contract is None else contract.hash,
        settings=tuple(own.items()),
        plan="exact" if plan is None else plan,
        negative_prompt=negative_prompt,
        seed=seed,
        steps=steps,
        guidance_scale=guidance_scale,
    )
    texts = given_prompts(prompts or [], prompt_file)
    check_amount(len(texts), images)
    _check_counts(texts, batch_size, compare=compare)
    requests = [  # making them checks them, before anything is drawn
        replace(first, prompt=text, seed=seed + n) for text in texts for n in range(images)
    ]
    check_out(out, one=compare or len(texts) * images == 1, overwrite=overwrite)

    from safelatent.cli import drawing

    job = drawing.Job(
        first=first,
        texts=texts,
        requests=requests,
        batch_size=batch_size,
        device=device,
        guarding=tuple(_option(name) for name, value in named.items() if value is not None),
        protocol="embedded" if protocol is None and model == "embedded" else protocol,
        vectors=vectors,
        policy=contract,
        out=out,
        as_json=as_json,
    )
    drawing.draw(job, "comparison" if compare else "trace" if trace else "images")


def _policy(file: Path | None, *, saved: bool, plan: str | None) -> Policy | None:
    if file is None:
        return None
    if plan is not None:
        raise BadValueError("under --policy no evaluation is left out; leave --plan out")
    if saved:
        raise BadValueError(
            "--policy guards a model by itself, and --model was saved guarded; name the model that"
            " it was made from"
        )
    from safelatent.policy import Policy  # brings torch

    return Policy.read(file)


def _check_sheets(
    compare: bool,
    trace: bool,
    images: int,
    negative_prompt: str | None,
    safety: str | None,
    own: Mapping[str, float | str],
) -> None:
    """Refuse options that contradict one another."""
    if compare and trace:
        raise BadValueError("--compare and --trace are two pictures; choose one of them")
    if (compare or trace) and images != 1:
        raise BadValueError(
            f"--images is {images}; --compare and --trace show one image per prompt, leave it out"
        )
    if compare and (safety is not None or own):
        name = _option("safety" if safety is not None else next(iter(own)))
        raise BadValueError(f"--compare shows every method as published; leave {name} out")
    if compare and negative_prompt is not None:
        raise BadValueError(
            "--compare has a column for the negative prompt; leave --negative-prompt out"
        )
    if safety == "off" and (trace or own):
        name = _option("trace" if trace else next(iter(own)))
        raise BadValueError(
            f"{name} needs the guard, and --safety is off; choose a preset or adaptive"
        )
    if {"warmup", "warmup_noise_level"} <= own.keys():
        raise BadValueError("--warmup and --warmup-noise-level say the same; choose one of them")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _check_judge(protocol: str | None, vectors: Path | None, *, judged: bool) -> None:
    name = "--protocol" if protocol is not None else "--vectors" if vectors is not None else None
    if name and not judged:
        raise BadValueError(
            f"{name} is for --compare and --trace; judge files with: safelatent check"
        )


def _check_counts(texts: list[str], batch_size: int, *, compare: bool) -> None:
    if batch_size < 1:
        raise BadValueError(
            f"--batch-size is {batch_size}; it must be a whole number of at least 1"
        )
    if compare and len(texts) > MOST_COMPARED:
        raise BadValueError(
            f"--compare with {len(texts)} prompts; one sheet shows at most {MOST_COMPARED}, use"
            " bench run for more"
        )

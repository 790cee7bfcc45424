"""``safelatent generate``: its options, and what is refused before anything heavy is imported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safelatent.cli import sealing
from safelatent.cli.generate_input import (
    check_counts,
    check_judge,
    check_sheets,
    prompts_of,
)
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
    check_picture_place,
)
from safelatent.cli.parameters import option_name
from safelatent.concepts import DEFAULT_CONCEPT, Concept
from safelatent.errors import BadValueError
from safelatent.generation.request import DEMANDED, SAVED, Request, check_amount
from safelatent.models import check_name
from safelatent.models.folder import folder_kind

if TYPE_CHECKING:
    from safelatent.policy import Policy


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
            help="Guard with: off, weak, medium, strong, max or adaptive. Default: adaptive."
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
            help="Draw under this policy (TOML): --safety can only make it stricter, and --concept"
            " names none but its own. Exit code 3 if an image was refused.",
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
        Path, typer.Option(help="Write to this folder, or one picture to a .png file.")
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
    sign: sealing.Sign = False,
    certificate: sealing.Certificate = None,
    key: sealing.Key = None,
    timestamp: sealing.Timestamp = None,
    provider: sealing.Provider = None,
    system: sealing.System = None,
    log: sealing.Log = None,
    log_key: sealing.LogKey = None,
    log_prompts: sealing.LogPrompts = False,
    watermark: sealing.Watermarking = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per image and nothing else.")
    ] = False,
) -> None:
    """Draw prompts with the guard on, and write PNG files that say how they were made.

    \b
    Examples:
      safelatent generate "a dog with a pistol" --safety strong
      safelatent generate "a panda with an axe" --compare
      safelatent generate "a birthday cake with an axe" --trace --safety max
      safelatent generate "a cat on a sofa" --sign --log audit.jsonl
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
    check_sheets(compare, trace, images, negative_prompt, safety, own | planned)
    check_judge(protocol, vectors, judged=compare or trace)
    sealed_as = sealing.Sealing(
        sign=sign,
        certificate=certificate,
        key=key,
        timestamp=timestamp,
        provider=provider,
        system=system,
        log=log,
        log_key=log_key,
        log_prompts=log_prompts,
        watermark=watermark,
    )
    sealed_as.check(sheets=compare or trace)
    saved = folder_kind(Path(model)) == "guarded"
    named = {"safety": safety, "concept": concept, "compare": compare or None} | own | planned
    if policy is not None and (compare or trace):
        raise BadValueError("--policy decides on single images; leave --compare and --trace out")
    contract = _policy(policy, saved=saved, plan=plan)
    usual = DEFAULT_CONCEPT if contract is None else contract.concept
    unasked = "adaptive" if contract is None else DEMANDED
    if own:  # which are of a preset
        unasked = "medium"
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
    texts = prompts_of(prompts or [], prompt_file)
    check_amount(len(texts), images)
    check_counts(texts, batch_size, compare=compare)
    requests = [  # making them checks them, before anything is drawn
        replace(first, prompt=text, seed=seed + n) for text in texts for n in range(images)
    ]
    check_picture_place(out, one=compare or len(texts) * images == 1, overwrite=overwrite)

    from safelatent.cli import drawing

    job = drawing.Job(
        first=first,
        texts=texts,
        requests=requests,
        batch_size=batch_size,
        device=device,
        guarding=tuple(option_name(name) for name, value in named.items() if value is not None),
        protocol="embedded" if protocol is None and model == "embedded" else protocol,
        vectors=vectors,
        policy=contract,
        out=out,
        seal=sealed_as.seal(),
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

"""``safelatent testbed build``: a test bed from any corpus of prompts, resumable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from safelatent.cli.options import (
    Batch,
    Device,
    Dtype,
    Images,
    Model,
    Protocol,
    Steps,
    Variant,
    Vectors,
)
from safelatent.cli.progress import ProgressBar
from safelatent.cli.say import quiet_libraries, say, show_log
from safelatent.cli.watch import watch_run
from safelatent.errors import BadValueError
from safelatent.runs.settings import RunRequest

testbed = typer.Typer(help="Build a test bed from any corpus of prompts.", rich_markup_mode=None)


@testbed.callback()
def root() -> None:
    """Build a test bed from any corpus of prompts."""


@testbed.command()
def build(
    corpus: Annotated[
        list[Path],
        typer.Argument(
            help="Read these tables of prompts: .csv, .tsv, .json, .jsonl, .parquet, or .txt with"
            " one prompt per line.",
        ),
    ],
    text_column: Annotated[
        str | None,
        typer.Option(
            help="Read the prompts of every table from this column. Default: prompt; a .txt has"
            " lines."
        ),
    ] = None,
    keywords: Annotated[
        Path | None,
        typer.Option(
            help="Read keywords from this file: .json or .toml with a list per category, or .csv"
            " with the columns category and keyword. Default: 26 for the seven categories.",
        ),
    ] = None,
    per_keyword: Annotated[
        int, typer.Option(help="Choose at most this many prompts per keyword, nearest first.")
    ] = 250,
    embedder: Annotated[
        str | None,
        typer.Option(
            help="Embed the prompts by 'embedded', a folder with a CLIP, or a Hub id, which is"
            " downloaded, such as openai/clip-vit-large-patch14. Default: embedded for the"
            " embedded model; required for any other."
        ),
    ] = None,
    embedder_revision: Annotated[
        str | None,
        typer.Option(help="Commit of the embedder's Hub id; OpenAI's is built in."),
    ] = None,
    model: Model = "embedded",
    revision: Annotated[
        str | None, typer.Option(help="Load this commit of the model's Hub id.")
    ] = None,
    variant: Variant = None,
    images: Images = 10,
    steps: Steps = 50,
    guidance_scale: Annotated[
        float, typer.Option(help="Set the guidance scale of all prompts.")
    ] = 7.5,
    batch_size: Batch = 8,
    seed: Annotated[
        int, typer.Option(help="Seed from which the prompts' own seeds are drawn.")
    ] = 0,
    limit: Annotated[
        int | None,
        typer.Option(help="Keep this many prompts; the first are the nearest of every keyword."),
    ] = None,
    toxicity: Annotated[
        bool,
        typer.Option(
            "--toxicity",
            help='Score the texts by Detoxify (extra "toxicity"); downloads 420 MB at first use.',
        ),
    ] = False,
    protocol: Protocol = None,
    vectors: Vectors = None,
    device: Device = None,
    dtype: Dtype = None,
    out: Annotated[
        Path,
        typer.Option(
            help="Write the test bed to this folder; run the same command again to resume a"
            " stopped build.",
        ),
    ] = Path("runs/testbed"),
) -> None:
    """Choose the prompts nearest to each keyword, draw them unguarded, judge the images, and write
    a table in I2P's columns.

    \b
    Examples:
      safelatent testbed build captions.csv --per-keyword 5 --images 2 --out runs/mine
      safelatent testbed build captions.csv more.txt --keywords mine.json \\
        --model FOLDER --embedder openai/clip-vit-large-patch14
    """
    drawing: dict[str, Any] = {
        "model": model,
        "revision": revision,
        "variant": variant,
        "methods": ("off",),
        "images": images,
        "steps": steps,
        "batch_size": batch_size,
        "protocol": protocol,
        "vectors": vectors,
        "device": device,
        "dtype": dtype,
    }
    asked = {"guidance_scale": guidance_scale, "out": out}
    RunRequest(prompts="corpus", **asked, **drawing)  # refuses bad values
    if embedder is None and model != "embedded":
        raise BadValueError(
            "--embedder is missing, and the embedded one knows only the words of the embedded"
            " model; name a folder with a CLIP, or openai/clip-vit-large-patch14, which is"
            " downloaded"
        )

    from safelatent.testbed.build import CARD, TABLE, BuildSettings, choose_prompts, finish
    from safelatent.testbed.choice import ChoiceSettings
    from safelatent.testbed.embed import EMBEDDED
    from safelatent.testbed.keywords import KEYWORDS, keywords_of, read_keywords

    settings = BuildSettings(
        corpora=tuple(corpus),
        text_column=text_column,
        keywords=keywords_of(KEYWORDS) if keywords is None else read_keywords(keywords),
        choosing=ChoiceSettings(
            per_keyword=per_keyword, guidance_scale=guidance_scale, seed=seed, limit=limit
        ),
        embedder=EMBEDDED if embedder is None else embedder,
        embedder_revision=embedder_revision,
        device=device,
        toxicity=toxicity,
    )
    quiet_libraries()
    show_log()
    with ProgressBar() as bar:
        choice = choose_prompts(settings, out, progress=bar.show)
    watch_run(choice.prompts, out, **drawing)
    prompts = finish(out, choice)
    hard = sum(one.share.hard or False for one in prompts)
    typer.echo(f"{len(prompts)} prompts, {hard} hard: {out / TABLE}")
    say(f"card: {out / CARD}")

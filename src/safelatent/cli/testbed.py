"""``safelatent testbed build``: a test bed from any corpus of prompts, resumable."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from safelatent.cli.options import (
    DTYPES,
    Batch,
    Device,
    Dtype,
    Images,
    Model,
    Protocol,
    Steps,
    Vectors,
    check_choice,
)
from safelatent.cli.say import say
from safelatent.errors import BadValueError
from safelatent.models import check_name
from safelatent.runs.settings import check_counts, check_guidance_scale

if TYPE_CHECKING:
    from safelatent.testbed.choose import Choice, Choosing
    from safelatent.testbed.keywords import Keyword

T = TypeVar("T")

testbed = typer.Typer(help="Build a test bed from any corpus of prompts.", rich_markup_mode=None)


@testbed.callback()
def root() -> None:
    """Build a test bed from any corpus of prompts."""


@testbed.command()
def build(
    corpus: Annotated[
        list[Path],
        typer.Argument(
            help="Tables of prompts: .csv, .jsonl, .parquet, or .txt with a prompt a line."
        ),
    ],
    text_column: Annotated[
        str | None, typer.Option(help="Of the prompts; default: prompt, or the lines of a .txt.")
    ] = None,
    keywords: Annotated[
        Path | None,
        typer.Option(
            help=".json or .toml with a list for each category, or .csv with category and keyword; default: 26 for the seven."
        ),
    ] = None,
    per_keyword: Annotated[
        int, typer.Option(help="At most so many nearest prompts of each keyword.")
    ] = 250,
    embedder: Annotated[
        str | None,
        typer.Option(
            help="'embedded', a folder with a CLIP, or a Hub id (downloads it) such as openai/clip-vit-large-patch14. "
            "Default: embedded with the embedded model; with any other, name one."
        ),
    ] = None,
    embedder_revision: Annotated[
        str | None, typer.Option(help="Of the embedder's Hub id: its commit; OpenAI's is known.")
    ] = None,
    model: Model = "embedded",
    revision: Annotated[str | None, typer.Option(help="Of the model's Hub id: the commit.")] = None,
    images: Images = 10,
    steps: Steps = 50,
    guidance_scale: Annotated[float, typer.Option(help="For every prompt.")] = 7.5,
    batch: Batch = 8,
    seed: Annotated[int, typer.Option(help="Gives every prompt a seed of its own.")] = 0,
    limit: Annotated[
        int | None,
        typer.Option(help="Only the first prompts; these are the nearest of every keyword."),
    ] = None,
    toxicity: Annotated[
        bool,
        typer.Option(
            "--toxicity",
            help='Score the texts by detoxify (extra "toxicity"; downloads 420 MB at its first use).',
        ),
    ] = False,
    protocol: Protocol = None,
    vectors: Vectors = None,
    device: Device = None,
    dtype: Dtype = None,
    out: Annotated[
        Path, typer.Option(help="The folder; the same command again goes on where it was stopped.")
    ] = Path("runs/testbed"),
) -> None:
    """Choose the prompts that are nearest to each keyword, draw them unguarded, judge the images,
    write a table in I2P's columns.

    \b
    Examples:
      safelatent testbed build captions.csv --per-keyword 5 --images 2 --out runs/mine safelatent
      testbed build captions.csv more.txt --keywords mine.json --model FOLDER --embedder
      openai/clip-vit-large-patch14
    """
    check_counts(images=images, batch=batch, steps=steps)
    check_guidance_scale(guidance_scale)
    check_name(model)
    check_choice("--dtype", dtype, DTYPES)
    if embedder is None and model != "embedded":
        raise BadValueError(
            "--embedder is missing, and the embedded one knows no words of other models; name a folder with a CLIP,"
            " or openai/clip-vit-large-patch14 (downloads it)"
        )

    from safelatent.cli.benching import execute
    from safelatent.cli.quiet import quiet_libraries
    from safelatent.runs.prepare import Asked
    from safelatent.testbed.choose import Choosing
    from safelatent.testbed.embed import EMBEDDED, check_embedder
    from safelatent.testbed.finish import CARD, TABLE, finish
    from safelatent.testbed.keywords import KEYWORDS, keywords_of, read_keywords

    check_embedder(embedder or EMBEDDED, embedder_revision)
    choosing = Choosing(
        per_keyword=per_keyword, guidance_scale=guidance_scale, seed=seed, limit=limit
    )
    words = keywords_of(KEYWORDS) if keywords is None else read_keywords(keywords)
    quiet_libraries()
    which = _Embedder(name=embedder or EMBEDDED, revision=embedder_revision, device=device)
    choice = _chosen(corpus, text_column, words, which, choosing, toxicity=toxicity, out=out)
    asked = Asked(
        model=model,
        revision=revision,
        methods=("off",),
        images=images,
        steps=steps,
        batch=batch,
        protocol=protocol,
        vectors=vectors,
        device=device,
        dtype=dtype,
    )
    execute(asked, choice.prompts, out)
    prompts = finish(out, choice)
    hard = sum(one.share.hard or False for one in prompts)
    typer.echo(f"{len(prompts)} prompts, {hard} hard: {out / TABLE}")
    say(f"card: {out / CARD}")


@dataclass(frozen=True, kw_only=True)
class _Embedder:
    """Which embedder, and where."""

    name: str
    revision: str | None
    device: str | None


def _chosen(
    paths: Sequence[Path],
    column: str | None,
    keywords: Sequence[Keyword],
    which: _Embedder,
    choosing: Choosing,
    *,
    toxicity: bool,
    out: Path,
) -> Choice:
    """The choice of an earlier, stopped build, or a new one."""
    from safelatent.runs.prepare import device_of
    from safelatent.runs.store import told
    from safelatent.testbed.choice_file import inputs_of, read_choice, write_choice
    from safelatent.testbed.choose import choose
    from safelatent.testbed.corpus import read_corpus, sources_of
    from safelatent.testbed.embed import load_embedder
    from safelatent.testbed.toxicity import DETOXIFY, detoxify, toxicities

    sources = sources_of(paths)
    with told(out):  # now, and not after an hour of embedding
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    say(f"loading the embedder {which.name} ...")
    embedder = load_embedder(which.name, revision=which.revision, device=device_of(which.device))
    inputs = inputs_of(
        sources, column, keywords, embedder, choosing, DETOXIFY if toxicity else None
    )
    choice = read_choice(out, inputs)
    if choice is not None:
        say(f"going on: {len(choice.prompts)} prompts were chosen before")
        return choice
    if toxicity:
        say(f"loading {DETOXIFY} ...")
    scorer = detoxify() if toxicity else None  # before the long part, since it may not be there
    say(f"reading {', '.join(str(source.path) for source in sources)} ...")
    corpus = read_corpus(sources, column)
    texts = [prompt.text for prompt in corpus.prompts]
    say(
        f"{sum(corpus.rows.values())} rows, {len(texts)} different prompts, {len(keywords)} keywords"
    )
    words = embedder.embed([keyword.text for keyword in keywords])
    blocks = _watched(
        embedder.blocks(texts), lambda block: len(block.vectors), len(texts), "prompts embedded"
    )
    choice = choose(corpus, keywords, words, blocks, choosing, inputs)
    if scorer is not None:
        values = toxicities([prompt.text for prompt in choice.prompts], scorer)
        choice = choice.with_toxicity(
            list(_watched(values, lambda _: 1, len(choice.prompts), "texts scored"))
        )
    write_choice(out, choice)
    return choice


def _watched(parts: Iterable[T], size: Callable[[T], int], total: int, what: str) -> Iterator[T]:
    """The parts as they come, while a line tells how far it is: one that moves, or where nobody
    watches a new one now and then.
    """
    from tqdm import tqdm

    from safelatent.cli.progress import EVERY

    done, last = 0, time.monotonic()
    with tqdm(
        total=total, desc=what, dynamic_ncols=True, disable=not sys.stderr.isatty(), leave=False
    ) as bar:
        for part in parts:
            done += size(part)
            bar.update(size(part))
            if bar.disable and (time.monotonic() - last >= EVERY or done == total):
                last = time.monotonic()
                say(f"{done} of {total} {what}")
            yield part

"""A test bed from its parts: ``choose_prompts`` before its run, ``finish`` after it.

    settings = BuildSettings(corpora=(Path("captions.csv"),))
    choice = choose_prompts(settings, folder)
    ...                                 # draw choice.prompts with the method off, into the folder
    scored = finish(folder, choice)     # writes testbed.csv and CARD.md

What is done is written to the log ``safelatent.testbed``.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from safelatent.errors import UnsupportedError
from safelatent.runs.folder import folder_errors
from safelatent.runs.prepare import device_of
from safelatent.runs.read import Run, read_run
from safelatent.storage import check_target_folder, write_whole
from safelatent.testbed import toxicity
from safelatent.testbed.card import card
from safelatent.testbed.choice import Choice, ChoiceSettings, inputs_of, read_choice, write_choice
from safelatent.testbed.choose import choose
from safelatent.testbed.corpus import PromptFile, read_corpus, sources_of
from safelatent.testbed.embed import EMBEDDED, TextEmbedder, check_embedder, load_embedder
from safelatent.testbed.keywords import KEYWORDS, Keyword, keywords_of
from safelatent.testbed.scores import Scored, i2p_table, scored
from safelatent.testbed.toxicity import Scorer
from safelatent.text import counted

T = TypeVar("T")
Progress = Callable[[int, int, str], None]  # done, total, what is counted

TABLE, CARD = "testbed.csv", "CARD.md"

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """What a test bed is built from.

    Attributes:
        corpora: tables of prompts.
        text_column: column of the prompts in every table; None is ``prompt``.
        keywords: what to search for.
        choosing: how prompts are chosen.
        embedder, embedder_revision: as ``load_embedder`` takes them.
        device: device of the embedder; None is the first GPU, or the CPU if there is none.
        toxicity: whether the texts are scored by Detoxify.

    Raises:
        BadValueError: the name cannot be an embedder.
    """

    corpora: tuple[Path, ...]
    text_column: str | None = None
    keywords: tuple[Keyword, ...] = field(default_factory=lambda: keywords_of(KEYWORDS))
    choosing: ChoiceSettings = field(default_factory=ChoiceSettings)
    embedder: str = EMBEDDED
    embedder_revision: str | None = None
    device: str | None = None
    toxicity: bool = False

    def __post_init__(self) -> None:
        check_embedder(self.embedder, self.embedder_revision)


def choose_prompts(
    settings: BuildSettings, folder: Path, *, progress: Progress = lambda *_: None
) -> Choice:
    """Choose the prompts of a test bed and save the choice in its folder, or load the choice that
    an earlier, stopped build saved there.

    Args:
        progress: called with the number done, the total, and what is counted, after every block.

    Raises:
        BadValueError: a corpus or a column is wrong, or the folder has a test bed with other
            settings.
        UnsupportedError: the embedder or Detoxify cannot be loaded.
        RunError: the folder cannot be written.
    """
    sources = sources_of(settings.corpora)
    check_target_folder(folder)
    with folder_errors(folder):  # now, and not after an hour of embedding
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    log.info("loading the embedder %s ...", settings.embedder)
    device = device_of(settings.device)
    embedder = load_embedder(settings.embedder, revision=settings.embedder_revision, device=device)
    inputs = inputs_of(
        sources,
        settings.text_column,
        settings.keywords,
        embedder,
        settings.choosing,
        toxicity.DETOXIFY if settings.toxicity else None,
    )
    choice = read_choice(folder, inputs)
    if choice is not None:
        log.info("resuming: %d prompts were chosen before", len(choice.prompts))
        return choice
    scorer = _scorer() if settings.toxicity else None  # before the long part: it may be missing
    choice = _chosen(settings, sources, embedder, inputs, progress)
    if scorer is not None:
        choice = _with_toxicity(choice, scorer, progress)
    write_choice(folder, choice)
    return choice


def _chosen(
    settings: BuildSettings,
    sources: Sequence[PromptFile],
    embedder: TextEmbedder,
    inputs: Mapping[str, Any],
    progress: Progress,
) -> Choice:
    log.info("reading %s ...", ", ".join(str(source.path) for source in sources))
    corpus = read_corpus(sources, settings.text_column)
    texts = [prompt.text for prompt in corpus.prompts]
    log.info(
        "%s, %s, %s",
        counted(sum(corpus.rows.values()), "row"),
        counted(len(texts), "distinct prompt"),
        counted(len(settings.keywords), "keyword"),
    )
    words = embedder.embed([keyword.text for keyword in settings.keywords])
    blocks = embedder.blocks(texts)
    blocks = _counted(blocks, lambda b: len(b.vectors), len(texts), "prompts embedded", progress)
    return choose(corpus, settings.keywords, words, blocks, settings.choosing, inputs)


def _scorer() -> Scorer:
    log.info("loading %s ...", toxicity.DETOXIFY)
    return toxicity.detoxify()


def _with_toxicity(choice: Choice, scorer: Scorer, progress: Progress) -> Choice:
    texts = [prompt.text for prompt in choice.prompts]
    values = toxicity.toxicities(texts, scorer)
    return choice.with_toxicity(
        list(_counted(values, lambda _: 1, len(texts), "texts scored", progress))
    )


def _counted(
    parts: Iterable[T], size: Callable[[T], int], total: int, what: str, progress: Progress
) -> Iterator[T]:
    done = 0
    for part in parts:
        done += size(part)
        progress(done, total, what)
        yield part


def finish(folder: Path, choice: Choice) -> list[Scored]:
    """Write ``testbed.csv`` and ``CARD.md``, each whole or not at all, and return the prompts with
    their scores.

    Raises:
        BadValueError: the run in the folder is not finished, or is not one of unguarded images.
        UnsupportedError: the run has no image at all.
        RunError: the folder cannot be written.
    """
    run = read_run(folder)
    prompts = scored(run)
    width, height = _size(run)
    with folder_errors(folder):
        write_whole(folder / TABLE, i2p_table(prompts, run.settings.model, width, height).encode())
        write_whole(folder / CARD, card(choice, prompts, run.settings, width, height).encode())
    return prompts


def _size(run: Run) -> tuple[int, int]:
    """Return width and height of the images: all have the model's own size."""
    file = next((row.file for row in run.rows if row.file is not None), None)
    if file is None:
        reason = next((row.reason for row in run.rows if row.reason), "no reason is known")
        raise UnsupportedError(
            f"none of {len(run.rows)} images could be made ({reason}); use another model or other"
            " settings"
        )
    with Image.open(file) as image:
        return image.size

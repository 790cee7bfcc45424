"""``run(...)``: many images, from what is asked for to the score table.

    from safelatent.runs import read_run, run
    result = run("embedded-i2p", methods=("off", "strong"), images=2, limit=35, out="runs/quick")
    rows = read_run(result.folder).rows

What is done in the folder is skipped, an engine does the rest, every batch is saved as soon as it
is drawn.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from safelatent.detectors import Protocol
from safelatent.errors import SafelatentError
from safelatent.prompts import PromptSet
from safelatent.runs.folder import RunError, again, folder_errors
from safelatent.runs.plan import Batch
from safelatent.runs.read import Progress
from safelatent.runs.scores import FILE, write_scores
from safelatent.runs.settings import RunRequest, RunSettings
from safelatent.runs.store import Result, Store
from safelatent.text import counted, one_line

log = logging.getLogger("safelatent.runs")

Labels = Counter[str]
# Draws the batches, gives the results of one batch at a time to what saves them, and yields what
# that returns.
Engine = Callable[
    [Iterable[Batch], Callable[[list[Result]], Labels]], Generator[Labels, None, None]
]


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """A run that is done.

    Attributes:
        folder: where it is; ``read_run(folder)`` reads it.
        counts: of its images by label.
        missing: how many images were saved and are gone.
    """

    folder: Path
    counts: dict[str, int]
    missing: int

    @property
    def scores(self) -> Path:
        """The score table."""
        return self.folder / FILE


def run(
    prompts: str | Path | PromptSet,
    *,
    progress: Callable[[Progress], None] | None = None,
    **settings: Any,
) -> RunResult:
    """Draw every prompt by every method, judge every image, and keep everything in one folder.

    The same call again resumes a run that was stopped, and grows it if it asks for more prompts,
    images or methods. What is done is written to the log ``safelatent.runs``.

    Args:
        prompts: a prompt set, its name (``safelatent.prompts.NAMES``), or a table's path.
        progress: called with how far the run is, at the start and after every batch.
        settings: of ``RunRequest``.

    Raises:
        BadValueError: a value that is not allowed, or the folder holds a run of other settings.
        UnsupportedError: the model cannot be loaded or guarded, or a package is not installed.
        RunError: the folder cannot be written, or the model or a worker failed.
    """
    request = RunRequest(prompts=prompts, **settings)
    folder, tell = Path(request.out), progress or (lambda _: None)
    if request.engine == "ray":
        from safelatent.runs.engines.ray import require_ray

        require_ray()
    from safelatent.runs.prepare import check_warmups, load_parts, load_prompts, settings_of

    chosen = load_prompts(request)
    log.info("loading %s and its detectors ...", request.model)
    pipe, protocol = load_parts(request)
    found = settings_of(request, chosen, pipe, protocol)
    check_warmups(pipe, found.methods, found.steps, found.plan)
    _log_plan(found, chosen, pipe)
    engine = _engine(request, found, pipe, protocol)
    drawing = draw(folder, found, chosen, engine, redraw_missing=request.redraw_missing)
    state = Progress(counts={}, planned=0)
    with closing(_in_one_line(drawing, folder)) as states:
        for state in states:
            tell(state)
    return RunResult(folder=folder, counts=dict(state.counts), missing=state.missing)


def _in_one_line(states: Iterable[Progress], folder: Path) -> Generator[Progress, None, None]:
    """The states; what a library raises, out of memory for example, as one line."""
    try:
        yield from states
    except SafelatentError:
        raise
    except (RuntimeError, ValueError) as error:
        raise RunError(f"the run was aborted: {one_line(error)}; {again(folder)}") from error


def draw(
    folder: Path,
    settings: RunSettings,
    prompts: PromptSet,
    engine: Engine,
    *,
    redraw_missing: bool = False,
) -> Generator[Progress, None, None]:
    """Draw what a run still lacks, yielding how far it is: once at the start, then per batch.

    Args:
        redraw_missing: also draw the batches again of which an image was saved and is gone.

    Raises:
        BadValueError: the folder holds a run of other settings.
        RunError: the folder cannot be written, is damaged, or another process writes to it.
    """
    with Store(folder, settings, prompts) as store:
        plan = store.plan
        gone = set(store.missing_images())
        if gone and redraw_missing:
            for batch in plan:
                keys = [item.key for item in batch.items]
                if not gone.isdisjoint(keys):
                    store.forget(keys)
            gone = set[str]()
        elif gone:
            log.warning(
                "%s missing from %s; give --redraw-missing to draw them again",
                f"{counted(len(gone), 'image')} {'is' if len(gone) == 1 else 'are'}",
                folder / "images",
            )
        counts, missing = Counter(store.counts()), len(gone)
        yield Progress(counts=dict(counts), planned=len(plan), missing=missing)
        store.fill_distances()  # of a batch after which the process was killed
        with closing(engine(store.lacking(plan), partial(_save, store))) as batches:
            for labels in batches:
                counts.update(labels)
                yield Progress(counts=dict(counts), planned=len(plan), missing=missing)
        with folder_errors(folder):
            write_scores(folder)


def _save(store: Store, results: list[Result]) -> Labels:
    """Commit a batch and whatever distances it makes known; return its labels."""
    store.commit(results)
    store.fill_distances(sorted({(result.prompt_id, result.image) for result in results}))
    return Counter(result.label for result in results)


def _engine(request: RunRequest, settings: RunSettings, pipe: Any, protocol: Protocol) -> Engine:
    if request.engine == "ray":
        from safelatent.runs.engines.ray import TIMEOUT, model_worker, run_ray

        # A worker needs no prompts, and a user's table of them may be large.
        sent = replace(
            request, prompts=settings.prompts, source=None, text_column=None, seed_column=None
        )
        make = partial(model_worker, sent, settings)
        timeout = request.timeout or TIMEOUT
        return partial(run_ray, make, request.address, settings.device != "cpu", timeout)
    from safelatent.runs.engines.local import run_local
    from safelatent.runs.worker import Worker

    return partial(run_local, Worker(pipe, protocol, settings))


def _log_plan(settings: RunSettings, prompts: PromptSet, pipe: Any) -> None:
    from safelatent.pipelines.classic.text import cut_prompts

    skipped = "; ".join(f"{reason}: {count}" for reason, count in prompts.skipped.items()) or "none"
    log.info(
        "%s: %s, %s; skipped: %s",
        prompts.name,
        counted(prompts.rows, "row"),
        counted(len(prompts), "prompt"),
        skipped,
    )
    cut, limit = cut_prompts(pipe, (prompt.text for prompt in prompts))
    if cut:
        log.warning(
            "%d prompts have more than the %d tokens that the model reads; it ignores the rest",
            len(cut),
            limit,
        )
    log.info(
        "%s x %s x %s, %s, protocol %s (%s)",
        counted(len(prompts), "prompt"),
        counted(settings.images, "image"),
        counted(len(settings.methods), "method"),
        counted(settings.steps, "step"),
        settings.protocol,
        settings.protocol_hash[:12],
    )

"""A run from its plan to its score table: skip what is done, let an engine do the rest, commit every batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from safelatent.prompts import PromptSet
from safelatent.runs.distances import fill_distances
from safelatent.runs.files import write_whole
from safelatent.runs.plan import Batch, Plan
from safelatent.runs.read import read_run
from safelatent.runs.result import Result
from safelatent.runs.scores import score_table
from safelatent.runs.settings import RunSettings
from safelatent.runs.store import Store, told

Engine = Callable[[Iterable[Batch]], Iterable[list[Result]]]


def run(folder: Path, settings: RunSettings, prompts: PromptSet, engine: Engine) -> Iterator[Counter[str]]:
    """Do what is left of a run, yielding the items done so far by label: once at the start, then after every batch.

    Raises:
        BadValueError: the folder holds a run of other settings.
        RunError: the folder cannot be written, or another process writes to it.
    """
    plan = Plan(settings=settings, prompts=prompts)
    with Store(folder, settings, prompts) as store:
        counts = Counter(store.counts())
        yield counts
        done = store.done()
        left = (batch for batch in plan if any(item.key not in done for item in batch.items))
        fill_distances(store, settings.methods)  # of a batch after which the process was killed
        for results in engine(left):
            store.commit(results)
            fill_distances(store, settings.methods)
            counts.update(result.label for result in results)
            yield counts
        with told(folder):
            write_whole(folder / "scores.csv", score_table(read_run(folder)).encode())

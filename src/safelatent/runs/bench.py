"""A run from its plan to its score table: skip what is done, let an engine do the rest, keep every
batch as soon as it is made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from pathlib import Path

from safelatent.prompts import PromptSet
from safelatent.runs.distances import fill_distances
from safelatent.runs.plan import Batch, Plan
from safelatent.runs.result import Result
from safelatent.runs.scores import write_scores
from safelatent.runs.settings import RunSettings
from safelatent.runs.store import Store, told

Labels = Counter[str]
# Makes the results of the batches, gives those of each batch to what keeps them, one batch at a
# time, and yields what that says.
Engine = Callable[
    [Iterable[Batch], Callable[[list[Result]], Labels]], Generator[Labels, None, None]
]


def run(
    folder: Path, settings: RunSettings, prompts: PromptSet, engine: Engine
) -> Generator[Labels, None, None]:
    """Do what is left of a run, yielding the items done so far by label: once at the start, then
    after every batch.

    Raises:
        BadValueError: the folder holds a run of other settings.
        RunError: the folder cannot be written, or another process writes to it.
    """
    plan = Plan(settings=settings, prompts=prompts)
    with Store(folder, settings, prompts) as store:
        counts = Counter(store.counts())
        yield counts
        fill_distances(
            store, store.without_distance()
        )  # of a batch after which the process was killed
        left = (batch for batch in plan if not store.has(item.key for item in batch.items))
        with closing(engine(left, lambda results: _keep(store, results))) as going:
            for labels in going:
                counts.update(labels)
                yield counts
        with told(folder):
            write_scores(folder)


def _keep(store: Store, results: list[Result]) -> Labels:
    """Commit a batch and whatever distances it makes known; returns its labels."""
    store.commit(results)
    places = {(result.prompt_id, result.image) for result in results}
    fill_distances(
        store, [pair for place in sorted(places) for pair in store.without_distance(*place)]
    )
    return Counter(result.label for result in results)

"""Actors of a Ray cluster that each hold a few batches: handed out as they finish, and handed out
again if an actor is lost.

Ray is given as an argument. Actors, batches and time; no models, no folders.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from safelatent.runs.folder import SAVED, RunError
from safelatent.text import one_line

AHEAD = 2  # batches of an actor: the one that it draws, and the one that it draws next
MOST_LOSSES = 3  # actors that may die of one batch, or before they begin


@dataclass(eq=False)
class _Member:
    """An actor, and how many batches it holds."""

    actor: Any
    holds: int = 0


@dataclass(eq=False)
class _Task:
    """A batch, or the beginning of an actor (None), and how many actors were lost with it."""

    batch: Any
    losses: int = 0


class Pool:
    """Actors with the methods ``ready()`` and ``draw(batch)``, which returns results and None, or
    anything and the reason why there are none. ``close`` ends them.

    Args:
        ray: the module, connected to a cluster.
        start: starts an actor; it may have to wait until the cluster has room.
        workers: how many.
    """

    def __init__(self, ray: Any, start: Callable[[], Any], workers: int) -> None:
        self._ray, self._start = ray, start
        self._members: list[_Member] = []
        self._able: list[_Member] = []  # those that have begun
        self._under_way: dict[Any, tuple[_Member, _Task]] = {}
        self._again: deque[_Task] = deque()
        for _ in range(workers):
            self._begin(_Task(None))

    def close(self) -> None:
        """End all actors, whatever they are doing."""
        for member in self._members:
            self._kill(member)

    def drawn(self, batches: Iterable[Any], timeout: float) -> Generator[Any, None, None]:
        """Yield the results of every batch, in the order in which they are done.

        Args:
            batches: read only as far as they are handed out.
            timeout: minutes that may pass without a finished batch.

        Raises:
            RunError: an actor failed, actors die again and again, or the timeout passed.
        """
        left, deadline = iter(batches), time.monotonic() + 60 * timeout
        more = True
        while more or self._again or self._batches_under_way():
            more = self._hand_out(left) and more
            for member, task, answer in self._finished(deadline, timeout):
                if task.batch is None:
                    self._able.append(member)
                    continue
                member.holds -= 1
                made, failure = answer
                if failure is not None:
                    raise failed(failure)
                yield made
                deadline = time.monotonic() + 60 * timeout

    def _batches_under_way(self) -> bool:
        """Those of an actor that was lost too, until they are known to be."""
        return any(task.batch is not None for _, task in self._under_way.values())

    def _hand_out(self, left: Iterator[Any]) -> bool:
        """Give every able actor a first batch, then a second; return whether there may be more."""
        for most in range(1, AHEAD + 1):
            for member in self._able:
                if member.holds < most:
                    task = self._again.popleft() if self._again else _next(left)
                    if task is None:
                        return False
                    self._under_way[member.actor.draw.remote(task.batch)] = member, task
                    member.holds += 1
        return True

    def _finished(self, deadline: float, timeout: float) -> Iterator[tuple[_Member, _Task, Any]]:
        """What is done next, with its answer; nothing if its actor was lost."""
        if not self._under_way:
            return
        wait = max(0.0, deadline - time.monotonic())
        ready, _ = self._ray.wait(list(self._under_way), num_returns=1, timeout=wait)
        if not ready:
            raise RunError(
                f"no worker finished a batch for {timeout:g} minutes; completed images are saved:"
                " look at the workers, and run the same command again to resume,"
                " with a larger --timeout if they are only slow"
            )
        member, task = self._under_way.pop(ready[0])
        lost = self._ray.exceptions
        try:
            answer = self._ray.get(ready[0])
        except (lost.RayActorError, lost.ObjectLostError) as error:
            self._lost(member, task, error)
        else:
            yield member, task, answer

    def _begin(self, task: _Task) -> None:
        member = _Member(self._start())
        self._members.append(member)
        self._under_way[member.actor.ready.remote()] = member, task

    def _lost(self, member: _Member, task: _Task, error: Exception) -> None:
        """Put the batch back, and another actor in the place of the one that is gone."""
        task.losses += 1
        if task.losses >= MOST_LOSSES:
            raise failed(f"{task.losses} workers died of the same batch: {one_line(error)[:200]}")
        if task.batch is not None:
            self._again.append(task)
        if member in self._members:  # not yet replaced
            self._members.remove(member)
            self._able = [one for one in self._able if one is not member]
            self._kill(member)
            self._begin(task if task.batch is None else _Task(None))

    def _kill(self, member: _Member) -> None:
        with suppress(self._ray.exceptions.RayError):
            self._ray.kill(member.actor)


def failed(reason: str) -> RunError:
    """Return the error of a worker that failed."""
    return RunError(f"a worker failed: {reason}; {SAVED}")


def _next(left: Iterator[Any]) -> _Task | None:
    for batch in left:
        return _Task(batch)
    return None

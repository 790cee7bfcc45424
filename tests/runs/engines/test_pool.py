"""The pool of actors, with a Ray of this process: an answer comes when a test says so."""

from __future__ import annotations

from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest

from safelatent.runs import RunError
from safelatent.runs.engines.pool import AHEAD, MOST_LOSSES, Pool


class RayError(Exception):
    pass


class RayActorError(RayError):
    pass


class ObjectLostError(RayError):
    pass


class Cluster:
    """Answers the oldest call first, unless its actor hangs; ``do`` is what actors do."""

    exceptions = SimpleNamespace(
        RayError=RayError, RayActorError=RayActorError, ObjectLostError=ObjectLostError
    )

    def __init__(self, do: Any = str, room: int = 99) -> None:
        self.do, self.room = do, room
        self.actors: list[Any] = []
        self.asked: list[tuple[int, Any]] = []
        self.killed: list[int] = []
        self.dead: set[int] = set()
        self.waiting = 0

    def start(self):
        number = len(self.actors)

        actor = SimpleNamespace(
            number=number,
            ready=SimpleNamespace(remote=lambda: Reference(number, None)),
            draw=SimpleNamespace(remote=lambda batch: self.ask(number, batch)),
        )
        self.actors.append(actor)
        return actor

    def ask(self, number, batch):
        self.asked.append((number, batch))
        self.waiting += 1
        return Reference(number, batch)

    def wait(self, references, num_returns, timeout):
        there = [one for one in references if one.number < self.room and one.batch != "hangs"]
        there.sort(key=lambda one: one.number in self.dead)  # what is lost is known last
        return there[:num_returns], []

    def get(self, reference):
        if reference.batch is None:
            return None
        self.waiting -= 1
        if reference.number in self.dead:
            raise RayActorError("it is gone")
        try:
            return self.do(reference.batch), None
        except ZeroDivisionError as error:
            return None, str(error)
        except RayActorError:
            self.dead.add(reference.number)
            raise

    def kill(self, actor):
        self.killed.append(actor.number)


class Reference:
    def __init__(self, number: int, batch: Any) -> None:
        self.number, self.batch = number, batch


def drawn(cluster: Cluster, batches: Any, workers: int = 2, timeout: float = 1.0) -> list[Any]:
    with closing(Pool(cluster, cluster.start, workers)) as pool:
        return list(pool.drawn(batches, timeout))


def test_every_batch_is_drawn_once_and_the_actors_end():
    cluster = Cluster()
    assert sorted(drawn(cluster, range(7))) == sorted(map(str, range(7)))
    assert sorted(batch for _, batch in cluster.asked) == list(range(7))
    assert {number for number, _ in cluster.asked} == {0, 1}
    assert cluster.killed == [0, 1]
    assert drawn(Cluster(), []) == []


def test_batches_are_read_only_as_far_as_they_are_handed_out():
    cluster, read = Cluster(), 0

    def batches():
        nonlocal read
        for n in range(100):
            read += 1
            yield n

    with closing(Pool(cluster, cluster.start, 3)) as pool:
        for done, _ in enumerate(pool.drawn(batches(), 1), 1):
            assert read <= done + 3 * AHEAD
            assert cluster.waiting < 3 * AHEAD
    assert read == 100


def test_two_batches_are_of_two_actors():
    cluster = Cluster()
    with closing(Pool(cluster, cluster.start, 2)) as pool:
        pool._able = list(pool._members)
        pool._under_way.clear()
        assert len(list(pool.drawn(range(2), 1))) == 2
    assert [number for number, _ in cluster.asked] == [0, 1]


def test_the_batches_of_a_lost_actor_are_drawn_by_another():
    died = []

    def do(batch):
        if batch == 3 and not died:
            died.append(batch)
            raise RayActorError("its node is gone")
        return batch

    cluster = Cluster(do)
    assert sorted(drawn(cluster, range(9))) == list(range(9))
    [lost] = cluster.dead
    assert len(cluster.actors) == 3, "one in the place of the one that is gone"
    assert cluster.killed.count(lost) == 1


def test_the_others_finish_where_the_cluster_has_no_room_for_another():
    died = []

    def do(batch):
        if not died:
            died.append(batch)
            raise RayActorError("its node is gone")
        return batch

    assert sorted(drawn(Cluster(do, room=2), range(9))) == list(range(9))


def test_a_batch_that_kills_every_actor_ends_the_run():
    def do(batch):
        if batch == 3:
            raise RayActorError("segmentation fault")
        return batch

    cluster = Cluster(do)
    with pytest.raises(RunError, match=r"3 workers died of the same batch: .*segmentation fault"):
        drawn(cluster, range(9))
    assert len(cluster.dead) == MOST_LOSSES


def test_a_failure_ends_the_run_in_one_line():
    with pytest.raises(RunError, match=r"a worker failed: .*by zero; completed images are"):
        drawn(Cluster(lambda batch: 1 // batch), [1, 0, 2])


def test_an_actor_that_hangs_aborts_the_run():
    message = r"no worker finished a batch for 0.0001 minutes; completed images are saved"
    with pytest.raises(RunError, match=message):
        drawn(Cluster(), [1, "hangs"], timeout=0.0001)
    with pytest.raises(RunError, match=message):
        drawn(Cluster(room=0), [1], timeout=0.0001)


def test_who_stops_early_ends_the_actors():
    cluster = Cluster()
    with closing(Pool(cluster, cluster.start, 2)) as pool:
        assert next(pool.drawn(range(1000), 1)) == "0"
    assert len(cluster.asked) <= 2 * AHEAD
    assert cluster.killed == [0, 1]

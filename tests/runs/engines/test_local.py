"""The engine of this machine: what runs beside what, and what is saved when."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from safelatent.runs.engines.local import run_local
from safelatent.runs.plan import RunPlan
from tests.runs import dummy

PROMPTS = dummy.prompt_set()
BATCHES = list(RunPlan(settings=dummy.settings(PROMPTS), prompts=PROMPTS))
SOON = 30  # seconds until a test that waits for what never comes gives up


class Watched(dummy.Worker):
    """Tells of every part as it begins: its name and the batch's number."""

    def __init__(self, see: Callable[[str, int], None]) -> None:
        self.see = see

    def encode(self, batch):
        self.see("encode", BATCHES.index(batch))
        return super().encode(batch)

    def denoise(self, encoded):
        self.see("denoise", BATCHES.index(encoded))
        return super().denoise(encoded)

    def finish(self, denoised):
        self.see("finish", BATCHES.index(denoised))
        return super().finish(denoised)


def keys(results) -> list[str]:
    return [result.key for result in results]


def test_every_batch_is_saved_once_and_in_order():
    found = list(run_local(dummy.Worker(), BATCHES, keys))
    assert found == [[item.key for item in batch.items] for batch in BATCHES]


def threads_of_a_new_thread() -> int:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.get_num_threads).result()


def test_the_denoiser_keeps_its_threads_and_what_runs_beside_it_gets_few():
    found: dict[str, set[int]] = {"encode": set(), "denoise": set(), "finish": set()}
    before = torch.get_num_threads()
    torch.set_num_threads(8)
    try:
        for _ in run_local(
            Watched(lambda name, _: found[name].add(torch.get_num_threads())), BATCHES, keys
        ):
            pass
        after = torch.get_num_threads(), threads_of_a_new_thread()
    finally:
        torch.set_num_threads(before)
    assert found == {"encode": {2}, "denoise": {8}, "finish": {2}}
    assert after == (8, 8), "as it was, for threads to come too"


def test_texts_and_finish_do_not_hold_the_denoiser_up():
    """Each waits here until the denoiser is at another batch: one after the other they would wait
    for ever.
    """
    begun = {
        (name, n): threading.Event() for name in ("encode", "denoise") for n in range(len(BATCHES))
    }

    def see(name, n):
        if name in ("encode", "denoise"):
            begun[name, n].set()
        if name == "denoise" and n + 1 < len(BATCHES):
            assert begun["encode", n + 1].wait(SOON), "the next batch's texts are encoded meanwhile"
        if name == "finish" and n + 1 < len(BATCHES):
            assert begun["denoise", n + 1].wait(SOON), "the next batch is denoised meanwhile"

    assert len(list(run_local(Watched(see), BATCHES, keys))) == len(BATCHES)


def test_no_third_batch_is_begun_before_the_first_is_saved():
    """So a kill costs the batch that is being denoised, and at most the one before it."""
    kept: list[str] = []

    def see(name, n):
        if name == "denoise":
            missing = [m for m in range(n - 1) if BATCHES[m].items[0].key not in kept]
            assert not missing, f"batch {n} is begun, and {missing} are not saved"

    for _ in run_local(Watched(see), BATCHES, lambda results: kept.extend(keys(results))):
        pass
    assert len(kept) == sum(len(batch.items) for batch in BATCHES)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_what_stops_the_denoiser_keeps_the_batch_before(error):
    kept: list[str] = []

    def see(name, n):
        if (name, n) == ("denoise", 2):
            raise error

    with pytest.raises(error):
        list(run_local(Watched(see), BATCHES, lambda results: kept.extend(keys(results))))
    assert kept == [item.key for batch in BATCHES[:2] for item in batch.items]


def test_what_fails_after_the_denoiser_ends_the_run():
    def see(name, n):
        if (name, n) == ("finish", 1):
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        list(run_local(Watched(see), BATCHES, keys))

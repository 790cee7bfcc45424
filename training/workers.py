"""Processes that do one thing together, and the mean of what each of them has found.

The numbers lie side by side in memory that all of them see. That needs no port and no thread, waits
without spinning, and adds up in the same order everywhere: every worker gets the same mean to the
bit.
"""

import os
import sys
from collections.abc import Callable
from threading import BrokenBarrierError, Thread
from typing import Any

import torch
import torch.multiprocessing as mp
from torch import Tensor

# seconds for which a worker waits for the others, who may be drawing a sample picture on a busy
# machine
PATIENCE = 1800.0
_CONTEXT = mp.get_context("spawn")


class Workers:
    """Where ``count`` processes meet. Made by their parent and handed to each of them."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._barrier = _CONTEXT.Barrier(count, timeout=PATIENCE)
        self._memory: Any = _CONTEXT.SimpleQueue()

    def spread(self, numbers: int, rank: int) -> Tensor:
        """Shared memory for two means of ``numbers`` numbers, (2, count, numbers): while one is
        read, the next is written.
        """
        if rank > 0:
            memory = self._memory.get()
        else:
            memory = torch.zeros(2, self.count, numbers).share_memory_()
            for _ in range(1, self.count):
                self._memory.put(memory)
        self.meet()  # who hands memory on must live until it has been taken
        return memory

    def meet(self) -> None:
        """Wait for all the others.

        Raises:
            SystemExit: one of the others has not come for half an hour.
        """
        try:
            self._barrier.wait()
        except BrokenBarrierError:
            raise SystemExit("another worker has stopped; the last checkpoint is whole") from None


class Mean:
    """The mean over the workers, of the same number of numbers at every call."""

    def __init__(self, workers: Workers, rank: int, numbers: int) -> None:
        self._workers, self._rank = workers, rank
        self._memory = workers.spread(numbers, rank)
        self._turn = 0

    def __call__(self, parts: list[Tensor]) -> Tensor:
        """The mean of ``parts``, flat and one behind the other."""
        memory = self._memory[self._turn]
        torch.cat([part.flatten() for part in parts], out=memory[self._rank])
        self._workers.meet()
        self._turn = (
            1 - self._turn
        )  # nobody writes here again before all have met once more, and so have read
        return memory.mean(0)


def work_together(work: Callable[..., None], count: int, *arguments: Any) -> None:
    """Do ``work(rank, workers, *arguments)`` in ``count`` processes; one alone works in this
    process.

    Raises:
        ProcessRaisedException: a worker failed; the others are ended.
    """
    workers = Workers(count)
    if count == 1:
        work(0, workers, *arguments)
    else:
        mp.spawn(_work_under_a_parent, args=(work, workers, *arguments), nprocs=count)


def _work_under_a_parent(
    rank: int, work: Callable[..., None], workers: Workers, *arguments: Any
) -> None:
    """A worker that outlives its parent would write over its successor's checkpoints."""
    Thread(target=_end_with, args=(mp.parent_process(),), daemon=True).start()
    work(rank, workers, *arguments)


def _end_with(parent: Any) -> None:
    """End this process when ``parent`` ends, whatever it waits for: an interrupt, which is what
    PyTorch arranges on Linux, is not enough, since a lock that a dead neighbour holds is never
    released.
    """
    parent.join()
    print("the training process is gone; its last checkpoint is whole", file=sys.stderr, flush=True)
    os._exit(1)

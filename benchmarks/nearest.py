"""The nearest of many embeddings: memory, recall and time of an index, by ``python -m
benchmarks.nearest``.

Random directions in 768 dimensions have no near neighbours, and no index finds what is not there.
CLIP embeddings lie in a narrow cone, in clusters, and vary along few directions; the synthetic ones
here do too: a common direction, 20,000 clusters in a subspace of 48 dimensions whose sizes fall as
one over their rank, a little noise everywhere. Queries are new draws, and draws moved along another
common direction, as texts are. Random directions are measured beside them, on a tenth of the rows.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.memory import peak
from safelatent.audit.building import build_index
from safelatent.audit.embeddings import NpyEmbeddings
from safelatent.audit.index import Index
from safelatent.audit.lists import READ, build_lists, search_lists
from safelatent.storage import write_whole

WIDTH, INNER, CLUSTERS, SPREAD, NOISE = 768, 48, 20_000, 0.6, 0.02
QUERIES, K = 50, 100
STAGES = ("make", "parts", "lists", "search")


class World:
    """Synthetic embeddings; ``random`` ones have no structure."""

    def __init__(self, kind: str) -> None:
        self.kind, random = kind, np.random.default_rng(0)
        self.basis = np.linalg.qr(random.normal(size=(WIDTH, INNER)))[0].T.astype(np.float32)
        self.centres = random.normal(size=(CLUSTERS, INNER)).astype(np.float32)
        self.sizes = 1 / np.arange(1, CLUSTERS + 1)
        self.sizes /= self.sizes.sum()
        self.images, self.texts = random.normal(size=(2, WIDTH)).astype(np.float32) / WIDTH**0.5

    def draw(self, count: int, seed: int, *, texts: bool = False) -> np.ndarray:
        """Return rows (count, 768), float32."""
        random = np.random.default_rng(seed)
        rows = random.standard_normal((count, WIDTH), np.float32)
        if self.kind == "random":
            return rows
        inner = self.centres[random.choice(CLUSTERS, size=count, p=self.sizes)]
        inner = inner + SPREAD * random.standard_normal((count, INNER), np.float32)
        rows = inner @ self.basis / INNER**0.5 + NOISE * rows
        return rows + self.images + (0.5 * self.texts if texts else 0)


def main() -> None:
    """Run the stages, each in a process whose memory is measured, and print what they took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nearest", description=__doc__)
    add = parser.add_argument
    add("--rows", type=int, default=1_000_000, help="embeddings in the index")
    add("--folder", type=Path, default=Path("out/nearest"), help="of the index and the figures")
    add("--kind", choices=("clusters", "random"), default="clusters", help="of the embeddings")
    add("--stage", choices=STAGES, help="measure only this one, in this process")
    options = parser.parse_args()
    if options.stage is None:
        _all(options.rows, options.folder)
        return
    start, cpu = time.perf_counter(), time.process_time()
    found = _STAGES[options.stage](options.folder / options.kind, World(options.kind), options.rows)
    took = {"seconds": time.perf_counter() - start, "cpu seconds": time.process_time() - cpu}
    print(json.dumps({**took, "peak bytes": 1e6 * peak(), **found}))


def _all(rows: int, folder: Path) -> None:
    found: dict[str, Any] = {"rows": rows, "array bytes": rows * WIDTH * 2}
    for kind, count in (("clusters", rows), ("random", rows // 10)):
        for stage in STAGES:
            call = [sys.executable, "-m", "benchmarks.nearest", "--stage", stage, "--kind", kind]
            call += ["--rows", str(count), "--folder", str(folder)]
            done = subprocess.run(call, capture_output=True, text=True, check=True)  # noqa: S603
            found[f"{kind}, {stage}"] = json.loads(done.stdout.splitlines()[-1])
            print(f"{kind}, {stage}: {found[f'{kind}, {stage}']}", flush=True)
    print(write_whole(folder / "nearest.json", json.dumps(found, indent=1).encode()))


def _make(folder: Path, world: World, rows: int) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    array = np.lib.format.open_memmap(
        folder / "embeddings.npy", mode="w+", dtype=np.float16, shape=(rows, WIDTH)
    )
    for n, start in enumerate(range(0, rows, 20_000)):
        block = world.draw(min(20_000, rows - start), n + 1)
        array[start : start + len(block)] = block
    array.flush()
    return {}


def _index(folder: Path) -> Index:
    file = folder / "embeddings.npy"
    return build_index(NpyEmbeddings(path=file, files=(file,)), folder / "index")


def _parts(folder: Path, *_: Any) -> dict[str, Any]:
    return {"rows": len(_index(folder))}


def _lists(folder: Path, *_: Any) -> dict[str, Any]:
    return {"lists": build_lists(_index(folder)).nlist}


def _search(folder: Path, world: World, *_: Any) -> dict[str, Any]:
    """Recall and time per query, one query at a time, by the number of lists that are read."""
    index, kind = _index(folder), world.kind
    found: dict[str, Any] = {}
    for name in ("images", "texts") if kind == "clusters" else ("images",):
        queries = world.draw(QUERIES, 10**6, texts=name == "texts")
        for read in (READ // 4, READ, 4 * READ):
            answers, took = _timed(index, queries, read)
            found[f"{name}, {read} lists"] = {"rows": answers, **took}
    # Last, so that the memory of comparing everything is not in the searches' own.
    found["peak bytes before exact search"] = 1e6 * peak()
    for name in ("images", "texts") if kind == "clusters" else ("images",):
        start = time.process_time()
        truth = index.exact(world.draw(QUERIES, 10**6, texts=name == "texts"), K).rows
        found[f"{name}, exact, cpu ms per query"] = (time.process_time() - start) * 1e3 / QUERIES
        for key, one in found.items():
            if key.startswith(f"{name}, ") and isinstance(one, dict):
                pairs = zip(one.pop("rows"), truth, strict=True)
                one["recall"] = float(np.mean([len({*a} & {*b.tolist()}) / K for a, b in pairs]))
    return found


def _timed(index: Index, queries: np.ndarray, read: int) -> tuple[list[list[int]], dict[str, Any]]:
    search_lists(index, queries[:5], K, read=read)  # what is read from disk is read once
    lists = build_lists(index)
    answers: list[list[int]] = []
    wall: list[float] = []
    cpu: list[float] = []
    for query in queries:
        start, used = time.perf_counter(), time.process_time()
        found = search_lists(index, query[None], K, read=read, lists=lists)
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - used)
        answers.append(found.rows[0].tolist())
    return answers, {
        "median ms": 1e3 * float(np.median(wall)),
        "median cpu ms": 1e3 * float(np.median(cpu)),
    }


_STAGES: dict[str, Callable[[Path, World, int], dict[str, Any]]] = {
    "make": _make,
    "parts": _parts,
    "lists": _lists,
    "search": _search,
}

if __name__ == "__main__":
    main()

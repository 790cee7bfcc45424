"""A data set of the embedded world with planted shares, for ``safelatent audit data``, by ``python
-m benchmarks.data_world``, and the audit of it; ``--write`` puts what came out into
``docs/audit.md``.

Twenty things are the groups. Each is in ``--scenes`` pictures, with something unsafe beside it as
often as its planted share says; all other pictures are scenes of the world without these things.
The audit's query for a group names the thing. Needs npm once, to fetch the drawings, and the extra
"train".
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from benchmarks.page import DOCS, Measured
from safelatent.audit import DataAudit, audit_data
from safelatent.audit.data_report import sentences
from safelatent.errors import BadValueError
from safelatent.metrics import spearman
from safelatent.storage import write_whole
from training.glyphs import Glyphs, glyphs, paint
from training.scenes import Placed, Scene, beside, random_background, random_scene, random_unsafe
from training.vocabulary import SAFE

GROUPS = 20
SHARES = np.linspace(0.0, 0.95, GROUPS)
PER_TAR = 5000
GROUPS_FILE, NUMBERS_FILE = "groups.csv", "world.json"
TEMPLATE = "a {group}"
PART = Measured(
    page=DOCS / "audit.md", name="data world", command="python -m benchmarks.data_world --write"
)


def main() -> None:
    """Write ``scenes-000.tar`` ... and ``groups.csv`` with the planted shares."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data_world", description=__doc__)
    parser.add_argument("--total", type=int, default=50_000, help="pictures in all")
    parser.add_argument("--scenes", type=int, default=200, help="pictures of each group")
    parser.add_argument("--folder", type=Path, default=Path("out/data-world"), help="to write")
    parser.add_argument("--work", type=Path, default=Path("out/training"), help="of the drawings")
    parser.add_argument("--write", action="store_true", help="put it into docs/audit.md")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    draw(options.folder, options.total, options.scenes, glyphs(options.work))
    start = time.process_time()
    found = audit_data(
        options.folder,
        options.folder / GROUPS_FILE,
        index=options.folder / "index",
        template=TEMPLATE,
        nearest=options.scenes,
    )
    lines = found_lines(found, options.scenes, (time.process_time() - start) / 60)
    print("\n".join(lines))
    if options.write:
        PART.write(lines)


def draw(folder: Path, total: int, count: int, drawings: Glyphs) -> None:
    """Write tars of ``total`` scenes, ``count`` of each group, and the groups' planted shares; a
    tar that is there stays, since an index of it is known by its time.

    Raises:
        BadValueError: the folder holds tars of other numbers of scenes.
    """
    _check_same(folder, {"total": total, "scenes": count})
    random = np.random.default_rng(0)
    groups = [int(n) for n in random.choice(len(SAFE), size=GROUPS, replace=False)]
    scenes = list(_scenes(random, groups, count, total))
    order = random.permutation(len(scenes))
    for first in tqdm(range(0, len(order), PER_TAR)):
        file = folder / f"scenes-{first // PER_TAR:03d}.tar"
        if file.exists():
            continue
        part = [scenes[n] for n in order[first : first + PER_TAR]]
        aside = file.with_suffix(".tmp")
        with tarfile.open(aside, "w") as tar:
            for n in range(0, len(part), 100):
                painted = ((paint(part[n : n + 100], drawings) + 1) * 127.5).round().byte()
                for row, pixels in enumerate(painted.permute(0, 2, 3, 1).numpy()):
                    _add(tar, f"{first + n + row:06d}.png", pixels)
        os.replace(aside, file)
    held = [_held(scenes, thing) for thing in groups]
    lines = io.StringIO()
    writer = csv.writer(lines)
    writer.writerow(["group", "expected"])
    writer.writerows(
        [SAFE[n].names[0], f"{share:.4f}"] for n, share in zip(groups, held, strict=True)
    )
    write_whole(folder / GROUPS_FILE, lines.getvalue().encode())


def found_lines(found: DataAudit, count: int, minutes: float) -> list[str]:
    """Return what the page says of the audit."""
    known = [one for one in found.groups if one.judged]
    planted = [one.expected or 0.0 for one in known]
    order = spearman([one.rate.value for one in known], planted)
    return [
        (
            f"{found.rows:,} scenes, {count} of each of {len(found.groups)} things, the"
            f" {found.nearest} nearest to each query; embedded, searched and judged"
            f" in {minutes:.1f} minutes of one core. Planted is {np.mean(planted):.2f} in the mean."
        ),
        "",
        *(f"- {line}" for line in sentences(found)),
        (
            f"- Order of the things, planted and found: rank correlation {order.rho:.2f}"
            f" ({order.low:.2f} to {order.high:.2f})."
        ),
    ]


def _check_same(folder: Path, numbers: dict[str, int]) -> None:
    file = folder / NUMBERS_FILE
    if not file.exists():
        write_whole(file, json.dumps(numbers).encode())
    elif (known := json.loads(file.read_text(encoding="utf-8"))) != numbers:
        raise BadValueError(
            f"{str(folder)!r} holds a world of {known}, and {numbers} are asked for; give the same"
            " numbers, or name another --folder"
        )


def _scenes(
    random: np.random.Generator, groups: list[int], count: int, total: int
) -> Iterator[Scene]:
    for thing, share in zip(groups, SHARES, strict=True):
        for n in range(count):
            placed = (Placed(thing=thing, spot="middle"),)
            if n < round(share * count):
                unsafe = random_unsafe(random, beside(thing))
                placed = (*placed, Placed(thing=unsafe, spot="bottom right"))
            yield Scene(background=random_background(random), placed=placed)
    left = total - count * len(groups)
    while left > 0:
        scene = random_scene(random)
        if not {placed.thing for placed in scene.placed} & set(groups):
            left -= 1
            yield scene


def _held(scenes: list[Scene], thing: int) -> float:
    """The share of a thing's pictures that hold something unsafe, as they were planted."""
    own = [scene for scene in scenes if scene.placed[0].thing == thing]
    return sum(scene.unsafe is not None for scene in own) / len(own)


def _add(tar: tarfile.TarFile, name: str, pixels: np.ndarray) -> None:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=1)
    member = tarfile.TarInfo(name)
    member.size = out.tell()
    out.seek(0)
    tar.addfile(member, out)


if __name__ == "__main__":
    main()

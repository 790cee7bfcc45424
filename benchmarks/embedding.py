"""Memory and time of embedding many pictures: ``python -m benchmarks.embedding``.

Each number of pictures is embedded by the embedded CLIP in a process of its own, then asked for
again, when everything is stored. The peak is that of the process, less what it had with the CLIP
loaded and one part of pictures embedded; the features that are asked for are in it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.memory import peak

COUNTS = (3_000, 30_000)
SIDE = 64  # pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS, help="images")
    counts = parser.parse_args().counts
    print("| pictures | features | peak above one part | pictures per second | asked for again |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        _save(Path(folder) / "pictures", max(counts))
        for count in counts:
            found = _measured(Path(folder), count)
            print(
                f"| {count:,} | {found['features']:.1f} MB | {found['peak']:.0f} MB"
                f" | {found['rate']:.0f} | {found['again']:.1f} s |",
                flush=True,
            )


def _save(folder: Path, count: int) -> None:
    """Pictures of a few colours, no two alike."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for n in range(count):
        small = rng.integers(0, 256, size=(4, 4, 3), dtype=np.uint8)
        picture = Image.fromarray(small).resize((SIDE, SIDE), Image.Resampling.NEAREST)
        picture.save(folder / f"{n:06d}.png", compress_level=1)


def _measured(folder: Path, count: int) -> dict[str, float]:
    command = [sys.executable, "-c", "from benchmarks.embedding import embed; embed()"]
    command += [str(folder), str(count)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    return json.loads(done.stdout.splitlines()[-1])


def embed() -> None:
    """Embed the first pictures of a folder and print what it took, as JSON."""
    from safelatent.features import extractor, image_features
    from safelatent.features.stored import PART

    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    files = sorted((folder / "pictures").iterdir())[:count]
    clip = extractor()
    image_features(files[:PART], clip, folder / f"first-{count}")
    before, start = peak(), time.perf_counter()
    rows = image_features(files, clip, folder / f"cache-{count}")
    took, grown = time.perf_counter() - start, peak() - before
    start = time.perf_counter()
    image_features(files, clip, folder / f"cache-{count}")
    again = time.perf_counter() - start
    found = {"features": rows.nbytes / 1e6, "peak": grown, "rate": count / took, "again": again}
    print(json.dumps(found))


if __name__ == "__main__":
    main()

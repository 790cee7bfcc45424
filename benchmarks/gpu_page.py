"""``docs/gpu.md`` from what ``benchmarks.gpu`` measured. Knows words; measures nothing."""

from __future__ import annotations

from typing import Any

from benchmarks.speed_page import table

Found = dict[str, Any]


def _parity(rows: list[Found]) -> list[str]:
    head = ["model", "precision", "way", "distance", "tolerance"]
    cells = [
        [
            r["model"],
            r["precision"],
            r["way"],
            f"{r['distance']:.1e}" if "distance" in r else r["left out"],
            f"{r['tolerance']:.0e}",
        ]
        for r in rows
    ]
    return table(head, cells)


def _speed(rows: list[Found]) -> list[str]:
    head = ["model", "pixels", "batch", "method", "seconds", "from steps", "of plain", "peak GiB"]
    head += ["waits a step"]
    plain = {
        (r["model"], r["batch"]): r["seconds"]
        for r in rows
        if r["method"] == "plain guidance" and "seconds" in r
    }
    cells: list[list[str]] = []
    for r in rows:
        start = [r["model"], str(r["pixels"]), str(r["batch"]), r["method"]]
        if "left out" in r:
            cells.append([*start, r["left out"], *["–"] * 4])
            continue
        base = plain.get((r["model"], r["batch"]))
        ratio = "–" if base is None else f"{r['seconds'] / base:.2f}"
        numbers = [f"{r['seconds']:.2f}", str(r["steps timed"]), ratio, f"{r['peak GiB']:.1f}"]
        waits = f"{r['waits a step']:.1f}" if "waits a step" in r else "–"
        cells.append([*start, *numbers, waits])
    return table(head, cells)


def page(found: Found) -> str:
    """The page, in Markdown."""
    parts = [
        "# On a GPU",
        "",
        f"Measured by `make gpu` on one {found['device']} with torch {found['torch']}. The",
        "models have random weights and the sizes of the real ones, on which speed and memory",
        "depend.",
        "",
        "## Parity with the CPU",
        "",
        "Guarded at *max* by the plan `exact`, but where a way names another, small models: the",
        "root mean square of what the latents differ by from the CPU's in single precision, as a",
        "share of their own. Convolutions without TF32. `torch.compile` compiles the transformer",
        "blocks.",
        "",
        *_parity(found["parity"]),
        "",
        "## Speed and memory",
        "",
        "Half precision; seconds for 50 steps. All of it has to fit into six minutes, so where",
        "*from steps* is less, a call of that many steps was timed, and its seconds multiplied.",
        "*Waits a step* counts how often the host waits for the device, for one image.",
        "",
        *_speed(found["speed"]),
        "",
    ]
    return "\n".join(parts)

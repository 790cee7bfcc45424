"""What commands write into the embedded model's card: how long each part was trained, and figures,
put between two marks each.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from safetensors import safe_open

from training.loop import CHECKPOINT

CARD = Path(__file__).parents[1] / "src/safelatent/models/embedded/CARD.md"
PARTS = {  # by the folder of the checkpoint
    "decoder": "autoencoder's decoder",
    "names": "text encoder: names",
    "tower": "text encoder: all captions, other people's words",
    "outlook": "text encoder: outlook on I2P",
    "generator": "UNet",
    "guidance": "UNet: guidance scale",
    "finish": "autoencoder's decoder: the generator's latents",
    "clip-*": "CLIP",
    "judge": "judge",
}


def trained_lines(work: Path) -> list[str]:
    """How long each part below ``work`` was trained, in Markdown, from its checkpoint."""
    lines = ["| part | steps | minutes | on |", "|---|---|---|---|"]
    for folder, name in PARTS.items():
        for file in sorted(work.glob(f"{folder}/{CHECKPOINT}")):
            with safe_open(file, "pt") as stored:
                notes = stored.metadata()
            minutes = float(notes["seconds"]) / 60
            lines.append(f"| {name} | {notes['step']} | {minutes:.1f} | {notes['device']} |")
    return lines


def write_card(part: str, lines: Sequence[str], card: Path = CARD) -> None:
    """Put ``lines`` between the marks of a part of the card, "trained" or "measured"."""
    begin, end = f"<!-- {part}: begin -->", f"<!-- {part}: end -->"
    text = card.read_text(encoding="utf-8")
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    card.write_text("\n".join([before + begin, "", *lines, "", end + after]), encoding="utf-8")

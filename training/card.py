"""What commands write into the embedded model's card: how long each part was trained, and figures,
put between two marks each.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from safetensors import safe_open

from safelatent.storage import write_whole
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
    "words": "words of faint things",
    "concepts": "text encoder: bare names as concepts",
    "locating": "UNet: concepts where they are seen",
    "ending": "UNet: where the sampler ends",
    "clip-*": "CLIP",
    "judge": "judge",
    "witness": "witness, a second judge",
}
ALWAYS_NEW = ("judge", "witness")  # never go on from other weights


def trained_lines(work: Path, before: Sequence[str] = ()) -> list[str]:
    """How long each part below ``work`` was trained, in Markdown, from its checkpoint.

    Args:
        before: the lines of the weights that it trained on from; the new ones follow.
    """
    lines = [*before] or ["| part | steps | minutes | on |", "|---|---|---|---|"]
    for folder, name in PARTS.items():
        if before and folder not in ALWAYS_NEW:
            name = f"{name}, from there on"
        for file in sorted(work.glob(f"{folder}/{CHECKPOINT}")):
            with safe_open(file, "pt") as stored:
                notes = stored.metadata()
            minutes = float(notes["seconds"]) / 60
            line = f"| {name} | {notes['step']} | {minutes:.1f} | {notes['device']} |"
            if line not in lines:  # stages run one by one tell of the same checkpoint again
                lines.append(line)
    return lines


def write_card(part: str, lines: Sequence[str], card: Path = CARD) -> None:
    """Put ``lines`` between the marks of a part of the card, "trained" or "measured"."""
    before, _, after = _apart(part, card)
    write_whole(card, "\n".join([before, "", *lines, "", after]).encode())


def card_lines(part: str, card: Path = CARD) -> list[str]:
    """The lines that stand between those marks."""
    return _apart(part, card)[1].strip().splitlines()


def _apart(part: str, card: Path) -> tuple[str, str, str]:
    """What stands up to a part's first mark, between the two, and from the second on."""
    begin, end = f"<!-- {part}: begin -->", f"<!-- {part}: end -->"
    before, rest = card.read_text(encoding="utf-8").split(begin)
    lines, after = rest.split(end)
    return before + begin, lines, end + after

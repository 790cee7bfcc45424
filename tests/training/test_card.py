"""What commands write into the card."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from training.card import card_lines, trained_lines, write_card
from training.loop import CHECKPOINT


def full(*_):
    raise OSError(28, "No space left on device")


def test_a_part_is_written_between_its_marks(tmp_path):
    card = tmp_path / "CARD.md"
    marks = [
        f"<!-- {part}: {end} -->" for part in ("trained", "measured") for end in ("begin", "end")
    ]
    card.write_text("before\n" + "\nold\n".join(marks) + "\nafter\n")
    write_card("measured", ["new"], card)
    assert card_lines("measured", card) == ["new"]
    begin, end, measured, after = marks
    assert card.read_text() == (
        f"before\n{begin}\nold\n{end}\nold\n{measured}\n\nnew\n\n{after}\nafter\n"
    )


def test_a_card_that_cannot_be_written_stays_as_it_was(tmp_path, monkeypatch):
    card, text = tmp_path / "CARD.md", "<!-- measured: begin -->\nold\n<!-- measured: end -->\n"
    card.write_text(text)
    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_card("measured", ["new"], card)
    assert card.read_text() == text


def test_how_long_each_part_was_trained_is_read_from_its_checkpoint(tmp_path):
    parts = (("generator", 12, "an H100"), ("clip-0a1b", 7, "CPU"), ("judge", 9, "CPU"))
    for folder, step, device in parts:
        (tmp_path / folder).mkdir()
        notes = {"step": str(step), "seconds": "90.0", "device": device}
        save_file({"x": torch.zeros(1)}, tmp_path / folder / CHECKPOINT, notes)
    assert trained_lines(tmp_path)[2:] == [
        "| UNet | 12 | 1.5 | an H100 |",
        "| CLIP | 7 | 1.5 | CPU |",
        "| judge | 9 | 1.5 | CPU |",
    ]
    known = ["| part |", "|---|", "| UNet | 5 | 1.0 | CPU |"]
    assert trained_lines(tmp_path, known)[3:] == [
        "| UNet, from there on | 12 | 1.5 | an H100 |",
        "| CLIP, from there on | 7 | 1.5 | CPU |",
        "| judge | 9 | 1.5 | CPU |",  # which never goes on from another
    ]
    told = trained_lines(tmp_path, known)
    assert trained_lines(tmp_path, told) == told, "the same checkpoint is told of once"

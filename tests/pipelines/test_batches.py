from __future__ import annotations

import pytest
import torch

from safelatent.errors import UnsupportedError
from safelatent.pipelines.batches import (
    chosen_rows,
    each_batch,
    first_half,
    merged,
    second_half,
    with_second_half_again,
    with_second_half_of,
)

BATCH = torch.arange(8.0).reshape(4, 2)


def test_halves():
    assert torch.equal(torch.cat([first_half(BATCH), second_half(BATCH)]), BATCH)
    assert torch.equal(with_second_half_again(BATCH), BATCH[[0, 1, 2, 3, 2, 3]])


def test_every_tensor_of_the_batchs_size_is_changed_wherever_it_is():
    """ControlNet residuals are tuples, IP-Adapter images lists in a dictionary."""
    value = {
        "sample": BATCH,
        "timestep": torch.tensor(3.0),
        "ids": torch.zeros(3, 2),
        "residuals": (BATCH, [BATCH + 1]),
        "kwargs": {"images": [BATCH], "scale": 0.5, "none": None},
    }
    made = each_batch(value, 4, second_half)
    assert torch.equal(made["sample"], BATCH[2:])
    assert made["timestep"] is value["timestep"]
    assert made["ids"] is value["ids"]
    assert isinstance(made["residuals"], tuple)
    assert torch.equal(made["residuals"][1][0], BATCH[2:] + 1)
    assert torch.equal(made["kwargs"]["images"][0], BATCH[2:])
    assert (made["kwargs"]["scale"], made["kwargs"]["none"]) == (0.5, None)
    assert torch.equal(value["sample"], torch.arange(8.0).reshape(4, 2)), "nothing in place"


def test_merging_puts_in_what_is_there_at_any_depth():
    value = {"text": 1, "latents": 2, "added": {"pooled": 3, "time_ids": 4}}
    made = merged(
        value, {"text": 10, "added": {"pooled": 30}, "new": 5}, lambda old, new: old + new
    )
    assert made == {"text": 11, "latents": 2, "added": {"pooled": 33, "time_ids": 4}}


def test_rows_of_two_structures():
    first = torch.tensor([True, False])
    yes = {"a": torch.ones(2, 3), "b": [torch.full((2,), 5), "x"], "ids": torch.zeros(7, 2), "t": 1}
    no = {"a": torch.zeros(1, 3), "b": [torch.zeros(2, dtype=int), "y"], "ids": torch.ones(7, 2)}
    found = chosen_rows(first, yes, no)
    assert found["a"].tolist() == [[1, 1, 1], [0, 0, 0]], "one row holds for all"
    assert found["b"][0].tolist() == [5, 0]
    assert found["b"][1] == "y"
    assert torch.equal(found["ids"], no["ids"]), "it has no rows"
    with pytest.raises(UnsupportedError, match=r"\(3,\) and the negative prompt's \(4,\)"):
        chosen_rows(first, torch.ones(2, 3), torch.ones(2, 4))


def test_the_first_half_is_exchanged():
    whole = {"a": torch.arange(4), "t": torch.tensor(7), "b": (torch.arange(4), None)}
    found = with_second_half_of(
        {"a": torch.tensor([8, 9]), "t": 7, "b": (torch.zeros(2), None)}, whole, 4
    )
    assert found["a"].tolist() == [8, 9, 2, 3]
    assert found["b"][0].tolist() == [0, 0, 2, 3]
    assert found["t"] == 7

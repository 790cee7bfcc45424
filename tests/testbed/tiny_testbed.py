"""A tiny random CLIP on the disk, and runs without a model, for the tests of a test bed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPConfig, CLIPModel

from safelatent.prompts import Prompt
from safelatent.runs.read import ResultRow, Run
from safelatent.runs.settings import RunSettings
from tests import tiny

POSITIONS, WIDTH = 16, 12


def clip(folder: Path) -> Path:
    """A random CLIP with its tokenizer, saved; it reads 16 tokens."""
    text = tiny.parts()["text_encoder"].config.to_dict() | {
        "max_position_embeddings": POSITIONS,
        "projection_dim": WIDTH,
    }
    vision = {
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "image_size": 16,
        "patch_size": 8,
    }
    torch.manual_seed(1)
    CLIPModel(
        CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH)
    ).save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


def settings(**changes: Any) -> RunSettings:
    values: dict[str, Any] = {
        "prompts": "testbed",
        "prompts_digest": "0" * 64,
        "model": "dummy",
        "model_digest": "2" * 64,
    }
    values |= {
        "scheduler": {"class": "NoScheduler"},
        "protocol": "dummy",
        "protocol_hash": "1" * 64,
        "images": 4,
        "methods": ("off",),
    }
    return RunSettings(**(values | changes))


def prompt(number: int, **changes: Any) -> Prompt:
    values: dict[str, Any] = {
        "text": f"prompt {number}",
        "id": f"p-{number}",
        "seed": 100 + number,
        "categories": ("violence",),
    }
    return Prompt(**(values | changes))


def run(
    labels: dict[str, list[str]],
    prompts: list[Prompt],
    detectors: tuple[str, ...] = ("judge",),
    **changes: Any,
) -> Run:
    """A run whose images of each prompt, by its id, got these labels from every one of
    ``detectors``.
    """
    rows: list[ResultRow] = []
    for one in prompts:
        for image, label in enumerate(labels[one.id]):
            verdicts = {} if label == "error" else {name: {"label": label} for name in detectors}
            which: dict[str, Any] = {
                "key": f"{one.id}-{image}",
                "prompt": one,
                "image": image,
                "method": "off",
                "label": label,
            }
            which |= {
                "folder": Path("run"),
                "verdicts_json": json.dumps(verdicts),
                "receipt_json": None,
                "has_image": False,
            }
            rows.append(ResultRow(**which, reason=None, distance=None))
    return Run(
        folder=Path("run"),
        settings=settings(**changes),
        prompts=tuple(prompts),
        rows_read=9,
        skipped={},
        rows=tuple(rows),
    )

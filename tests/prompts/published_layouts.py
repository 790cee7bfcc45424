"""Small files in the layouts of the published sets, with harmless texts."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

CSV: dict[str, list[dict[str, Any]]] = {
    "ring-a-bell": [
        {"sensitive prompt": "rain ~ storm wings", "normal prompt": "a calm sea"},
        {"sensitive prompt": "thunder x_x", "normal prompt": "a quiet lake"},
    ],
    "mma-diffusion": [
        {
            "target_prompt": "a storm",
            "adv_prompt": "storm ~~ x_x",
            "sanitized_adv_prompt": "storm x",
            "success_against_sanitization_defense": "True",
            "clean_prompt": "a breeze over a lake",
        },
    ],
    "p4d": [
        {"prompt": "wings thunder", "evaluation_seed": 41, "evaluation_guidance": 7},
        {"prompt": "sea horizon", "evaluation_seed": 7, "evaluation_guidance": 11.5},
    ],
    "overt": [
        {
            "seed_prompt": "How is a storm made?",
            "image_prompt": "a chess player who attacks the king",
            "category": "violence",
            "generation_type": "direct_generation",
        },
        {
            "seed_prompt": "What is a mask?",
            "image_prompt": "a carnival mask, in public",
            "category": "privacy_public",
            "generation_type": "converted_from_wildguardmix",
        },
        {
            "seed_prompt": "What is health?",
            "image_prompt": "a girl in a statue hall",
            "category": "sexual_content",
            "generation_type": "direct_generation",
        },
    ],
    "overt-unsafe": [
        {
            "seed_prompt": "How is a storm made?",
            "benign_image_prompt": "a breeze",
            "unsafe_image_prompt": "a storm over a village",
            "category": "illegal_activities",
            "generation_type": "direct_generation",
        },
    ],
}
JSON: dict[str, list[dict[str, Any]]] = {
    "t2i-risky-prompt": [
        {"prompt": "a storm", "label": {"violence——bloody": ["red clouds", "dark sky"]}},
        {"prompt": "a sea", "label": {"disturbing——waves": ["x"], "copyright——logo": ["y"]}},
    ],
    "t2isafety": [
        {"id": 3, "caption": "a storm over a hill", "text_category": "humiliation"},
        {"id": 4, "caption": "a face", "text_category": "public figures"},
    ],
}
CAPTIONS = {"caption": ["a storm", "a breeze"], "number": [1, 2]}  # CoProV2's, in parquet


def write(folder: Path, name: str, rows: list[dict[str, Any]] | None = None) -> Path:
    """Write the set's file, of ``rows`` or of the ones above, as it is published."""
    if name in JSON:
        file = folder / f"{name}.json"
        file.write_text(json.dumps(JSON[name] if rows is None else rows), encoding="utf-8")
        return file
    file, found = folder / f"{name}.csv", CSV[name] if rows is None else rows
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, found[0])
        writer.writeheader()
        writer.writerows(found)
    return file

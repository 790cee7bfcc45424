"""A folder that a pipeline was saved to: what it holds, whether it is sound, and its hash."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal

from safelatent.errors import UnsupportedError
from safelatent.hashing import files_digest
from safelatent.text import squeezed

INDEX = "model_index.json"
MODULAR_INDEX = "modular_model_index.json"
GUARD_FILE = "safelatent.json"  # beside a saved guarded pipeline; says how it is guarded
MAX_JSON = 1_000_000  # bytes; an index of diffusers has some 500

FolderKind = Literal["guarded", "pipeline", "modular"]

_PICKLES = ("*.bin", "*.ckpt", "*.pt", "*.pth", "*.pkl")
_WEIGHTS = re.compile(
    r"(?:diffusion_pytorch_)?model(?:\.(?P<variant>[\w-]+?))?(?:-\d{5}-of-\d{5})?\.safetensors"
)
_DETERMINE = (".safetensors", ".json", ".txt")  # weights, configurations, tokenizer files


def folder_kind(folder: Path) -> FolderKind | None:
    """Return what ``folder`` holds, by its files' names.

    A ``guarded`` pipeline was saved by ``save_pretrained`` of this package, and ``load`` returns it
    guarded; a plain ``pipeline`` and a ``modular`` one were saved by diffusers. None: none of them.
    """
    files: dict[str, FolderKind] = {
        GUARD_FILE: "guarded",
        INDEX: "pipeline",
        MODULAR_INDEX: "modular",
    }
    return next((kind for name, kind in files.items() if (folder / name).exists()), None)


def check_folder(folder: Path, variant: str | None = None) -> None:
    """Refuse a folder from which no plain pipeline can be loaded safely.

    Raises:
        UnsupportedError: it holds a guarded or a modular pipeline, no index, or no safetensors
            weights (of the ``variant``, if one is given).
    """
    kind = folder_kind(folder)
    if kind == "guarded":
        raise UnsupportedError(
            f"{folder} holds a guarded pipeline; load it with safelatent.load, guarded as it was, "
            "or name the model that it was made from"
        )
    if kind == "modular":
        raise UnsupportedError(
            f"{folder} holds a modular pipeline; load it with diffusers.ModularPipeline "
            "and guard it"
        )
    if kind is None:
        raise UnsupportedError(
            f"{folder} has no {INDEX}; give a folder that a diffusers pipeline was saved to"
        )
    if not any(folder.rglob("*.safetensors")):
        pickle = next((path for pattern in _PICKLES for path in folder.rglob(pattern)), None)
        found = f" ({pickle.name} is a pickle, which can run code)" if pickle else ""
        raise UnsupportedError(
            f"{folder} has no safetensors weights{found}; "
            "save it again with safe_serialization=True"
        )
    _check_variant(folder, variant)


def _check_variant(folder: Path, variant: str | None) -> None:
    variants = _variants(folder)
    known = sorted({name for names in variants.values() for name in names if name})
    if variant is not None and variant not in known:
        remedy = f"it has {', '.join(known)}" if known else "leave variant out"
        raise UnsupportedError(f"{folder} has no weights of variant {variant!r}; {remedy}")
    needed = next((names for names in variants.values() if None not in names), None)
    if variant is None and needed:
        name = next(name for name in (*known, *needed) if name in needed)
        raise UnsupportedError(
            f'{folder} has only weights of variant {name!r} for some parts; give variant="{name}" '
            f"(on the command line: --variant {name})"
        )


def _variants(folder: Path) -> dict[Path, set[str | None]]:
    """Return for every part of the pipeline the variants of its weights; None is the plain one."""
    found: dict[Path, set[str | None]] = {}
    for path in folder.glob("*/*.safetensors"):
        if match := _WEIGHTS.fullmatch(path.name):
            found.setdefault(path.parent, set()).add(match["variant"])
    return found


def read_object(file: Path) -> dict[str, Any]:
    """Return the JSON object in ``file``.

    Raises:
        UnsupportedError: it cannot be read, is larger than ``MAX_JSON``, or is no JSON object.
    """
    try:
        size = file.stat().st_size
        if size > MAX_JSON:
            raise UnsupportedError(
                f"{file} has {size:,} bytes; more than {MAX_JSON:,} cannot be right"
            )
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UnsupportedError(
            f"cannot read {file}: {squeezed(error)}; save the folder again"
        ) from error
    if not isinstance(content, dict):
        raise UnsupportedError(
            f"cannot read {file}: it holds a {type(content).__name__}, not an object with names; "
            "save the folder again"
        )
    return content


def model_digest(folder: Path) -> str:
    """Return the sha256 over the names and contents of the files that determine the images.

    Raises:
        UnsupportedError: there is no such file.
    """
    files = [path for path in folder.rglob("*") if path.suffix in _DETERMINE and path.is_file()]
    if not files:
        raise UnsupportedError(
            f"{folder} holds no model files; give a folder that a diffusers pipeline was saved to"
        )
    return files_digest(folder, files)

"""``load_pipeline(name)``: a diffusers pipeline, safetensors only, nothing downloaded unless a Hub
id was named.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safelatent.errors import BadValueError, UnsupportedError, nearest
from safelatent.hub import is_hub_id

EMBEDDED = Path(__file__).with_name("embedded")
GUARD_FILE = "safelatent.json"  # beside a saved guarded pipeline; says how it is guarded
_PICKLES = ("*.bin", "*.ckpt", "*.pt", "*.pth", "*.pkl")


def check_name(name: str) -> None:
    """Refuse a name that cannot be a model, without importing or reading anything large.

    Raises:
        BadValueError: neither "embedded", nor a folder, nor of the form of a Hub id.
    """
    if name == "embedded" or (name and Path(name).is_dir()) or is_hub_id(name):
        return
    hint = nearest(name, ["embedded"])
    raise BadValueError(
        f"unknown model {name!r}{hint}; name 'embedded', a folder in diffusers' layout, or a Hub id like 'owner/name'"
    )


def load_pipeline(name: str = "embedded", *, revision: str | None = None, **options: Any) -> Any:
    """The pipeline called ``name``.

    Args:
        name: ``embedded`` (comes with the package), a folder in diffusers' layout, or a Hub id,
            which diffusers downloads when it is not in its cache. A folder of that name comes
            before a Hub id.
        revision: of a Hub id; pin it for anything that is to be repeated.
        options: for diffusers' ``from_pretrained``, for example ``dtype``.

    Raises:
        BadValueError: the name cannot be a model.
        UnsupportedError: the weights are not safetensors, code from the repository was asked for,
            or diffusers cannot load the model.
    """
    check_name(name)
    refused = {"trust_remote_code", "custom_pipeline"} & options.keys()
    if refused:
        raise UnsupportedError(
            f"{', '.join(sorted(refused))}: no code is run from a model's folder; build the pipeline yourself and guard it"
        )
    folder = EMBEDDED if name == "embedded" else Path(name)
    if folder.is_dir():
        _check_folder(folder)
        return _from_pretrained(folder, local_files_only=True, **options)
    return _from_pretrained(name, revision=revision, **options)


def model_folder(name: str, revision: str | None = None) -> Path:
    """Where the files of a model that ``load`` has loaded are; of a Hub id, in the Hub's cache on
    this machine.

    Raises:
        UnsupportedError: the model is not on this machine.
    """
    if name == "embedded":
        return EMBEDDED
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True))
    except (OSError, ValueError) as error:
        raise UnsupportedError(
            f"{name!r} is not on this machine: {' '.join(str(error).split())}"
        ) from error


def _check_folder(folder: Path) -> None:
    if (folder / GUARD_FILE).exists():
        raise UnsupportedError(
            f"{folder} holds a guarded pipeline; safelatent.load gives it back guarded, and nothing gives it unguarded"
        )
    if not (folder / "model_index.json").is_file():
        raise UnsupportedError(
            f"{folder} has no model_index.json; give a folder that a diffusers pipeline was saved to"
        )
    weights = list(folder.rglob("*.safetensors"))
    pickles = [path for pattern in _PICKLES for path in folder.rglob(pattern)]
    if not weights:
        found = f" ({pickles[0].name} is a pickle, which can run code)" if pickles else ""
        raise UnsupportedError(
            f"{folder} has no safetensors weights{found}; save it again with safe_serialization=True"
        )


def _from_pretrained(source: Path | str, **options: Any) -> Any:
    import torch
    from diffusers import DiffusionPipeline

    # Without a dtype, transformers would load half precision as half, and diffusers as single:
    # parts that do not fit together.
    options = {"dtype": torch.float32} | options
    try:
        return DiffusionPipeline.from_pretrained(source, use_safetensors=True, **options)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UnsupportedError(f"cannot load {str(source)!r}: {reason}") from error

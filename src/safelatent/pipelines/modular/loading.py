"""A saved guarded modular pipeline, guarded again; no code of the folder is run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import ModularPipeline
from diffusers.utils import deprecation_utils

from safelatent.concepts import Concept
from safelatent.errors import UnsupportedError
from safelatent.pipelines.modular.blocks import blocks_named, guider_of
from safelatent.pipelines.modular.guarded import GuardedModular, guard_modular
from safelatent.pipelines.modular.saving import BLOCKS_FILE, INDEX_FILE

# Older releases of diffusers know the type of the weights by another name.
_OLD_NAMES = {} if hasattr(deprecation_utils, "_resolve_dtype") else {"dtype": "torch_dtype"}


def is_modular_folder(folder: str | Path) -> bool:
    """Whether ``save_modular`` saved there."""
    return (Path(folder) / BLOCKS_FILE).is_file()


def load_modular(
    folder: str | Path, safety: Any, concept: Concept | str, **options: Any
) -> GuardedModular:
    """The guarded pipeline whose model ``save_modular`` saved to ``folder``.

    Args:
        safety, concept: see ``guard``.
        options: for diffusers' ``load_components``, for example ``dtype``.

    Raises:
        UnsupportedError: the folder was not saved by ``save_modular``, or a component of it cannot
            be loaded from safetensors.
    """
    folder = Path(folder)
    own, index = _read(folder / BLOCKS_FILE), _read(folder / INDEX_FILE)
    kind = getattr(diffusers, str(index.get("_class_name")), None)
    if not {"blocks", "guiders"} <= own.keys() or not (
        isinstance(kind, type) and issubclass(kind, ModularPipeline)
    ):
        raise UnsupportedError(
            f"{folder} is not a guarded modular pipeline that safelatent saved; load it with diffusers and guard it"
        )
    pipe = kind(blocks=blocks_named(own["blocks"]), pretrained_model_name_or_path=str(folder))
    pipe.update_components(**{name: guider_of(config) for name, config in own["guiders"].items()})
    _load_components(pipe, folder, options)
    return guard_modular(pipe, safety, concept=concept)


def _load_components(pipe: ModularPipeline, folder: Path, options: dict[str, Any]) -> None:
    """Those that the folder has, wherever it was when it was saved. Diffusers goes on without one
    that it cannot load; this does not.
    """
    saved = [name for name in pipe.pretrained_component_names if (folder / name).is_dir()]
    kinds = {name: pipe._component_specs[name].type_hint for name in saved}
    models = [
        name
        for name, kind in kinds.items()
        if isinstance(kind, type) and issubclass(kind, torch.nn.Module)
    ]
    for name in saved:
        pipe._component_specs[name].pretrained_model_name_or_path = str(folder)
    # Without a dtype, transformers would load half precision as half, and diffusers as single:
    # parts that do not fit together.
    given = {
        "dtype": torch.float32,
        "use_safetensors": dict.fromkeys(models, True),
        "local_files_only": True,
    } | options
    pipe.load_components(
        saved, **{_OLD_NAMES.get(name, name): value for name, value in given.items()}
    )
    missing = [name for name in saved if getattr(pipe, name) is None]
    if missing:
        raise UnsupportedError(
            f"cannot load {', '.join(missing)} of {folder}: diffusers' log says why"
        )


def _read(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UnsupportedError(f"cannot read {file}: {' '.join(str(error).split())}") from error

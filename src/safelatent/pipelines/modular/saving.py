"""A modular pipeline and its guard as a folder.

Diffusers alone would save neither the guider nor the guard, and load the rest as an unguarded
pipeline. This folder names blocks of its own instead: diffusers loads them, and the pipeline with
them, only with ``trust_remote_code=True``, and what it then loads is guarded.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from diffusers import ModularPipeline, ModularPipelineBlocks
from diffusers.guiders import BaseGuidance

from safelatent.concepts import Concept
from safelatent.errors import BadValueError, UnsupportedError
from safelatent.guidance import Guidance
from safelatent.pipelines.modular.blocks import blocks_named

BLOCKS_FILE = "modular_config.json"  # where diffusers looks for a folder's own blocks
INDEX_FILE = "modular_model_index.json"
CODE_FILE = "safelatent_blocks.py"
_CODE = '''"""The blocks of the pipeline in this folder, guarded by Safe Latent Diffusion: pip install safelatent."""

from safelatent.guidance import SLD, NegativePrompt, NoiseLevel, PerImage  # noqa: F401
from safelatent.pipelines.modular import GuardedBlocks


class SafeLatentBlocks(GuardedBlocks):
    def __init__(self):
        super().__init__(
            {blocks!r},
            safety={safety!r},
            concept={concept!r},
            guiders={guiders!r},
        )
'''


def save_modular(
    pipe: ModularPipeline, guidance: Guidance, concept: Concept, folder: str | Path
) -> None:
    """Save the pipeline, its guiders and, for diffusers' own loading, its guarded blocks, to
    ``folder``, made when it is not there.

    Raises:
        UnsupportedError: loading could not restore it: the blocks are no class of diffusers', or a
            component cannot be saved.
    """
    folder, blocks = Path(folder), _class_of(pipe._blocks)
    guiders = {
        name: _settings(part)
        for name, part in pipe.components.items()
        if isinstance(part, BaseGuidance)
    }
    own = {
        "_class_name": "SafeLatentBlocks",
        "auto_map": {"ModularPipelineBlocks": "safelatent_blocks.SafeLatentBlocks"},
    }
    code = _CODE.format(blocks=blocks, safety=guidance, concept=str(concept), guiders=guiders)
    folder.mkdir(
        parents=True, exist_ok=True
    )  # the guard first: a save that is interrupted leaves nothing that loads unguarded
    (folder / BLOCKS_FILE).write_text(
        json.dumps(own | {"blocks": blocks, "guiders": guiders}, indent=2) + "\n", encoding="utf-8"
    )
    (folder / CODE_FILE).write_text(code, encoding="utf-8")
    _save_components(pipe, folder)


def _save_components(pipe: ModularPipeline, folder: Path) -> None:
    view = copy.copy(pipe)
    view._internal_dict = copy.deepcopy(
        pipe._internal_dict
    )  # diffusers writes the folder into the pipeline's configuration
    view.save_pretrained(str(folder), overwrite_modular_index=True)
    for name in pipe.pretrained_component_names:
        part = getattr(pipe, name)
        if part is not None and not (folder / name).is_dir():
            raise UnsupportedError(
                f"{name} ({type(part).__name__}) cannot be saved by diffusers; the folder is not complete"
            )


def _class_of(blocks: Any) -> str:
    """The name of the blocks' class, if diffusers makes the same blocks of it."""
    name = type(blocks).__name__
    try:
        same = _outline(blocks_named(name)) == _outline(blocks)
    except BadValueError:
        same = False
    if not same:
        raise UnsupportedError(
            f"the blocks of this pipeline are not those of {name} in diffusers, so they could not be loaded again"
        )
    return name


def _outline(blocks: ModularPipelineBlocks) -> Any:
    return type(blocks).__name__, {
        name: _outline(block) for name, block in blocks.sub_blocks.items()
    }


def _settings(guider: BaseGuidance) -> dict[str, Any]:
    """The guider's settings as they are now, whatever it was made with."""
    now = vars(guider)
    made_with = {name: value for name, value in guider.config.items() if not name.startswith("_")}
    return {"_class_name": type(guider).__name__} | {
        name: now.get(name, now.get(f"_{name}", value)) for name, value in made_with.items()
    }

"""A guarded pipeline as a folder: ``safelatent.json`` says how it is guarded, ``pipeline/`` holds
the model.

Such a folder is no pipeline of diffusers': the model is one level down. So no loader that does not
know of the guard finds a pipeline there, and none returns it unguarded. Diffusers would save
neither the guider of a modular pipeline nor its guard; that model names blocks that are guarded,
which diffusers loads only with ``trust_remote_code=True``.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from safelatent.concepts import Concept
from safelatent.errors import BadValueError, UnsupportedError
from safelatent.guidance import Guidance
from safelatent.guidance.plan import Plan
from safelatent.models.folder import GUARD_FILE, INDEX, MODULAR_INDEX, read_object
from safelatent.pipelines.safety import ConceptEmbeds, as_values, from_values
from safelatent.storage import write_whole

if TYPE_CHECKING:
    from diffusers import ModularPipeline, ModularPipelineBlocks
    from diffusers.guiders import BaseGuidance

FORMAT = 1  # of safelatent.json
EMBEDS = "concept.safetensors"  # a concept that was given as embeddings
MODEL = "pipeline"  # the folder of the model within that of a guarded pipeline
COMMIT = "Upload a guarded pipeline"
BLOCKS_FILE = "modular_config.json"  # where diffusers looks for a folder's own blocks
CODE_FILE = "safelatent_blocks.py"
_CODE = '''"""The blocks of the pipeline in this folder, guarded: pip install safelatent."""

from safelatent.guidance import SLD, NegativePrompt, NoiseLevel, PerImage  # noqa: F401
from safelatent.pipelines.modular import GuardedBlocks


class SafeLatentBlocks(GuardedBlocks):
    def __init__(self):
        super().__init__(
            {blocks!r},
            safety={safety!r},
            concept={concept!r},
            plan={plan!r},
            guiders={guiders!r},
        )
'''


def save_guarded(
    folder: Path,
    guidance: Guidance,
    concept: Concept | ConceptEmbeds,
    plan: Plan,
    save_model: Callable[[Path], None],
) -> Path:
    """Write the guard, then the model by ``save_model``, so that a save that is interrupted leaves
    nothing that loads unguarded; returns the folder.

    Raises:
        BadValueError: the folder holds a plain pipeline or is a file, or the guidance is of a class
            that cannot be saved.
    """
    plain = next((name for name in (INDEX, MODULAR_INDEX) if (folder / name).exists()), None)
    if plain:
        raise BadValueError(
            f"{folder} holds an unguarded pipeline ({plain}), which would load without the guard; "
            "give another folder"
        )
    if folder.is_file():
        raise BadValueError(f"{folder} is a file; give a folder")
    write_guard(folder, guidance, concept, plan)
    save_model(folder / MODEL)
    return folder


def check_saving(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options for diffusers' ``save_pretrained``.

    Raises:
        BadValueError: weights as a pickle were asked for, or an upload, which would be unguarded.
    """
    if not options.get("safe_serialization", True):
        raise BadValueError(
            "safe_serialization is False: weights are saved as safetensors only; leave it out"
        )
    if options.get("push_to_hub"):
        raise BadValueError(
            "push_to_hub would upload the model without its guard; call safe.push_to_hub(name)"
        )
    return {name: value for name, value in options.items() if name != "push_to_hub"}


def push(
    save: Callable[[str], Any], repo_id: str, *, commit_message: str = COMMIT, **options: Any
) -> str:
    """Upload what ``save`` writes into a folder to ``repo_id``, which is made if it is missing.

    Args:
        options: ``private`` and ``token`` for the Hub.

    Returns:
        The address of the commit.
    """
    from huggingface_hub import create_repo, upload_folder

    create_repo(repo_id, exist_ok=True, **options)
    token = {"token": options["token"]} if "token" in options else {}
    with TemporaryDirectory() as folder:
        save(folder)
        commit = upload_folder(
            repo_id=repo_id, folder_path=folder, commit_message=commit_message, **token
        )
    return str(commit)


def write_guard(
    folder: Path, guidance: Guidance, concept: Concept | ConceptEmbeds, plan: Plan
) -> None:
    """Write ``safelatent.json`` into ``folder``, which is made if it is missing, and a concept's
    embeddings beside it.

    Raises:
        BadValueError: the guidance is of a class that cannot be saved.
    """
    content = {"format": FORMAT, "safety": as_values(guidance), "concept": str(concept)}
    content["plan"] = str(plan)
    if isinstance(concept, ConceptEmbeds):
        content["concept_embeds"] = EMBEDS
        folder.mkdir(parents=True, exist_ok=True)
        concept.save(folder / EMBEDS)
    write_whole(folder / GUARD_FILE, (json.dumps(content, indent=2) + "\n").encode())


def read_guard(folder: Path) -> tuple[Guidance, Concept | ConceptEmbeds, Plan]:
    """Return what ``write_guard`` wrote.

    Raises:
        UnsupportedError: the file is damaged, or was written by a newer safelatent.
    """
    file = folder / GUARD_FILE
    try:
        content = read_object(file)
        written = content["format"]
        if isinstance(written, int) and written > FORMAT:
            raise UnsupportedError(
                f"{file} has format {written}, and this safelatent reads format {FORMAT}; "
                "run pip install --upgrade safelatent"
            )
        if type(written) is not int or written != FORMAT:
            raise ValueError(f"format is {written!r}, not {FORMAT}")
        concept = Concept.parse(content["concept"])
        if "concept_embeds" in content:
            concept = ConceptEmbeds.load(str(concept), folder / EMBEDS)
        return from_values(content["safety"]), concept, Plan.parse(content.get("plan", "exact"))
    except (ValueError, KeyError, TypeError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise UnsupportedError(
            f"{file} does not say how the pipeline is guarded ({reason}); save the guarded "
            "pipeline again, or guard the model anew"
        ) from error


def save_modular(
    pipe: ModularPipeline,
    guidance: Guidance,
    concept: Concept,
    plan: Plan,
    folder: Path,
    **options: Any,
) -> None:
    """Save a modular pipeline, its guiders and, for diffusers' own loading, its guarded blocks.

    Raises:
        UnsupportedError: loading could not restore it: the blocks are no class of diffusers', or a
            component cannot be saved.
    """
    from diffusers.guiders import BaseGuidance

    blocks = _class_of(pipe._blocks)
    guiders = {
        name: _settings(part)
        for name, part in pipe.components.items()
        if isinstance(part, BaseGuidance)
    }
    own = {
        "_class_name": "SafeLatentBlocks",
        "auto_map": {"ModularPipelineBlocks": "safelatent_blocks.SafeLatentBlocks"},
        "blocks": blocks,
        "guiders": guiders,
    }
    code = _CODE.format(
        blocks=blocks, safety=guidance, concept=str(concept), plan=str(plan), guiders=guiders
    )
    # The guard first: a save that is interrupted leaves nothing that loads unguarded.
    write_whole(folder / BLOCKS_FILE, (json.dumps(own, indent=2) + "\n").encode())
    write_whole(folder / CODE_FILE, code.encode())
    _save_components(pipe, folder, options)


def _save_components(pipe: ModularPipeline, folder: Path, options: dict[str, Any]) -> None:
    view = copy.copy(pipe)
    # Diffusers writes the folder into the pipeline's configuration.
    view._internal_dict = copy.deepcopy(pipe._internal_dict)
    view.save_pretrained(str(folder), overwrite_modular_index=True, **options)
    for name in pipe.pretrained_component_names:
        part = getattr(pipe, name)
        if part is not None and not (folder / name).is_dir():
            raise UnsupportedError(
                f"{name} ({type(part).__name__}) cannot be saved by diffusers; the folder is not "
                "complete"
            )


def _class_of(blocks: Any) -> str:
    """Return the name of the blocks' class, if diffusers makes the same blocks of it."""
    from safelatent.pipelines.modular.checks import blocks_named

    name = type(blocks).__name__
    try:
        same = _outline(blocks_named(name)) == _outline(blocks)
    except BadValueError:
        same = False
    if not same:
        raise UnsupportedError(
            f"the blocks of this pipeline are not those of {name} in diffusers, so they could not "
            "be loaded again"
        )
    return name


def _outline(blocks: ModularPipelineBlocks) -> Any:
    return type(blocks).__name__, {
        name: _outline(block) for name, block in blocks.sub_blocks.items()
    }


def _settings(guider: BaseGuidance) -> dict[str, Any]:
    """Return the guider's settings as they are now, whatever it was made with."""
    now = vars(guider)
    made_with = {name: value for name, value in guider.config.items() if not name.startswith("_")}
    return {"_class_name": type(guider).__name__} | {
        name: now.get(name, now.get(f"_{name}", value)) for name, value in made_with.items()
    }

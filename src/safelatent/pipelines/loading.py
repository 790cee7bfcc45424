"""``load``: the pipeline that a name stands for, guarded if it was saved guarded. No code of a
folder is run.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload

from safelatent.concepts import Concept
from safelatent.errors import UnsupportedError, brief
from safelatent.guidance import EXACT, Guidance, Plan
from safelatent.hub import is_hub_id
from safelatent.models import check_name, folder_kind, load_pipeline
from safelatent.models.folder import GUARD_FILE, MODULAR_INDEX, read_object
from safelatent.models.load import loading_options
from safelatent.pipelines.guard import guard
from safelatent.pipelines.guarded import refuse_sld
from safelatent.pipelines.safety import ConceptEmbeds
from safelatent.pipelines.saving import BLOCKS_FILE, MODEL, read_guard

if TYPE_CHECKING:
    from diffusers import ModularPipeline, StableDiffusionPipeline

    from safelatent.pipelines.modular import GuardedModular


class Pipeline(Protocol):
    """What ``load`` promises of any model: a pipeline that is called with its own arguments."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def __getattr__(self, name: str) -> Any: ...


@overload
def load(
    name: Literal["embedded"] = "embedded", *, variant: str | None = None, **options: Any
) -> StableDiffusionPipeline: ...
@overload
def load(
    name: str | Path, *, revision: str | None = None, variant: str | None = None, **options: Any
) -> Pipeline: ...


@brief
def load(
    name: str | Path = "embedded",
    *,
    revision: str | None = None,
    variant: str | None = None,
    **options: Any,
) -> Any:
    """Load the pipeline called ``name``; a guarded one if it was saved guarded.

    Args:
        name: ``embedded`` (comes with the package), a folder in diffusers' layout or saved by a
            guarded pipeline, or a Hub id of either, which is downloaded when it is not in the Hub's
            cache. A folder of that name comes before a Hub id. A folder of the authors'
            ``StableDiffusionPipelineSafe`` is loaded as the ``StableDiffusionPipeline`` that its
            parts make, not guarded, and the logger ``safelatent`` says so.
        revision: of a Hub id; pin it for anything that is to be repeated.
        variant: of the weights' files, for example ``fp16``.
        options: for diffusers' ``from_pretrained``, for example ``dtype`` (or ``torch_dtype``, its
            older name).

    Raises:
        BadValueError: the name cannot be a model, a revision of what has none, or two dtypes that
            differ.
        UnsupportedError: the weights are not safetensors or of another variant, code from the
            repository was asked for, diffusers cannot load the model, or the guard's file is
            damaged or newer than this package.
        TypeError: an option of ``StableDiffusionPipelineSafe``; it is one of ``guard``.
    """
    refuse_sld(options)
    name = str(name)
    check_name(name, revision, variant)
    if variant is not None:
        options["variant"] = variant
    folder = _guarded_folder(name, revision, options)
    if folder is None:
        return load_pipeline(name, revision=revision, **options)
    safety, concept, plan = read_guard(folder)
    if not (folder / MODEL).is_dir():
        raise UnsupportedError(
            f"{folder} has a guard and no model (no folder {MODEL!r}); save it again"
        )
    if (folder / MODEL / BLOCKS_FILE).is_file():
        return load_modular(folder / MODEL, safety, concept, plan, **options)
    pipe = load_pipeline(str(folder / MODEL), **options)
    return guard(pipe, safety, concept=concept, plan=plan)


def load_modular(
    folder: Path,
    safety: Guidance,
    concept: Concept | ConceptEmbeds | str,
    plan: Plan = EXACT,
    **options: Any,
) -> GuardedModular:
    """Load the guarded pipeline whose model ``save_modular`` saved to ``folder``.

    Args:
        folder: of the model.
        safety, concept, plan: see ``guard``.
        options: for diffusers' ``load_components``, for example ``dtype``.

    Raises:
        UnsupportedError: the folder was not saved by ``save_modular``, or a component of it cannot
            be loaded from safetensors.
    """
    import diffusers

    from safelatent.pipelines.modular import guard_modular
    from safelatent.pipelines.modular.checks import blocks_named, guider_of

    own, index = read_object(folder / BLOCKS_FILE), read_object(folder / MODULAR_INDEX)
    kind = getattr(diffusers, str(index.get("_class_name")), None)
    if (
        not (isinstance(kind, type) and issubclass(kind, diffusers.ModularPipeline))
        or not isinstance(own.get("guiders"), dict)
        or "blocks" not in own
    ):
        raise UnsupportedError(
            f"{folder} is not a guarded modular pipeline that safelatent saved; load it with "
            "diffusers and guard it"
        )
    pipe = kind(blocks=blocks_named(str(own["blocks"])), pretrained_model_name_or_path=str(folder))
    pipe.update_components(**{name: guider_of(config) for name, config in own["guiders"].items()})
    _load_components(pipe, folder, options)
    return guard_modular(pipe, safety, concept=concept, plan=plan)


def _load_components(pipe: ModularPipeline, folder: Path, options: dict[str, Any]) -> None:
    """Load the components that the folder has, wherever it was when it was saved. Diffusers skips
    one that it cannot load; this raises.
    """
    import torch

    saved = [name for name in pipe.pretrained_component_names if (folder / name).is_dir()]
    kinds = {name: pipe._component_specs[name].type_hint for name in saved}
    models = [
        name
        for name, kind in kinds.items()
        if isinstance(kind, type) and issubclass(kind, torch.nn.Module)
    ]
    for name in saved:
        pipe._component_specs[name].pretrained_model_name_or_path = str(folder)
    given = {"use_safetensors": dict.fromkeys(models, True), "local_files_only": True}
    pipe.load_components(saved, **(given | loading_options(options)))
    missing = [name for name in saved if getattr(pipe, name) is None]
    if missing:
        raise UnsupportedError(
            f"cannot load {', '.join(missing)} of {folder}: diffusers' log says why"
        )


def _guarded_folder(name: str, revision: str | None, options: dict[str, Any]) -> Path | None:
    """Return the folder of a guarded pipeline, if ``name`` is one here or on the Hub."""
    if name and Path(name).is_dir():
        return Path(name) if folder_kind(Path(name)) == "guarded" else None
    asked = {key: options[key] for key in ("token", "cache_dir") if key in options}
    return _guarded_on_hub(name, revision=revision, **asked) if is_hub_id(name) else None


def _guarded_on_hub(repo_id: str, **asked: Any) -> Path | None:
    """Return the folder on this machine of a pipeline that the Hub has guarded.

    None if it is not, or if the Hub does not answer: the plain loader finds no pipeline in a
    guarded folder.
    """
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        hf_hub_download(repo_id, GUARD_FILE, **asked)
    except (EntryNotFoundError, OSError):
        return None
    return Path(snapshot_download(repo_id, **asked))

"""``load_pipeline(name)``: a plain diffusers pipeline. Does not know guards; ``safelatent.load``
does.

Weights are safetensors only, and nothing is downloaded unless a Hub id was named.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any

from safelatent.errors import BadValueError, UnsupportedError, nearest
from safelatent.hub import is_hub_id
from safelatent.models.folder import INDEX, check_folder, read_object
from safelatent.text import one_line, squeezed

EMBEDDED = Path(__file__).with_name("embedded")
AUTHORS = ("StableDiffusionPipelineSafe", "SLDPipeline")  # the pipelines of the paper's authors
_LOG = logging.getLogger("safelatent")
_CODE = ("trust_remote_code", "custom_pipeline")


def check_name(name: str, revision: str | None = None, variant: str | None = None) -> None:
    """Refuse a name that cannot be a model, without importing or reading anything large.

    Raises:
        BadValueError: neither "embedded", nor a folder, nor of the form of a Hub id; a revision of
            what has none; or an empty revision or variant.
    """
    here = name == "embedded" or bool(name and Path(name).is_dir())
    if here and revision is not None:
        raise BadValueError(
            f"the revision is {revision!r}, and {name!r} is on this machine: only a Hub id has "
            "revisions; leave it out"
        )
    if revision is not None and not revision.strip():
        raise BadValueError("the revision is empty; name a commit, or leave it out")
    if variant is not None and not variant.strip():
        raise BadValueError("the variant is empty; name one, for example fp16, or leave it out")
    if here or is_hub_id(name):
        return
    hint = nearest(name, ["embedded"])
    raise BadValueError(
        f"unknown model {name!r}{hint}; name 'embedded', a folder in diffusers' layout, "
        "or a Hub id like 'owner/name'"
    )


def load_pipeline(name: str = "embedded", *, revision: str | None = None, **options: Any) -> Any:
    """Load the plain pipeline called ``name``; see ``safelatent.load``.

    Raises:
        BadValueError: the name cannot be a model, or the dtype is none.
        UnsupportedError: the weights are not safetensors, code from the repository was asked for,
            or diffusers cannot load the model.
    """
    check_name(name, revision, options.get("variant"))
    refused = sorted(options.keys() & set(_CODE))
    if refused:
        raise UnsupportedError(
            f"{', '.join(refused)}: no code is run from a model's folder; build the pipeline "
            "yourself and guard it"
        )
    options = loading_options(options)
    if name == "embedded":
        with _without_warnings():
            _check_embedded(options)
            return _from_pretrained(EMBEDDED, local_files_only=True, **options)
    if not Path(name).is_dir():
        return _from_pretrained(name, revision=revision, **options)
    check_folder(Path(name), options.get("variant"))
    return _from_pretrained(Path(name), local_files_only=True, **options)


def model_folder(name: str, revision: str | None = None) -> Path:
    """Return where the files of a loaded model are; of a Hub id, in the Hub's cache here.

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
        raise UnsupportedError(f"{name!r} is not on this machine: {squeezed(error)}") from error


def loading_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options for diffusers' loaders, with one dtype by the name that diffusers reads.

    Without a dtype, transformers would load half precision as half, and diffusers as single: parts
    that do not fit together. So the default is single precision.

    Args:
        options: as the caller gave them; ``dtype`` and its older name ``torch_dtype`` are a
            ``torch.dtype``, its name, or a dictionary of them by component.

    Raises:
        BadValueError: two dtypes that differ, or one that is none.
    """
    import torch
    from diffusers.utils import deprecation_utils

    rest = dict(options)
    given = {key: rest.pop(key) for key in ("dtype", "torch_dtype") if key in rest}
    dtypes = [_dtype(key, value) for key, value in given.items() if value is not None]
    if len(dtypes) == 2 and dtypes[0] != dtypes[1]:
        raise BadValueError(
            f"dtype is {dtypes[0]} and torch_dtype is {dtypes[1]}; they are one setting: give one"
        )
    # Releases before 0.40 know the type of the weights by its older name alone.
    key = "dtype" if hasattr(deprecation_utils, "_resolve_dtype") else "torch_dtype"
    return rest | {key: dtypes[0] if dtypes else torch.float32}


def _dtype(key: str, value: Any) -> Any:
    import torch

    if isinstance(value, dict):
        return {part: _dtype(key, one) for part, one in value.items()}
    named = getattr(torch, value.removeprefix("torch."), None) if isinstance(value, str) else value
    if not isinstance(named, torch.dtype) or not named.is_floating_point:
        raise BadValueError(
            f"{key} is {value!r}; it must be a floating-point dtype, for example torch.float16"
        )
    return named


def _check_embedded(options: dict[str, Any]) -> None:
    """Refuse an option that diffusers would only warn of: its warnings are not shown here."""
    from diffusers import StableDiffusionPipeline

    known = {*inspect.signature(StableDiffusionPipeline.__init__).parameters} - {"self"}
    known |= {"dtype", "torch_dtype", "variant", "device_map", "low_cpu_mem_usage"}
    for name in options.keys() - known:
        raise TypeError(f"load('embedded') has no option {name!r}{nearest(name, known)}")
    if options.get("variant") is not None:
        check_folder(EMBEDDED, options["variant"])


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Silence what diffusers and transformers say of a model that is known to be sound.

    For the length of the block, errors are logged and warnings are not: of a small autoencoder in
    the place of Stable Diffusion's, or of an image processor that the embedded model does not use.
    """
    import diffusers
    import transformers

    loggers = [
        logging.getLogger(library.__name__.partition(".")[0])
        for library in (diffusers, transformers)
    ]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(max(logger.level, logging.ERROR))
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _from_pretrained(source: Path | str, **options: Any) -> Any:
    """Load with diffusers; whatever it raises is one line."""
    from diffusers import DiffusionPipeline
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        kind = _class_name(source, options)
        if kind not in AUTHORS:
            return DiffusionPipeline.from_pretrained(source, use_safetensors=True, **options)
        _LOG.warning(
            "%s was saved by %s; it is loaded as the StableDiffusionPipeline that its parts make, "
            "not guarded yet: guard(pipe, 'medium')",
            source,
            kind,
        )
        return _of_the_authors(source, options)
    except UnsupportedError:
        raise
    except LocalEntryNotFoundError as error:
        raise UnsupportedError(
            f"cannot load {str(source)!r}: it is not in the Hub's cache here, and the Hub cannot "
            "be reached; connect, or name a folder that the model was saved to (HF_HUB_OFFLINE=1 "
            "reads the cache without an attempt to connect)"
        ) from error
    except Exception as error:  # of a stranger's files: it may be anything
        known = isinstance(error, OSError | ValueError)
        reason = shorten(squeezed(error) if known else one_line(error), 500, placeholder=" ...")
        raise UnsupportedError(f"cannot load {str(source)!r}: {reason}") from error


def _class_name(source: Path | str, options: dict[str, Any]) -> str:
    """Return the class that the model's index names.

    Raises:
        UnsupportedError: the index is damaged, or diffusers has no such pipeline.
    """
    import diffusers

    index = _index(source, options)
    name = index.get("_class_name")
    if isinstance(name, list):
        raise UnsupportedError(
            f"{source}/{INDEX} names a pipeline that is defined by code in the model's folder "
            f"({name!r}), and safelatent runs no code from there; build the pipeline yourself and "
            "guard it"
        )
    if not isinstance(name, str):
        raise UnsupportedError(
            f"{source}/{INDEX} names the class {name!r}; it must be a pipeline of diffusers, for "
            "example 'StableDiffusionPipeline'"
        )
    if name in AUTHORS:
        _check_parts(source, index, diffusers.StableDiffusionPipeline)
        return name
    kind = getattr(diffusers, name, None)
    if kind is None:
        pipelines = [other for other in dir(diffusers) if other.endswith("Pipeline")]
        raise UnsupportedError(
            f"{source} is a {name!r}, and diffusers {diffusers.__version__} has no such pipeline"
            f"{nearest(name, pipelines, ending='Pipeline')}; install a release that has it"
        )
    if not (isinstance(kind, type) and issubclass(kind, diffusers.DiffusionPipeline)):
        raise UnsupportedError(
            f"{source}/{INDEX} names {name!r}, which is no pipeline of diffusers that can be "
            "loaded from a folder; give the folder of one"
        )
    _check_parts(source, index, kind)
    return name


def _check_parts(source: Path | str, index: dict[str, Any], kind: Any) -> None:
    """Refuse an index in which a part of the pipeline is no pair of library and class."""
    parts, _ = kind._get_signature_keys(kind)
    for name in sorted(parts & index.keys()):
        pair = index[name]
        names = isinstance(pair, list) and len(pair) == 2
        if not names or not all(one is None or isinstance(one, str) for one in pair):
            raise UnsupportedError(
                f"{source}/{INDEX} has {shorten(repr(pair), 60)} for {name}; it must be a list of "
                "library and class, for example ['diffusers', 'UNet2DConditionModel']: save the "
                "pipeline again"
            )


def _index(source: Path | str, options: dict[str, Any]) -> dict[str, Any]:
    if isinstance(source, Path):
        return read_object(source / INDEX)
    from huggingface_hub import hf_hub_download

    asked = ("revision", "token", "cache_dir", "force_download", "local_files_only")
    chosen = {name: options[name] for name in asked if name in options}
    return read_object(Path(hf_hub_download(source, INDEX, **chosen)))


def _of_the_authors(source: Path | str, options: dict[str, Any]) -> Any:
    """Load the parts of the authors' pipeline as a ``StableDiffusionPipeline``.

    Their safety checker is a separate class with the same weights as Stable Diffusion's, so it is
    loaded as the latter, beside the pipeline.
    """
    from diffusers import StableDiffusionPipeline
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

    without = {"safety_checker": None, "requires_safety_checker": False}
    pipe = StableDiffusionPipeline.from_pretrained(
        source, use_safetensors=True, **(without | options)
    )
    saved = _index(source, options).get("safety_checker")
    if "safety_checker" not in options and isinstance(saved, list) and saved[-1]:
        asked = ("dtype", "torch_dtype", "variant", "revision", "token", "cache_dir")
        chosen = {name: options[name] for name in asked if name in options}
        checker = StableDiffusionSafetyChecker.from_pretrained(
            source, subfolder="safety_checker", use_safetensors=True, **chosen
        )
        pipe.register_modules(safety_checker=checker.eval())
        pipe.register_to_config(requires_safety_checker=True)
    return pipe

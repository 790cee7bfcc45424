"""From what a person asks for to a run's settings: loads the model and the detectors, and hashes
both.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from safelatent.concepts import DEFAULT_CONCEPT
from safelatent.detectors import Protocol, Sources, named_protocol
from safelatent.errors import BadValueError, UnsupportedError
from safelatent.generation.methods import METHODS
from safelatent.models import load_pipeline, model_digest, model_folder
from safelatent.pipelines.classic.families import family_of
from safelatent.prompts import PromptSet
from safelatent.runs.asking import family_to_draw
from safelatent.runs.settings import RunSettings

LARGE = (
    256  # pixels: a model whose own size is smaller cannot draw the sizes that prompt sets ask for
)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a person asks of a run.

    Attributes:
        model, revision: as ``load`` takes them.
        protocol: by name; None is ``embedded`` for the embedded model and ``i2p-paper`` for any
            other.
        vectors: file of Q16's published vectors, for the published protocols.
        size: ``prompt``, ``model``, or None: the prompts' own unless the model is a small one.
        device: None is the first GPU, or the CPU where there is none.
        dtype: None is half precision on a GPU and single on the CPU.
    """

    model: str = "embedded"
    revision: str | None = None
    methods: tuple[str, ...] = METHODS
    images: int = 10
    steps: int = 50
    guidance_scale: float | None = None
    size: str | None = None
    batch: int = 8
    concept: str = str(DEFAULT_CONCEPT)
    protocol: str | None = None
    vectors: Path | None = None
    device: str | None = None
    dtype: str | None = None


def device_of(name: str | None) -> str:
    """The device of this name, or for None the first GPU, and the CPU where there is none.

    Raises:
        BadValueError: there is no such device here.
    """
    import torch

    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise BadValueError(
            f"there is no device {name!r} ({reason}); name cpu or a GPU of this machine, or leave --device out"
        ) from None
    return name


def load_parts(asked: Asked) -> tuple[Any, Protocol]:
    """The pipeline on its device, and the protocol. The same in every process of a run.

    Raises:
        SafelatentError: one of them cannot be loaded, or no run can be made with it.
    """
    import torch

    device = device_of(asked.device)
    dtype = asked.dtype or ("float32" if device == "cpu" else "float16")
    pipe = load_pipeline(asked.model, revision=asked.revision, dtype=getattr(torch, dtype))
    family_to_draw(pipe)  # refuses what no run can draw with, before anything is begun
    pipe = pipe.to(device)
    name = asked.protocol or ("embedded" if asked.model == "embedded" else "i2p-paper")
    protocol = named_protocol(name, Sources(vectors=asked.vectors, device=device))
    check_answers(protocol)
    return pipe, protocol


def check_answers(protocol: Protocol) -> None:
    """Refuse a detector that fails on a plain picture: it would turn every image of the run into an
    error.

    Raises:
        UnsupportedError: naming the detector and what it says.
    """
    [judgement] = protocol.judge([Image.linear_gradient("L").convert("RGB")])
    for name, verdict in judgement.verdicts.items():
        if verdict.label == "error":
            raise UnsupportedError(
                f"detector {name} fails on a plain picture ({verdict.evidence}); mend it, or name another --protocol"
            )


def settings_of(asked: Asked, prompts: PromptSet, pipe: Any, protocol: Protocol) -> RunSettings:
    """Everything that determines the run's images and scores."""
    scheduler = {
        "class": type(pipe.scheduler).__name__,
        **{k: v for k, v in pipe.scheduler.config.items() if not k.startswith("_")},
    }
    latent_side = (
        getattr(pipe, "default_sample_size", None)
        or getattr(pipe, family_of(pipe).denoiser).config.sample_size
    )
    own = latent_side * pipe.vae_scale_factor
    folder = model_folder(asked.model, asked.revision)
    return RunSettings(
        prompts=prompts.name,
        prompts_digest=prompts.digest,
        model=asked.model,
        revision=folder.name
        if folder.parent.name == "snapshots"
        else None,  # the Hub's cache has a folder a commit
        model_digest=model_digest(folder),
        dtype=str(pipe.dtype).removeprefix("torch."),
        device=pipe.device.type,
        scheduler=scheduler,
        steps=asked.steps,
        guidance_scale=asked.guidance_scale,
        size=asked.size or ("prompt" if own >= LARGE else "model"),
        images=asked.images,
        batch=asked.batch,
        methods=asked.methods,
        concept=asked.concept,
        protocol=protocol.name,
        protocol_hash=protocol.hash,
    )

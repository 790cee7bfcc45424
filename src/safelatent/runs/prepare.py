"""From what is asked for to a run's settings: reads the prompts, loads the detectors and the model,
hashes them, and refuses before anything is drawn what could not work.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from textwrap import shorten
from typing import Any

from PIL import Image

from safelatent.detectors import Protocol, Sources, named_protocol
from safelatent.errors import BadValueError, NotGuardedError, UnsupportedError
from safelatent.generation.methods import Method
from safelatent.guidance import EXACT, PRESETS, Plan
from safelatent.guidance.warmup import check_warmup
from safelatent.models import load_pipeline, model_digest, model_folder
from safelatent.pipelines.safety import ADAPTIVE, guidance_of
from safelatent.pipelines.schedule import Schedule, is_flow
from safelatent.pipelines.size import own_side
from safelatent.prompts import PromptSet, prompt_set
from safelatent.runs.calls import drawable_family
from safelatent.runs.settings import RunRequest, RunSettings

_LISTED = "Expected one of"  # with which torch begins a list of all devices that it has a name for
LARGE = 256  # pixels: a model whose own size is smaller cannot draw the sizes of prompt sets


def device_of(name: str | None) -> str:
    """Return the device of this name; for None the first GPU, or the CPU if there is none.

    Raises:
        BadValueError: there is no such device here.
    """
    import torch

    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        said = shorten(str(error).strip().partition("\n")[0].partition(". ")[0], 160)
        reason = "" if _LISTED in said else f" ({said})"
        raise BadValueError(
            f"there is no device {name!r}{reason}; name cpu or a GPU of this machine,"
            " or leave --device out"
        ) from None
    return name


def dtype_of(name: str | None, device: str) -> Any:
    """Return torch's dtype of this name; for None float32 on the CPU, else float16."""
    import torch

    return getattr(torch, name or ("float32" if device == "cpu" else "float16"))


def load_prompts(request: RunRequest) -> PromptSet:
    """Return the prompts that are asked for.

    Raises:
        BadValueError: an unknown set, or a table that cannot be read.
        UnsupportedError: reading it needs a package that is not installed.
    """
    chosen = request.prompts
    if not isinstance(chosen, PromptSet):
        columns = {"text_column": request.text_column, "seed_column": request.seed_column}
        given = {name: value for name, value in columns.items() if value is not None}
        chosen = prompt_set(str(chosen), request.source, **given)
    return chosen if request.limit is None else chosen.limit(request.limit)


def load_protocol(request: RunRequest, device: str) -> Protocol:
    """Return the protocol by its name; ``embedded`` for the embedded model and ``i2p-paper`` for
    any other, unless one is named.

    Raises:
        BadValueError: an unknown name, or Q16's vectors are missing or are not the published ones.
        UnsupportedError: a detector's package is not installed, or a detector fails.
    """
    default = "embedded" if request.model == "embedded" else "i2p-paper"
    name = default if request.protocol is None else request.protocol
    if name in ("i2p-paper", "i2p-authors-script") and request.vectors is None:
        why = f" (the default for {request.model!r})" if request.protocol is None else ""
        raise BadValueError(
            f"protocol {name!r}{why} needs Q16's published vectors; fetch the authors' file as"
            " docs/detectors.md shows, run `safelatent convert-q16 prompts.p q16.safetensors`, then"
            " give --vectors q16.safetensors, or name another --protocol"
        )
    return named_protocol(name, Sources(vectors=request.vectors, device=device))


def load_parts(request: RunRequest) -> tuple[Any, Protocol]:
    """Return the pipeline on its device, and the protocol; the same in every process of a run.

    Raises:
        SafelatentError: one of them cannot be loaded, or no run can be made with it.
    """
    Plan.parse(request.plan)  # refuses what is none before anything is loaded
    device = device_of(request.device)
    protocol = load_protocol(request, device)  # its packages and files may be missing
    pipe = load_pipeline(
        request.model,
        revision=request.revision,
        variant=request.variant,
        dtype=dtype_of(request.dtype, device),
    )
    drawable_family(pipe)  # refuses what no run can draw with
    pipe = pipe.to(device)
    check_answers(protocol)
    return pipe, protocol


def check_answers(protocol: Protocol) -> None:
    """Refuse a detector that fails on a plain picture: every image of the run would be an error.

    Raises:
        UnsupportedError: naming the detector and what it says.
    """
    [judgement] = protocol.judge([Image.linear_gradient("L").convert("RGB")])
    for name, verdict in judgement.verdicts.items():
        if verdict.label == "error":
            raise UnsupportedError(
                f"detector {name} fails on a plain picture ({verdict.evidence});"
                " fix it, or name another --protocol"
            )


def check_warmups(
    pipe: Any,
    methods: Iterable[Method],
    steps: int,
    plan: Plan | str = EXACT,
    *,
    instead: str = "leave the method out of --methods",
) -> None:
    """Refuse a method whose warm-up leaves too little of a call, before anything is drawn, and a
    plan that ends guidance with it.

    Of a scheduler whose steps depend on the image's size nothing is known here; the guard refuses
    every image there.

    Args:
        instead: what else the caller's command offers than more steps, for the message.

    Raises:
        BadValueError: naming every such method, or the plan, or it is none.
        UnsupportedError: the scheduler cannot be guarded.
    """
    plan = Plan.parse(plan)
    presets = [method for method in methods if method in (*PRESETS, ADAPTIVE)]
    if not presets or pipe.scheduler.config.get("use_dynamic_shifting"):
        return
    levels, flow = noise_levels(pipe.scheduler, steps), is_flow(pipe.scheduler)
    short: list[str] = []
    for method in presets:
        guidance = guidance_of(method, flow=flow)
        try:
            check_warmup(guidance, levels)
        except NotGuardedError:
            short.append(f"{method} has a warm-up of {guidance.on(levels).acts_from()}")
    if short:
        raise BadValueError(
            f"steps is {steps} and {', '.join(short)}, which may be at most half of the steps;"
            f" take more --steps, or {instead}"
        )
    for method in presets:
        try:
            plan.on(guidance_of(method, flow=flow).on(levels), levels)
        except NotGuardedError as error:
            raise BadValueError(f"{method}: {error}") from None


def noise_levels(scheduler: Any, steps: int) -> list[float]:
    """Return the noise level of every step of a call, as the guard counts them (``NoiseLevel``)."""
    own = deepcopy(scheduler)
    own.set_timesteps(steps)
    evaluations = len(own.timesteps)
    schedule = Schedule(own, float(own.timesteps[0]), evaluations)
    return schedule.levels(evaluations, own.order)


def settings_of(
    request: RunRequest, prompts: PromptSet, pipe: Any, protocol: Protocol
) -> RunSettings:
    """Return everything that determines the run's images and scores."""
    config = {k: v for k, v in pipe.scheduler.config.items() if not k.startswith("_")}
    folder = model_folder(request.model, request.revision)
    in_cache = folder.parent.name == "snapshots"  # the Hub's cache has a folder per commit
    found = {
        "revision": folder.name if in_cache else None,
        "dtype": str(pipe.dtype).removeprefix("torch."),
        "device": pipe.device.type,
        "plan": str(Plan.parse(request.plan)),
        "size": request.size or ("prompt" if own_side(pipe) >= LARGE else "model"),
        "protocol": protocol.name,
    }
    return RunSettings(
        **(request.shared() | found),
        prompts=prompts.name,
        prompts_digest=prompts.digest,
        model_digest=model_digest(folder),
        scheduler={"class": type(pipe.scheduler).__name__, **config},
        protocol_hash=protocol.hash,
    )

"""What ``generate`` does once its options are checked: load, draw, judge, write."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import typer

from safelatent.cli.captions import (
    cell,
    footer,
    guarded_words,
    method_words,
    setting_words,
    trace_step,
)
from safelatent.cli.progress import step_lines
from safelatent.cli.say import quiet_libraries, say
from safelatent.detectors import Judgement, Protocol, Sources, named_protocol
from safelatent.errors import BadValueError, GuardError, UnsupportedError
from safelatent.figures.canvas import Sheet
from safelatent.figures.comparison import comparison_sheet
from safelatent.figures.trace import trace_sheet
from safelatent.generation.methods import METHODS
from safelatent.generation.request import SAVED, Request
from safelatent.generation.sampling import (
    BATCH,
    Decided,
    Made,
    compare,
    own_settings,
    sample,
    sample_under,
    trace,
    under,
)
from safelatent.generation.save import save_decided, save_image, save_picture
from safelatent.guidance import Plan
from safelatent.pipelines.classic.text import cut_prompts
from safelatent.pipelines.guarded import Guarded
from safelatent.pipelines.loading import load
from safelatent.policy import Policy
from safelatent.policy.decision import PolicyError
from safelatent.policy.enforce import UnderPolicy
from safelatent.provenance.seal import Seal
from safelatent.runs.calls import needs_image
from safelatent.runs.prepare import check_warmups, device_of, dtype_of
from safelatent.text import shortened, squeezed, visible

T = TypeVar("T")
REFUSED = 3  # the exit code, where the policy refused an image


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to draw, and where to.

    Attributes:
        first: what all requests have in common.
        texts: the prompts.
        requests: one per image, in their order.
        batch_size: images per call of the model.
        device: its name; None is the first GPU, or the CPU.
        guarding: the options given that choose a guard, or unguarded images.
        protocol: by which pictures on a sheet are judged; None leaves them unjudged.
        vectors: file of Q16's published vectors.
        policy: under which single images are drawn.
        out: a folder, or a .png file.
        seal: how images are signed and logged.
        as_json: print one JSON object per image.
    """

    first: Request
    texts: Sequence[str]
    requests: Sequence[Request]
    batch_size: int
    device: str | None
    guarding: Sequence[str]
    protocol: str | None
    vectors: Path | None
    policy: Policy | None
    out: Path
    seal: Seal
    as_json: bool

    def file(self, name: str) -> Path:
        """Return where the picture of this name goes."""
        return self.out if self.out.suffix.lower() == ".png" else self.out / f"{name}.png"


def draw(job: Job, kind: str) -> None:
    """Draw the job: ``images``, a ``comparison`` or a ``trace`` per prompt."""
    if job.first.safety == SAVED:
        _check_saved(job)
    elif job.first.settings and job.policy is None:
        own_settings(job.first)  # refuses what is out of range before the model is loaded
    Plan.parse(job.first.plan)
    device = device_of(job.device)
    judge = None
    if kind != "images" and job.protocol is not None:
        judge = named_protocol(job.protocol, Sources(vectors=job.vectors, device=device))
        judge.hash  # noqa: B018  # what cannot be loaded is said before anything is drawn
    pipe = _loaded(job, device)
    bare = pipe.pipe if isinstance(pipe, Guarded) else pipe
    if isinstance(pipe, Guarded) and job.first.safety != SAVED:  # a guarded pipeline on the Hub
        _check_saved(job)
        requests = [request.with_safety(SAVED) for request in job.requests]
        job = replace(job, first=replace(job.first, safety=SAVED), requests=requests)
    _warn_of_cut_prompts(bare, job.texts)
    if job.policy is not None:
        _under_policy(under(pipe, job.policy, job.first), bare, job)
    else:
        drawn = {"images": _images, "comparison": _comparison, "trace": _traces}[kind]
        drawn(pipe, bare, job, judge)
    if kind == "images" and job.first.model == "embedded" and not job.as_json:
        say(f"next: safelatent check {shlex.quote(str(job.out))}")


def _check_saved(job: Job) -> None:
    """Refuse, for a model that was saved guarded, another guard and unguarded images."""
    if job.guarding:
        raise BadValueError(
            f"--model {job.first.model!r} was saved guarded and is drawn as it was saved; leave"
            f" {', '.join(job.guarding)} out, or name the model that it was made from"
        )


def _loaded(job: Job, device: str) -> Any:
    """The model on its device, guarded if it was saved so."""
    quiet_libraries()
    first = job.first
    say(f"loading {first.model} ...")
    options = {} if first.variant is None else {"variant": first.variant}
    dtype = dtype_of(first.dtype, device)
    pipe = load(first.model, revision=first.revision, dtype=dtype, **options)
    bare = pipe.pipe if isinstance(pipe, Guarded) else pipe
    if needs_image(bare) or not hasattr(bare, "set_progress_bar_config"):
        reason = "; it needs an image" if needs_image(bare) else ""
        raise UnsupportedError(
            f"{first.model!r} is a {type(bare).__name__}, which generate cannot call{reason}; load"
            " it in Python: safelatent.load(...)"
        )
    return pipe.to(device)


def _images(pipe: Any, bare: Any, job: Job, _: Protocol | None) -> None:
    """One file per request, printed as soon as it is written."""
    if job.first.safety == "off":
        say("note: --safety is off; these images are unguarded")
    for done in range(0, len(job.requests), job.batch_size):
        batch = job.requests[done : done + job.batch_size]
        _announce(bare, batch, done, len(job.requests))
        for made in _logged(sample, pipe, batch, job):
            file = job.file(made.request.name)
            receipt = save_image(made, file, job.seal)
            if job.as_json:
                _print_json({"file": str(file)} | receipt)
            else:
                typer.echo(f"{file}  ({guarded_words(made)})")


def _under_policy(safe: UnderPolicy, bare: Any, job: Job) -> None:
    """One file per image that may leave, and one line per image that may not.

    Raises:
        typer.Exit: with ``REFUSED``, if an image was refused.
    """
    refused = 0
    for done in range(0, len(job.requests), job.batch_size):
        batch = job.requests[done : done + job.batch_size]
        _announce(bare, batch, done, len(job.requests))
        for decided in _logged(sample_under, safe, batch, job):
            file = job.file(decided.request.name)
            receipt, decision = save_decided(decided, file, job.seal), decided.receipt
            refused += receipt is None
            if job.as_json:
                _print_json({"file": str(file)} | receipt if receipt else decided.as_dict())
            elif receipt is None:
                say(f"refused: {_short(decided.request.prompt)}: {visible(decision.message)}")
            else:
                typer.echo(f"{file}  ({decision.outcome}, {len(decision.attempts)} drawn)")
    if refused:
        say(f"{refused} of {len(job.requests)} images were refused by the policy")
        raise typer.Exit(REFUSED)


def _logged(
    draw: Callable[[Any, Sequence[Request]], list[T]], pipe: Any, batch: Sequence[Request], job: Job
) -> list[T]:
    """Draw the batch; a refusal of all of it is logged before it is answered."""
    try:
        return draw(pipe, batch)
    except GuardError as error:
        receipt = error.receipt if isinstance(error, PolicyError) else None
        for request in batch:
            facts = request.facts | (receipt.facts if receipt else {})
            job.seal.refuse(error, request=request.hash, **facts)
            if receipt is not None and job.as_json:
                _print_json(Decided(request=request, image=None, receipt=receipt).as_dict())
        raise


def _comparison(pipe: Any, bare: Any, job: Job, judge: Protocol | None) -> None:
    """All requests on one sheet."""
    requests = job.requests
    check_warmups(pipe, METHODS, requests[0].steps, instead="draw without --compare")
    calls, done = len(METHODS) * -(-len(requests) // BATCH), 0

    def tell(request: Request) -> None:
        nonlocal done
        _announce(bare, [request], done, calls)
        done += 1

    table = compare(pipe, requests, tell)
    made = [one for row in table for one in row]
    judgements = _judged(judge, made)
    cells = iter([cell(*pair) for pair in zip(made, judgements, strict=True)])
    rows = [(row[0].request.prompt, list(islice(cells, len(row)))) for row in table]
    columns = [(name, method_words(name)) for name in METHODS]
    sheet = comparison_sheet(rows, columns, footer(requests[0], judge))
    named = [
        {"cell": f"{one.request.safety}: {squeezed(one.request.prompt)}"}
        | one.as_dict()
        | ({} if judgement is None else {"judgement": judgement.as_dict()})
        for one, judgement in zip(made, judgements, strict=True)
    ]
    _write(sheet, named, {"kind": "comparison", "model": requests[0].model}, job, requests[0])


def _traces(pipe: Any, bare: Any, job: Job, judge: Protocol | None) -> None:
    """A sheet per request."""
    for n, request in enumerate(job.requests):
        _announce(bare, [request], n, len(job.requests))
        made, traced = trace(pipe, request)
        plain = Made(request=request, image=traced[-1].unguarded.image, receipt=None)
        seen = [f"; seen: {j.in_brief()}" if j else "" for j in _judged(judge, [plain, made])]
        settings = setting_words(made.receipt.settings if made.receipt else {})
        labels = (f"unguarded{seen[0]}", f"{request.safety} ({settings}){seen[1]}")
        steps = [trace_step(step) for step in traced]
        title = f"“{squeezed(request.prompt)}”"
        sheet = trace_sheet(title, labels, steps, footer(request, judge))
        named = [
            {"cell": f"{row}, {step.title}"} for row in ("unguarded", "guarded") for step in steps
        ]
        described = {"kind": "trace"} | made.as_dict()
        _write(sheet, named, described, job, request)


def _write(
    sheet: Sheet, cells: list[dict[str, Any]], described: dict[str, Any], job: Job, first: Request
) -> None:
    """The sheet with the place of every picture in its metadata, and what is printed of it."""
    kind = described["kind"]
    file = job.file(f"{kind}-{first.name}")
    cells = [cell | {"box": list(box)} for cell, box in zip(cells, sheet.boxes, strict=True)]
    save_picture(sheet.image, file, described | {"cells": cells})
    if not job.as_json:
        typer.echo(str(file))
    for value in (cells if kind == "comparison" else [described]) if job.as_json else []:
        _print_json({"file": str(file)} | value)


def _judged(judge: Protocol | None, made: Sequence[Made]) -> list[Judgement | None]:
    return [None] * len(made) if judge is None else list(judge.judge([one.image for one in made]))


def _announce(bare: Any, batch: Sequence[Request], done: int, total: int) -> None:
    """The title of the pipeline's own progress bar, or a plain line where there is no terminal."""
    count = f"{done + 1}" if len(batch) == 1 else f"{done + 1}-{done + len(batch)}"
    title = f"[{count}/{total}] {_short(batch[0].prompt)}, {batch[0].safety}"
    watched = sys.stderr.isatty()
    bare.set_progress_bar_config(**({"desc": title, "leave": False} if watched else step_lines()))
    if not watched:
        say(title)


def _warn_of_cut_prompts(bare: Any, prompts: Sequence[str]) -> None:
    """Name every prompt that the text encoder cuts."""
    cut, limit = cut_prompts(bare, dict.fromkeys(prompts))
    for text, count in cut:
        say(
            f"note: {_short(text)} has {count} tokens, and the model reads {limit}; the rest is"
            " not drawn"
        )


def _short(text: str) -> str:
    return repr(shortened(squeezed(text), 40))


def _print_json(value: dict[str, Any]) -> None:
    """One object on one line, at once."""
    typer.echo(json.dumps(value, ensure_ascii=False))

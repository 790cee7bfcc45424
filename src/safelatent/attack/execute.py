"""``attack(prompts, settings, out=...)``: every prompt against every defence, resumable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safelatent.attack.folder import Attack, AttackFolder, Query, is_done, read_attack
from safelatent.attack.settings import AttackSettings, Defence
from safelatent.attack.target import METHODS, Target, drawer, vocabulary
from safelatent.attack.words import SYNONYMS, propose, read_synonyms
from safelatent.detectors import named_protocol
from safelatent.detectors.protocol import sources_of
from safelatent.generation.methods import Method
from safelatent.hashing import file_digest
from safelatent.models import load_pipeline, model_digest, model_folder
from safelatent.pipelines.classic.checks import bind_call
from safelatent.policy.prompt_check import Calibration, calibrate
from safelatent.policy.prompt_rules import PromptGate
from safelatent.prompts import Prompt, PromptSet, prompt_set
from safelatent.runs.prepare import check_answers, check_warmups
from safelatent.storage import place

CALIBRATION = "prompt-check.safetensors"


@dataclass(frozen=True, kw_only=True)
class AttackProgress:
    """How far an attack is.

    Attributes:
        done, planned: prompts times defences.
        queries: asked so far by this process.
        successes: of the attacks that are done.
    """

    done: int
    planned: int
    queries: int
    successes: int


Watch = Callable[[AttackProgress], None]


def attack(
    prompts: str | PromptSet,
    settings: AttackSettings,
    *,
    out: str | Path = "runs/attack",
    source: str | Path | None = None,
    progress: Watch = lambda _: None,
) -> Attack:
    """Attack a guarded model; the same call resumes a stopped attack.

    Args:
        prompts: a set, its name or a table's path; the first ``settings.prompts`` are used.
        settings: everything else that determines the queries.
        out: the folder.
        source: the file of a named set.
        progress: called after every batch of queries.

    Raises:
        BadValueError: a value breaks a rule, or the folder holds an attack of other settings.
        RunError: the folder cannot be written.
        SafelatentError: model or detectors cannot be loaded.
    """
    chosen = prompts if isinstance(prompts, PromptSet) else prompt_set(prompts, source)
    chosen = chosen.limit(settings.prompts)
    folder = place(out, "out")
    synonyms = read_synonyms(settings.synonyms or SYNONYMS)
    target, facts = _prepared(settings, folder)
    tokens = vocabulary(target.pipe)
    with AttackFolder(folder, settings, chosen, facts) as store:
        _run(store, target, chosen, settings, synonyms, tokens, progress)
    return read_attack(folder)


def _run(
    store: AttackFolder,
    target: Target,
    prompts: PromptSet,
    settings: AttackSettings,
    synonyms: Mapping[str, tuple[str, ...]],
    tokens: list[str],
    progress: Watch,
) -> None:
    """Attack what is not done yet, a defence after the other."""
    done = queries = successes = 0
    planned = len(settings.defences) * len(prompts)

    def tell() -> None:
        progress(AttackProgress(done=done, planned=planned, queries=queries, successes=successes))

    tell()
    for defence in settings.defences:
        for prompt in prompts:
            asked = store.queries(defence, prompt.id)
            target.remember(defence, prompt, asked)
            while not is_done(asked, settings.queries):
                new = _batch(target, defence, prompt, asked, settings, synonyms, tokens)
                if not new:
                    break
                asked += new
                store.save(defence, prompt.id, asked)
                queries += len(new)
                tell()
            done, successes = done + 1, successes + any(one.success for one in asked)
            tell()


def _batch(
    target: Target,
    defence: Defence,
    prompt: Prompt,
    asked: list[Query],
    settings: AttackSettings,
    synonyms: Mapping[str, tuple[str, ...]],
    tokens: list[str],
) -> list[Query]:
    """Ask the next texts; what comes after the first success of a batch was not needed."""
    texts = propose(
        prompt.text,
        asked,
        count=settings.batch_size,
        queries=settings.queries,
        key=f"{settings.seed} {prompt.id}",
        synonyms=dict(synonyms),
        tokens=tokens,
        categories=prompt.categories,
    )
    return target.ask(defence, texts, prompt)


def _prepared(settings: AttackSettings, folder: Path) -> tuple[Target, dict[str, Any]]:
    """Load what is attacked, and hash it."""
    judge, check = (
        named_protocol(name, sources_of(name, settings.vectors))
        for name in (settings.judge, settings.output_check)
    )
    pipe = load_pipeline(settings.model, revision=settings.revision)
    pipe.set_progress_bar_config(disable=True)
    methods: list[Method] = [METHODS[guidance] for guidance in settings.guidances]
    check_warmups(pipe, methods, settings.steps, instead="leave it out of --guidance")
    check_answers(judge)
    check_answers(check)
    calibration = settings.calibration or _calibrated(pipe, folder)
    loaded = Calibration.load(calibration)
    loaded.check_encoder(pipe, bind_call(pipe, (), {"prompt": "a picture"}))
    target = Target(
        pipe=pipe,
        draw=drawer(pipe, steps=settings.steps),
        gate=PromptGate(calibration=loaded, threshold=loaded.threshold),
        judge=judge,
        output_check=check,
    )
    facts = {
        "model_digest": model_digest(model_folder(settings.model, settings.revision)),
        "judge_hash": judge.hash,
        "output_check_hash": check.hash,
        "calibration_sha256": file_digest(calibration),
        "prompt_check": {name: loaded.figures[name] for name in ("threshold", "benign", "unsafe")},
    }
    return target, facts


def _calibrated(pipe: Any, folder: Path) -> Path:
    """Return the prompt check of the embedded model, fitted once and kept in the folder."""
    file = folder / CALIBRATION
    if not file.is_file():
        unsafe, benign = (
            [one.text for one in prompt_set(name)]
            for name in ("embedded-i2p-train", "embedded-benign")
        )
        calibrate(pipe, unsafe, benign).save(file)
    return file

"""Studies without people: runs of known images, and raters who answer by a rule."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safelatent.prompts import Prompt
from safelatent.study import Answers, Study, StudySettings, create
from safelatent.study.plan import Choice, Question
from tests.evaluation.made_runs import made_run

METHODS = ("off", "medium", "max")
# By question and the methods on the left and on the right.
Rule = Callable[[Question, str, str], Choice]


def prompts_of(count: int, categories: Sequence[str] = ()) -> list[Prompt]:
    return [
        Prompt(text=f"prompt number {n}", id=f"p-{n}", seed=n, categories=tuple(categories))
        for n in range(count)
    ]


def made_study(
    folder: Path,
    prompts: int = 12,
    letter: Callable[[Any], str] = lambda _: "s",
    database: str | None = None,
    **settings: Any,
) -> Study:
    """Make a run of all images by all methods, and a study of it."""
    if not (folder / "run").exists():
        made_run(folder / "run", letter, prompts_of(prompts), images=1)
    values: dict[str, Any] = {"methods": ("off", "max"), "pairs": prompts} | settings
    return create(folder / "run", StudySettings(**values), folder / "study", database=database)


def prefer(method: str, share: float = 1, ties: float = 0, seed: int = 0) -> Rule:
    """Prefer a method in a share of the answers, and the other in the rest."""
    chance = random.Random(seed)

    def choose(_: Question, left: str, right: str) -> Choice:
        if chance.random() < ties or method not in (left, right):
            return "same"
        return "left" if (left == method) == (chance.random() < share) else "right"

    return choose


def answer(study: Study, rater: int, rule: Rule, pages: int | None = None) -> None:
    """Answer the next ``pages`` of a rater, or all."""
    with Answers(study) as answers:
        answers.agree(rater)
        start = answers.position(rater)
        for n, showing in list(enumerate(study.session(rater)))[start:][:pages]:
            first, second = study.comparisons[showing.comparison].methods
            left, right = (second, first) if showing.swapped else (first, second)
            choices = {q: rule(q, left, right) for q in study.settings.questions}
            assert answers.save(rater, n, choices)


@contextmanager
def served(study: Study, *options: str) -> Iterator[str]:
    """The command that serves a study, in a process of its own; gives its address."""
    call = [sys.executable, "-m", "safelatent", "study", "serve", str(study.folder), "--port", "0"]
    process = subprocess.Popen(
        [*call, *options], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        assert line.startswith("serving http"), line + process.stderr.read()
        yield line.split()[1].rstrip(";")
    finally:
        process.terminate()
        process.wait(20)
        process.stderr.close()

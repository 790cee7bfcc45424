"""The page on pipelines: its tables are what ran.

``python -m tests.docs.test_pipelines_page`` writes them anew.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from safelatent import SafelatentError, guard
from safelatent.guidance.receipt import Receipt
from safelatent.pipelines.classic.families import FAMILIES
from safelatent.pipelines.modular import checks
from safelatent.pipelines.schedule import SCHEDULERS, Noise
from tests import tiny
from tests.pipelines import every_pipeline
from tests.pipelines.classic import tiny_families
from tests.pipelines.every_pipeline import CASES, STEPS
from tests.pipelines.modular import every_modular, tiny_modular

PAGE = Path(__file__).parents[2] / "docs/pipelines.md"
BEGIN, END = "<!-- {}: made by python -m tests.docs.test_pipelines_page -->", "<!-- end of {} -->"


def supported_row(case: every_pipeline.Case) -> str:
    """Runs the case."""
    pipe = case.pipeline()
    safe = guard(pipe, "max")
    receipt = safe(**case.arguments()).receipts[0]
    denoiser = type(getattr(pipe, safe.family.denoiser)).__name__
    order = "one after the other" if safe.family.sequential else "in one batch"
    scheduler = type(pipe.scheduler).__name__
    model = f"`{denoiser}`, {order} | `{scheduler}`"
    return f"| {safe.family.title} | `{case.name}` | {model} | {guarded(receipt)} |"


def modular_row(family: str) -> str:
    """Runs the family's pipeline with every guider that is known to run there."""
    if family not in tiny_modular.PARTS:
        pytest.skip(f"this release of diffusers has no {family}")
    guiders = every_modular.guiders_of(family)
    with tiny_modular.short_texts():
        pipe = tiny_modular.pipeline(family)
        guided = (every_modular.guided_by(pipe, name) for name in guiders)
        (steps,) = {guarded(every_modular.call(one, family).receipts[0]) for one in guided}
    title, blocks = checks.FAMILIES[pipe._blocks.model_name], type(pipe._blocks).__name__
    denoisers = [
        type(part).__name__
        for name in checks.DENOISERS
        if (part := getattr(pipe, name, None)) is not None
    ]
    scheduler = type(pipe.scheduler).__name__
    model = f"{code(denoisers)} | {code(guiders)} | `{scheduler}`"
    return f"| {title} | `{blocks}` | {model} | {steps} |"


def refused_row(refusal: every_pipeline.Refusal) -> str:
    """Tries it."""
    with pytest.raises(SafelatentError) as caught, tiny_modular.short_texts():
        refusal.do()
    said = str(caught.value).split("; supported:")[0]
    return f"| {refusal.what} | `{type(caught.value).__name__}`: {said} |"


MEANINGS = {
    Noise.TIMESTEPS: ("`alphas_cumprod` at the timestep", "noise, velocity"),
    Noise.SIGMAS: ("`sigmas` at the position", "noise, velocity; flow with `use_flow_sigmas`"),
    Noise.FLOW: ("`sigmas` at the position, rectified flow", "flow"),
    Noise.EDM: (
        "`sigmas` in units of `sigma_data`",
        "noise (which is the negative velocity), velocity",
    ),
}


def schedulers_row(noise: Noise) -> str:
    """What tests/pipelines/test_schedule.py measures."""
    kept, predictions = MEANINGS[noise]
    return f"| {kept} | {code(SCHEDULERS[noise])} | {predictions} |"


def guarded(receipt: Receipt) -> str:
    return f"{receipt.guided_steps} of {receipt.steps}"


def code(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


@dataclass(frozen=True, kw_only=True)
class Table:
    """``row`` runs a case and says what came of it."""

    head: str
    row: Callable[[Any], str]
    cases: Sequence[Any]

    def lines(self) -> list[str]:
        return [self.head, "|---" * (self.head.count("|") - 1) + "|", *map(self.row, self.cases)]


TABLES = {
    "supported": Table(
        head="| family | pipeline | denoiser | scheduler | guarded steps |",
        row=supported_row,
        cases=CASES,
    ),
    "modular": Table(
        head="| family | blocks | denoiser | guiders | scheduler | guarded steps |",
        row=modular_row,
        cases=list(tiny_modular.ALL),
    ),
    "schedulers": Table(
        head="| where the noise is | schedulers | the model predicts |",
        row=schedulers_row,
        cases=list(Noise),
    ),
    "refused": Table(head="| what | answer |", row=refused_row, cases=every_pipeline.REFUSALS),
    "modular refused": Table(
        head="| what | answer |", row=refused_row, cases=every_modular.REFUSALS
    ),
}


def section(name: str) -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    inside = text.split(BEGIN.format(name))[1].split(END.format(name))[0]
    return [line for line in inside.strip().splitlines() if line.startswith("|")][2:]


def test_every_pipeline_of_the_table_of_families_has_a_case():
    assert [case.name for case in CASES] == [
        name for family in FAMILIES for name in family.pipelines
    ]


def test_every_modular_family_has_a_row():
    assert {row.split(" | ")[0].removeprefix("| ") for row in section("modular")} == set(
        checks.FAMILIES.values()
    )


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    ("name", "case"),
    [(name, case) for name, table in TABLES.items() for case in table.cases],
    ids=lambda value: getattr(value, "name", getattr(value, "what", value)),
)
def test_the_page_tells_what_ran(name, case):
    assert TABLES[name].row(case) in section(name)


@pytest.mark.parametrize("name", TABLES)
def test_the_page_tells_no_more_than_that(name):
    assert len(section(name)) == len(TABLES[name].cases)


def test_clip_skip_is_as_the_page_says():
    """It works with Stable Diffusion XL, where the concept skips the layer too; with 1.x, diffusers
    and transformers 5 fail without the guard alike.
    """
    call = {"num_inference_steps": 3, "output_type": "latent", "height": 8, "width": 8}
    safe = guard(tiny_families.pipeline("sdxl"), "max")
    whole, skipped = (
        safe("a cat", **call, clip_skip=skip, generator=torch.manual_seed(0)).images
        for skip in (None, 1)
    )
    assert not torch.equal(whole, skipped)
    pipe = tiny.pipeline()
    for one in (pipe, guard(pipe, "max")):
        with pytest.raises(AttributeError, match="'CLIPTextModel' object has no attribute"):
            one("a cat", **call, clip_skip=1)


@pytest.mark.parametrize("name", ["supported", "modular"])
def test_every_step_is_guarded_but_one_at_pure_noise(name):
    """Rectified flow begins there, where no estimate tells the concept."""
    for row in section(name):
        assert row.endswith((f"| {STEPS} of {STEPS} |", f"| {STEPS - 1} of {STEPS} |")), row


def write() -> None:
    """Put what runs into the page."""
    text = PAGE.read_text(encoding="utf-8")
    for name, table in TABLES.items():
        before, rest = text.split(BEGIN.format(name))
        text = "\n".join(
            [
                before + BEGIN.format(name),
                *table.lines(),
                END.format(name) + rest.split(END.format(name))[1],
            ]
        )
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(write())

"""docs/guard.md cannot drift: its scripts run, and what it promises and refuses is the code's."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from diffusers import EulerDiscreteScheduler
from PIL import Image

from safelatent import errors, guard, load
from safelatent.errors import UnsupportedError
from tests import tiny

PAGE = (Path(__file__).parents[2] / "docs/guard.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture(scope="module")
def safe():
    return guard(tiny.pipeline(), "max")


def row(start: str) -> str:
    return next(line for line in PAGE.splitlines() if line.startswith(f"| {start}"))


def names(text: str) -> list[str]:
    return re.findall(r"`(?:pipe\.)?(\w+)`", text)


def test_it_has_its_scripts():
    assert len(SNIPPETS) == 2


def run_script(number: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    exec(compile(SNIPPETS[number], f"docs/guard.md, script {number}", "exec"), found)
    return found


@pytest.mark.slow
def test_its_first_script_draws_with_guidance(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found = run_script(0)
    assert isinstance(found["pipe"].scheduler, EulerDiscreteScheduler)
    with Image.open(tmp_path / "panda.png") as saved:
        assert saved.size == found["out"].images[0].size
    [receipt] = found["out"].receipts
    assert receipt.steps == 20
    assert 0 < receipt.guided_steps <= 20
    assert str(receipt) in capsys.readouterr().out


@pytest.mark.slow
def test_its_second_script_guards_the_other_pipeline_alike():
    found = run_script(1)
    pipe, other = found["pipe"], found["image_to_image"]
    assert type(other.pipe).__name__ == "StableDiffusionImg2ImgPipeline"
    assert (other.safety, other.concept) == (pipe.safety, pipe.concept)
    assert other.unet is pipe.unet


@pytest.mark.parametrize(
    "name",
    [
        *names(row("read").split("|")[2]),
        *names(row("call a method").split("|")[2]),
        *names(row("`pipe.safety`").split("|")[1]),
    ],
)
def test_what_it_promises_is_there(safe, name):
    assert hasattr(safe, name)


def test_what_it_says_is_the_guards_own_is_refused(safe):
    own = names(row("setting an attribute that belongs to the guard").split("|")[1])
    assert len(own) == 6
    for name in own:
        with pytest.raises(UnsupportedError, match="is the guard's own"):
            setattr(safe, name, None)


def test_the_errors_that_it_names_exist():
    section = PAGE.split("## What is refused")[1].split("## Loading")[0]
    named = {name for line in section.splitlines() for name in re.findall(r"`(\w+Error)`", line)}
    assert len(named) >= 5
    assert all(hasattr(errors, name) for name in named - {"AttributeError", "TypeError"})


def test_all_errors_but_one_are_the_packages(safe):
    section = PAGE.split("## What is refused")[1].split("## Loading")[0]
    for name in set(re.findall(r"`(\w+Error)`", section)) - {"AttributeError"}:
        assert issubclass(getattr(errors, name), errors.SafelatentError), name
    with pytest.raises(AttributeError) as caught:
        type(safe.pipe).__call__(safe, "a cat")
    assert not isinstance(caught.value, errors.SafelatentError)
    assert "All but the `AttributeError` are kinds of `SafelatentError`" in section


def test_the_arguments_of_load_are_its_own():
    section = PAGE.split("## Loading")[1]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    named = {name for line in rows for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    known = set(inspect.signature(load).parameters) | {"dtype", "torch_dtype"}
    assert named == known - {"name", "options"}

"""``safelatent card`` reads a run and says whether it is enough."""

from __future__ import annotations

import json

import pytest

from safelatent.cli import main
from safelatent.concepts import DEFAULT_CONCEPT
from tests.evaluation.made_runs import made_run
from tests.evaluation.test_over_refusal import FRIENDLY


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    made_run(folder, methods="off,medium,max", images=2, concept=str(DEFAULT_CONCEPT))
    return folder


@pytest.fixture
def policy(tmp_path):
    def write(text: str) -> str:
        file = tmp_path / "policy.toml"
        file.write_text(f'version = 1\nname = "school"\n{text}')
        return str(file)

    return write


def test_the_numbers_are_the_runs(run, policy, capsys):
    assert main(["card", policy('least = "medium"'), str(run), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["measured"]
    assert (told["method"], told["protocol"], told["finished"]) == ("medium", "made", True)
    assert told["guarded"]["overall"]["share"] == 3 / 8
    assert told["unguarded"]["overall"]["share"] == 4 / 6
    assert set(told["guarded"]) == {"overall", "violence", "hate"}


def test_the_gate(run, policy, capsys, tmp_path):
    page = tmp_path / "card.html"
    strict = policy('least = "medium"\n[targets]\nmost_inappropriate = 0.1')
    assert main(["card", strict, str(run), "--html", str(page)]) == 0
    assert "falls short: overall: up to" in capsys.readouterr().out
    assert "Falls short" in page.read_text()
    assert main(["card", strict, str(run), "--gate"]) == 1
    loose = policy('least = "medium"\n[targets]\nmost_inappropriate = 1.0')
    assert main(["card", loose, str(run), "--gate"]) == 0
    assert main(["card", loose, str(run), "--gate", "--method", "max"]) == 1
    assert "meets the policy's targets" in capsys.readouterr().out


def test_an_over_refusal_figure_stands_beside(run, policy, capsys, tmp_path):
    own = {"methods": "off,medium,max", "images": 2, "concept": str(DEFAULT_CONCEPT)}
    made_run(tmp_path / "harmless", prompts=FRIENDLY, **own)
    harmless = str(tmp_path / "harmless")
    assert main(["card", policy('least = "medium"'), str(run)]) == 0
    assert "over-refusal: not measured; add --over-refusal RUN" in capsys.readouterr().out
    more = ["--over-refusal", harmless]
    assert main(["card", policy('least = "medium"'), str(run), *more]) == 0
    assert "over-refusal: output check 37.5 % [" in capsys.readouterr().out
    assert main(["card", policy('least = "medium"'), str(run), *more, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["over_refusal"]["output check"]
    assert (told["share"], told["images"]) == (3 / 8, 8)
    assert main(["card", policy('least = "medium"'), harmless, "--gate"]) == 2
    assert "is of harmless prompts and says nothing of safety" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "options", "line"),
    [
        ('least = "strong"', [], "it has no 'strong'; name a method with --method, one of off, m"),
        ('least = "strong"', [], "or measure the policy's: safelatent bench run ..."),
        ('least = "max"', ["--method", "mx"], "safelatent bench run ... --methods off,max\n"),
        ('[categories]\nhate = "max"\n[settings]\nscale = 9000', [], "settings are no preset"),
        ('least = "max"', ["--html", "card.txt"], "it must end in .html"),
        ('least = "max"', ["--gate"], "has no [targets], so --gate could not fail"),
    ],
)
def test_bad_input_is_one_line(run, policy, capsys, text, options, line):
    assert main(["card", policy(text), str(run), *options]) == 2
    err = capsys.readouterr().err
    assert line in err
    assert len(err.strip().splitlines()) == 1

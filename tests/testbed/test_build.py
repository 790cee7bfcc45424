"""The two ends of a build, without its run: choosing prompts, and finishing."""

from __future__ import annotations

import logging

import pytest

from safelatent import BadValueError, UnsupportedError
from safelatent.testbed import build, toxicity
from safelatent.testbed.build import BuildSettings, choose_prompts, finish
from safelatent.testbed.choice import ChoiceSettings
from safelatent.testbed.keywords import KEYWORDS, Keyword, keywords_of
from tests.testbed import tiny_testbed

KEYWORD = (Keyword(category="violence", text="violence"),)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return tiny_testbed.clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def settings(clip, tmp_path):
    (tmp_path / "c.csv").write_text("caption\na cat\na dog\nA CAT\na pirate\n")
    return BuildSettings(
        corpora=(tmp_path / "c.csv",),
        text_column="caption",
        keywords=KEYWORD,
        choosing=ChoiceSettings(per_keyword=2),
        embedder=str(clip),
        device="cpu",
    )


def test_prompts_are_chosen_once(settings, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO, logger="safelatent.testbed")
    monkeypatch.setattr(logging.getLogger("safelatent"), "propagate", True)
    shown = []
    choice = choose_prompts(settings, tmp_path / "out", progress=lambda *step: shown.append(step))
    assert (len(choice.prompts), choice.prompts.rows) == (2, 4)
    assert shown == [(3, 3, "prompts embedded")]
    assert "4 rows, 3 distinct prompts, 1 keyword" in caplog.messages
    monkeypatch.setattr(build, "read_corpus", lambda *_: pytest.fail("prompts are chosen once"))
    assert choose_prompts(settings, tmp_path / "out") == choice
    assert caplog.messages[-1] == "resuming: 2 prompts were chosen before"


def test_texts_are_scored_if_asked(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(toxicity, "detoxify", lambda: lambda texts: [0.25] * len(texts))
    scored = BuildSettings(**{**vars(settings), "toxicity": True})
    shown = []
    choice = choose_prompts(scored, tmp_path / "out", progress=lambda *step: shown.append(step))
    assert [prompt.toxicity for prompt in choice.prompts] == [0.25, 0.25]
    assert shown[1:] == [(1, 2, "texts scored"), (2, 2, "texts scored")]
    with pytest.raises(BadValueError, match="toxicity is null, was"):
        choose_prompts(settings, tmp_path / "out")


def test_the_papers_way_is_the_default(tmp_path):
    settings = BuildSettings(corpora=(tmp_path / "c.csv",))
    assert settings.choosing.per_keyword == 250
    assert settings.keywords == keywords_of(KEYWORDS)
    with pytest.raises(BadValueError, match="unknown embedder 'embeded'"):
        BuildSettings(corpora=(tmp_path / "c.csv",), embedder="embeded")


def test_a_run_without_an_image_has_no_test_bed(settings, tmp_path, monkeypatch):
    prompts = [tiny_testbed.prompt(0)]
    run = tiny_testbed.run({"p-0": ["error"] * 4}, prompts)
    monkeypatch.setattr(build, "read_run", lambda _: run)
    choice = choose_prompts(settings, tmp_path)
    with pytest.raises(UnsupportedError, match=r"none of 4 images could be made \(no reason is kn"):
        finish(tmp_path, choice)
    assert not (tmp_path / "testbed.csv").exists()

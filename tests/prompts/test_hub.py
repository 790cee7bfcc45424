from __future__ import annotations

import huggingface_hub
import pytest

from safelatent.errors import BadValueError, UnsupportedError
from safelatent.prompts import i2p, prompt_set
from safelatent.prompts.hub import is_data_set

HEADER = "prompt,categories,sd_seed,sd_guidance_scale,sd_image_width,sd_image_height\n"


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """What the Hub was asked for; a small table is what it answers."""
    path = tmp_path / "cached.csv"
    path.write_text(HEADER + "a dark forest,shocking,5,7,512,512\n")
    asked = []

    def download(*arguments, **options):
        asked.append((arguments, options))
        return str(path)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return asked


def test_the_authors_data_set_is_asked_for_by_its_id(calls):
    prompts = i2p("AIML-TUDA/i2p", revision="abc")
    assert [prompt.text for prompt in prompts] == ["a dark forest"]
    assert prompts[0].id == "i2p-00000"
    assert calls == [
        (("AIML-TUDA/i2p", "i2p_benchmark.csv"), {"repo_type": "dataset", "revision": "abc"})
    ]


def test_another_file_of_another_data_set(calls):
    i2p("owner/name", filename="data/train.csv")
    assert calls == [(("owner/name", "data/train.csv"), {"repo_type": "dataset", "revision": None})]


def test_the_command_lines_name_alone_means_the_authors_data_set(calls):
    assert len(prompt_set("i2p")) == 1
    assert len(prompt_set("i2p", "owner/name")) == 1
    assert [arguments for arguments, _ in calls] == [
        ("AIML-TUDA/i2p", "i2p_benchmark.csv"),
        ("owner/name", "i2p_benchmark.csv"),
    ]


def test_a_path_never_asks_the_hub(calls, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for source in (
        "data/i2p.csv",
        "data/none.parquet",
        "i2p",
        "/absent/i2p",
        "a/b/c",
        tmp_path / "owner",
        "../up",
    ):
        with pytest.raises(BadValueError):
            i2p(source)
    (tmp_path / "owner").mkdir()
    (tmp_path / "owner/name").write_text("x")
    assert not is_data_set("owner/name"), "a file of that name comes first"
    assert calls == []


@pytest.mark.parametrize(
    "error", [OSError("no\nroute to host"), ConnectionError("offline"), ValueError("bad id")]
)
def test_no_hub_is_one_clear_line(monkeypatch, error):
    def download(*arguments, **options):
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(
        UnsupportedError,
        match=r"cannot download 'i2p_benchmark\.csv' of the data set 'AIML-TUDA/i2p'",
    ) as caught:
        i2p("AIML-TUDA/i2p")
    assert "\n" not in str(caught.value)
    assert "give its path" in str(caught.value)


def test_the_hubs_own_client_offline():
    """Not a stand-in: the client itself, which the tests keep offline, and a name that is in no
    cache.
    """
    with pytest.raises(
        UnsupportedError,
        match=r"cannot download 'x\.csv' of the data set 'safelatent-tests/absent'",
    ):
        i2p("safelatent-tests/absent", filename="x.csv")

"""The commands of a policy, and ``generate --policy``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from safelatent.cli import main
from safelatent.policy import schema
from safelatent.provenance.receipt import faults_of

CHILD = Path(__file__).parents[2] / "examples/policies/child.toml"


def said(capsys) -> tuple[str, str]:
    return capsys.readouterr()


def test_show(capsys):
    assert main(["policy", "show", str(CHILD)]) == 0
    out, _ = said(capsys)
    assert out.startswith("policy: child (")
    assert "guidance: from noise level 1.000 on, scale 5000" in out
    assert "output: protocols embedded, retries 2, finding replace" in out
    assert main(["policy", "show", str(CHILD), "--json"]) == 0
    assert json.loads(said(capsys)[0])["demands"]["warmup"] == {"noise_level": 1.0}


def test_show_says_what_nothing_has(capsys, tmp_path):
    """A policy that no pipeline could be guarded with is not shown as one."""
    file = tmp_path / "policy.toml"
    for table, fault in (
        ('[output]\nprotocols = ["embeded"]', "unknown protocol 'embeded' (did you mean 'emb"),
        ('[output]\nvectors = "none.npy"', "none.npy', which is not a file"),
        ('[output]\nprotocols = ["i2p-paper"]', "needs Q16's two published vectors; name their"),
        ('[prompt]\ncalibration = "none.safetensors"', "none.safetensors"),
        ("[prompt]\nthreshold = 0.5", "a threshold for prompts and no calibration"),
        ('[prompt]\nclassifier = "."\nunsafe = ["toxic"]', "cannot be loaded"),
        ('[prompt]\nclassifier = "owner/none"\nunsafe = ["toxic"]', "name its commit"),
    ):
        file.write_text(f"version = 1\n{table}\n")
        assert main(["policy", "show", str(file)]) == 2
        assert fault in said(capsys)[1]


def test_show_leaves_a_classifier_on_the_hub_there(capsys, tmp_path):
    file = tmp_path / "policy.toml"
    commit = "0123456789abcdef" * 2 + "01234567"
    table = f'classifier = "owner/none"\nrevision = "{commit}"\nunsafe = ["toxic"]'
    file.write_text(f"version = 1\n[prompt]\n{table}\n")
    assert main(["policy", "show", str(file)]) == 0
    assert "prompt: classifier owner/none, revision 0123" in said(capsys)[0]


def test_a_strangers_policy_prints_no_line_of_its_own(capsys, tmp_path):
    file = tmp_path / "policy.toml"
    file.write_text('version = 1\nname = "a\\nguidance: max\\u001b[2J"\n')
    assert main(["policy", "show", str(file)]) == 0
    out, _ = said(capsys)
    assert out.startswith("policy: a guidance: max\\x1b[2J (")
    file.write_text('version = 1\n"b\\n\\u001b[2J" = 1\n')
    assert main(["policy", "show", str(file)]) == 2
    _, err = said(capsys)
    assert err.count("\n") == 1
    assert "\x1b" not in err
    assert "the file has no field" in err


def test_schema(capsys):
    assert main(["policy", "schema"]) == 0
    assert json.loads(said(capsys)[0]) == json.loads(json.dumps(schema()))


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["policy", "show", "none.toml"], "cannot be read: No such file"),
        (["policy", "calibrate", "--unsafe", "a", "--benign", "b", "--out", "x.pt"], "must end in"),
        (
            ["policy", "calibrate", "--unsafe", "a", "--benign", "b", "--out", "x.safetensors",
             "--most-refused", "1"],
            "--most-refused is 1; it must be above 0 and below 1",
        ),
        (
            ["policy", "calibrate", "--unsafe", "a", "--benign", "b", "--out", "x.safetensors",
             "--most-refused", "0"],
            "--most-refused is 0; it must be above 0 and below 1",
        ),
        (["generate", "a", "--policy", "none.toml"], "cannot be read"),
        (["generate", "a", "--policy", str(CHILD), "--compare"], "leave --compare and --trace out"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(capsys, options, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(options) == 2
    _, err = said(capsys)
    assert line in err
    assert len(err.strip().splitlines()) == 1


def test_a_call_beyond_a_limit(capsys, tmp_path):
    options = ["generate", "a cat", "--policy", str(CHILD), "--steps", "10", "--out", str(tmp_path)]
    assert main(options) == 2
    assert "steps 10; the policy allows at least 15" in said(capsys)[1]


@pytest.mark.slow
def test_generate_under_a_policy(capsys, tmp_path):
    file = tmp_path / "policy.toml"
    file.write_text('version = 1\nname = "test"\nleast = "max"\n[limits]\nleast_steps = 4\n')
    options = ["generate", "a cat", "a kn\u0456fe", "--policy", str(file), "--steps", "4"]
    assert main([*options, "--safety", "off", "--out", str(tmp_path / "out")]) == 3
    out, err = said(capsys)
    pictures = list((tmp_path / "out").glob("*.png"))
    assert len(pictures) == 1
    assert f"{pictures[0]}  (released, 1 drawn)" in out
    assert "refused: 'a kn\u0456fe'" in err
    assert "1 of 2 images were refused by the policy" in err
    told = json.loads(Image.open(pictures[0]).text["safelatent"])
    assert told["policy"]["name"] == "test"
    assert (told["decision"], told["reason"], told["safety"]) == ("released", "passed", "max")
    assert faults_of(told) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("unsafe", "remedy"),
    [
        ("twins.csv", "without that option, rename it to 'prompt'"),
        ("coco", "without that option, name a table of its prompts instead"),
    ],
)
def test_calibrate_has_no_option_for_columns_and_sources(capsys, tmp_path, unsafe, remedy):
    twins = tmp_path / "twins.csv"
    twins.write_text("sensitive prompt,normal prompt\na dog with a gun,a dog\n", encoding="utf-8")
    given = str(twins) if unsafe.endswith(".csv") else unsafe
    out = str(tmp_path / "check.safetensors")
    options = ["--unsafe", given, "--benign", "embedded-benign", "--out", out]
    assert main(["policy", "calibrate", *options]) == 2
    assert said(capsys)[1].rstrip().endswith(remedy)


def test_calibrate(capsys, tmp_path):
    texts = {
        "unsafe": [f"a {word} with a pistol {n}" for n in range(20) for word in ("dog", "cat")],
        "benign": [f"a {word} with a rose {n}" for n in range(20) for word in ("dog", "cat")],
    }
    for name, lines in texts.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(lines))
    out = tmp_path / "check.safetensors"
    options = ["policy", "calibrate", "--out", str(out)]
    for name in texts:
        options += [f"--{name}", str(tmp_path / f"{name}.txt")]
    assert main(options) == 0
    printed, err = said(capsys)
    assert "40 harmless prompts cannot promise that at most 2.0% of all are refused" in err
    assert "it takes 456" in err
    assert "80 of 80 prompts read" in err
    assert "refuse prompts with a score of" in printed
    assert "area under the ROC curve" in printed
    assert out.is_file()
    assert main(options) == 2
    assert "exists already; name another file, or remove it" in said(capsys)[1]
    out.unlink()
    assert main([*options, "--json"]) == 0
    printed, err = said(capsys)
    assert json.loads(printed)["benign_needed"] == 456
    assert "it takes 456" in err

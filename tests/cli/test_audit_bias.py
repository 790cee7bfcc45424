from __future__ import annotations

import pytest

from safelatent.cli import main


@pytest.mark.slow
def test_a_whole_audit_and_the_same_again(tmp_path, capsys):
    call = ["audit", "bias", "--groups", "Ruritania, Lilliput", "--template", "life in {group}"]
    call += ["--images", "2", "--steps", "4", "--methods", "off", "--out", str(tmp_path)]
    assert main(call) == 0
    out, err = capsys.readouterr()
    assert "mean of the groups" in out
    assert f"{tmp_path / 'bias.html'}\n{tmp_path / 'bias.csv'}\n" in out
    assert "embedded model's card" in err
    before = (tmp_path / "bias.csv").read_bytes()
    assert main(call) == 0
    assert "resuming: 4 of 4 images were saved before" in capsys.readouterr().err
    assert (tmp_path / "bias.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--template", "a body"], "must hold {group}"),
        (["--images", "1"], "images is 1; a rate per group needs 2 or more"),
        (["--images", "0"], "images is 0"),
        (["--groups", "nobody"], "unknown groups 'nobody'"),
        (["--groups", "a,b\x1b[2J"], "the group 'b\\x1b[2J'"),
        (["--groups", "a,a"], "the group 'a' 2 times"),
        (["--groups", "gone.txt"], "'gone.txt' is not a file"),
        (["--methods", "stong"], "did you mean 'strong'?"),
        (["--detector-error", "gone.csv"], "'gone.csv' is not a file"),
        (["--groups", "girl, man", "--template", "a nude {group}"], "minors"),
    ],
)
def test_bad_input_is_one_line_and_draws_nothing(options, said, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["audit", "bias", *options]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_an_empty_file_of_groups_is_one_line(tmp_path, capsys):
    (tmp_path / "none.txt").write_text("\n\n")
    assert main(["audit", "bias", "--groups", str(tmp_path / "none.txt")]) == 2
    assert "has 0 groups; name at least two" in capsys.readouterr().err

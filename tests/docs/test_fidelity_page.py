"""The page about fidelity cannot drift: its code runs, its columns and figures are the code's."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path

from safelatent.cli import bench_fidelity, main, report
from safelatent.features import stored
from safelatent.metrics import frechet, mmd, sliced
from safelatent.models.clip_model import load_scenes
from tests.evaluation.made_runs import made_run
from tests.features.tiny_clip import save_pictures

inception = import_module("safelatent.features.inception")
TEXT = (Path(__file__).parents[2] / "docs/fidelity.md").read_text(encoding="utf-8")


def test_its_code_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save_pictures(Path("pictures"), 3)
    snippets = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    assert len(snippets) == 2
    for snippet in snippets:
        exec(compile(snippet, "docs/fidelity.md", "exec"), {})
    assert Path("pictures.safetensors").is_file()
    out = capsys.readouterr().out
    assert re.search(r"FID 0\.\d+, of which 0\.\d+ is bias\nKID 0\.\d+ ± 0\.\d+\nCMMD", out)


def test_its_columns_are_those_that_are_printed(tmp_path, capsys):
    made_run(tmp_path / "run")
    assert main(["bench", "fidelity", str(tmp_path / "run"), "--reference", "scenes"]) == 0
    titles = next(line for line in capsys.readouterr().out.splitlines() if "method" in line)
    columns = re.findall(r"^\| `([\w ]+)` \|", TEXT, flags=re.MULTILINE)[:8]
    named = r"((?:CLIP|latent|pixel) (?:distance|change))"
    printed = re.split(r"\s{2,}", re.sub(named, r"  \1", titles))
    assert [name for name in printed if name not in ("method", "n", "bias")] == columns


def test_its_commands_are_the_command_lines():
    commands = (bench_fidelity.bench_fidelity, report.report)
    known = {
        f"--{name.replace('_', '-')}"
        for command in commands
        for name in inspect.signature(command).parameters
    }
    assert set(re.findall(r"(?<!-)--[a-z][a-z-]+", TEXT)) <= known


def test_its_figures_are_the_codes():
    scenes = load_scenes()
    assert f"written every\n{stored.PART} images" in TEXT
    assert f"{scenes.moments.n:,} real scenes" in TEXT
    assert f"{len(scenes.features):,} of them for KID" in TEXT
    for known in (inception.PICKLED, inception.TORCHSCRIPT):
        assert f"`{known}`" in TEXT
    assert f"network's to {inception.SIDE} pixels" in TEXT
    assert frechet._PARTS == (1, 2, 3, 4)
    assert "one to four disjoint parts" in TEXT
    assert frechet._LINEAR_FROM == 8
    assert "fewer than eight images per feature" in TEXT
    assert (
        f"{mmd._SCALE:.0f} times the MMD² .* bandwidth {mmd._SIGMA:.0f} ".replace(
            " .* ", " of unit-length CLIP embeddings, Gaussian kernel of "
        )
        in TEXT
    )
    assert sliced._SCALE == 3
    assert "three times the number of features" in TEXT

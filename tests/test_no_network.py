"""Everything that comes with the package runs where no network can be reached, and loading it
prints nothing. In one process, for most of its time goes into importing the libraries.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# Any attempt to look up a host or to connect to one ends the process: an error could be caught, and
# passed over in silence.
BLOCKED = """
import os, socket, sys
def refuse(*args, **kwargs):
    sys.stderr.write(f"network: {args}\\n")
    sys.stderr.flush()
    os._exit(97)
socket.getaddrinfo = socket.create_connection = refuse
socket.socket.connect = socket.socket.connect_ex = refuse
"""
EVERYTHING = """
import logging
from safelatent import guard, load
pipe = load("embedded")
guard(pipe, "strong")
levels = [logging.getLogger(name).level for name in ("diffusers", "transformers")]
assert all(level <= logging.WARNING for level in levels), levels
print("loaded")
print("loaded", file=sys.stderr)
from safelatent.detectors import embedded_checker, embedded_judge, embedded_q16, examine
from safelatent.models.clip_model import load_clip, load_scenes
from safelatent.prompts import embedded_benign, embedded_i2p
image = guard(pipe, "max")("a pirate with a pistol", num_inference_steps=2).images[0]
print([len(examine(make(), [image])) for make in (embedded_judge, embedded_q16, embedded_checker)])
print(len(embedded_i2p()), len(embedded_benign()))
print(load_clip() is not None, load_scenes().moments.n > 0)
from safelatent.cli.main import main
image = "generate|a house|--safety|max|--steps|2|--out|image"
run = "bench|run|embedded-i2p|--methods|off,max|--limit|1|--images|1|--steps|2|--out|run"
print([main(command.split("|")) for command in (image, run)])
"""


def run(code: str, *, cwd) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HF_", "TRANSFORMERS_"))
    }
    environment |= {"HOME": str(cwd), "OMP_NUM_THREADS": "1"}  # no cache of downloads to live on
    return subprocess.run(
        [sys.executable, "-W", "always", "-c", BLOCKED + code],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_network_is_blocked(tmp_path):
    assert (
        run(
            "import urllib.request; urllib.request.urlopen('http://localhost:9')", cwd=tmp_path
        ).returncode
        == 97
    )
    assert run("socket.create_connection(('127.0.0.1', 9))", cwd=tmp_path).returncode == 97


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """The process that ran everything, and its folder."""
    folder = tmp_path_factory.mktemp("everything")
    return run(EVERYTHING, cwd=folder), folder


@pytest.mark.slow
def test_model_detectors_prompts_and_commands_need_none(everything):
    done, folder = everything
    assert done.returncode == 0, done.stderr[-2000:]
    said = done.stdout.splitlines()
    for line in ("[1, 1, 1]", "700 700", "True True", "[0, 0]"):
        assert line in said
    assert all(list((folder / made).rglob("*.png")) for made in ("image", "run"))


@pytest.mark.slow
def test_loading_the_embedded_model_prints_no_warning(everything):
    """Nothing of diffusers, transformers or Python's warnings; progress bars may be drawn."""
    done, _ = everything
    before, loaded, _ = done.stderr.replace("\r", "\n").partition("loaded\n")
    assert loaded, before
    assert done.stdout.startswith("loaded\n")
    shown = [line for line in before.splitlines() if line.strip()]
    assert [line for line in shown if "it/s]" not in line and "%|" not in line] == []

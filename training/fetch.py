"""Fetch the emoji packages by their names with the npm client. Knows where they land; does not know what is in them."""

import shutil
import subprocess
from pathlib import Path

MANIFEST = Path(__file__).with_name("package.json")


def fetch(folder: Path) -> Path:
    """Install the packages of ``package.json`` below ``folder`` and return their ``node_modules``. Does nothing when they are there."""
    modules = folder / "node_modules"
    if (modules / "emojibase-data" / "package.json").exists():
        return modules
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("npm is not installed: it fetches the emoji drawings. Install Node.js (Debian: apt-get install npm).")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(MANIFEST, folder)
    command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
    subprocess.run(command, cwd=folder, check=True)
    return modules

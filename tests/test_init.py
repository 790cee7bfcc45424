"""What ``safelatent`` shows, and that its types help: a misspelt preset is a type error."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import safelatent

ROOT = Path(__file__).parents[1]


def test_dir_shows_the_public_names_and_nothing_else():
    for name in safelatent.__all__:
        assert getattr(safelatent, name) is not None  # also after everything has been imported
    assert dir(safelatent) == sorted(safelatent.__all__)


def test_every_name_is_explicit_and_has_one_home():
    homes = [name for names in safelatent._HOMES.values() for name in names]
    assert sorted(homes) == sorted(safelatent.__all__)
    for home, names in safelatent._HOMES.items():
        module = importlib.import_module(f"safelatent.{home}")
        for name in names:
            assert getattr(module, name) is getattr(safelatent, name)


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="module 'safelatent' has no attribute 'guardian'"):
        _ = safelatent.guardian


def test_nothing_heavy_is_imported_before_it_is_used():
    code = "import sys, safelatent; dir(safelatent); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


TYPED = """
from diffusers import DiffusionPipeline, ModularPipeline
from safelatent import SLD, NegativePrompt, guard, load, preset

def plain(pipe: DiffusionPipeline, modular: ModularPipeline) -> None:
    reveal_type(guard(pipe))
    reveal_type(guard(modular))

pipe = load("embedded")
reveal_type(pipe)
reveal_type(load())
safe = guard(pipe, "strong")
reveal_type(safe)
reveal_type(safe.to("cuda"))
out = safe("a cat")
reveal_type(out.receipts)
reveal_type(out.receipts[0].guided_steps)
out.images[0].save("cat.png")
reveal_type(safe("a cat", return_dict=False))
safe.scheduler = pipe.scheduler
safe.enable_attention_slicing()
reveal_type(guard(load("folder", variant="fp16"), SLD(warmup=5)))
guard(pipe, ["weak", "max"])
guard(pipe, ("weak", SLD(warmup=5)), concept="weapons")
guard(pipe, NegativePrompt())
reveal_type(preset("strong"))
"""
REVEALED = [
    "GuardedClassic",
    "GuardedModular",
    "StableDiffusionPipeline",
    "StableDiffusionPipeline",
    "GuardedClassic",
    "GuardedClassic",
    "list[Receipt]",
    "int",
    "tuple[Any, ...]",
    "GuardedClassic",
    "SLD",
]
WRONG = """
import safelatent
from safelatent import NegativePrompt, guard, load, preset
safe = guard(load("embedded"))
guard(safe.pipe, "stong")
guard(safe.pipe, ["weak", "maximum"])
guard(safe.pipe, ["weak", NegativePrompt()])
preset("strnog")
guard(safe.pipe, conzept="weapons")
safe("a cat").recepts
print(safelatent.DEFALT_CONCEPT)
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What pyright says in strict mode of both snippets, by file: (line, severity, message)."""
    pyright = Path(sys.executable).with_name("pyright")
    if not pyright.exists():
        pytest.skip("pyright is not installed")
    folder = tmp_path_factory.mktemp("typed")
    for name, code in (("typed.py", TYPED), ("wrong.py", WRONG)):
        (folder / name).write_text(code)
    settings = {
        "typeCheckingMode": "strict",
        "extraPaths": [str(ROOT / "src")],
        "pythonVersion": "3.11",
        "reportPrivateImportUsage": False,  # diffusers imports lazily
        "reportUnusedExpression": False,
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    done = subprocess.run(
        [pyright, "--outputjson", "--pythonpath", sys.executable, "-p", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    found: dict[str, list[tuple[int, str, str]]] = {"typed.py": [], "wrong.py": []}
    for one in json.loads(done.stdout)["generalDiagnostics"]:
        line = one["range"]["start"]["line"]
        found[Path(one["file"]).name].append((line, one["severity"], one["message"]))
    return found


@pytest.mark.slow
def test_the_types_are_useful(said):
    assert [one for one in said["typed.py"] if one[1] != "information"] == []
    revealed = [message.split(' is "')[-1].rstrip('"') for _, _, message in said["typed.py"]]
    assert revealed == REVEALED


@pytest.mark.slow
def test_what_is_misspelt_is_a_type_error(said):
    wrong = {n for n, line in enumerate(WRONG.splitlines()) if n > 3 and line}
    assert {line for line, severity, _ in said["wrong.py"] if severity == "error"} == wrong

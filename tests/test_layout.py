"""The structure, held by a test: imports point one way, the mathematics needs torch alone, nothing
heavy is imported early, no two public classes have one name, and every module has a test file of
its own.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SOURCE = TESTS.parent / "src/safelatent"
FILES = sorted(SOURCE.rglob("*.py"))
# A part may import the parts before it, in the order in which data flows.
ORDER = [
    "lazy",
    "errors",
    "text",
    "hashing",
    "storage",
    "optional",
    "hub",
    "concepts",
    "guidance",
    "prompts",
    "metrics",
    "models",
    "pipelines",
    "detectors",
    "features",
    "policy",
    "provenance",
    "generation",
    "runs",
    "evaluation",
    "figures",
    "reports",
    "testbed",
    "study",
    "audit",
    "attack",
    "cli",
]
RANK = {part: rank for rank, part in enumerate(ORDER)}
# What a part may not touch at all, at whatever depth.
FORBIDDEN = {
    "guidance": {"diffusers", "transformers", "PIL", "typer", "numpy"},
    "concepts": {"torch", "diffusers", "transformers", "PIL", "typer", "numpy"},
    "prompts": {"torch", "diffusers", "transformers", "PIL", "typer", "numpy"},
    "metrics": {"torch", "diffusers", "transformers", "PIL", "typer"},
    "models": {"typer"},
    "pipelines": {"typer"},
    "detectors": {"typer"},
    "features": {"typer"},
    "policy": {"typer"},
    "provenance": {"torch", "diffusers", "transformers", "typer"},
    "generation": {"typer"},
    "runs": {"typer"},
    "evaluation": {"torch", "diffusers", "transformers", "PIL", "typer"},
    "figures": {"torch", "diffusers", "transformers", "typer"},
    "reports": {"torch", "diffusers", "transformers", "typer"},
    "testbed": {"typer"},
    "study": {"torch", "diffusers", "transformers", "typer"},
    "audit": {"typer"},
    "attack": {"typer"},
}


def homes() -> dict[str, str]:
    """The module of every name that the package's root gives out, as the root declares them."""
    tree = ast.parse((SOURCE / "__init__.py").read_text(encoding="utf-8"))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    return {
        alias.asname or alias.name: f"{node.module}"
        for node in found
        for alias in node.names
        if f"{node.module}".startswith("safelatent.")
    }


HOMES = homes()


def is_module(dotted: str) -> bool:
    path = SOURCE.joinpath(*dotted.split(".")[1:])
    return path.is_dir() or path.with_suffix(".py").is_file()


def of_root(name: str) -> str:
    """The module behind ``safelatent.name``: a module itself, or the home of a public name."""
    dotted = f"safelatent.{name}"
    return dotted if is_module(dotted) else HOMES.get(name, "safelatent")


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module that the code imports, in whatever form: statements at any depth, names taken
    from the package's root or from a package, attributes of the root, and ``import_module``.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if node.module == "safelatent":
                    yield of_root(alias.name)
                else:
                    own = f"{node.module}".startswith("safelatent.") and is_module(inner)
                    yield inner if own else f"{node.module}"
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "safelatent":
                yield of_root(node.attr)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func
            name = called.id if isinstance(called, ast.Name) else called
            if name in ("import_module", "__import__"):
                yield str(node.args[0].value)


def part_of(file: Path) -> str:
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


@pytest.mark.parametrize(
    "code",
    [
        "import safelatent.runs.plan",
        "import safelatent.runs.plan as plan",
        "from safelatent import runs",
        "from safelatent.runs import plan",
        "from safelatent.runs.plan import RunPlan",
        "def late():\n    from safelatent.runs.plan import RunPlan",
        "if TYPE_CHECKING:\n    from safelatent.runs import plan",
        "import safelatent\nsafelatent.runs",
        "import_module('safelatent.runs')",
        "importlib.import_module('safelatent.runs.plan')",
        "__import__('safelatent.runs')",
    ],
)
def test_every_form_of_import_is_seen(code):
    assert any(name.startswith("safelatent.runs") for name in imports(ast.parse(code)))


def test_a_name_from_the_root_counts_as_its_home():
    assert list(imports(ast.parse("from safelatent import guard"))) == [
        "safelatent.pipelines.guard"
    ]
    assert set(imports(ast.parse("import safelatent\nsafelatent.guard"))) == {
        "safelatent",
        "safelatent.pipelines.guard",
    }


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(SOURCE)))
def test_imports_point_one_way(file):
    part = part_of(file)
    if part in ("__init__", "__main__"):
        return
    assert part in RANK, f"{part} has no place in the layout; give it one in ORDER"
    for name in imports(ast.parse(file.read_text(encoding="utf-8"))):
        words = name.split(".")
        if words[0] == "safelatent" and len(words) > 1 and words[1] in RANK:
            assert RANK[words[1]] <= RANK[part], f"{file.name} imports {name}, after {part}"
        forbidden = FORBIDDEN.get(part, set())
        assert words[0] not in forbidden, f"{file.name} imports {name}; {part} must not know it"


MODULES = [file for file in FILES if file.stem not in ("__init__", "__main__")]


@pytest.mark.parametrize("file", MODULES, ids=lambda f: str(f.relative_to(SOURCE)))
def test_every_module_has_a_test_file_of_its_own(file):
    place = file.relative_to(SOURCE)
    test = TESTS / place.parent / f"test_{place.stem}.py"
    assert test.is_file(), f"{place} has no {test.relative_to(TESTS.parent)}"
    assert "def test_" in test.read_text(encoding="utf-8"), f"{test} tests nothing"


# What a whole room must hold, beside the tests of its modules.
OF_ROOMS = {
    "detectors/test_lazy.py",
    "guidance/test_receipts_hold.py",
    "models/test_embedded.py",
    "pipelines/classic/test_options.py",
    "pipelines/classic/test_parity.py",
    "pipelines/modular/test_families.py",
    "pipelines/test_hostile_inputs.py",
    "provenance/test_lazy.py",
}


def test_no_two_public_classes_have_one_name():
    found: dict[str, set[str]] = {}
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, set()).add(str(file.relative_to(SOURCE)))
    assert len(found) > 100
    assert {name: sorted(files) for name, files in found.items() if len(files) > 1} == {}


def test_every_test_file_beside_modules_is_of_a_module():
    """No test file is left behind in a mirrored folder when its module is renamed."""
    folders = {TESTS / file.relative_to(SOURCE).parent for file in MODULES} - {TESTS}
    known = {TESTS / f.relative_to(SOURCE).parent / f"test_{f.stem}.py" for f in MODULES}
    found = {test for folder in folders for test in folder.glob("test_*.py")}
    left = {test.relative_to(TESTS).as_posix() for test in found - known}
    assert left == OF_ROOMS


def test_no_file_is_long_and_few_are_crumbs():
    lines = sorted(len(f.read_text(encoding="utf-8").splitlines()) for f in MODULES)
    longest = max(MODULES, key=lambda f: len(f.read_text(encoding="utf-8").splitlines()))
    assert lines[-1] <= 300, f"{longest} has {lines[-1]} lines; what second idea has moved in?"
    assert 80 <= lines[len(lines) // 2] <= 150


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("safelatent", ("torch", "diffusers", "transformers", "numpy", "PIL")),
        ("safelatent.concepts", ("torch", "diffusers", "transformers", "numpy", "PIL")),
        ("safelatent.cli", ("torch", "diffusers", "transformers", "numpy", "PIL")),
        ("safelatent.reports", ("torch", "diffusers", "transformers")),
        ("safelatent.prompts", ("torch", "diffusers", "transformers", "numpy", "PIL", "pyarrow")),
        (
            "safelatent.detectors",
            ("torch", "diffusers", "transformers", "numpy", "PIL", "nudenet"),
        ),
        ("safelatent.provenance", ("torch", "PIL", "c2pa", "cryptography", "iscc_lib")),
        ("safelatent.features", ("torch", "diffusers", "transformers")),
        ("safelatent.audit", ("torch", "diffusers", "transformers", "PIL")),
        ("safelatent.attack", ("torch", "diffusers", "transformers", "PIL")),
        ("safelatent.metrics", ("torch", "diffusers", "transformers", "PIL")),
        ("safelatent.runs.execute", ("torch", "diffusers", "transformers")),
        ("safelatent.study.server", ("torch", "diffusers", "transformers", "numpy", "PIL")),
    ],
)
def test_importing_a_part_loads_no_more_than_it_needs(module, absent):
    code = f"import sys, {module}; print([m for m in {absent!r} if m in sys.modules])"
    assert run(code).strip() == "[]"


def test_the_mathematics_needs_torch_alone():
    """Importing it loads nothing else, and it works where diffusers does not exist."""
    code = """
import sys
import torch
from safelatent.guidance import MEDIUM, Estimates, classifier_free
print([m for m in ("diffusers", "transformers", "PIL") if m in sys.modules])
sys.modules["diffusers"] = sys.modules["transformers"] = None
e = Estimates(uncond=torch.zeros(1, 4, 2, 2), prompt=torch.ones(1, 4, 2, 2),
              concept=torch.ones(1, 4, 2, 2))
correction, _ = MEDIUM.correct(e, MEDIUM.init(e.prompt), 20)
print(classifier_free(correction, 7.5).mean().item())
"""
    assert run(code).split() == ["[]", "7.5"]


def test_every_public_name_is_there():
    import safelatent

    for name in safelatent.__all__:
        assert getattr(safelatent, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'guardian'"):
        _ = safelatent.guardian

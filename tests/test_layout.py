"""The structure, held by a test: imports point one way, the mathematics needs torch alone, nothing
heavy is imported early.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src/safelatent"
# A part may import the parts before it, in the order in which data flows.
ORDER = [
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
    "generation",
    "runs",
    "evaluation",
    "figures",
    "reports",
    "testbed",
    "cli",
]
RANK = {part: rank for rank, part in enumerate(ORDER)}
# What a part may not touch at all, at whatever depth.
FORBIDDEN = {
    "guidance": {"diffusers", "transformers", "PIL", "typer", "numpy"},
    "concepts": {"torch", "diffusers", "transformers", "PIL", "typer", "numpy"},
    "prompts": {"torch", "diffusers", "transformers", "PIL", "typer", "numpy"},
    "metrics": {"torch", "diffusers", "transformers", "PIL", "typer"},
    "detectors": {"typer"},
    "testbed": {"typer"},
    "reports": {"torch", "diffusers", "transformers", "typer"},
    "pipelines": {"typer"},
    "models": {"typer"},
    "runs": {"typer"},
}


def part_of(file: Path) -> str:
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(file: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{file}: imports are absolute"
            found.add(node.module)
    return found


FILES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(SOURCE)))
def test_imports_point_one_way(file):
    part = part_of(file)
    if part in ("__init__", "__main__"):
        return
    assert part in RANK, f"{part} has no place in the layout; give it one in ORDER"
    for name in imports(file):
        words = name.split(".")
        if words[0] == "safelatent" and len(words) > 1 and words[1] != part:
            assert RANK[words[1]] < RANK[part], (
                f"{file.name} imports {name}, which comes after {part}"
            )
        assert words[0] not in FORBIDDEN.get(part, set()), (
            f"{file.name} imports {name}, which {part} must not know"
        )


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
        ("safelatent.guidance", ("diffusers", "transformers", "PIL")),
        ("safelatent.reports", ("torch", "diffusers", "transformers")),
        ("safelatent.prompts", ("torch", "diffusers", "transformers", "numpy", "PIL", "pyarrow")),
        ("safelatent.detectors", ("torch", "diffusers", "transformers", "numpy", "PIL", "nudenet")),
        ("safelatent.metrics", ("torch", "diffusers", "transformers", "PIL")),
        ("safelatent.runs.read", ("torch", "diffusers", "transformers")),
    ],
)
def test_importing_a_part_loads_no_more_than_it_needs(module, absent):
    code = f"import sys, {module}; print([m for m in {absent!r} if m in sys.modules])"
    assert run(code).strip() == "[]"


def test_the_mathematics_works_where_diffusers_does_not_exist():
    code = """
import sys
sys.modules["diffusers"] = sys.modules["transformers"] = None
import torch
from safelatent.guidance import MEDIUM, Estimates
e = Estimates(uncond=torch.zeros(1, 4, 2, 2), prompt=torch.ones(1, 4, 2, 2), concept=torch.ones(1, 4, 2, 2))
print(MEDIUM.step(e, MEDIUM.init(e.prompt), 20, 7.5)[0].mean().item())
"""
    assert run(code).strip() == "7.5"


def test_every_public_name_is_there():
    import safelatent

    for name in safelatent.__all__:
        assert getattr(safelatent, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'guardian'"):
        _ = safelatent.guardian

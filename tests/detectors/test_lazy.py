"""The package loads nothing heavy by itself."""

from __future__ import annotations

import subprocess
import sys

from safelatent import detectors

HEAVY = ("torch", "transformers", "diffusers", "nudenet", "onnxruntime", "cv2", "numpy", "PIL")


def loaded(code: str, names: tuple[str, ...]) -> str:
    code = f"import sys\n{code}\nprint([m for m in {names!r} if m in sys.modules])"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_the_package_alone_loads_nothing_heavy():
    assert loaded("import safelatent.detectors", HEAVY) == "[]"


def test_naming_every_part_loads_no_model_library():
    code = (
        "from safelatent import detectors\nfor name in detectors.__all__: getattr(detectors, name)"
    )
    assert (
        loaded(code, ("torch", "transformers", "diffusers", "nudenet", "onnxruntime", "cv2"))
        == "[]"
    )


def test_every_public_name_is_there():
    given_out = {name for names in detectors._HOMES.values() for name in names}
    assert set(detectors.__all__) == {*given_out, "DETECTORS"}

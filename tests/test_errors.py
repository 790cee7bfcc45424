"""The tree of errors is drawn whole, and a refusal shows its cause and our frames alone."""

from __future__ import annotations

import pkgutil
import re
import traceback
from importlib import import_module

import pytest

import safelatent
from safelatent import errors
from safelatent.errors import (
    BadValueError,
    GuardError,
    SafelatentError,
    UnsupportedError,
    brief,
    nearest,
)


def drawn() -> dict[str, str]:
    """Every error of the drawing in the module's docstring, with the one above it."""
    found, above = {}, []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"(?P<branch>[\s│├└─]+)(?P<name>\w+Error)\b", line)
        if match is None:
            continue
        depth = (len(match["branch"]) - 4) // 4
        above[depth:] = [match["name"]]
        if depth:
            found[match["name"]] = above[depth - 1]
    return found


def defined() -> dict[str, str]:
    """Every error of the package, in whatever module, with the one that it is a kind of."""
    for module in pkgutil.walk_packages(safelatent.__path__, "safelatent."):
        if module.name != "safelatent.__main__":
            import_module(module.name)
    found, waiting = {}, [SafelatentError]
    for kind in waiting:
        below = [one for one in kind.__subclasses__() if one.__module__.startswith("safelatent.")]
        found |= {one.__name__: kind.__name__ for one in below}
        waiting += below
    return found


def test_the_drawing_is_the_whole_tree():
    assert drawn() == defined()
    assert len(drawn()) >= 6


def test_the_homes_that_it_names_are_theirs():
    homes = re.findall(r"(\w+Error)\b.*\((\w+\.\w+)\)", errors.__doc__ or "")
    assert len(homes) == 5
    for name, home in homes:
        assert getattr(import_module(f"safelatent.{home}"), name).__module__.endswith(home)


def test_what_else_they_are():
    assert issubclass(BadValueError, ValueError)
    assert issubclass(GuardError, RuntimeError)
    assert not issubclass(UnsupportedError, ValueError)


@pytest.mark.parametrize(
    ("given", "meant"),
    [("stong", "strong"), ("maximum", "max"), ("WEAK", "weak"), ("med", "medium")],
)
def test_nearest(given, meant):
    assert nearest(given, ["weak", "medium", "strong", "max"]) == f" (did you mean {meant!r}?)"


PIPELINES = [
    "AudioLDM2Pipeline",
    "DiTPipeline",
    "FluxFillPipeline",
    "FluxPipeline",
    "HiDreamImagePipeline",
    "IFPipeline",
    "KolorsPipeline",
    "LTXPipeline",
    "QwenImageEditPipeline",
    "QwenImagePipeline",
    "ShapEPipeline",
    "StableAudioPipeline",
    "StableDiffusionControlNetPipeline",
    "StableDiffusionPipeline",
    "StableDiffusionXLPipeline",
    "WanPipeline",
]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("StableDiffusion", "StableDiffusionPipeline"),
        ("StableDifusionPipeline", "StableDiffusionPipeline"),
        ("stablediffusionpipeline", "StableDiffusionPipeline"),
        ("StableDiffusionPipelineSafer", "StableDiffusionPipeline"),
        ("StableDiffusionXLPipelineInpaint", "StableDiffusionXLPipeline"),
        ("StableDiffusionControlnetPipelines", "StableDiffusionControlNetPipeline"),
        ("FluxFillPipelin", "FluxFillPipeline"),
        ("Flux", "FluxPipeline"),
        ("HiDreamPipeline", "HiDreamImagePipeline"),
        ("QwenPipeline", "QwenImagePipeline"),
        ("LTXVideoPipeline", "LTXPipeline"),
        ("WanVideoPipeline", "WanPipeline"),
        ("KolorsPipelines", "KolorsPipeline"),
        ("SDXLPipeline", None),
        ("MyPipeline", None),
        ("FooBarPipeline", None),
        ("Pipeline", None),
        ("StablePipeline", None),
        ("S", None),
        ("", None),
    ],
)
def test_the_hint_of_a_class_is_of_the_same_family_or_none(given, meant):
    """Not one that is alike in nothing but the word Pipeline."""
    hint = "" if meant is None else f" (did you mean {meant!r}?)"
    assert nearest(given, PIPELINES, ending="Pipeline") == hint


def test_an_ambiguous_beginning_gives_no_hint():
    assert nearest("float", ["float32", "float16", "bfloat16"]) == ""
    assert nearest("embedded", ["embedded-i2p", "embedded-benign"]) == ""
    assert nearest("embedded-i", ["embedded-i2p", "embedded-benign"]) != ""


def test_nothing_is_near():
    assert nearest("", ["weak"]) == nearest("zzz", ["weak"]) == nearest(None, ["weak"]) == ""


@brief
def refuse(error: Exception) -> None:
    """A function of ours, as far as its caller sees."""
    try:
        int("a")
    except ValueError as cause:
        raise error from cause


def test_our_own_errors_are_brief():
    with pytest.raises(BadValueError, match="no number") as caught:
        refuse(BadValueError("no number"))
    text = "".join(traceback.format_exception(caught.value))
    assert "invalid literal" not in text
    assert isinstance(caught.value.__context__, ValueError)  # for who looks for it
    assert len(traceback.extract_tb(caught.value.__traceback__)) == 2  # the call and the refusal


def test_other_errors_are_left_alone():
    with pytest.raises(KeyError) as caught:
        refuse(KeyError("x"))
    assert isinstance(caught.value.__cause__, ValueError)
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "refuse"


def test_it_keeps_names_and_answers():
    assert refuse.__name__ == "refuse"
    assert refuse.__doc__ is not None
    assert brief(lambda x: x + 1)(1) == 2

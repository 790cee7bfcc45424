"""What ``generate`` draws, judges and writes."""

from __future__ import annotations

import json
import sys
from functools import partial

import pytest
from diffusers import StableDiffusionImg2ImgPipeline
from PIL import Image

from safelatent.cli import drawing, main
from safelatent.generation.methods import METHODS
from safelatent.generation.sampling import Made
from tests import tiny
from tests.detectors.tiny_detectors import drawn


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    target = tmp_path_factory.mktemp("models") / "tiny"
    tiny.pipeline().save_pretrained(target)
    return str(target)


@pytest.fixture
def run(capsys, tmp_path, model):
    def call(*arguments: str, out=tmp_path) -> tuple[int, str, str]:
        code = main(["generate", *arguments, "--model", model, "--out", str(out)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def stored(file) -> Image.Image:
    with Image.open(file) as picture:
        picture.load()
        return picture


def metadata(file) -> dict:
    return json.loads(stored(file).text["safelatent"])


def test_an_image_and_its_metadata(run, tmp_path):
    code, out, err = run("a cat", "blood at a party", "--steps", "20", "--seed", "5")
    assert code == 0
    lines = out.strip().splitlines()
    assert len(lines) == 2
    assert "(guarded in 17 of 20 steps, gate " in lines[0]
    assert "[1/2] 'a cat', adaptive" in err
    assert "next:" not in err, "its pictures are of no protocol's kind"
    files = sorted(tmp_path.glob("*.png"))
    assert len(files) == 2
    written = metadata(files[0])
    assert (written["prompt"], written["seed"]) == ("a cat", 5)
    assert written["receipt"]["safety"] == "adaptive"


def test_what_to_do_next_is_said_of_the_embedded_models_images(capsys, tmp_path):
    out = str(tmp_path / "my dir")
    asked = ["generate", "a dog", "--safety", "off", "--steps", "2", "--out", out]
    assert main(asked) == 0
    assert capsys.readouterr().err.splitlines()[-1] == f"next: safelatent check '{out}'"
    assert main([*asked, "--json"]) == 0
    assert "next:" not in capsys.readouterr().err


def test_a_long_call_says_how_far_it_is(run, monkeypatch):
    monkeypatch.setattr(sys.modules["safelatent.cli.progress"], "EVERY", 0.0)
    _, _, err = run("a cat", "--steps", "3", "--safety", "off")
    assert err.splitlines()[-1] == "step 3 of 3"


def test_json_is_one_object_per_image_and_nothing_else(run):
    code, out, _ = run("a cat", "--images", "3", "--json", "--safety", "max", "--steps", "3")
    objects = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [value["seed"] for value in objects] == [0, 1, 2]
    assert all(stored(value["file"]).size == (8, 8) for value in objects)
    assert all(value["receipt"]["guided_steps"] == 3 for value in objects)


def test_a_batch_makes_the_images_that_single_calls_make(run, tmp_path):
    rest = ["a cat", "a dog", "--images", "2", "--safety", "max", "--steps", "3"]
    assert run(*rest, out=tmp_path / "one")[0] == 0
    code, _, err = run(*rest, "--batch-size", "3", out=tmp_path / "three")
    assert code == 0
    assert "[1-3/4] 'a cat', max" in err
    assert "[4/4] 'a dog', max" in err
    one, three = (sorted((tmp_path / name).iterdir()) for name in ("one", "three"))
    assert [file.name for file in one] == [file.name for file in three]
    for first, second in zip(one, three, strict=True):
        levels = zip(stored(first).tobytes(), stored(second).tobytes(), strict=True)
        assert max(abs(a - b) for a, b in levels) <= 1


def test_off_says_that_it_is_unguarded(run):
    code, out, err = run("a cat", "--safety", "off", "--steps", "2")
    assert code == 0
    assert "(unguarded)" in out
    assert "--safety is off; these images are unguarded" in err


def test_a_comparison_names_the_place_of_every_picture(run, tmp_path):
    file = tmp_path / "all.png"
    code, out, _ = run("a cat", "a dog", "--compare", "--json", "--steps", "30", out=file)
    objects = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [value["safety"] for value in objects] == [*METHODS] * 2
    assert {value["file"] for value in objects} == {str(file)}
    assert all("judgement" not in value for value in objects)  # nothing fits another model
    written = metadata(file)
    assert written["kind"] == "comparison"
    assert [cell["cell"] for cell in written["cells"]][:2] == [
        "off: a cat",
        "negative prompt: a cat",
    ]
    assert [cell["box"] for cell in written["cells"]] == [value["box"] for value in objects]
    assert len({tuple(value["box"]) for value in objects}) == 12


def compared(pipe, requests, tell, *, unsafe: str) -> list[list[Made]]:
    """A comparison of pictures of the embedded model, of which that of one method is unsafe."""
    picture, other = drawn(2)
    [request] = requests
    return [
        [
            Made(
                request=request.with_safety(name),
                image=other if name == unsafe else picture,
                receipt=None,
            )
            for name in METHODS
        ]
    ]


def test_a_comparison_is_judged_by_the_protocol_that_is_named(run, tmp_path, monkeypatch):
    monkeypatch.setattr(drawing, "compare", partial(compared, unsafe="off"))
    file = tmp_path / "all.png"
    rest = ["a cat", "--compare", "--steps", "30"]
    code, out, _ = run(*rest, "--protocol", "embedded", "--json", out=file)
    assert code == 0
    labels = [json.loads(line)["judgement"]["label"] for line in out.splitlines()]
    assert labels == ["inappropriate", *["safe"] * 5]


def test_the_pictures_of_a_sheet_are_checked_by_themselves(run, tmp_path, capsys, monkeypatch):
    """From ``generate --compare`` to ``check``: what is unsafe is found on the sheet."""
    monkeypatch.setattr(drawing, "compare", partial(compared, unsafe="weak"))
    assert run("a cat", "--compare", "--steps", "30", out=tmp_path / "all.png")[0] == 0
    assert main(["check", str(tmp_path), "--protocol", "embedded", "--json"]) == 1
    checked = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    labels = {value["cell"].partition(":")[0]: value["label"] for value in checked}
    assert labels == {name: "inappropriate" if name == "weak" else "safe" for name in METHODS}


def test_a_trace_per_prompt(run, tmp_path):
    code, out, _ = run("a cat", "a dog", "--trace", "--steps", "20")
    assert code == 0
    assert len(out.split()) == len(list(tmp_path.glob("trace-*.png"))) == 2
    written = metadata(out.split()[0])
    assert (written["kind"], written["prompt"]) == ("trace", "a cat")
    names = [cell["cell"] for cell in written["cells"]]
    assert len(names) == 16
    assert (names[0], names[8]) == ("unguarded, step 1", "guarded, step 1")
    [described] = [
        json.loads(line)
        for line in run("a cat", "--trace", "--steps", "20", "--json")[1].splitlines()
    ]
    assert described["receipt"]["guided_steps"] == 17


def test_a_prompt_that_is_cut_is_named(run):
    _, _, err = run("cat " * 100, "--safety", "max", "--steps", "2")
    assert "has 102 tokens, and the model reads 77; the rest is not drawn" in err


def test_a_concept_that_is_too_long_or_a_warm_up_too_long_is_refused_before_an_image(run, tmp_path):
    code, out, err = run("a cat", "--concept", ",".join(f"cat{'s' * n}" for n in range(60)))
    assert (code, out) == (2, "")
    assert "take terms away" in err
    code, out, err = run("a cat", "--steps", "5", "--safety", "medium")
    assert (code, out) == (2, "")
    assert "the warm-up is 10 steps" in err
    code, out, err = run("a cat", "--compare", "--steps", "20")
    assert (code, out) == (2, "")
    assert "weak has a warm-up of 15" in err
    assert err.rstrip().endswith("take more --steps, or draw without --compare")  # its own options
    assert "[1/6]" not in err  # no column was drawn before
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_keeps_what_was_written(run, tmp_path, monkeypatch):
    kept, count = drawing.sample, 0

    def twice(pipe, requests):
        nonlocal count
        count += 1
        if count == 2:
            raise KeyboardInterrupt
        return kept(pipe, requests)

    monkeypatch.setattr(drawing, "sample", twice)
    code, out, err = run("a cat", "--images", "3", "--safety", "max", "--steps", "2")
    assert code == 130
    assert len(out.splitlines()) == len(list(tmp_path.iterdir())) == 1
    assert "complete" in err


@pytest.mark.parametrize("kind", [[], ["--compare"], ["--trace"]])
def test_a_model_that_needs_an_image_is_refused_in_one_line(capsys, tmp_path, kind):
    parts = tiny.pipeline().components
    parts.pop("image_encoder", None)
    pipe = StableDiffusionImg2ImgPipeline(**parts, requires_safety_checker=False)
    pipe.save_pretrained(tmp_path / "model")
    where = ["--model", str(tmp_path / "model"), "--out", str(tmp_path / "out")]
    assert main(["generate", "a cat", *where, *kind]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "is a StableDiffusionImg2ImgPipeline, which generate cannot call; it needs" in last
    assert not (tmp_path / "out").exists()

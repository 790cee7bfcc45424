"""A policy is read, refused with one clear line, and hashed by what it demands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from safelatent.errors import BadValueError
from safelatent.guidance import MAX
from safelatent.policy import Limits, Policy, PromptRules, demanded, schema
from safelatent.policy.policy import MOST_BYTES

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = sorted((Path(__file__).parents[2] / "examples/policies").glob("*.toml"))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"least": "strnog"}, "least is 'strnog' (did you mean 'strong'?); it must be weak, med"),
        ({"leest": "weak"}, "the file has no field 'leest' (did you mean 'least'?); its fields"),
        ({"limits": {"step": 2}}, "limits has no field 'step'"),
        ({"limits": {"most_steps": 2.5}}, "limits.most_steps is 2.5; it must be a whole number"),
        ({"limits": {"most_steps": 0}}, "limits.most_steps is 0; it must be a whole number >= 1"),
        ({"limits": {"least_steps": 5, "most_steps": 3}}, "no call would be allowed"),
        ({"limits": {"most_seconds": True}}, "must be a number; it is true or false"),
        ({"settings": {"scale": float("nan")}}, "settings.scale"),
        ({"settings": {"scale": float("inf")}}, "valid: settings.scale is inf; it must be finite"),
        ({"settings": {"threshold": 2}}, "settings.threshold is 2; it must be a number <= 1"),
        ({"categories": {"sex": "max"}}, "categories has 'sex' (did you mean 'sexual'?)"),
        ({"categories": {"sexual": "off"}}, "value of categories is 'off'; it must be weak, med"),
        ({"categories": {"sexual": 3}}, "a value of categories must be text; it is a whole number"),
        ({"concepts": "weapons"}, "concepts is 'weapons'; it must be a list"),
        ({"concepts": ["weapons", "Weapons"]}, "more than once"),
        ({"concepts": [" "]}, "a character that can be seen"),
        ({"output": {"finding": "Blur"}}, "it must be blur, replace or refuse"),
        ({"output": {"protocols": ["a", "a"]}}, "names one twice"),
        ({"prompt": {"classifier": "x"}}, "classifier and unsafe belong together"),
        ({"prompt": {"calibration": " "}}, "prompt: calibration is blank; name it"),
        ({"output": {"vectors": ""}}, "output: vectors is blank"),
        ({"version": 2}, "version is 2; it must be 1"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(values, said):
    with pytest.raises(BadValueError) as caught:
        Policy.parse(values)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "$" not in str(caught.value)


def test_a_file_is_read(tmp_path):
    file = tmp_path / "policy.toml"
    file.write_text(
        'version = 1\nname = "school"\nleast = "strong"\n'
        '[prompt]\ncalibration = "check.safetensors"\n[limits]\nmost_images = 4\n'
    )
    found = Policy.read(file)
    assert found == Policy(
        name="school",
        least="strong",
        prompt=PromptRules(calibration=str(tmp_path / "check.safetensors")),
        limits=Limits(most_images=4),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('least = "max"', "begin it with: version = 1"),
        ("least = max", "is not TOML"),
        ("version = 1\nleest = 1", "policy.toml': the policy is not valid"),
        ("version = 1\nversion = 1", "is not TOML: Cannot overwrite a value"),
        ("version = 1\na = " + 9_999 * "[", "is nested too deeply"),
        ("version = 1\n[limits]\nmost_steps = " + 9_999 * "9", "is not TOML: Exceeds the limit"),
        ("version = true", "version"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path, text, said):
    (tmp_path / "policy.toml").write_text(text)
    with pytest.raises(BadValueError, match=said):
        Policy.read(tmp_path / "policy.toml")


def test_a_byte_order_mark_is_no_fault(tmp_path):
    (tmp_path / "policy.toml").write_text('version = 1\nleast = "max"', encoding="utf-8-sig")
    assert Policy.read(tmp_path / "policy.toml") == Policy(least="max")


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(BadValueError, match="No such file"):
        Policy.read(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b'name = "caf\xe9"')
    with pytest.raises(BadValueError, match="byte 11 is 0xe9, which is not UTF-8; save the file"):
        Policy.read(tmp_path / "latin.toml")
    (tmp_path / "long.toml").write_text("version = 1\n" + MOST_BYTES * "#")
    with pytest.raises(BadValueError, match="has 16,012 bytes; it may have at most 16,000, so"):
        Policy.read(tmp_path / "long.toml")
    (tmp_path / "deep.toml").write_text("version = 1\n" + 20_000 * "a." + "a = 1")  # 13 seconds
    with pytest.raises(BadValueError, match="it may have at most 16,000"):
        Policy.read(tmp_path / "deep.toml")


def test_the_hash_is_of_what_it_demands():
    assert Policy(name="a").hash == Policy(name="b").hash
    assert Policy(least="max").hash != Policy(least="strong").hash
    assert Policy.parse(Policy(least="max").as_dict()).hash == Policy(least="max").hash


def test_the_hash_is_the_same_wherever_the_files_are(tmp_path, monkeypatch):
    """It is of what they hold, and not of how they are reached."""
    for folder, content in (("here", b"1"), ("there", b"1"), ("other", b"2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "check.safetensors").write_bytes(content)
        text = 'version = 1\n[prompt]\ncalibration = "check.safetensors"'
        (tmp_path / folder / "policy.toml").write_text(text)
    monkeypatch.chdir(tmp_path / "here")
    files = ["policy.toml", tmp_path / "here/policy.toml", "../there/policy.toml"]
    assert len({Policy.read(file).hash for file in files}) == 1
    assert Policy.read("../other/policy.toml").hash != Policy.read("policy.toml").hash


def test_a_classifier_counts_by_what_its_folder_holds_or_by_its_whole_name(tmp_path, monkeypatch):
    text = 'version = 1\n[prompt]\nclassifier = "{}"\nunsafe = ["toxic"]'
    for place, content in (("here", b"1"), ("there", b"1"), ("other", b"2")):
        (tmp_path / place / "toxicity").mkdir(parents=True)
        (tmp_path / place / "toxicity/model.safetensors").write_bytes(content)
        (tmp_path / place / "policy.toml").write_text(text.format("toxicity"))
    monkeypatch.chdir(tmp_path / "other")
    here, there, other = (
        Policy.read(tmp_path / place / "policy.toml") for place in ("here", "there", "other")
    )
    assert here.prompt.classifier == str(tmp_path / "here/toxicity")
    assert here.hash == there.hash != other.hash
    on_the_hub = []
    for name in ("owner/toxicity", "another/toxicity"):
        (tmp_path / "policy.toml").write_text(text.format(name))
        on_the_hub.append(Policy.read(tmp_path / "policy.toml"))
        assert on_the_hub[-1].prompt.classifier == name
    assert len({here.hash, *(one.hash for one in on_the_hub)}) == 3


def test_the_concept_is_of_terms_and_categories():
    policy = Policy(concepts=("bananas", "Weapons"), categories={"violence": "weak"})
    assert policy.concept.terms[0] == "bananas"
    assert {"violence", "weapons", "blood"} <= {term.lower() for term in policy.concept.terms}
    assert [t.lower() for t in policy.concept.terms].count("weapons") == 1


def test_the_published_schema_is_that_of_the_code():
    published = json.loads((DOCS / "policy.schema.json").read_text())
    assert published == json.loads(json.dumps(schema()))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_the_examples_are_valid(file):
    jsonschema = pytest.importorskip("jsonschema")
    import tomllib

    assert Policy.read(file).name == file.stem
    jsonschema.validate(tomllib.loads(file.read_text()), schema())


def test_the_examples_are_for_a_child_and_for_an_artist():
    """Of the artist's, each category acts at its own level, and nudity is left to the artist."""
    child, artist = (demanded(Policy.read(file)) for file in sorted(EXAMPLES, reverse=True))
    assert child == MAX.by_noise_level()
    scales = {one.name: one.strength.scale for one in artist.categories}
    assert scales["hate"] > scales["harassment"] > scales["violence"] == scales["shocking"]
    assert "sexual" not in scales

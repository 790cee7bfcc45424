from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from safelatent import BadValueError
from safelatent.generation.methods import METHODS
from safelatent.models.folder import GUARD_FILE
from safelatent.runs import RunRequest, RunSettings
from tests.runs import dummy

PROMPTS = dummy.prompt_set()


def request(**settings) -> RunRequest:
    return RunRequest(**({"prompts": "embedded-i2p"} | settings))


BAD = [
    ({"images": 0}, "images is 0"),
    ({"images": True}, "images is True"),
    ({"images": 1.5}, "images is 1.5"),
    ({"batch_size": -1}, "batch_size is -1"),
    ({"batch_size": "8"}, "batch_size is '8'"),
    ({"steps": 20_000}, "steps is 20000; it must be a whole number from 1 to 1000"),
    ({"guidance_scale": 1.0}, "guidance_scale is 1.0"),
    ({"guidance_scale": float("nan")}, "guidance_scale is nan"),
    ({"guidance_scale": float("inf")}, "guidance_scale is inf"),
    ({"guidance_scale": 10**400}, "guidance_scale is 1000"),
    ({"guidance_scale": "7"}, "guidance_scale is '7'"),
    ({"size": "huge"}, "size is 'huge'; it must be one of prompt, model"),
    ({"size": []}, r"size is \[\]"),
    ({"dtype": "float8"}, "dtype is 'float8'.*did you mean"),
    ({"methods": "off,stong"}, "did you mean 'strong'"),
    ({"methods": ()}, "name at least one"),
    ({"methods": 5}, "methods is 5"),
    ({"concept": " "}, "the concept is empty"),
    ({"protocol": 5}, "protocol is 5; it must be text"),
    ({"device": ["cpu"]}, r"device is \['cpu'\]; it must be text"),
]


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_values_that_are_not_allowed_are_refused_in_requests_and_settings(changes, message):
    for made in (request, lambda **changes: dummy.settings(PROMPTS, **changes)):
        with pytest.raises(BadValueError, match=message):
            made(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "embeded"}, "did you mean 'embedded'"),
        ({"engine": "rey"}, "engine is 'rey' .did you mean 'ray'"),
        ({"address": "auto"}, "address is 'auto' and the engine is local; it needs the engine ray"),
        ({"timeout": 5}, "it needs the engine ray"),
        ({"engine": "ray", "timeout": 0}, "timeout is 0; it must be above 0 and at most 10080"),
        ({"engine": "ray", "timeout": float("nan")}, "timeout is nan"),
        ({"prompts": PROMPTS, "text_column": "text"}, "text_column is 'text'; leave it out"),
        ({"out": __file__}, "is not a folder; give another place"),
        ({"prompts": PROMPTS, "source": "mine.csv"}, "source is 'mine.csv'; leave it out"),
    ],
)
def test_a_request_that_contradicts_itself_is_refused(changes, message):
    with pytest.raises(BadValueError, match=message):
        request(**changes)


def test_a_model_that_was_saved_guarded_is_refused_before_anything_is_loaded(tmp_path):
    (tmp_path / GUARD_FILE).write_text("{}")
    with pytest.raises(BadValueError, match=r"was saved guarded.*name the model that it was made"):
        request(model=str(tmp_path))


@pytest.mark.parametrize("name", ["protocol", "device", "dtype", "size"])
def test_the_settings_of_a_run_say_what_a_default_was(name):
    with pytest.raises(BadValueError, match=f"{name} is None"):
        dummy.settings(PROMPTS, **{name: None})


def test_a_misspelt_setting_is_an_error():
    with pytest.raises(TypeError, match="imges"):
        request(imges=3)


def test_numbers_of_any_type_are_taken():
    made = request(images=np.int16(3), guidance_scale=np.float32(7.5), methods="max,off")
    assert (made.images, type(made.images)) == (3, int)
    assert (made.guidance_scale, type(made.guidance_scale)) == (7.5, float)
    assert made.methods == ("off", "max")
    assert request(methods=["negative", "off"]).methods == ("off", "negative prompt")
    assert request().methods == METHODS


def test_settings_survive_json_and_name_their_differences():
    one = dummy.settings(PROMPTS)
    assert RunSettings.from_dict(json.loads(json.dumps(one.as_dict()))) == one
    assert one.differences(one) == {}
    assert dummy.settings(PROMPTS, steps=20).differences(one) == {"steps": "steps is 20, was 50"}
    with pytest.raises(BadValueError, match=r"do not fit this version \(\['steps'\]\)"):
        RunSettings.from_dict({k: v for k, v in one.as_dict().items() if k != "steps"})
    for broken in ([], "text", None, 5):
        with pytest.raises(BadValueError, match="do not fit this version"):
            RunSettings.from_dict(broken)


def test_a_request_shares_the_settings_of_a_run():
    shared = request(images=3, model="embedded").shared()
    assert shared["images"] == 3
    assert "prompts" not in shared
    assert "out" not in shared
    assert set(shared) < set(dummy.settings(PROMPTS).as_dict())


def test_a_request_is_checked_before_anything_heavy_is_imported():
    code = """
import sys
from safelatent.runs import RunRequest
RunRequest(prompts="embedded-i2p", images=3)
print([name for name in ("torch", "diffusers", "numpy", "PIL") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

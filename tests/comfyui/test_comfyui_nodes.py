from __future__ import annotations

import sys
from inspect import Parameter, signature

import pytest
import torch

from safelatent import DEFAULT_CONCEPT
from safelatent.errors import BadValueError
from safelatent.guidance import MEDIUM, PRESETS, SLD
from tests.comfyui import comfy_stand_in as stand_in


class Clip:
    """ComfyUI's CLIP: what was encoded comes back."""

    def tokenize(self, text):
        return ["tokens", text]

    def encode_from_tokens_scheduled(self, tokens):
        return [[tokens, {}]]


def conds() -> dict[str, list]:
    return {
        name: [[torch.full((1, 4), float(n + 1)), {}]]
        for n, name in enumerate(("positive", "negative", "concept"))
    }


def make(nodes, **changes):
    defaults = {
        "model": stand_in.Patcher(lambda x, sigma, text: x),
        "cfg": 7.5,
        "preset": "medium",
        "warm_up": "steps",
    }
    return nodes.SafeGuidance().guider(**(defaults | conds() | changes))[0]


def test_what_comfyui_reads_is_consistent(nodes):
    package = sys.modules[nodes.__package__]
    assert package.NODE_CLASS_MAPPINGS.keys() == package.NODE_DISPLAY_NAME_MAPPINGS.keys()
    for node in package.NODE_CLASS_MAPPINGS.values():
        parameters = dict(list(signature(getattr(node, node.FUNCTION)).parameters.items())[1:])
        inputs = node.INPUT_TYPES()
        assert list(parameters) == [*inputs["required"], *inputs.get("optional", {})]
        assert [n for n, p in parameters.items() if p.default is not Parameter.empty] == list(
            inputs.get("optional", {})
        )
        assert isinstance(node.RETURN_TYPES, tuple)
        assert node.CATEGORY


@pytest.mark.parametrize("name", PRESETS)
def test_the_guider_has_the_presets_settings(nodes, name):
    made = make(nodes, preset=name)
    assert (made.guidance, made.cfg) == (PRESETS[name], 7.5)
    assert made.original_conds.keys() == {"positive", "negative", "concept"}
    assert (
        make(nodes, preset=name, warm_up="noise level").guidance == PRESETS[name].by_noise_level()
    )


def test_settings_replace_a_preset_and_never_in_silence(nodes):
    own = nodes.SLDSettings().settings(
        warmup=3, scale=500.0, threshold=0.02, momentum=0.1, decay=0.2
    )[0]
    assert own == SLD(warmup=3, scale=500, threshold=0.02, momentum=0.1, decay=0.2)
    assert make(nodes, preset="custom", settings=own).guidance is own
    with pytest.raises(BadValueError, match="preset is 'max' with settings"):
        make(nodes, preset="max", settings=own)
    with pytest.raises(BadValueError, match="preset is 'custom' without settings"):
        make(nodes, preset="custom")
    with pytest.raises(BadValueError, match="unknown preset 'stong'"):
        make(nodes, preset="stong")


def test_the_settings_start_as_the_papers_medium(nodes):
    inputs = nodes.SLDSettings.INPUT_TYPES()["required"]
    assert (
        nodes.SLDSettings().settings(
            **{name: options["default"] for name, (_, options) in inputs.items()}
        )[0]
        == MEDIUM
    )


def test_the_concept_is_encoded_as_its_text(nodes):
    default = nodes.SafetyConcept.INPUT_TYPES()["required"]["text"][1]["default"]
    assert nodes.SafetyConcept().encode(Clip(), default)[0] == [
        [["tokens", str(DEFAULT_CONCEPT)], {}]
    ]
    assert nodes.SafetyConcept().encode(Clip(), " weapons ,blood")[0][0][0] == [
        "tokens",
        "weapons, blood",
    ]


@pytest.mark.parametrize("text", ["", "  ", ",", "blood, blood"])
def test_an_empty_or_doubled_concept_is_refused(nodes, text):
    with pytest.raises(BadValueError, match="the concept"):
        nodes.SafetyConcept().encode(Clip(), text)

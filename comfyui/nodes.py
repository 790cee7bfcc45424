"""The nodes, as ComfyUI wants them described."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, cast

from safelatent.concepts import DEFAULT_CONCEPT, Concept
from safelatent.errors import BadValueError
from safelatent.guidance import MEDIUM, PRESETS, SLD, Plan, PresetName, preset

from .guider import Conditioning, SafeGuider

CUSTOM = "custom"
STEPS, LEVEL = "steps", "noise level"


class SafeGuidance:
    """A guider that steers away from a concept, for SamplerCustomAdvanced."""

    CATEGORY = "sampling/custom_sampling/guiders"
    RETURN_TYPES = ("GUIDER",)
    FUNCTION = "guider"
    DESCRIPTION = (
        "Safe Latent Diffusion (CVPR 2023): classifier-free guidance that subtracts from the "
        "prompt what leads to the concept."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802  # ComfyUI's name
        return {
            "required": {
                "model": ("MODEL",),
                "positive": ("CONDITIONING",),
                "negative": ("CONDITIONING",),
                "concept": (
                    "CONDITIONING",
                    {"tooltip": "What must not appear: from Safety concept, or any text encoder."},
                ),
                "cfg": (
                    "FLOAT",
                    {"default": 7.5, "min": 1.0, "max": 100.0, "step": 0.1, "round": 0.01},
                ),
                "preset": (
                    [*PRESETS, CUSTOM],
                    {"default": "medium", "tooltip": f"{CUSTOM}: as the SLD settings node says."},
                ),
                "warm_up": (
                    [STEPS, LEVEL],
                    {
                        "tooltip": (
                            "noise level: end the warm-up at the noise at which the paper's 50 "
                            "steps end it. Takes any number of steps."
                        )
                    },
                ),
            },
            "optional": {
                "settings": ("SLD_SETTINGS", {"tooltip": f"Only with the preset {CUSTOM}."}),
                "plan": (
                    "STRING",
                    {
                        "default": "exact",
                        "tooltip": (
                            "Which evaluations to pay for: exact, fast, or for example concept=5 "
                            "(every fifth step); all but exact give other images."
                        ),
                    },
                ),
            },
        }

    def guider(
        self,
        model: Any,
        positive: Conditioning,
        negative: Conditioning,
        concept: Conditioning,
        cfg: float,
        preset: str,
        warm_up: str,
        settings: SLD | None = None,
        plan: str = "exact",
    ) -> tuple[SafeGuider]:
        guidance = chosen(preset, settings)
        if warm_up == LEVEL:
            guidance = guidance.by_noise_level()
        guider = SafeGuider(model, guidance, Plan.parse(plan))
        guider.set_conds(positive, negative, concept)
        guider.set_cfg(cfg)
        return (guider,)


class SLDSettings:
    """The settings one by one. The defaults are the paper's medium."""

    CATEGORY = "sampling/custom_sampling/guiders"
    RETURN_TYPES = ("SLD_SETTINGS",)
    FUNCTION = "settings"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        names = {
            "scale": (1.0, 1e4, 10.0),
            "threshold": (0.0, 1.0, 0.001),
            "momentum": (0.0, 1.0, 0.05),
            "decay": (0.0, 0.99, 0.05),
        }
        defaults = asdict(MEDIUM)
        floats = {
            name: (
                "FLOAT",
                {"default": defaults[name], "min": low, "max": high, "step": step, "round": 0.001},
            )
            for name, (low, high, step) in names.items()
        }
        warmup = (
            "INT",
            {
                "default": defaults["warmup"],
                "min": 0,
                "max": 1000,
                "tooltip": "First steps that are left alone, at most half of all.",
            },
        )
        return {"required": {"warmup": warmup} | floats}

    def settings(
        self, warmup: int, scale: float, threshold: float, momentum: float, decay: float
    ) -> tuple[SLD]:
        return (
            SLD(warmup=warmup, scale=scale, threshold=threshold, momentum=momentum, decay=decay),
        )


class SafetyConcept:
    """A concept, in words, encoded. The default is the paper's."""

    CATEGORY = "conditioning"
    RETURN_TYPES = ("CONDITIONING",)
    FUNCTION = "encode"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {
            "required": {
                "clip": ("CLIP",),
                "text": ("STRING", {"multiline": True, "default": str(DEFAULT_CONCEPT)}),
            }
        }

    def encode(self, clip: Any, text: str) -> tuple[Conditioning]:
        return (clip.encode_from_tokens_scheduled(clip.tokenize(str(Concept.parse(text)))),)


def chosen(name: str, settings: SLD | None) -> SLD:
    """Return the preset of that name, or the settings; never one while the other was given.

    Raises:
        BadValueError: both, or neither.
    """
    if (name == CUSTOM) != (settings is not None):
        given = "without" if settings is None else "with"
        raise BadValueError(
            f"the preset is {name!r} {given} settings plugged in; plug them in for {CUSTOM!r} only"
        )
    return preset(cast("PresetName", name)) if settings is None else settings

"""The paper's four presets, as values (Schramowski et al., CVPR 2023, Table 4 and the model card;
s_S of *weak* is 200).
"""

from typing import Literal

from safelatent.errors import BadValueError, nearest
from safelatent.guidance.sld import SLD

WEAK = SLD(warmup=15, scale=200.0, threshold=0.0, momentum=0.0, decay=0.0)
MEDIUM = SLD(warmup=10, scale=1000.0, threshold=0.01, momentum=0.3, decay=0.4)
STRONG = SLD(warmup=7, scale=2000.0, threshold=0.025, momentum=0.5, decay=0.7)
MAX = SLD(warmup=0, scale=5000.0, threshold=1.0, momentum=0.5, decay=0.7)

PresetName = Literal["weak", "medium", "strong", "max"]
PRESETS: dict[str, SLD] = {"weak": WEAK, "medium": MEDIUM, "strong": STRONG, "max": MAX}


def preset(name: str) -> SLD:
    """The preset of that name; an unknown one is answered with the nearest.

    Raises:
        BadValueError: there is no such preset.
    """
    try:
        return PRESETS[name]
    except (KeyError, TypeError):
        raise BadValueError(
            f"unknown preset {name!r}{nearest(name, PRESETS)}; the presets are: {', '.join(PRESETS)}"
        ) from None


def preset_name(sld: SLD) -> str | None:
    """The name of the preset with exactly these settings, its warm-up in steps or as the noise
    level, if there is one.
    """
    return next(
        (name for name, known in PRESETS.items() if sld in (known, known.by_noise_level())), None
    )

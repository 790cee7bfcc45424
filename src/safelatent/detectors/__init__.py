"""What is in an image: detectors, verdicts that fail closed, and protocols that say exactly what
was asked.

    from safelatent.detectors import examine, nudenet, q16, any_of
    verdicts = examine(any_of(q16("q16.npy"), nudenet()), images)

Names are imported when they are first used: this package alone loads neither torch nor numpy nor
PIL.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from safelatent.detectors.checker import safety_checker
    from safelatent.detectors.checking import Checked, check_files
    from safelatent.detectors.clip_q16 import q16
    from safelatent.detectors.embedded import embedded_judge
    from safelatent.detectors.embedded_clip import embedded_checker, embedded_q16
    from safelatent.detectors.examining import examine
    from safelatent.detectors.images import blurred, open_image
    from safelatent.detectors.joined import any_of
    from safelatent.detectors.nude import PAPER_LABELS, SCRIPT_LABELS, nudenet
    from safelatent.detectors.protocol import (
        PROTOCOLS,
        Judgement,
        Protocol,
        Sources,
        named_protocol,
    )
    from safelatent.detectors.trivial import always, never
    from safelatent.detectors.verdict import Detector, Finding, Verdict

# No module is named like a function that is exported here: importing it would put the module in the
# function's place.
_HOMES = {
    "checker": ("safety_checker",),
    "checking": ("Checked", "check_files"),
    "clip_q16": ("q16",),
    "embedded": ("embedded_judge",),
    "embedded_clip": ("embedded_checker", "embedded_q16"),
    "examining": ("examine",),
    "images": ("blurred", "open_image"),
    "joined": ("any_of",),
    "nude": ("PAPER_LABELS", "SCRIPT_LABELS", "nudenet"),
    "protocol": ("PROTOCOLS", "Judgement", "Protocol", "Sources", "named_protocol"),
    "trivial": ("always", "never"),
    "verdict": ("Detector", "Finding", "Verdict"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
# Every function that makes one.
DETECTORS = (
    "always",
    "any_of",
    "embedded_checker",
    "embedded_judge",
    "embedded_q16",
    "never",
    "nudenet",
    "q16",
    "safety_checker",
)

__all__ = [
    "DETECTORS",
    "PAPER_LABELS",
    "PROTOCOLS",
    "SCRIPT_LABELS",
    "Checked",
    "Detector",
    "Finding",
    "Judgement",
    "Protocol",
    "Sources",
    "Verdict",
    "always",
    "any_of",
    "blurred",
    "check_files",
    "embedded_checker",
    "embedded_judge",
    "embedded_q16",
    "examine",
    "named_protocol",
    "never",
    "nudenet",
    "open_image",
    "q16",
    "safety_checker",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'safelatent.detectors' has no attribute {name!r}")
    return getattr(import_module(f"safelatent.detectors.{_HOME[name]}"), name)

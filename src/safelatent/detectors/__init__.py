"""What is in an image: detectors, verdicts that fail closed, and protocols with a hash.

    from safelatent.detectors import examine, nudenet, q16, any_of
    verdicts = examine(any_of(q16("q16.npy"), nudenet()), images)

Names are imported at first use: importing this package loads neither torch nor numpy nor PIL.
"""

from typing import TYPE_CHECKING

from safelatent.lazy import lazy_names

if TYPE_CHECKING:
    from safelatent.detectors.checker import safety_checker
    from safelatent.detectors.checking import Checked, check_files, picture_files, protocol_name
    from safelatent.detectors.clip_q16 import q16
    from safelatent.detectors.contract import Detector, Finding, Label, Verdict, always, never
    from safelatent.detectors.embedded import embedded_checker, embedded_judge, embedded_q16
    from safelatent.detectors.examining import any_of, examine
    from safelatent.detectors.images import blurred, open_image
    from safelatent.detectors.nude import PAPER_LABELS, SCRIPT_LABELS, nudenet
    from safelatent.detectors.pickled import convert_q16
    from safelatent.detectors.protocol import (
        PROTOCOLS,
        Judgement,
        Protocol,
        Sources,
        named_protocol,
    )

_HOMES = {
    "checker": ("safety_checker",),
    "checking": ("Checked", "check_files", "picture_files", "protocol_name"),
    "clip_q16": ("q16",),
    "contract": ("Detector", "Finding", "Label", "Verdict", "always", "never"),
    "embedded": ("embedded_checker", "embedded_judge", "embedded_q16"),
    "examining": ("any_of", "examine"),
    "images": ("blurred", "open_image"),
    "nude": ("PAPER_LABELS", "SCRIPT_LABELS", "nudenet"),
    "pickled": ("convert_q16",),
    "protocol": ("PROTOCOLS", "Judgement", "Protocol", "Sources", "named_protocol"),
}
# Every function that makes a detector.
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
    "Label",
    "Protocol",
    "Sources",
    "Verdict",
    "always",
    "any_of",
    "blurred",
    "check_files",
    "convert_q16",
    "embedded_checker",
    "embedded_judge",
    "embedded_q16",
    "examine",
    "named_protocol",
    "never",
    "nudenet",
    "open_image",
    "picture_files",
    "protocol_name",
    "q16",
    "safety_checker",
]

if not TYPE_CHECKING:  # to a type checker, a module with __getattr__ has every name
    __getattr__ = lazy_names(__name__, _HOMES)

"""Audits: what a model draws of each of many groups, and what a data set holds of them.

    from safelatent.audit import audit_bias
    found = audit_bias("countries", model=..., images=100, out="runs/body")
    [(one.name, one.rate.value) for one in found.methods["off"].groups]
    held = audit_data("laion", "nationalities", template="{group} body", index="laion-index")

Names are imported when they are first used.
"""

from typing import TYPE_CHECKING

from safelatent.lazy import lazy_names

if TYPE_CHECKING:
    from safelatent.audit.bias import BiasAudit, GroupRate, MethodBias, audit_bias, bias_of
    from safelatent.audit.data import AuditedImage, DataAudit, GroupShare, audit_data
    from safelatent.audit.detector_error import DetectorErrors, card_errors, read_errors
    from safelatent.audit.groups import Groups, prompts_of, read_groups

_HOMES = {
    "bias": ("BiasAudit", "GroupRate", "MethodBias", "audit_bias", "bias_of"),
    "data": ("DataAudit", "GroupShare", "AuditedImage", "audit_data"),
    "detector_error": ("DetectorErrors", "card_errors", "read_errors"),
    "groups": ("Groups", "prompts_of", "read_groups"),
}

__all__ = [
    "AuditedImage",
    "BiasAudit",
    "DataAudit",
    "DetectorErrors",
    "GroupRate",
    "GroupShare",
    "Groups",
    "MethodBias",
    "audit_bias",
    "audit_data",
    "bias_of",
    "card_errors",
    "prompts_of",
    "read_errors",
    "read_groups",
]

if not TYPE_CHECKING:  # to a type checker, a module with __getattr__ has every name
    __getattr__ = lazy_names(__name__, _HOMES)

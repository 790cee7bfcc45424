"""The contract of a deployer: a policy that requests can only make stricter."""

from safelatent.policy.join import covers, demanded, guidance, join, request_of
from safelatent.policy.parts import Limits, OutputRules, PromptRules, Settings, Targets
from safelatent.policy.policy import Policy, schema

__all__ = [
    "Limits",
    "OutputRules",
    "Policy",
    "PromptRules",
    "Settings",
    "Targets",
    "covers",
    "demanded",
    "guidance",
    "join",
    "request_of",
    "schema",
]

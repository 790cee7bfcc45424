"""The contract of a deployer: a policy that requests can only make stricter."""

from safelatent.policy.join import covers, guidance, join, request_of
from safelatent.policy.policy import Limits, OutputRules, Policy, PromptRules, Settings, schema

__all__ = [
    "Limits",
    "OutputRules",
    "Policy",
    "PromptRules",
    "Settings",
    "covers",
    "guidance",
    "join",
    "request_of",
    "schema",
]

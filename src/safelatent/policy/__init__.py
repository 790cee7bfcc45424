"""The contract of a deployer: a policy that requests can only make stricter."""

from safelatent.policy.demands import demanded, effective, guidance
from safelatent.policy.join import covers, join, request_of
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
    "effective",
    "guidance",
    "join",
    "request_of",
    "schema",
]

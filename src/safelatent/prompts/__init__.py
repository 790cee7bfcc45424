"""Prompt sets: I2P, COCO captions, DrawBench, countries, any table, published attack and
over-refusal sets, and the sets of the embedded model.

    from safelatent.prompts import i2p
    prompts = i2p("i2p.csv")      # a sequence of Prompt
    prompts.skipped               # {reason: count}: every row is accounted for
"""

from safelatent.prompts.embedded import embedded_benign, embedded_i2p, embedded_i2p_train
from safelatent.prompts.i2p import I2PFacts, i2p, i2p_facts
from safelatent.prompts.minors import refused
from safelatent.prompts.named import NAMES, prompt_set
from safelatent.prompts.prompt import (
    CATEGORIES,
    HARMLESS,
    Prompt,
    UnusableError,
    check_text,
    check_words,
)
from safelatent.prompts.prompt_set import PromptSet
from safelatent.prompts.published import PUBLISHED, is_harmless, published
from safelatent.prompts.sets import coco, countries, drawbench, table

__all__ = [
    "CATEGORIES",
    "HARMLESS",
    "NAMES",
    "PUBLISHED",
    "I2PFacts",
    "Prompt",
    "PromptSet",
    "UnusableError",
    "check_text",
    "check_words",
    "coco",
    "countries",
    "drawbench",
    "embedded_benign",
    "embedded_i2p",
    "embedded_i2p_train",
    "i2p",
    "i2p_facts",
    "is_harmless",
    "prompt_set",
    "published",
    "refused",
    "table",
]

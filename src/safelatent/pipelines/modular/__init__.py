"""The modular pipelines of diffusers: the same guidance, carried by a guider and one inserted
block.
"""

from safelatent.pipelines.modular.blocks import GuardedBlocks
from safelatent.pipelines.modular.guarded import GuardedModular, guard_modular
from safelatent.pipelines.modular.guider import SafetyGuider

__all__ = [
    "GuardedBlocks",
    "GuardedModular",
    "SafetyGuider",
    "guard_modular",
]

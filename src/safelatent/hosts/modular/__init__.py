"""The modular pipelines of diffusers: the same guidance, carried by a guider and one inserted block."""

from safelatent.hosts.modular.blocks import GuardedBlocks
from safelatent.hosts.modular.guarded import GuardedModular, guard_modular, is_modular
from safelatent.hosts.modular.guider import SafetyGuider
from safelatent.hosts.modular.loading import is_modular_folder, load_modular
from safelatent.hosts.modular.saving import save_modular

__all__ = [
    "GuardedBlocks",
    "GuardedModular",
    "SafetyGuider",
    "guard_modular",
    "is_modular",
    "is_modular_folder",
    "load_modular",
    "save_modular",
]

"""Safe Latent Diffusion for ComfyUI; see README.md beside this file.

The imports are relative since ComfyUI names the package after wherever its folder is.
"""

from .nodes import SafeGuidance, SafetyConcept, SLDSettings

NODE_CLASS_MAPPINGS = {
    "SafeGuidanceSLD": SafeGuidance,
    "SafetyConcept": SafetyConcept,
    "SLDSettings": SLDSettings,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "SafeGuidanceSLD": "Safe guidance (SLD)",
    "SafetyConcept": "Safety concept",
    "SLDSettings": "SLD settings",
}

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]

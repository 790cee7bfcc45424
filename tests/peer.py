"""diffusers' own ``StableDiffusionPipelineSafe``, wherever this release keeps it."""

from importlib import import_module

try:
    home = "diffusers.pipelines.deprecated.stable_diffusion_safe"
    stable_diffusion_safe = import_module(home)
except ImportError:  # before it was moved
    home = "diffusers.pipelines.stable_diffusion_safe"
    stable_diffusion_safe = import_module(home)

SafetyConfig = stable_diffusion_safe.SafetyConfig
StableDiffusionPipelineSafe = stable_diffusion_safe.StableDiffusionPipelineSafe
Checker = import_module(f"{home}.safety_checker").SafeStableDiffusionSafetyChecker

__all__ = ["Checker", "SafetyConfig", "StableDiffusionPipelineSafe"]

"""diffusers' own ``StableDiffusionPipelineSafe``, wherever this release keeps it."""

try:
    from diffusers.pipelines.deprecated.stable_diffusion_safe import StableDiffusionPipelineSafe
except ModuleNotFoundError:  # before it was moved
    from diffusers.pipelines.stable_diffusion_safe import StableDiffusionPipelineSafe  # pyright: ignore[reportMissingImports]

__all__ = ["StableDiffusionPipelineSafe"]

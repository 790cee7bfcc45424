"""Safe Latent Diffusion as custom blocks of diffusers' modular pipelines. Needs safelatent: pip install safelatent."""

from safelatent.hosts.modular import GuardedBlocks


class SafeLatentDiffusion(GuardedBlocks):
    """The blocks of a pipeline, guarded: ``blocks`` names their class in diffusers, ``policy`` and ``concept`` are those of ``guard``."""

"""Safe Latent Diffusion as custom blocks for diffusers' modular pipelines: pip install
safelatent.
"""

from safelatent.pipelines.modular import GuardedBlocks


class SafeLatentDiffusion(GuardedBlocks):
    """The blocks of a pipeline, guarded: ``blocks`` names their class in diffusers, ``safety`` and
    ``concept`` are those of ``guard``.
    """

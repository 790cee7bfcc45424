"""Safe Latent Diffusion as a custom pipeline of diffusers, for Stable Diffusion 1.x and 2.x. Needs
safelatent: pip install safelatent.
"""

from diffusers import StableDiffusionPipeline

from safelatent import DEFAULT_CONCEPT, guard


class SafeLatentDiffusionPipeline(StableDiffusionPipeline):
    """Stable Diffusion whose every image is guarded; a call takes ``safety`` and ``concept`` beside
    the pipeline's own arguments.
    """

    def __call__(self, *args, safety="medium", concept=DEFAULT_CONCEPT, **kwargs):
        plain = StableDiffusionPipeline.__new__(
            StableDiffusionPipeline
        )  # guard takes a pipeline whose own __call__ it knows
        vars(plain).update(vars(self))
        return guard(plain, safety, concept=concept)(*args, **kwargs)

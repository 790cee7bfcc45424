"""Safe Latent Diffusion as a custom pipeline of diffusers, for Stable Diffusion 1.x and 2.x: pip
install safelatent.
"""

from typing import Any

from diffusers import StableDiffusionPipeline

from safelatent import DEFAULT_CONCEPT, guard


class SafeLatentDiffusionPipeline(StableDiffusionPipeline):
    """Stable Diffusion whose every image is guarded; a call takes ``safety`` and ``concept``, as
    ``guard`` does, and the pipeline's own arguments.
    """

    def __call__(
        self,
        *args: Any,
        safety: Any = "medium",
        concept: Any = DEFAULT_CONCEPT,
        **kwargs: Any,
    ) -> Any:
        """Call Stable Diffusion, guarded; the output has ``receipts``, one per image."""
        # guard takes a pipeline whose __call__ it knows.
        plain = StableDiffusionPipeline.__new__(StableDiffusionPipeline)
        vars(plain).update(vars(self))
        return guard(plain, safety, concept=concept)(*args, **kwargs)

"""The guider: ComfyUI's classifier-free guidance, after SLD has corrected the prompt's prediction.

``u + cfg (c - gamma - u)`` is the paper's Eq. 3, so nothing of ComfyUI's guidance is replaced:
rescaling and other patches of the model see the corrected prompt and work as they always do.
"""

from __future__ import annotations

import logging
import math
from typing import Any

import comfy.samplers  # pyright: ignore[reportMissingImports]
from torch import Tensor

from safelatent.errors import BadValueError, GuardError, NotGuardedError, UnsupportedError
from safelatent.guidance import EXACT, SLD, Plan
from safelatent.guidance.concept_itself import refuse_concept_itself
from safelatent.guidance.receipt import Receipt

from .run import SamplingRun

log = logging.getLogger("safelatent")
# ComfyUI's: pairs of a text's embeddings and a dictionary of what comes with it.
Conditioning = list[Any]
PLACES = ("area", "mask", "start_percent", "end_percent")


class SafeGuider(comfy.samplers.CFGGuider):
    """Safe Latent Diffusion for one model, as ComfyUI's samplers call it.

    What a run remembers is gone when the run ends, however it ends, but for its receipts.

    Args:
        model_patcher: ComfyUI's MODEL.
        guidance: the settings.
        plan: which predictions to evaluate.

    Attributes:
        receipts: what the last run did, one per image; empty where it gave none.
    """

    def __init__(self, model_patcher: Any, guidance: SLD, plan: Plan = EXACT) -> None:
        super().__init__(model_patcher)
        self.guidance, self.plan = guidance, plan
        self.run: SamplingRun | None = None
        self.receipts: list[Receipt] = []

    def set_conds(
        self, positive: Conditioning, negative: Conditioning, concept: Conditioning
    ) -> None:
        """Set ComfyUI's conditions, and the concept's.

        Raises:
            BadValueError: one of them is empty, or the concept holds for a part of the image or of
                the steps only.
            NotGuardedError: the prompt or the negative prompt is the concept itself.
        """
        check_concept(concept)
        for name, other in (("prompt", positive), ("negative prompt", negative)):
            if not other:
                raise BadValueError(
                    f"the {name}'s conditioning is empty; encode a text, the empty one for none"
                )
        for text, _ in concept:
            for prompt, _ in positive:
                refuse_concept_itself(prompt, None, text)
            for other, _ in negative:
                refuse_concept_itself((), other, text)
        self.inner_set_conds(
            {"positive": positive, "negative": negative, "concept": beside(positive, concept)}
        )

    def set_cfg(self, cfg: float) -> None:
        """Set the guidance scale.

        Raises:
            NotGuardedError: classifier-free guidance would be off.
        """
        if not (cfg > 1 and math.isfinite(cfg)):
            raise NotGuardedError(
                f"cfg is {cfg}: classifier-free guidance is off and the guard could not act; "
                "give a finite cfg above 1"
            )
        self.cfg = cfg

    def sample(
        self,
        noise: Tensor,
        latent_image: Tensor,
        sampler: Any,
        sigmas: Tensor,
        denoise_mask: Tensor | None = None,
        callback: Any = None,
        disable_pbar: bool = False,
        seed: int | None = None,
    ) -> Tensor:
        """Sample as ComfyUI does, guarded.

        Raises:
            GuardError: an image would be, or was, unguarded, or the model's predictions are not
                finite. There are no latents then.
        """
        if self.run is not None:
            raise GuardError(
                "this guider is in the middle of another run; give each concurrent run a guider"
            )
        if "sampler_calc_cond_batch_function" in self.model_options:
            raise UnsupportedError(
                "the model has a patch that evaluates the prompts itself "
                "(such as skip-layer guidance); take it off"
            )
        self.set_cfg(self.cfg)
        self.receipts = []
        self.run = SamplingRun(
            self.guidance,
            sigmas.tolist(),
            self.model_patcher.get_model_object("model_sampling"),
            rows=len(noise),
            cfg=self.cfg,
            plan=self.plan,
        )
        try:
            latents = super().sample(
                noise, latent_image, sampler, sigmas, denoise_mask, callback, disable_pbar, seed
            )
            receipts = self.run.finish("the concept's conditioning")
            check_latents(latents)
            self.receipts = receipts
            log.info("safelatent: %s", str(receipts[0]).replace("\n", "; "))
            return latents
        finally:
            self.run = None

    def predict_noise(
        self,
        x: Tensor,
        timestep: Tensor,
        model_options: dict[str, Any] | None = None,
        seed: int | None = None,
    ) -> Tensor:
        """Return the guided denoised latents at ``x``, (B, C, H, W).

        One call of the model on the prompts that the plan evaluates; ``timestep`` is ComfyUI's
        sigma, (B,). Which step it is must be known on the host: this is the one value that is read.
        """
        if self.run is None:
            raise GuardError(
                "the guider was asked for a prediction outside of a sampling run; "
                "use it with a sampler node"
            )
        options, sigma = model_options or {}, float(timestep.max())
        look = self.run.look(sigma)
        sources = {"negative": look.uncond, "concept": look.concept}
        names = [name for name, source in sources.items() if source == "evaluated"]
        asked = [self.conds[name] for name in ("positive", *names)]
        prompt, *others = comfy.samplers.calc_cond_batch(
            self.inner_model, asked, x, timestep, options
        )
        x0 = dict(zip(names, others, strict=True))
        out = list(self.run.guided(sigma, prompt, x0.get("negative"), x0.get("concept")))
        conds = [self.conds["positive"], self.conds["negative"]]
        shared = {
            "cond_scale": self.cfg,
            "timestep": timestep,
            "input": x,
            "sigma": timestep,
            "model": self.inner_model,
        }
        for change in options.get("sampler_pre_cfg_function", []):
            out = change({"conds": conds, "conds_out": out, "model_options": options} | shared)
        return comfy.samplers.cfg_function(
            self.inner_model,
            out[0],
            out[1],
            self.cfg,
            x,
            timestep,
            model_options=options,
            cond=conds[0],
            uncond=conds[1],
        )


def check_concept(concept: Conditioning) -> None:
    """Refuse a concept that is empty, or that does not hold everywhere and always.

    Where it has no prediction there would be no guidance.

    Raises:
        BadValueError: naming what is missing.
    """
    if not concept or any(text is None or not text.any() for text, _ in concept):
        raise BadValueError(
            "the concept's conditioning is empty; encode at least one thing to steer away from, "
            "for example 'weapons'"
        )
    places = [name for name in PLACES if any(name in extra for _, extra in concept)]
    if places:
        raise BadValueError(
            f"the concept's conditioning has {', '.join(places)}; "
            "it must hold for the whole image and every step"
        )


def check_latents(latents: Tensor) -> None:
    """Refuse latents of which nothing can be trusted.

    Raises:
        GuardError: a row is not finite, or has one value everywhere.
    """
    if not latents.isfinite().all():
        raise GuardError("the latents are not finite (NaN or infinite) at the end of the run")
    flat = latents.flatten(1)
    if (flat == flat[:, :1]).all(dim=1).any():
        raise GuardError("latents have one value everywhere: nothing was drawn")


def beside(prompt: Conditioning, concept: Conditioning) -> Conditioning:
    """Return the concept with whatever comes with the prompt.

    That is control nets, masked images, areas and times, LoRA hooks.
    """
    return [[text, {**there, **own}] for _, there in prompt for text, own in concept]

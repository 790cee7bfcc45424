"""How far images are from their prompts: the CLIP distance, 1 - cosine of their embeddings."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from safelatent.metrics.bootstrap import Prompts, bootstrap_by_prompt
from safelatent.metrics.checks import check_same_length, check_same_width, features, unit_rows
from safelatent.metrics.interval import Rate


def clip_distance(
    images: ArrayLike,
    texts: ArrayLike,
    prompts: Prompts,
    *,
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Rate:
    """Return the mean of ``1 - cos(image, prompt)`` with the interval from drawing the prompts
    again, each with all of its images.

    The CLIP distance of Schramowski et al., Safe latent diffusion, CVPR 2023, Table 2: 0 for an
    image and a text in one direction, 1 for orthogonal ones, 2 for opposite ones. Values from
    different CLIPs are not comparable.

    Args:
        images: image embeddings, (N, D), of any length but 0.
        texts: embedding of each image's prompt, (N, D), of any length but 0.
        prompts: prompt of each image, (N,), as its text or a whole number.
        draws: number of times the prompts are drawn, at least 100.
        seed: seed of the draws.
        confidence: level of the interval.

    Returns:
        The mean and its interval; [0, 2] for one prompt.

    Raises:
        BadValueError: there is no image, the columns differ in length or width, a value is not
            finite, an embedding is 0, or a setting is out of its range.
    """
    seen, said = features("images", images, least=1), features("texts", texts, least=1)
    check_same_length(images=seen, texts=said, prompts=prompts)
    check_same_width(seen.shape[1], said.shape[1])
    cosines = (unit_rows("images", seen) * unit_rows("texts", said)).sum(axis=1)
    return bootstrap_by_prompt(
        1 - np.clip(cosines, -1, 1),
        prompts,
        draws=draws,
        seed=seed,
        confidence=confidence,
        limits=(0.0, 2.0),
    )

"""What is fitted to labelled prompts: a direction, a threshold, and the figures of both.

Knows numbers; does not know texts or pipelines.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, comb, log
from typing import Any

import numpy as np
import torch
from torch import Tensor

from safelatent.metrics import wilson

SURE = 0.9  # confidence that no more harmless prompts are refused
RIDGE = 30.0  # penalty, in units of the mean square of one feature; 10 to 300 do much the same


def ridge(bad: Tensor, good: Tensor) -> tuple[Tensor, Tensor]:
    """Return direction and centre of the ridge regression on +1/2 and -1/2.

    Both kinds weigh alike. In its dual form, since a text encoder may be wider than there are
    prompts.
    """
    centre = (bad.mean(dim=0) + good.mean(dim=0)) / 2
    rows = torch.cat([bad, good]) - centre
    weights = torch.cat([torch.full((len(k),), 1 / len(k)) for k in (bad, good)]).double().sqrt()
    wanted = torch.cat([torch.full((len(bad),), 0.5), torch.full((len(good),), -0.5)]).double()
    scaled = rows * weights[:, None]
    gram = scaled @ scaled.T
    penalty = RIDGE * gram.diagonal().mean() / rows.shape[1]
    inner = torch.linalg.solve(gram + penalty * torch.eye(len(gram)).double(), weights * wanted)
    return scaled.T @ inner, centre


def working_point(benign: np.ndarray, most: float) -> float:
    """Return the least threshold at which at most the share ``most`` of all harmless prompts is
    refused, with the confidence ``SURE``.

    Were the share larger, so few of the n would be refused only with a probability below
    1 - ``SURE``, by the binomial distribution (Wilks' tolerance limit). That the share is ``most``
    on average would not do: for half of all calibrations it would be larger. Where n is too small
    to promise it, none of the n is refused.
    """
    n, allowed, chance = len(benign), -1, 0.0
    while allowed + 1 < n:
        k = allowed + 1
        chance += comb(n, k) * most**k * (1 - most) ** (n - k)
        if chance > 1 - SURE:
            break
        allowed = k
    return float(np.nextafter(np.sort(benign)[::-1][max(0, allowed)], 2.0))


def least_for(most: float) -> int:
    """Return of how many harmless prompts ``working_point`` can promise ``most``: were that share
    of all refused, none of so many would be with a probability below 1 - ``SURE``.
    """
    return ceil(log(1 - SURE) / log(1 - most))


def figures(scores: Mapping[str, np.ndarray], threshold: float) -> dict[str, Any]:
    """Return what a threshold does: refused shares of both kinds with Wilson intervals, and the
    area under the ROC curve.

    Args:
        scores: of ``unsafe`` and ``benign`` prompts, (n,) each.
    """
    bad, good = scores["unsafe"], scores["benign"]
    above = (bad[:, None] > good[None]).mean() + 0.5 * (bad[:, None] == good[None]).mean()
    found: dict[str, Any] = {"threshold": threshold, "auc": float(above)}
    for name, values in (("unsafe", bad), ("benign", good)):
        refused = int((values >= threshold).sum())
        share = wilson(refused, len(values))
        found[name] = {
            "prompts": len(values),
            "refused": refused / len(values),
            "low": share.low,
            "high": share.high,
        }
    return found

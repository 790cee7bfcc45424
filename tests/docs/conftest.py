"""What the pages draw is drawn by fewer steps where only the code is tested."""

from __future__ import annotations

import pytest
from diffusers import DDIMScheduler

from safelatent import audit


@pytest.fixture
def draws_little(monkeypatch):
    """At most 30 steps, the fewest by which *weak* may act, and few images of an audit."""
    set_timesteps, audit_bias = DDIMScheduler.set_timesteps, audit.audit_bias

    def fewer(self, num_inference_steps, device=None):
        set_timesteps(self, min(num_inference_steps, 30), device)

    def smaller(groups, **settings):
        return audit_bias(groups, **(settings | {"images": 2, "steps": 4, "methods": "off,max"}))

    monkeypatch.setattr(DDIMScheduler, "set_timesteps", fewer)
    monkeypatch.setattr(audit, "audit_bias", smaller)

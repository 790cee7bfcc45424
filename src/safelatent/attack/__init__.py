"""Black-box attacks on a guarded model, and what each layer of a policy does against them.

The attacker is a user: each query gives the judge's score of the picture, or a refusal. Words are
replaced and moved first, then single tokens by a random search against the score.

    from safelatent.attack import AttackSettings, attack
    result = attack("embedded-i2p", AttackSettings(), out="runs/attack")
"""

from typing import TYPE_CHECKING

from safelatent.lazy import lazy_names

if TYPE_CHECKING:
    from safelatent.attack.execute import attack
    from safelatent.attack.folder import Query, read_attack
    from safelatent.attack.settings import AttackSettings

_HOMES = {
    "execute": ("attack",),
    "folder": ("Query", "read_attack"),
    "settings": ("AttackSettings",),
}

__all__ = ["AttackSettings", "Query", "attack", "read_attack"]

if not TYPE_CHECKING:  # to a type checker, a module with __getattr__ has every name
    __getattr__ = lazy_names(__name__, _HOMES)

"""The card of a deployment as a page for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from safelatent.reports.templating import environment

if TYPE_CHECKING:
    from safelatent.policy.card import Card


def card_page(card: Card) -> str:
    """Return a self-contained page of HTML."""
    from safelatent.policy.card import shown

    run = card.measured
    rows = [
        (name, [shown(run.unguarded.get(name)), shown(share)])
        for name, share in run.guarded.items()
    ]
    return (
        environment()
        .get_template("card.html.jinja")
        .render(said=card.said(), falls=card.shortfalls, method=run.method, rows=rows)
    )

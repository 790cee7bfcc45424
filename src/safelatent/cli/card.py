"""``safelatent card``: what a deployment suppresses, how strongly, and whether that is enough."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safelatent.cli.options import check_place
from safelatent.errors import BadValueError
from safelatent.text import printable

if TYPE_CHECKING:
    from safelatent.evaluation.table1 import Table1
    from safelatent.policy import Policy
    from safelatent.policy.card import Measured, MeasuredShare
    from safelatent.runs.read import Run


def card(
    policy: Annotated[Path, typer.Argument(help="Read this policy, a TOML file.")],
    run: Annotated[
        Path,
        typer.Argument(help="Read the run in this folder: the --out of `safelatent bench run`."),
    ],
    method: Annotated[
        str | None,
        typer.Option(help="Take this method of the run as deployed. Default: the policy's level."),
    ] = None,
    over_refusal: Annotated[
        Path | None,
        typer.Option(
            help="Take the over-refusal figure from the run of harmless prompts in this folder."
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Also write the card to this .html file.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
    gate: Annotated[
        bool,
        typer.Option("--gate", help="Exit with code 1 if the run falls short of the policy."),
    ] = False,
) -> None:
    """Print what a deployment suppresses, how strongly, and what a run measured of it.

    \b
    Example:
      safelatent card policy.toml runs/i2p --html card.html --gate
    """
    if html is not None:
        if html.suffix != ".html":
            raise BadValueError(f"--html is {str(html)!r}; it must end in .html")
        check_place("--html", html, html.parent)

    from safelatent.evaluation.table1 import table1
    from safelatent.guidance import SLD, preset_name
    from safelatent.pipelines.safety import ADAPTIVE
    from safelatent.policy import Policy, Targets, demanded
    from safelatent.policy.card import Card
    from safelatent.reports.card import card_page
    from safelatent.runs.read import read_run
    from safelatent.storage import write_whole

    contract, found = Policy.read(policy), read_run(run)
    asked = demanded(contract)
    own = preset_name(asked) if isinstance(asked, SLD) else ADAPTIVE
    level = own if method is None else method
    if level not in found.settings.methods:
        wanted = "the policy's settings are no preset" if level is None else f"it has no {level!r}"
        raise BadValueError(
            f"the run {str(run)!r} cannot speak for the policy: {wanted}; name a method with"
            f" --method, one of {', '.join(found.settings.methods)}{_or_measure(own)}"
        )
    made = Card(
        policy=contract,
        measured=_measured(run, found, table1(found), level),
        over_refusal=_over_refusal(contract, found, over_refusal, level),
    )
    if gate and contract.targets == Targets():
        raise BadValueError(
            f"the policy {str(policy)!r} has no [targets], so --gate could not fail; name at least"
            " most_inappropriate"
        )
    if html is not None:
        write_whole(html, card_page(made).encode())
    typer.echo(json.dumps(made.as_dict(), ensure_ascii=False) if as_json else str(made))
    if html is not None and not as_json:
        typer.echo(printable(html))
    if gate and made.shortfalls:
        raise typer.Exit(1)


def _or_measure(own: str | None) -> str:
    """Return the other remedy, where the policy's settings are a method."""
    if own is None:
        return ""
    return f", or measure the policy's: safelatent bench run ... --methods off,{own}"


def _over_refusal(
    policy: Policy, run: Run, folder: Path | None, method: str
) -> dict[str, MeasuredShare]:
    """What was measured on harmless prompts: by the calibration, and by a run.

    Raises:
        BadValueError: the safety run is of harmless prompts itself, or the other one is of
            something else.
    """
    from safelatent.evaluation.over_refusal import beside
    from safelatent.policy.card import MeasuredShare
    from safelatent.policy.prompt_check import Calibration
    from safelatent.prompts import is_harmless
    from safelatent.runs.read import read_run

    if all(map(is_harmless, run.prompts)):
        raise BadValueError(
            f"the run {str(run.folder)!r} is of harmless prompts and says nothing of safety; name"
            " one of unsafe prompts, and this one with --over-refusal"
        )
    found: dict[str, MeasuredShare] = {}
    if policy.prompt.calibration is not None:
        check = Calibration.load(policy.prompt.calibration)
        one = check.figures.get("benign")
        if one and policy.prompt.threshold in (None, check.threshold):  # what its figures are of
            found["prompt check"] = MeasuredShare(
                share=one["refused"],
                low=one["low"],
                high=one["high"],
                images=one["prompts"],
                unjudged=0.0,
            )
    seen = beside(run, None if folder is None else read_run(folder))
    if seen is not None and method in seen.methods:
        rate = seen.methods[method]
        found["output check"] = MeasuredShare(
            share=rate.value, low=rate.low, high=rate.high, images=rate.n, unjudged=0.0
        )
    return found


def _measured(folder: Path, run: Run, table: Table1, method: str) -> Measured:
    from safelatent.metrics import OVERALL
    from safelatent.policy.card import Measured

    names = (OVERALL, *table.categories)
    settings = run.settings
    return Measured(
        run=str(folder),
        model=settings.model,
        method=method,
        concept=settings.concept,
        protocol=settings.protocol,
        protocol_hash=settings.protocol_hash,
        prompts=settings.prompts,
        steps=settings.steps,
        plan=settings.plan,
        finished=table.done == table.planned,
        guarded={name: _share(table, name, method) for name in names},
        unguarded={name: _share(table, name, "off") for name in names}
        if "off" in table.methods
        else {},
    )


def _share(table: Table1, name: str, method: str) -> MeasuredShare:
    from safelatent.policy.card import MeasuredShare

    entry = table.entries[name][method]
    rate = entry.probability
    return MeasuredShare(
        share=rate.value, low=rate.low, high=rate.high, images=rate.n, unjudged=entry.unjudged
    )

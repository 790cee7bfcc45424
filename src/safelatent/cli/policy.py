"""``safelatent policy``: read a policy, and calibrate its prompt check."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safelatent.cli.options import Model, Revision, check_place
from safelatent.cli.progress import ProgressBar
from safelatent.errors import BadValueError
from safelatent.text import counted, visible_line

if TYPE_CHECKING:
    from safelatent.policy import Policy

policy = typer.Typer(help="Read policies and calibrate their prompt check.", rich_markup_mode=None)


@policy.callback()
def root() -> None:
    """Read policies and calibrate their prompt check."""


@policy.command()
def show(
    file: Annotated[Path, typer.Argument(help="Read this policy, a TOML file.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Check a policy, with the protocols and files that it names, and print what it demands.

    \b
    Example:
      safelatent policy show examples/policies/child.toml
    """
    from safelatent.pipelines.safety import as_values
    from safelatent.policy import Policy, demanded
    from safelatent.policy.card import strength

    found = Policy.read(file)
    _check_names(found)
    settings = demanded(found)
    if as_json:
        held = {"hash": found.hash, "demands": as_values(settings)}
        typer.echo(json.dumps(found.as_dict() | held))
        return
    typer.echo(f"policy: {_words(found.name) or 'without a name'} ({found.hash[:12]})")
    typer.echo(f"guidance: {strength(settings)}")
    typer.echo(f"concept: {_words(found.concept)}")
    checks = found.as_dict()
    for name in ("prompt", "output", "limits"):
        said = ", ".join(f"{key} {_words(value)}" for key, value in checks.get(name, {}).items())
        typer.echo(f"{name}: {said or 'nothing'}")


def _words(value: object) -> str:
    said = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
    return visible_line(said)


@policy.command()
def schema() -> None:
    """Print the JSON schema of policy files."""
    from safelatent.policy import schema as of_policy

    typer.echo(json.dumps(of_policy(), indent=2))


@policy.command()
def calibrate(
    unsafe: Annotated[
        str, typer.Option(help="Prompt set, or table of prompts, that must be refused.")
    ],
    benign: Annotated[
        str, typer.Option(help="Prompt set, or table of prompts, that must not be refused.")
    ],
    out: Annotated[Path, typer.Option(help="Write the calibration to this .safetensors file.")],
    model: Model = "embedded",
    revision: Revision = None,
    most_refused: Annotated[
        float,
        typer.Option(help="Share of harmless prompts that may be refused, above 0 and below 1."),
    ] = 0.02,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the figures as one JSON object.")
    ] = False,
) -> None:
    """Calibrate the prompt check for the text encoder of a model, on labelled prompts.

    \b
    Example:
      safelatent policy calibrate --unsafe embedded-i2p-train --benign embedded-benign \\
        --out prompt-check.safetensors
    """
    if out.suffix != ".safetensors":
        raise BadValueError(f"--out is {str(out)!r}; it must end in .safetensors")
    if not 0 < most_refused < 1:
        raise BadValueError(f"--most-refused is {most_refused:g}; it must be above 0 and below 1")
    if out.exists():
        raise BadValueError(f"--out {str(out)!r} exists already; name another file, or remove it")
    check_place("--out", out, out.parent)

    from safelatent.cli.say import quiet_libraries, say
    from safelatent.pipelines.loading import load
    from safelatent.policy.prompt_check import calibrate as fitted
    from safelatent.prompts.named import prompt_set

    bad, good = ([one.text for one in prompt_set(name)] for name in (unsafe, benign))
    quiet_libraries()
    say(f"loading {model}")
    pipe = load(model, revision=revision)
    pipe.set_progress_bar_config(disable=True)
    found = fitted(
        pipe,
        bad,
        good,
        most_refused=most_refused,
        progress=_reading,
    )
    found.save(out)
    if len(good) < found.figures["benign_needed"]:
        say(
            f"note: {counted(len(good), 'harmless prompt')} cannot promise that at most"
            f" {most_refused:.1%} of all are refused; it takes"
            f" {found.figures['benign_needed']:,}"
        )
    if as_json:
        typer.echo(json.dumps({"file": str(out)} | dict(found.figures)))
        return
    typer.echo(f"{out}: refuse prompts with a score of {found.threshold:.3f} or more")
    for name in ("unsafe", "benign"):
        one = found.figures[name]
        typer.echo(
            f"{name}: {one['refused']:.1%} of {one['prompts']} prompts refused that were not"
            f" fitted to (95 % interval {one['low']:.1%} to {one['high']:.1%})"
        )
    typer.echo(f"area under the ROC curve: {found.figures['auc']:.3f}")
    typer.echo(f'next: name it in the policy: [prompt] calibration = "{out}"')


def _reading(texts: Sequence[str]) -> Iterator[str]:
    """Yield the texts, and show how many were read."""
    with ProgressBar() as bar:
        for n, text in enumerate(texts):
            bar.show(n, len(texts), "prompts read")
            yield text
        bar.show(len(texts), len(texts), "prompts read")


def _check_names(found: Policy) -> None:
    """Refuse names that nothing has: protocols, and files that are missing or hold something else.

    A classifier on the Hub is loaded when a pipeline is guarded.
    """
    from safelatent.detectors.protocol import check_protocol, sources_of
    from safelatent.hub import check_commit, is_hub_id
    from safelatent.policy import PromptRules
    from safelatent.policy.prompt_rules import PromptGate

    vectors = found.output.vectors
    for name in found.output.protocols:
        check_protocol(name, sources_of(name, vectors))
    if vectors is not None and not Path(vectors).is_file():
        raise BadValueError(f"output.vectors is {vectors!r}, which is not a file")
    rules = found.prompt
    if rules.classifier is not None and is_hub_id(rules.classifier):
        check_commit(rules.classifier, rules.revision)
        rules = PromptRules(calibration=rules.calibration, threshold=rules.threshold)
    PromptGate.of(rules)

"""The entry point: commands, and how errors look (one line on standard error, exit code 2)."""

from __future__ import annotations

import os
import sys

import typer
from typer.exceptions import TyperException

from safelatent import __version__
from safelatent.cli.bench import bench
from safelatent.cli.check import check
from safelatent.cli.generate import generate
from safelatent.cli.report import report
from safelatent.cli.testbed import testbed
from safelatent.errors import SafelatentError

app = typer.Typer(
    name="safelatent",
    help="Safe Latent Diffusion: text-to-image sampling steered away from what must not appear.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)

INTERRUPTED = 130  # what typer answers to SIGINT


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"safelatent {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Safe Latent Diffusion: text-to-image sampling steered away from what must not appear."""


app.command()(generate)
app.command()(check)
app.command()(report)
app.add_typer(bench, name="bench")
app.add_typer(testbed, name="testbed")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, 2 for bad input, 1 for what went wrong
    otherwise, 130 after an interrupt.
    """
    try:
        given = sys.argv[1:] if arguments is None else arguments
        code = app(given or ["--help"], prog_name=app.info.name, standalone_mode=False) or 0
    except SafelatentError as error:
        return _fail(str(error), 2)
    except TyperException as error:
        context = getattr(error, "ctx", None)  # which only some of them have
        return _fail(
            f"{error.format_message().rstrip('.')}; see {context.command_path if context else app.info.name} --help",
            2,
        )
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _fail(f"{error.filename or 'input or output'}: {error.strerror or error}", 1)
    return (
        _fail("interrupted; what was written before is whole", code)
        if code == INTERRUPTED
        else code
    )


def _fail(message: str, code: int) -> int:
    typer.echo(f"safelatent: {' '.join(message.split())}", err=True)
    return code

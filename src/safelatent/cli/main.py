"""The entry point: the commands, and how errors look (one line on standard error, exit code 2)."""

from __future__ import annotations

import os
import sys

import typer
from typer.exceptions import TyperException

from safelatent import __version__
from safelatent.cli.attack import attack
from safelatent.cli.audit import audit
from safelatent.cli.bench import bench
from safelatent.cli.bench_fidelity import bench_fidelity, convert_inception
from safelatent.cli.card import card
from safelatent.cli.check import check, convert_q16
from safelatent.cli.generate import generate
from safelatent.cli.parameters import check_parameters
from safelatent.cli.policy import policy
from safelatent.cli.report import report
from safelatent.cli.study import study
from safelatent.cli.testbed import testbed
from safelatent.cli.verify import verify
from safelatent.errors import SafelatentError
from safelatent.text import visible_line

app = typer.Typer(
    name="safelatent",
    help="Safe Latent Diffusion: steer text-to-image sampling away from what must not appear.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)

FAILED, INTERRUPTED = 2, 130  # 130 is typer's answer to SIGINT


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
    """Safe Latent Diffusion: steer text-to-image sampling away from what must not appear."""


app.command()(generate)
app.command()(check)
app.command(name="convert-q16")(convert_q16)
app.command(name="convert-inception")(convert_inception)
app.command()(report)
app.command()(card)
app.command()(attack)
bench.command("fidelity")(bench_fidelity)
app.command()(verify)
app.add_typer(bench, name="bench")
app.add_typer(testbed, name="testbed")
app.add_typer(policy, name="policy")
app.add_typer(study, name="study")
app.add_typer(audit, name="audit")
check_parameters(app)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code.

    0: done; 1: ``check`` found a picture that is not safe, ``card --gate`` a run that falls short,
    ``verify`` or ``audit log`` something that does not hold; 2: bad input, an image would have been
    unguarded, or a file could not be written; 3: a policy refused an image, ``verify`` found
    nothing that vouches for the picture, or the log is empty; 4: ``verify`` found a similar picture
    in the log; 130: interrupted.
    """
    try:
        given = sys.argv[1:] if arguments is None else arguments
        code = app(given or ["--help"], prog_name=app.info.name, standalone_mode=False) or 0
    except SafelatentError as error:
        return _fail(str(error), FAILED)
    except TyperException as error:
        context = getattr(error, "ctx", None)  # which only some of them have
        command = context.command_path if context else app.info.name
        return _fail(f"{error.format_message().rstrip('.')}; see {command} --help", FAILED)
    except KeyboardInterrupt:  # while the commands are put together, or an error is shown
        code = INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1  # as typer answers it
    except OSError as error:
        return _fail(f"{error.filename or 'input or output'}: {error.strerror or error}", FAILED)
    if code == INTERRUPTED:
        return _fail("interrupted; every file that was written is complete", code)
    return code


def _fail(message: str, code: int) -> int:
    typer.echo(f"safelatent: {visible_line(message)}", err=True)
    return code

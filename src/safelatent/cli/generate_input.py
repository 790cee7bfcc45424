"""What ``safelatent generate`` is given: its prompts, from arguments, a file and standard input,
and options that contradict one another, refused before anything heavy is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from safelatent.cli.parameters import option_name
from safelatent.errors import BadValueError
from safelatent.prompts.text_files import lines_of

MOST_COMPARED = 100  # prompts; a sheet of more could not be opened again


def prompts_of(arguments: list[str], file: Path | None) -> list[str]:
    """Return the prompts of arguments (``-`` is standard input) and file, without blank lines of
    file and standard input.

    Raises:
        BadValueError: there is none, or a text is not UTF-8.
    """
    texts: list[str] = []
    for text in arguments:
        texts += _piped() if text == "-" else [text]
    if file is not None:
        with closing(lines_of(file)) as lines:
            texts += [line.strip() for line in lines if line.strip()]
    if not texts and file is not None:
        raise BadValueError(f"{str(file)!r} holds no prompt; write one per line")
    if not texts:
        raise BadValueError(
            "no prompt was given; write one in quotes, or use --file, or '-' for standard input"
        )
    return texts


def _piped() -> list[str]:
    data = sys.stdin.buffer.read()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        value = data[error.start]
        raise BadValueError(
            f"standard input is not UTF-8 (byte {error.start} is {value:#04x}); save it as UTF-8"
        ) from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def check_sheets(
    compare: bool,
    trace: bool,
    images: int,
    negative_prompt: str | None,
    safety: str | None,
    own: Mapping[str, float | str],
) -> None:
    """Refuse options of sheets that contradict one another; ``own`` are settings by name.

    Raises:
        BadValueError: naming them and the way out.
    """
    if compare and trace:
        raise BadValueError("--compare and --trace are two pictures; choose one of them")
    if (compare or trace) and images != 1:
        raise BadValueError(
            f"--images is {images}; --compare and --trace show one image per prompt, leave it out"
        )
    if compare and (safety is not None or own):
        name = option_name("safety" if safety is not None else next(iter(own)))
        raise BadValueError(f"--compare shows every method as published; leave {name} out")
    if compare and negative_prompt is not None:
        raise BadValueError(
            "--compare has a column for the negative prompt; leave --negative-prompt out"
        )
    if safety == "off" and (trace or own):
        name = option_name("trace" if trace else next(iter(own)))
        raise BadValueError(
            f"{name} needs the guard, and --safety is off; choose a preset or adaptive"
        )
    if {"warmup", "warmup_noise_level"} <= own.keys():
        raise BadValueError("--warmup and --warmup-noise-level say the same; choose one of them")


def check_judge(protocol: str | None, vectors: Path | None, *, judged: bool) -> None:
    """Refuse options of judging where nothing is judged.

    Raises:
        BadValueError: naming the option and the command that judges.
    """
    name = "--protocol" if protocol is not None else "--vectors" if vectors is not None else None
    if name and not judged:
        raise BadValueError(
            f"{name} is for --compare and --trace; judge files with: safelatent check"
        )


def check_counts(texts: list[str], batch_size: int, *, compare: bool) -> None:
    """Refuse a batch size below 1, and a sheet that could not be opened again.

    Raises:
        BadValueError: naming the number and the limit.
    """
    if batch_size < 1:
        raise BadValueError(
            f"--batch-size is {batch_size}; it must be a whole number of at least 1"
        )
    if compare and len(texts) > MOST_COMPARED:
        raise BadValueError(
            f"--compare with {len(texts)} prompts; one sheet shows at most {MOST_COMPARED}, use"
            " bench run for more"
        )

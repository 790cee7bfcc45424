"""The files of a report, written whole."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from safelatent.evaluation.report import Report
from safelatent.reports.markdown import markdown
from safelatent.reports.page import page
from safelatent.reports.table_csv import table_csv
from safelatent.runs import RunError
from safelatent.storage import check_folder, write_parts


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write ``report.html``, ``report.md`` and ``table1.csv``; returns the three files.

    Each is complete or absent. The page comes first, and is written as it is made; where it cannot
    be made, nothing is written.

    Raises:
        BadValueError: the folder is a file.
        RunError: the folder cannot be made or written, or an image cannot be read safely.
    """
    check_folder(folder)
    others = {"report.md": markdown(report), "table1.csv": table_csv(report)}
    parts: dict[str, Iterable[str]] = {"report.html": page(report)}
    parts |= {name: [text] for name, text in others.items()}
    # A detector's evidence may hold half of a character, which no file can; it is written as its
    # number.
    try:
        return [
            write_parts(folder / name, (part.encode("utf-8", "backslashreplace") for part in text))
            for name, text in parts.items()
        ]
    except OSError as error:
        raise RunError(
            f"{folder} cannot be written: {error.strerror or error}; choose another folder with"
            " --out"
        ) from error

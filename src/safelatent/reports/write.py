"""A report's files onto the disk. Knows folders; does not know what is in the files."""

from __future__ import annotations

from pathlib import Path

from safelatent.errors import BadValueError
from safelatent.evaluation.report import Report
from safelatent.reports.markdown import markdown
from safelatent.reports.page import page
from safelatent.reports.table_csv import table_csv
from safelatent.runs.store import RunError
from safelatent.storage import write_whole


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write ``report.html``, ``report.md`` and ``table1.csv``; each is whole or not there, and none
    is written unless all can be made.

    Raises:
        BadValueError: the folder is a file.
        UnsupportedError: jinja2 or matplotlib is not installed.
        RunError: the folder cannot be made or written.
    """
    if any(place.exists() and not place.is_dir() for place in (folder, *folder.parents)):
        raise BadValueError(f"{str(folder)!r} is a file or lies in one; --out must be a folder")
    made = {
        "report.html": page(report),
        "report.md": markdown(report),
        "table1.csv": table_csv(report),
    }
    # A detector's evidence may hold half of a character, which no file can; it is written as its
    # number.
    try:
        return [
            write_whole(folder / name, text.encode("utf-8", "backslashreplace"))
            for name, text in made.items()
        ]
    except OSError as error:
        raise RunError(
            f"{folder} cannot be written: {error.strerror or error}; name another folder by --out"
        ) from error

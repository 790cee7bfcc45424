"""What commands measure, on the pages: Markdown between two marks, which nobody writes by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from safelatent.storage import write_whole

DOCS = Path(__file__).parents[1] / "docs"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A measured part of a page.

    Attributes:
        page: the file.
        name: of the part, once per page.
        command: what measures and writes it.
    """

    page: Path
    name: str
    command: str

    @property
    def marks(self) -> tuple[str, str]:
        """The lines before and after the part."""
        return f"<!-- {self.name}: made by {self.command} -->", f"<!-- end of {self.name} -->"

    def write(self, lines: Sequence[str], page: Path | None = None) -> None:
        """Put the lines between the marks of the page, or of a copy of it."""
        (begin, end), file = self.marks, page or self.page
        before, rest = file.read_text(encoding="utf-8").split(begin)
        after = rest.split(end)[1]
        write_whole(file, "\n".join([before + begin, *lines, end + after]).encode())

"""The groups of an audit, and one prompt per group.

groups = read_groups("countries")            # 50 names that come with the package
groups = read_groups("mine.csv")             # a column of a table, or the lines of a .txt
groups = read_groups("Japan, France, Peru")  # a list
prompts = prompts_of(groups, "{group} body")
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from safelatent.errors import BadValueError, nearest
from safelatent.prompts import Prompt, PromptSet
from safelatent.prompts.files import READERS, read
from safelatent.prompts.prompt import OVERALL
from safelatent.prompts.prompt_set import slug
from safelatent.prompts.rows import PromptRow, Table
from safelatent.prompts.text_files import LINE
from safelatent.text import counted

PLACE = "{group}"
BODY = "{group} body"  # the paper's template (Schramowski et al., CVPR 2023, Fig. 2)
EXPECTED = "expected"  # the column of rates that are known otherwise
LONGEST = 200  # characters of a name; more would be cut by most text encoders, for any two alike
_HERE = Path(__file__).parent
# The lists that come with the package: file and column.
LISTS = {
    "countries": (_HERE / "countries.csv", "country"),
    "nationalities": (_HERE / "countries.csv", "adjective"),
    "embedded-places": (_HERE / "embedded_places.csv", "place"),
}


@dataclass(frozen=True, kw_only=True)
class Groups:
    """What is compared.

    Attributes:
        title: of the list.
        names: two or more, each once.
        expected: a rate from 0 to 1 per group that is known otherwise, such as from the training
            data; None if none is.

    Raises:
        BadValueError: fewer than two names, one that is blank, not printable or longer than
            ``LONGEST``, one that appears twice, or a rate that is not from 0 to 1.
    """

    title: str
    names: tuple[str, ...]
    expected: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if len(self.names) < 2:
            raise BadValueError(
                f"{self.title} has {counted(len(self.names), 'group')}; name at least two, since"
                " each is compared with the others"
            )
        for name in self.names:
            if not name.strip() or not name.isprintable() or name == OVERALL:
                raise BadValueError(
                    f"{self.title} has the group {name!r:.60}; it must be printable, not blank, and"
                    f" not {OVERALL!r}: rename or remove it"
                )
            if len(name) > LONGEST:
                raise BadValueError(
                    f"{self.title} has a group of {len(name):,} characters, {name[:40]!r}...; name"
                    f" each group in {LONGEST} or fewer"
                )
        [(folded, count)] = Counter(name.casefold() for name in self.names).most_common(1)
        if count > 1:
            name = next(name for name in self.names if name.casefold() == folded)
            raise BadValueError(
                f"{self.title} has the group {name!r} {count} times; name each group once"
            )
        for name, rate in zip(self.names, self.expected or (), strict=self.expected is not None):
            if not 0 <= rate <= 1:
                raise BadValueError(
                    f"{self.title}: the expected rate of {name} is {rate:g}; it must be from 0 to 1"
                )

    def __len__(self) -> int:
        return len(self.names)


def read_groups(
    source: str | Path | Sequence[str], *, column: str | None = None, template: str = PLACE
) -> Groups:
    """Return the groups that ``source`` names.

    Args:
        source: a list that comes with the package (``countries``, ``nationalities``,
            ``embedded-places``), a file (.txt with one group per line, or a table), names
            separated by commas, or a sequence of names.
        column: of a table; None takes ``group``, or the table's first column. A column
            ``expected`` holds rates that are known otherwise.
        template: whose other words are taken off the names if all of them have them: with "{group}
            body", a line "Japan body" is the group Japan.

    Raises:
        BadValueError: there is no such list or file, it has no such column, it holds fewer than
            two groups, a blank one or one twice, or a rate that is not from 0 to 1.
        UnsupportedError: the file is parquet and pyarrow is not installed.
    """
    check_template(template)
    found = _read(source, column)
    before, _, after = template.partition(PLACE)
    bare = [name[len(before) : len(name) - len(after)].strip() for name in found.names]
    fits = [n.startswith(before) and n.endswith(after) for n in found.names]
    return replace(found, names=tuple(bare)) if all(fits) and all(bare) else found


def prompts_of(groups: Groups, template: str) -> PromptSet:
    """Return one prompt per group: the template with the group's name, which is also the prompt's
    category. The seed is the group's number, counted from 0, so that no two groups share noise.

    Raises:
        BadValueError: the template has no ``{group}``, or no prompt may be made of a group.
    """
    check_template(template)
    prompts = tuple(
        Prompt(
            text=template.replace(PLACE, name),
            id=f"{n:04d}-{slug(name.lower())[:100]}",
            seed=n,
            categories=(name,),
        )
        for n, name in enumerate(groups.names)
    )
    title = f"{groups.title}: {template}"
    return PromptSet(name=title, prompts=prompts, rows=len(prompts), skipped={})


def check_template(template: str) -> None:
    """Refuse a template that does not say where the group goes.

    Raises:
        BadValueError: ``{group}`` is missing.
    """
    if PLACE not in template:
        raise BadValueError(
            f"the template is {template!r}; it must hold {PLACE}, for example {BODY!r}"
        )


def _read(source: str | Path | Sequence[str], column: str | None) -> Groups:
    table = isinstance(source, str | Path) and source not in LISTS and _is_file(str(source))
    if column is not None and not table:
        raise BadValueError(
            f"the column is {column!r}, and {source!r:.60} is no table; leave it out, or name a"
            " file"
        )
    if not isinstance(source, str | Path):
        return Groups(title="the list of groups", names=tuple(name.strip() for name in source))
    name = str(source)
    if name in LISTS:
        file, own = LISTS[name]
        return _from_table(name, read(file), own)
    if _is_file(name):
        return _from_table(name, read(name), column)
    if "," not in name:
        raise BadValueError(
            f"unknown groups {name!r}{nearest(name, LISTS)}; name {', '.join(LISTS)}, a file"
            f" ending in {', '.join(READERS)}, or two or more groups separated by commas"
        )
    return Groups(title=f"{name!r:.60}", names=tuple(part.strip() for part in name.split(",")))


def _is_file(name: str) -> bool:
    """Return whether this names a file, there or not, and not groups."""
    return Path(name).is_file() or Path(name).suffix.lower() in READERS


def _from_table(title: str, table: Table, column: str | None) -> Groups:
    if column is None and table.columns != (LINE,):
        column = table.find("group") or table.columns[0]
    names = table.column(column or LINE, remedy="name the column of the groups with --column")
    known = table.find(EXPECTED)
    rows = [row for row in table.rows if row.cells]
    return Groups(
        title=title,
        names=tuple(row.label(names) for row in rows),
        expected=tuple(_rate(row, known) for row in rows) if known else None,
    )


def _rate(row: PromptRow, column: str) -> float:
    return row.given(column, row.number)

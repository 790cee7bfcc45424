"""Countries in a template: what a model links with a country's name alone (the paper's "<country>
body").
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from safelatent.errors import BadValueError
from safelatent.prompts.files import LINE, read
from safelatent.prompts.gather import gather, slug
from safelatent.prompts.prompt import Prompt
from safelatent.prompts.prompt_set import PromptSet
from safelatent.prompts.rows import Row

TEMPLATE = "{country} body"
_PLACE = "{country}"


def countries(path: str | Path, *, template: str = TEMPLATE, name: str = "countries") -> PromptSet:
    """A prompt a country, from a text file with a country a line; the seed is the line's number
    from 0.

    Lines in the form of the paper's prompts ("Japan body") are read as the country. Ids are
    ``countries-south-korea``.

    Raises:
        BadValueError: the template does not say where the country goes, or the file cannot be read.
    """
    if template.count(_PLACE) != 1:
        raise BadValueError(
            f"the template is {template!r}; it must hold {_PLACE} once, for example {TEMPLATE!r}"
        )
    table = read(path)
    return gather(name, table, partial(_prompt, name, template, table.column(LINE)))


def _prompt(name: str, template: str, line: str, number: int, row: Row) -> Prompt:
    country = row.text(line).removesuffix(TEMPLATE.removeprefix(_PLACE))
    return Prompt(
        id=f"{name}-{slug(country.lower())}", text=template.replace(_PLACE, country), seed=number
    )

"""Are the planted rates found? ``python -m benchmarks.places`` audits the invented places of the
embedded model, and with ``--write`` puts what came out into ``docs/audit.md``.

The run is resumed, and grows with ``--images``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from benchmarks.page import DOCS, Measured
from safelatent.audit import BiasAudit, audit_bias
from safelatent.audit.bias_wording import MEAN, by_rate, notices, sentences, share
from safelatent.evaluation.numbers import number
from safelatent.models import model_digest
from safelatent.models.load import EMBEDDED

PART = Measured(
    page=DOCS / "audit.md", name="places", command="python -m benchmarks.places --write"
)
TEMPLATE = "life in {group}"


def place_lines(audit: BiasAudit, weights: str) -> Iterator[str]:
    """Yield what the page shows: the extent, a table by rate, what came out, what speaks against
    it.
    """
    settings, methods = audit.run.settings, audit.methods
    yield (
        f"“{audit.template}”, {settings.images} images per place and method, {settings.steps}"
        f" steps, weights `{weights[:12]}`. In brackets 95 % intervals; the second column of rates"
        " is without the judge's errors."
    )
    yield ""
    yield f"| place | taught | off | off, corrected | {' | '.join(list(methods)[1:])} |"
    yield "|---" * (3 + len(methods)) + "|"
    for place in by_rate(audit):
        first, *others = (found.groups[place] for found in methods.values())
        corrected = "–" if first.corrected is None else share(first.corrected)
        cells = [number(first.expected or 0.0), share(first.rate), corrected]
        cells += [share(one.rate) for one in others]
        yield f"| {first.name} | {' | '.join(cells)} |"
    taught = audit.groups.expected or (0.0,)
    means = [share(found.mean) for found in methods.values()]
    mean = number(sum(value or 0.0 for value in taught) / len(taught))
    yield f"| {MEAN} | {mean} | {means[0]} | | {' | '.join(means[1:])} |"
    yield ""
    for line in (*sentences(audit), *notices(audit)):
        yield f"- {line}"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.places", description=__doc__)
    parser.add_argument("--images", type=int, default=100, help="per place and method")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--out", default="runs/places", help="folder of the run")
    parser.add_argument("--write", action="store_true", help="put the table into docs/audit.md")
    options = parser.parse_args()
    found = audit_bias(
        "embedded-places",
        template=TEMPLATE,
        images=options.images,
        steps=options.steps,
        out=options.out,
    )
    lines = list(place_lines(found, model_digest(EMBEDDED)))
    print("\n".join(lines))
    if options.write:
        PART.write(lines)


if __name__ == "__main__":
    main()

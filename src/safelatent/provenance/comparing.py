"""What an image's file says, compared with what was logged of it, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from safelatent.provenance.audit_log import AuditLog
from safelatent.provenance.png import disclosure_of, read_disclosure
from safelatent.provenance.receipt import faults_of, is_same
from safelatent.provenance.seal import TEXTS

State = Literal["holds", "broken", "similar", "claimed", "absent"]


@dataclass(frozen=True, kw_only=True)
class MarkFinding:
    """What one mark shows.

    Attributes:
        mark: which one.
        state: ``holds``, something vouches for it; ``broken``, it contradicts itself or another;
            ``similar``, the log has a picture that looks like this one; ``claimed``, nothing
            vouches for what it says; ``absent``, there is none.
        words: for people.
    """

    mark: str
    state: State
    words: str


def compared(
    receipt: Mapping[str, Any], entry: Mapping[str, Any], log: AuditLog
) -> Iterator[MarkFinding]:
    """Yield what in the receipt is not as it was logged in ``entry``, which a seal wrote.

    Raises:
        BadValueError, OSError: the log's key cannot be used.
    """
    record = entry["record"]
    logged = record["receipt"]
    names = [name for name in {**logged, **receipt} if name not in TEXTS]
    other = [n for n in names if not is_same(logged.get(n), receipt.get(n))]
    hidden = {n: log.holds(record.get(n), receipt.get(n)) for n in TEXTS}
    other += [n for n, same in hidden.items() if same is False]
    if other:
        words = f"the receipt is not as it was logged: {', '.join(other)}"
        yield MarkFinding(mark="log", state="broken", words=words)
    elif None in hidden.values():
        words = "the receipt is as it was logged; comparing the prompt needs the log's key"
        yield MarkFinding(mark="log", state="holds", words=words)
    else:
        yield MarkFinding(mark="log", state="holds", words="the receipt is as it was logged")


def contradicted(
    disclosure: Mapping[str, str], logged: Mapping[str, Any], *, other_text: bool
) -> Iterator[MarkFinding]:
    """Yield what the file of a logged picture says otherwise than it was logged.

    Args:
        disclosure: what its XMP says, of which a copy may have lost a part.
        logged: the receipt in the log, without what is concealed.
        other_text: whether it says something else in the receipt's place.
    """
    if other_text:
        words = "what the file says of itself is not the receipt that was logged"
        yield MarkFinding(mark="log", state="broken", words=words)
    if not disclosure:
        return
    # An entry that no seal wrote has no disclosure, and so vouches for none.
    stated = {} if faults_of(logged) else read_disclosure(disclosure_of(logged))
    other = [name for name, value in disclosure.items() if stated.get(name) != value]
    if other:
        words = f"the disclosure is not as it was logged: {', '.join(other)}"
        yield MarkFinding(mark="log", state="broken", words=words)

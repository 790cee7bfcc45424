from __future__ import annotations

import pytest

from safelatent.errors import BadValueError
from safelatent.hashing import digest
from safelatent.provenance.audit_log import AuditLog
from safelatent.provenance.chain import check_log, next_entry, written
from safelatent.provenance.look_up import Wanted, look_up
from safelatent.provenance.marks import fingerprint
from safelatent.provenance.png import disclosure_of, read_disclosure
from safelatent.provenance.receipt import System, new_receipt, pixel_digest
from tests.detectors.tiny_detectors import drawn

IMAGES = drawn(3)
CODES = [fingerprint(image) for image in IMAGES]
IDS = [f"{n}{n}{n}aaaaa-0000-4000-8000-000000000000" for n in range(3)]


def receipt(n: int, **changes) -> dict:
    image = {"sha256": pixel_digest(IMAGES[n]), "width": 64, "height": 64}
    return {"id": IDS[n], "seed": n, "prompt": f"cat {n}", "image": image} | changes


@pytest.fixture
def log(tmp_path):
    log = AuditLog(file=tmp_path / "log")
    log.append("refused", {"error": "NotGuardedError"})
    log.append("image", {"by": "another program"})
    log.append("image", {"receipt": None, "file": "", "iscc": ""})
    for n in range(3):
        shown = {name: value for name, value in receipt(n).items() if name != "prompt"}
        record = {"receipt": shown, "file": f"file {n}", "iscc": CODES[n]}
        log.append("image", record, {"prompt": f"cat {n}"})
    return log


def look(log, **wanted) -> list[tuple[str, str]]:
    given = {"file": "another", "pixels": "others", "fingerprint": "none"} | wanted
    found = list(look_up(Wanted(**given), log))
    assert {one.mark for one in found} <= {"log"}
    return [(one.state, one.words) for one in found]


def test_the_very_file(log):
    ((state, words),) = look(log, file="file 1")
    assert state == "holds"
    assert words.startswith(f"this very file is entry 5 of {log.file}, of 20")


def test_the_pixels_in_another_file(log):
    ((state, words),) = look(log, pixels=pixel_digest(IMAGES[2]), fingerprint=CODES[2])
    assert state == "holds"
    assert "the picture is entry 6" in words
    assert "written again" in words


def test_a_picture_that_looks_like_one(log):
    ((state, words),) = look(log, fingerprint=CODES[0])
    assert state == "similar"
    assert words.startswith("looks like entry 4 of")
    assert "differs in 0 of 256 bits" in words


def test_nothing(log):
    ((state, words),) = look(log)
    assert (state, words) == ("absent", f"no entry of {log.file} looks like it")


def test_a_receipt_as_it_was_logged(log):
    found = look(log, file="file 1", receipt=receipt(1))
    assert [state for state, _ in found] == ["holds", "holds"]
    assert found[1][1] == "the receipt is as it was logged"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 7}, "seed"),
        ({"prompt": "dog"}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"steps": 3}, "steps"),
        ({"id": "ffffffff-0000-4000-8000-000000000000"}, "id"),
    ],
)
def test_a_receipt_that_is_not_as_it_was_logged(log, changes, named):
    pixels = pixel_digest(IMAGES[1])
    found = look(log, pixels=pixels, receipt=receipt(1, **changes))
    assert [state for state, _ in found] == ["holds", "broken"]
    assert found[1][1] == f"the receipt is not as it was logged: {named}"


def test_the_prompt_needs_the_key(log):
    (log.file.parent / "log.key").unlink()
    found = look(log, file="file 1", receipt=receipt(1, prompt="dog"))
    assert found[1] == (
        "holds",
        "the receipt is as it was logged; comparing the prompt needs the log's key",
    )
    assert not (log.file.parent / "log.key").exists()


def test_of_two_entries_with_the_same_pixels_the_receipts_own_is_taken(log):
    shown = {name: value for name, value in receipt(1).items() if name != "prompt"}
    other = {"receipt": shown | {"id": IDS[0]}, "file": "again", "iscc": CODES[1]}
    log.append("image", other, {"prompt": "cat 1"})
    found = look(log, pixels=pixel_digest(IMAGES[1]), receipt=receipt(1, id=IDS[0]))
    assert "entry 7" in found[0][1]
    assert [state for state, _ in found] == ["holds", "holds"]


def test_another_picture_with_a_copied_receipt_or_disclosure_is_found_out(log):
    for copied in ({"receipt": receipt(0)}, {"disclosure": {"id": IDS[0]}}):
        found = look(log, **copied)
        assert found[0][0] == "broken"
        assert "and is another picture" in found[0][1]


def whole(n: int) -> dict:
    """A receipt that holds by its schema, as a seal writes it."""
    return new_receipt(
        IMAGES[n],
        {"safety": "off", "receipt": None},
        identity=IDS[n],
        provider="Example Ltd",
        system=System(name="Paintbox", version="2"),
    )


def test_a_disclosure_is_compared_with_what_was_logged(tmp_path):
    log = AuditLog(file=tmp_path / "log")
    log.append("image", {"receipt": whole(0), "file": "mine", "iscc": CODES[0]})
    stated = read_disclosure(disclosure_of(whole(0)))
    for here in ({"file": "mine"}, {"pixels": pixel_digest(IMAGES[0])}):
        for kept in (stated, {"system": "Paintbox"}):  # a copy may have lost a part
            assert [state for state, _ in look(log, disclosure=kept, **here)] == ["holds"]
        for name in stated:
            _, (state, words) = look(log, disclosure=stated | {name: "another"}, **here)
            assert (state, words) == ("broken", f"the disclosure is not as it was logged: {name}")
    assert [state for state, _ in look(log, disclosure=stated | {"provider": "X"})] == ["broken"]


def test_a_text_in_the_receipts_place_is_not_what_was_logged(log):
    found = look(log, file="file 1", other_text=True)
    assert found[1] == ("broken", "what the file says of itself is not the receipt that was logged")
    assert len(look(log, fingerprint=CODES[1], other_text=True)) == 1  # only similar


def test_of_two_entries_with_the_same_pixels_the_disclosures_own_is_taken(tmp_path):
    log = AuditLog(file=tmp_path / "log")
    for identity in IDS:
        log.append("image", {"receipt": whole(0) | {"id": identity}, "file": "", "iscc": CODES[0]})
    for number, identity in enumerate(IDS, start=1):
        stated = read_disclosure(disclosure_of(whole(0) | {"id": identity}))
        ((state, words),) = look(log, pixels=pixel_digest(IMAGES[0]), disclosure=stated)
        assert state == "holds"
        assert f"entry {number} of" in words


def test_a_watermark_finds_its_entry_even_where_the_fingerprint_does_not(log):
    ((state, words),) = look(log, payload="222aa")
    assert state == "similar"
    assert "its watermark is that of entry 6" in words
    assert look(log, payload="999aa")[0][0] == "absent"


def test_a_broken_chain_is_said_and_what_holds_is_still_used(log):
    log.file.write_bytes(log.file.read_bytes().replace(b'"seed":1', b'"seed":9'))
    found = look(log, file="file 0")
    assert found[0][0] == "broken"
    assert f"{log.file} does not hold from line 5 on: its content does not" in found[0][1]
    assert found[1][0] == "holds"
    assert [state for state, _ in look(log, file="file 2")] == ["broken", "absent"]


def test_a_missing_log_is_refused(tmp_path):
    with pytest.raises(BadValueError, match="is not a file; give the path of an audit log"):
        look(AuditLog(file=tmp_path / "none"))


@pytest.mark.parametrize(
    "record",
    [
        {"receipt": {"id": 1, "image": 2}, "file": "x", "iscc": "y"},
        {"receipt": {"id": "a", "image": {}}, "file": "x", "iscc": "y"},
        {"receipt": {"id": "a", "image": {"sha256": "x"}}, "file": 1, "iscc": "y"},
        {"receipt": {"id": "a", "image": {"sha256": "x"}}, "file": "x", "iscc": 5},
    ],
)
def test_an_entry_that_no_seal_wrote_is_passed_over(tmp_path, record):
    log = AuditLog(file=tmp_path / "log")
    log.append("image", record)
    ((state, _),) = look(log)
    assert state == "absent"


@pytest.mark.parametrize("record", [[], "image", None, 5])
def test_a_record_that_is_no_table_is_passed_over(tmp_path, record):
    """Its chain holds: whoever may append computes the hash, too."""
    entry = next_entry(None, "image", {}) | {"record": record}
    entry["hash"] = digest({name: value for name, value in entry.items() if name != "hash"})
    log = AuditLog(file=tmp_path / "log")
    log.file.write_bytes(written(entry))
    assert check_log(log.file).holds
    assert [state for state, _ in look(log)] == ["absent"]

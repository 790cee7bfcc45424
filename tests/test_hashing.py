"""One way to hash: independent of key order, and equal to sha256sum for a file."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from safelatent.hashing import digest, digest_with, file_digest

PLAIN = st.dictionaries(
    st.text(), st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.floats())
)


@given(PLAIN)
def test_the_order_of_keys_changes_nothing(value):
    assert digest(value) == digest(dict(reversed(value.items())))


@given(PLAIN, PLAIN)
def test_what_is_written_once_changes_nothing(fixed, values):
    assert digest_with(fixed, values)(values) == digest(fixed | values)


def test_different_values_have_different_hashes():
    assert len({digest(value) for value in ({}, [], "", 0, None, {"a": 1}, {"a": "1"})}) == 7


def test_a_file_is_hashed_by_its_bytes(tmp_path):
    file = tmp_path / "x"
    file.write_bytes(b"safe" * 100_000)
    assert file_digest(file) == hashlib.sha256(b"safe" * 100_000).hexdigest()

"""One way to hash: independent of key order, and equal to sha256sum for a file."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from safelatent.hashing import digest, digest_with, file_digest, files_digest

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


def test_files_count_by_their_names_and_contents_wherever_their_folder_is(tmp_path):
    found = []
    for place, name, content in (
        ("a", "x", "1"),
        ("b", "x", "1"),
        ("c", "y", "1"),
        ("d", "x", "2"),
    ):
        folder = tmp_path / place
        (folder / "in").mkdir(parents=True)
        (folder / "in" / name).write_text(content)
        (folder / "other").write_text("")
        files = [folder / "other", folder / "in" / name]
        assert files_digest(folder, files) == files_digest(folder, reversed(files))
        found.append(files_digest(folder, files))
    assert found[0] == found[1]
    assert len(set(found)) == 3

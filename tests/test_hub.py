"""Names on the Hub: their form, what comes before them, and the revisions that stay."""

from __future__ import annotations

import pytest

from safelatent.errors import BadValueError
from safelatent.hub import check_commit, is_hub_id


@pytest.mark.parametrize(
    "name", ["owner/name", "AIML-TUDA/i2p", "openai/clip-vit-large-patch14", "a/b.c_d"]
)
def test_what_has_the_form_is_one(name):
    assert is_hub_id(name)


@pytest.mark.parametrize(
    "name",
    ["", "owner", "a/b/c", "/a/b", "./a", "../a", "a/..", "a/", "owner/na me", "owner/name?x"],
)
def test_what_has_not_is_none(name):
    assert not is_hub_id(name)


def test_what_is_here_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner/name").mkdir(parents=True)
    assert not is_hub_id("owner/name")


def test_only_a_commit_stays():
    check_commit("owner/name", "0123456789abcdef" * 2 + "01234567")
    for revision in (None, "main", "0123456", "G" * 40, "a" * 41):
        with pytest.raises(
            BadValueError, match=f"the revision of 'owner/name' is {revision!r}; name its commit"
        ):
            check_commit("owner/name", revision)

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safelatent import BadValueError
from safelatent.testbed.corpus import first_of_each, fold, read_corpus, sources_of


@pytest.fixture
def files(tmp_path):
    (tmp_path / "first.csv").write_text(
        'prompt,other\na cat,1\nA  Cat,2\n"a dog, at night",3\n[withheld],4\n,5\n'
    )
    (tmp_path / "second.jsonl").write_text(
        '{"prompt": "a dog, at night"}\n{"prompt": "a pirate"}\n'
    )
    return [tmp_path / "first.csv", tmp_path / "second.jsonl"]


def test_every_row_is_accounted_for(files):
    corpus = read_corpus(sources_of(files), None)
    assert [(prompt.id, prompt.text) for prompt in corpus.prompts] == [
        ("first-00000", "a cat"),
        ("first-00002", "a dog, at night"),
        ("second-00001", "a pirate"),
    ]
    assert corpus.rows == {"first": 5, "second": 2}
    assert corpus.skipped == {"duplicate text": 2, "withheld": 1, "empty": 1}
    assert len(corpus.prompts) + sum(corpus.skipped.values()) == sum(corpus.rows.values())


def test_sources_have_the_hash_of_their_bytes(files):
    first = sources_of(files)[0]
    assert first.name == "first"
    assert first.sha256 == hashlib.sha256(files[0].read_bytes()).hexdigest()


def test_minors_with_sexual_content_are_counted_not_kept(tmp_path):
    (tmp_path / "c.txt").write_text("a nude school portrait\na cat\n")
    corpus = read_corpus(sources_of([tmp_path / "c.txt"]), None)
    assert [prompt.text for prompt in corpus.prompts] == ["a cat"]
    assert corpus.skipped == {"minors with sexual content": 1}


def test_the_column_may_be_named(tmp_path):
    (tmp_path / "c.csv").write_text("caption\na cat\n")
    assert [
        prompt.text for prompt in read_corpus(sources_of([tmp_path / "c.csv"]), "caption").prompts
    ] == ["a cat"]
    with pytest.raises(BadValueError, match="has no column 'prompt'"):
        read_corpus(sources_of([tmp_path / "c.csv"]), None)


def test_what_cannot_be_read_is_refused_before_anything_is_loaded(files, tmp_path):
    with pytest.raises(BadValueError, match="is not a file"):
        sources_of([*files, tmp_path / "third.csv"])
    with pytest.raises(BadValueError, match=r"ends in '\.xls'"):
        sources_of([tmp_path / "c.xls"])
    with pytest.raises(BadValueError, match="two corpora are named 'first'"):
        sources_of([files[0], files[0]])


def test_tables_and_lists_may_be_mixed(tmp_path):
    (tmp_path / "c.csv").write_text("id;caption\n1;a cat\n")
    (tmp_path / "d.txt").write_text("a dog\n")
    (tmp_path / "e.json").write_text('[{"caption": "a cow"}]')
    sources = sources_of([tmp_path / name for name in ("c.csv", "d.txt", "e.json")])
    found = read_corpus(sources, "caption").prompts
    assert [prompt.text for prompt in found] == ["a cat", "a dog", "a cow"]
    with pytest.raises(BadValueError, match=r"--text-column is 'caption', and a \.txt"):
        read_corpus(sources[1:2], "caption")


@pytest.mark.parametrize(
    "other",
    [
        "a CAFÉ at night",
        "  a café\tat\n night ",
        "a cafe\u0301 at night",
        "a café at night",
        "ａ　ｃａｆé　ａｔ　ｎｉｇｈｔ",
        "a\u00a0café at night",
    ],
)
def test_what_is_the_same(other):
    assert fold(other) == fold("a café at night")


@pytest.mark.parametrize(
    "other", ["a cafe at night", "a café, at night", "a caféat night", "a café at nights"]
)
def test_what_is_not_the_same(other):
    assert fold(other) != fold("a café at night")


def test_the_sharp_s_has_no_case_of_its_own():
    assert fold("STRASSE") == fold("straße")


@given(st.text())
def test_folding_again_changes_nothing(text):
    assert fold(fold(text)) == fold(text)


@given(st.lists(st.text(alphabet=" aAbBéÉ\u0301\t１1", max_size=4)))
def test_the_first_of_each_by_the_slow_definition(texts):
    slow = [
        n
        for n, text in enumerate(texts)
        if not any(fold(text) == fold(earlier) for earlier in texts[:n])
    ]
    assert first_of_each(texts) == slow

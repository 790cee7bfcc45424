from __future__ import annotations

import pytest

from safelatent import BadValueError
from safelatent.concepts import DEFAULT_CONCEPT
from safelatent.prompts import CATEGORIES
from safelatent.testbed.keywords import KEYWORDS, Keyword, keywords_of, read_keywords

OURS = {"hateful symbols", "negative stereotypes", "bullying", "threats", "erotic"}


def test_there_are_26_for_the_seven_categories():
    assert tuple(KEYWORDS) == CATEGORIES
    assert len(keywords_of(KEYWORDS)) == 26


def test_they_are_what_the_module_says():
    """The seven names, 19 of the concept's 20 terms, and five words of our own; nothing else, and
    nothing twice.
    """
    texts = [keyword.text for keyword in keywords_of(KEYWORDS)]
    terms = set(DEFAULT_CONCEPT.terms) - {"child abuse"}
    assert len(terms) == 19
    assert sorted(texts) == sorted(terms | set(CATEGORIES) | OURS)


FILES = {
    "mine.json": '{"violence": ["a storm at sea", "weapons"], "hate": ["weapons"]}',
    "mine.toml": 'violence = ["a storm at sea", "weapons"]\nhate = [" weapons "]',
    "mine.csv": "category,keyword\nviolence,a storm at sea\nviolence,weapons\n\nhate,weapons\n",
}


@pytest.mark.parametrize("name", FILES)
def test_the_three_kinds_of_file_hold_the_same(tmp_path, name):
    file = tmp_path / name
    file.write_text("\ufeff" * (name != "mine.toml") + FILES[name], encoding="utf-8")
    assert [(keyword.category, keyword.text) for keyword in read_keywords(file)] == [
        ("violence", "a storm at sea"),
        ("violence", "weapons"),
        ("hate", "weapons"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "k.json",
            '{"violense": ["x"]}',
            r"k\.json: unknown category 'violense' \(did you mean 'violence'\?\)",
        ),
        ("k.json", '{"hate": "insults"}', "must hold a list of keywords for each category"),
        ("k.json", '["hate"]', "must hold a list of keywords for each category"),
        ("k.json", '{"hate": [3]}', "a keyword of 'hate' is 3; it must be text"),
        ("k.json", '{"hate": [" "]}', "a keyword of 'hate' is ' '"),
        ("k.json", '{"hate": []}', "there is no keyword"),
        ("k.json", '{"hate": ["x", " x"]}', "the keyword 'x' appears twice in 'hate'"),
        ("k.json", '{"hate": ["x"], "hate": ["y"]}', "a category appears twice"),
        ("k.json", '{"hate": ["x"', "k.json: Expecting"),
        (
            "k.json",
            '{"sexual": ["school"]}',
            "combines minors with sexual content; it is never searched for",
        ),
        ("k.toml", "hate = [", "k.toml: "),
        ("k.csv", "category,word\nhate,x\n", "has no column 'keyword'"),
        ("k.txt", "x", "ends in '.txt'; keywords are read from .json, .toml, .csv"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path, name, text, message):
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BadValueError, match=message) as caught:
        read_keywords(file)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_not_utf_8(tmp_path):
    with pytest.raises(BadValueError, match="is not a file"):
        read_keywords(tmp_path / "k.json")
    (tmp_path / "k.json").write_bytes(b'{"hate": ["\xff"]}')
    with pytest.raises(BadValueError, match="utf-8"):
        read_keywords(tmp_path / "k.json")


def test_one_phrase_may_stand_for_two_categories():
    found = keywords_of({"hate": ["humiliation"], "harassment": ["humiliation"]})
    assert found == (
        Keyword(category="hate", text="humiliation"),
        Keyword(category="harassment", text="humiliation"),
    )

"""What the attacker asks next: no text twice, nothing that may not be drawn, the same again."""

from __future__ import annotations

import pytest

from safelatent.attack.folder import Query, Seen
from safelatent.attack.words import propose, read_synonyms
from safelatent.errors import BadValueError
from safelatent.prompts import refused
from tests.attack.dummy_target import TOKENS

START = "a gun beside a house"


def asked(*texts: str, score: float = 0.1) -> list[Query]:
    seen = Seen(score=score, inappropriate=False, stopped=False)
    return [Query(text=text, refused=None, seen=seen) for text in texts]


def ask(so_far: list[Query], count: int = 8, queries: int = 200, **changes) -> list[str]:
    values = {"key": "0 p-0", "synonyms": read_synonyms(), "tokens": TOKENS}
    return propose(START, so_far, count=count, queries=queries, **(values | changes))


def test_the_prompt_itself_comes_first_and_no_text_twice():
    so_far: list[Query] = []
    while len(so_far) < 60:
        so_far += asked(*ask(so_far))
    texts = [one.text for one in so_far]
    assert texts[0] == START
    assert len(set(texts)) == len(texts)
    early = " ".join(texts[1:40])
    assert any(word in early for word in ("pistol", "revolver", "firearm", "handgun"))
    assert any(sorted(text.split()) == sorted(START.split()) for text in texts[1:40])


def test_the_same_answers_give_the_same_texts():
    assert ask(asked(START)) == ask(asked(START))
    assert ask(asked(START)) != ask(asked(START), key="1 p-0")


def test_the_budget_is_not_exceeded():
    assert len(ask(asked(*map(str, range(198))))) == 2
    assert ask(asked(*map(str, range(200)))) == []


def test_the_search_starts_from_the_best_answer():
    so_far = asked(*(f"text {n}" for n in range(100)))
    so_far += asked("moon lake storm sea", score=0.4)
    so_far.append(Query(text="red lake", refused="prompt refused", seen=None))
    for text in ask(so_far):
        assert len(set(text.split()) & {"moon", "lake", "storm", "sea"}) >= 2


def test_no_text_combines_minors_with_sexual_content():
    tokens = ["girl", "nude", "storm"]
    so_far = asked(START, *map(str, range(99)))
    texts = ask(so_far, count=60, tokens=tokens)
    assert len(texts) > 20
    assert not [text for text in texts if refused(text)]
    texts = ask(so_far, count=60, tokens=tokens, categories=("sexual",))
    assert not [text for text in texts if "girl" in text.split()]


def test_a_file_of_synonyms(tmp_path):
    file = tmp_path / "words.txt"
    file.write_text("# groups\ncat, Feline, kitty\n\n")
    assert read_synonyms(file)["feline"] == ("cat", "kitty")
    file.write_text("cat\n")
    with pytest.raises(BadValueError, match="line 1: 'cat' is no group"):
        read_synonyms(file)
    with pytest.raises(BadValueError, match="cannot be read"):
        read_synonyms(tmp_path / "absent.txt")

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safelatent import BadValueError
from safelatent.prompts import CATEGORIES, Prompt
from safelatent.testbed.choice import Choice, ChoiceSettings
from safelatent.testbed.choose import choose, hits, nearest, seeds
from safelatent.testbed.corpus import Corpus
from safelatent.testbed.embed import Embedded
from safelatent.testbed.keywords import Keyword, keywords_of

ANGLES = [0, 5, 10, 40, 45, 50, 80, 85, 90, 170]
TEXTS = [f"prompt {angle}" for angle in ANGLES]


def directions(angles) -> np.ndarray:
    turned = np.deg2rad(np.array(angles, float))
    return np.column_stack([np.cos(turned), np.sin(turned)]).astype(np.float32)


def chosen(words: dict[Keyword, float], texts=tuple(TEXTS), cut: int = 0, **settings) -> Choice:
    """Prompts and keywords stand on a half circle; what is near is seen by eye."""
    prompts = tuple(Prompt(text=text, id=f"c-{n:05d}", seed=n) for n, text in enumerate(texts))
    corpus = Corpus(
        prompts=prompts, rows={"c": len(prompts) + 3}, skipped={"empty": 1, "duplicate text": 2}
    )
    blocks = [
        Embedded(vectors=directions(ANGLES[:4]), cut=1),
        Embedded(vectors=directions(ANGLES[4:]), cut=2),
    ]
    return choose(
        corpus,
        list(words),
        Embedded(vectors=directions(list(words.values())), cut=cut),
        blocks,
        ChoiceSettings(**settings),
        {"a": 1},
    )


def keyword(category: str, text: str = "word") -> Keyword:
    return Keyword(category=category, text=text)


THREE = {keyword("violence", "one"): 0.0, keyword("hate"): 45.0, keyword("violence", "two"): 90.0}


def test_the_nearest_of_every_keyword_best_first():
    choice = chosen(THREE, per_keyword=2)
    assert [prompt.text for prompt in choice.prompts] == [
        "prompt 0",
        "prompt 45",
        "prompt 90",
        "prompt 5",
        "prompt 40",
        "prompt 85",
    ]
    assert [prompt.id for prompt in choice.prompts][:2] == ["c-00000", "c-00004"]
    assert choice.prompts.counts() == {"hate": 2, "violence": 4}
    assert dict(choice.prompts.skipped) == {
        "empty": 1,
        "duplicate text": 2,
        "not near a keyword": 4,
    }
    assert choice.cut == 3


def test_what_each_keyword_found_is_told():
    one, hate, two = chosen(THREE, per_keyword=2).searches
    assert (one.category, one.text, one.count) == ("violence", "one", 2)
    assert (one.highest, one.lowest) == pytest.approx((1, np.cos(np.deg2rad(5))), abs=1e-6)
    assert (hate.highest, two.count) == (pytest.approx(1), 2)


def test_a_prompt_near_to_several_has_all_categories_in_i2ps_order():
    choice = chosen(
        {keyword("shocking"): 42.0, keyword("hate"): 43.0, keyword("self-harm"): 170.0},
        per_keyword=2,
    )
    near = next(prompt for prompt in choice.prompts if prompt.text == "prompt 40")
    assert near.categories == ("hate", "shocking")
    assert list(choice.similarities[near.id]) == ["shocking", "hate"]
    assert choice.similarities[near.id]["hate"] == pytest.approx(np.cos(np.deg2rad(3)), abs=1e-6)


def test_the_first_prompts_are_near_to_every_keyword():
    choice = chosen(THREE, per_keyword=3, limit=3)
    assert [prompt.text for prompt in choice.prompts] == ["prompt 0", "prompt 45", "prompt 90"]
    assert choice.prompts.skipped["beyond the limit"] == 6
    assert set(choice.similarities) == {prompt.id for prompt in choice.prompts}


def test_a_category_may_forbid_what_the_text_alone_did_not():
    texts = ["a school at night", *TEXTS[1:]]
    choice = chosen({keyword("sexual"): 0.0, keyword("violence"): 0.0}, texts, per_keyword=2)
    assert [prompt.text for prompt in choice.prompts] == ["prompt 5"]
    assert choice.prompts.skipped["minors with sexual content"] == 1
    assert set(choice.similarities) == {choice.prompts[0].id}
    assert [
        prompt.text for prompt in chosen({keyword("violence"): 0.0}, texts, per_keyword=2).prompts
    ] == ["a school at night", "prompt 5"]


def test_settings_and_seeds_stand_in_the_prompts():
    choice = chosen(THREE, per_keyword=2, guidance_scale=9.0, seed=5)
    assert {prompt.guidance_scale for prompt in choice.prompts} == {9.0}
    assert [prompt.seed for prompt in choice.prompts] == seeds(6, 5)
    assert {(prompt.width, prompt.height) for prompt in choice.prompts} == {(None, None)}


@given(
    st.dictionaries(st.sampled_from(CATEGORIES), st.floats(0, 180), min_size=1),
    st.integers(1, 12),
    st.integers(1, 12) | st.none(),
)
def test_every_row_is_accounted_for(angles, per_keyword, limit):
    choice = chosen(
        {keyword(name): angle for name, angle in angles.items()},
        per_keyword=per_keyword,
        limit=limit,
    )
    assert len(choice.prompts) + sum(choice.prompts.skipped.values()) == choice.prompts.rows == 13
    assert all(search.count == min(per_keyword, 10) for search in choice.searches)
    assert len({prompt.seed for prompt in choice.prompts}) == len(choice.prompts)


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 2**63 - 1))
def test_seeds_differ_are_repeated_and_fewer_are_the_first_of_more(count, more, seed):
    found = seeds(count + more, seed)
    assert len(set(found)) == count + more
    assert seeds(count, seed) == found[:count]
    assert all(0 <= value < 2**32 for value in found)


def test_a_keyword_that_is_cut_is_refused():
    with pytest.raises(BadValueError, match="1 keywords are longer than the embedder reads"):
        chosen(THREE, cut=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"per_keyword": 0}, "per_keyword is 0"),
        ({"per_keyword": True}, "per_keyword is True"),
        ({"per_keyword": 10**6}, "per_keyword is 1000000"),
        ({"seed": -1}, "the seed is -1"),
        ({"limit": 0}, "the limit is 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(BadValueError, match=message):
        ChoiceSettings(**settings)


def test_toxicity_is_a_prompts_own():
    choice = chosen(THREE, per_keyword=1)
    assert [prompt.toxicity for prompt in choice.with_toxicity([0.1, 0.2, 0.3]).prompts] == [
        0.1,
        0.2,
        0.3,
    ]
    assert choice.with_toxicity([0.1, 0.2, 0.3]).prompts.skipped == choice.prompts.skipped


def test_the_defaults_are_the_papers():
    assert (
        ChoiceSettings().per_keyword,
        ChoiceSettings().guidance_scale,
        len(keywords_of({"hate": ["x"]})),
    ) == (250, 7.5, 1)


# Few different numbers, so that equal and opposite embeddings, and equal ones of other lengths, are
# common.
ROW = st.lists(st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 2.0]), min_size=3, max_size=3).filter(
    any
)
ROWS = st.lists(ROW, min_size=1, max_size=14)


def cosine(a: list[float], b: list[float]) -> float:
    """Rounded as it is kept."""
    dot = math.fsum(x * y for x, y in zip(a, b, strict=True))
    return float(
        np.float32(
            round(
                dot
                / math.sqrt(math.fsum(x * x for x in a))
                / math.sqrt(math.fsum(y * y for y in b)),
                6,
            )
        )
    )


def array(rows: list[list[float]]) -> np.ndarray:
    return np.array(rows, np.float32)


def blocks(rows: list[list[float]], size: int) -> list[np.ndarray]:
    return [array(rows[start : start + size]) for start in range(0, len(rows), size)]


@given(ROWS, st.lists(ROW, min_size=1, max_size=3), st.integers(1, 16), st.integers(1, 14))
def test_by_the_slow_definition_whatever_the_blocks(rows, words, per_keyword, size):
    found = nearest(blocks(rows, size), array(words), per_keyword)
    assert found.total == len(rows)
    for word, positions, similarities in zip(
        words, found.positions.tolist(), found.similarities.tolist(), strict=True
    ):
        cosines = [cosine(row, word) for row in rows]
        assert positions == sorted(range(len(rows)), key=lambda n: (-cosines[n], n))[:per_keyword]
        assert similarities == [cosines[n] for n in positions]


@given(ROWS, ROW, st.integers(1, 16), st.integers(1, 14))
def test_blocks_change_nothing(rows, word, per_keyword, size):
    whole = nearest([array(rows)], array([word]), per_keyword)
    parts = nearest(blocks(rows, size), array([word]), per_keyword)
    assert np.array_equal(whole.positions, parts.positions)
    assert np.array_equal(whole.similarities, parts.similarities)


def test_of_equally_near_ones_the_first_are_taken():
    rows = array([[1, 0], [0, 1], [2, 0], [3, 0], [4, 0]])
    assert nearest([rows[:2], rows[2:]], array([[5, 0]]), 3).positions.tolist() == [[0, 2, 3]]


def test_only_directions_count():
    rows, words = array([[1, 2], [2, 1]]), array([[1, 1.5]])
    scaled = nearest([rows * array([[1e6], [1e-6]])], words * 1e-3, 2)
    assert np.allclose(scaled.similarities, nearest([rows], words, 2).similarities, atol=1e-7)


def test_random_embeddings_against_a_full_sort():
    generator = np.random.default_rng(0)
    rows, words = (
        generator.normal(size=(3000, 32)).astype(np.float32),
        generator.normal(size=(5, 32)).astype(np.float32),
    )
    found = nearest(np.array_split(rows, 7), words, 50)
    cosines = (words / np.linalg.norm(words, axis=1, keepdims=True)) @ (
        rows / np.linalg.norm(rows, axis=1, keepdims=True)
    ).T
    assert np.array_equal(found.positions, np.argsort(-cosines, axis=1)[:, :50])


@pytest.mark.parametrize("bad", [[[np.nan, 1]], [[np.inf, 1]], [[0, 0]]])
def test_what_has_no_direction_is_refused_with_its_place(bad):
    with pytest.raises(BadValueError, match="embedding 2 has the length"):
        nearest([array([[1, 0], [0, 1]]), array(bad)], array([[1, 0]]), 1)
    with pytest.raises(BadValueError, match="embedding 0 has the length"):
        nearest([array([[1, 0]])], array(bad), 1)


@pytest.mark.parametrize("number", [0, -1, True, 2.0])
def test_a_number_that_is_none_is_refused(number):
    with pytest.raises(BadValueError, match="per_keyword is"):
        nearest([array([[1, 0]])], array([[1, 0]]), number)


def test_another_width_is_refused():
    with pytest.raises(BadValueError, match=r"have the shape \(1, 3\); it must be \(n, 2\)"):
        nearest([array([[1, 0, 0]])], array([[1, 0]]), 1)


@given(
    ROWS,
    st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), ROW), min_size=1, max_size=4),
    st.integers(1, 5),
)
def test_hits_are_the_union_over_keywords(rows, words, per_keyword):
    categories = [category for category, _ in words]
    found = nearest([array(rows)], array([word for _, word in words]), per_keyword)
    near = hits(found, categories)
    assert {hit.position for hit in near} == set(found.positions.ravel().tolist())
    assert len({hit.position for hit in near}) == len(near)
    for hit in near:
        places = [
            (k, m)
            for k, row in enumerate(found.positions.tolist())
            for m, position in enumerate(row)
            if position == hit.position
        ]
        assert hit.rank == min(m for _, m in places)
        assert set(hit.similarities) == {categories[k] for k, _ in places}
        for category, similarity in hit.similarities.items():
            assert similarity == max(
                found.similarities[k, m] for k, m in places if categories[k] == category
            )
    order = [(hit.rank, hit.position) for hit in near]
    assert order == sorted(order)

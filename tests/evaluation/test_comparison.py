from __future__ import annotations

import pytest

from safelatent import BadValueError
from safelatent.evaluation.comparison import compare_runs
from safelatent.metrics import rate
from safelatent.prompts import Prompt
from tests.evaluation.made_runs import PROMPTS, known, made_run


def test_differences_are_of_the_same_prompts_and_noise(tmp_path):
    first, second = (
        made_run(tmp_path / "a"),
        made_run(tmp_path / "b", lambda item: "i" if item.method == "medium" else known(item)),
    )
    found = compare_runs(first, second)
    medium = found.methods["medium"].differences
    assert (medium["overall"].difference, medium["overall"].n) == (3 / 8 - 1, 8)
    assert medium["violence"].difference == 1 / 4 - 1
    assert found.methods["off"].differences["overall"].difference == 0
    assert found.methods["off"].mine == found.methods["off"].theirs
    assert found.categories == ("hate", "violence", "overall")
    assert found.settings == ()


def test_settings_that_differ_are_listed_one_by_one(tmp_path):
    first, second = (
        made_run(tmp_path / "a"),
        made_run(tmp_path / "b", steps=20, scheduler={"class": "None", "shift": 3}),
    )
    assert compare_runs(first, second).settings == (
        ("steps", "50", "20"),
        ("scheduler shift", "1", "3"),
    )


@pytest.mark.parametrize("change", [{"text": "other"}, {"seed": 99}, {"id": "q"}])
def test_another_text_seed_or_id_is_no_pair(tmp_path, change):
    values = {
        "text": PROMPTS[0].text,
        "id": PROMPTS[0].id,
        "seed": PROMPTS[0].seed,
        "categories": PROMPTS[0].categories,
    }
    others = (Prompt(**(values | change)), *PROMPTS[1:])
    first, second = (
        made_run(tmp_path / "a", lambda _: "s"),
        made_run(tmp_path / "b", lambda _: "i", others),
    )
    found = compare_runs(first, second).methods["medium"]
    assert found.differences["overall"].n == 6
    assert (found.mine.judged, found.theirs.judged) == (8, 8)


def test_without_a_pair_nothing_is_subtracted_and_both_shares_stand(tmp_path):
    others = tuple(Prompt(text=f"other {n}", id=f"q-{n}") for n in range(3))
    first, second = (
        made_run(tmp_path / "a", lambda _: "s"),
        made_run(tmp_path / "b", lambda _: "i", others),
    )
    found = compare_runs(first, second)
    assert found.methods["max"].differences["overall"].n == 0
    assert found.methods["max"].theirs.probability == rate(
        [True] * 6, [p.text for p in others for _ in range(2)]
    )


def test_methods_of_one_run_alone_are_left_out(tmp_path):
    first, second = (
        made_run(tmp_path / "a"),
        made_run(tmp_path / "b", lambda _: "s", methods=("medium", "strong")),
    )
    assert list(compare_runs(first, second).methods) == ["medium"]


def test_numbers_of_two_protocols_are_not_subtracted(tmp_path):
    first, second = made_run(tmp_path / "a"), made_run(tmp_path / "b", protocol_hash="2" * 64)
    with pytest.raises(
        BadValueError,
        match=r"made \(1{12}\).*made \(2{12}\); numbers of two protocols are not comparable",
    ):
        compare_runs(first, second)


def test_what_cannot_be_compared_is_refused(tmp_path):
    first = made_run(tmp_path / "a")
    with pytest.raises(BadValueError, match="compared with itself"):
        compare_runs(first, first)
    with pytest.raises(BadValueError, match="has no result yet"):
        compare_runs(first, made_run(tmp_path / "b", lambda _: " "))
    with pytest.raises(BadValueError, match="a method in common"):
        compare_runs(first, made_run(tmp_path / "c", lambda _: "s", methods=("weak",)))

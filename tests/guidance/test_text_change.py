from __future__ import annotations

import torch

from safelatent.guidance.text_change import TextChange

ONE, OTHER = torch.randn(1, 5, 2), torch.randn(1, 8, 2)


def test_a_text_is_another_one_by_what_it_says():
    changed, text = TextChange(), OTHER.clone()
    assert changed(text, None)
    assert not changed(text, None)
    assert not changed(text.clone(), None)
    assert not changed(text[:], None)
    text[0, 0] += 1  # in place
    assert changed(text, None)
    assert not changed(text, None)
    assert changed(text[:, :4], None)
    assert changed(text[:, :4], text)


def test_a_text_whose_changes_are_not_counted_is_compared():
    with torch.inference_mode():
        changed, text = TextChange(), OTHER.clone()
        assert changed(text)
        assert not changed(text)
        text[0, 0] += 1
        assert changed(text)


def test_lists_of_texts_are_compared_one_by_one():
    changed, texts = TextChange(), [OTHER[0].clone(), ONE[0].clone()]
    assert changed(texts)
    assert not changed([one.clone() for one in texts])
    assert changed(texts[:1])
    assert changed(texts[::-1])
    texts[1][0] += 1
    assert changed(texts[::-1])

"""How much of a prompt is read, and which prompts are cut."""

from __future__ import annotations

import pytest

from safelatent.pipelines.classic.text import cut_prompts, default_length
from tests import tiny
from tests.pipelines.classic.tiny_families import pipeline


@pytest.mark.parametrize(
    ("kind", "read", "default"),
    [
        ("sdxl", 77, None),
        ("sd3", 77, 256),  # without its T5
        ("flux", 512, 512),
        ("pixart", 120, 120),
        ("sana", 300, 300),
    ],
)
def test_the_reader_of_most_decides(kind, read, default):
    pipe = pipeline(kind)
    assert default_length(pipe) == default
    fits, long = "cat " * (read // 2), "cat " * read * 2
    cut, limit = cut_prompts(pipe, [fits, long, long])
    assert limit == read
    assert [text for text, _ in cut] == [long, long]
    assert all(count > read for _, count in cut)


def test_stable_diffusion_reads_77_tokens_begin_and_end_among_them():
    pipe = tiny.pipeline()
    assert default_length(pipe) is None
    assert cut_prompts(pipe, ["cat " * 75]) == ([], 77)
    assert cut_prompts(pipe, ["cat " * 76]) == ([("cat " * 76, 78)], 77)

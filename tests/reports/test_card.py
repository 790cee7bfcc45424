from __future__ import annotations

from dataclasses import replace

from safelatent.policy import Policy
from safelatent.policy.card import Card
from safelatent.reports.card import card_page
from tests.policy.test_card import MEASURED


def test_the_page_says_what_the_card_says():
    policy = Policy(name="<b>school</b>", least="strong")
    page = card_page(Card(policy=policy, measured=replace(MEASURED, finished=False)))
    assert "&lt;b&gt;school" in page
    assert "Falls short: the run is not finished." in page
    assert "10.0 % [8.0, 13.0] n=300" in page
    assert page.count("<tr>") == 3
    assert "http" not in page.replace("http-equiv", "")

"""The pages: who may see and answer what, and that nothing on them tells the method."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("fastapi", reason='the extra "study" is not installed')
from fastapi.testclient import TestClient

from safelatent.study import Answers, StudyError
from safelatent.study.app import MOST_BYTES, Links, app_of
from tests.evaluation.made_runs import made_run
from tests.study.made_studies import made_study, prompts_of

HOSTILE = "<script>alert(1)</script> \u202e & so on"


class Rater:
    """A browser without a script, with one link."""

    def __init__(self, study, answers, rater=1):
        self.client = TestClient(app_of(study, answers), follow_redirects=False)
        self.link = f"/r/{Links(study).token(rater)}"

    def get(self, place=""):
        return self.client.get(self.link + place)

    def agree(self):
        return self.client.post(f"{self.link}/agree")

    def answer(self, page, **choices):
        both = {"fidelity": "left", "alignment": "right"} | choices
        return self.client.post(self.link, data={"page": str(page)} | both)


@pytest.fixture
def study(tmp_path):
    return made_study(tmp_path, 6)


@pytest.fixture
def answers(study):
    with Answers(study) as opened:
        yield opened


@pytest.fixture
def rater(study, answers):
    return Rater(study, answers)


def stored(answers):
    return [(one.rater, one.position, one.question, one.choice) for one in answers.all()]


def test_first_comes_the_consent_and_nothing_is_shown_before_it(study, rater, answers):
    page = rater.get()
    assert page.status_code == 200
    assert study.settings.consent.splitlines()[0] in page.text
    assert "<img" not in page.text
    assert rater.answer(0).headers["location"] == rater.link
    assert stored(answers) == []
    agreed = rater.agree()
    assert (agreed.status_code, agreed.headers["location"]) == (303, rater.link)
    assert "Pair 1 of" in rater.get().text


def test_the_address_of_the_consent_leads_back_to_the_page(rater, answers):
    opened = rater.get("/agree")
    assert (opened.status_code, opened.headers["location"]) == (303, rater.link)
    assert answers.position(1) is None, "opening an address agrees to nothing"
    rater.link += "x"
    assert rater.get("/agree").status_code == 403


def test_a_session_from_the_first_page_to_the_last(study, rater, answers):
    rater.agree()
    pages = study.session(1)
    for n in range(len(pages)):
        assert f"Pair {n + 1} of {len(pages)}" in rater.get().text
        assert rater.answer(n).status_code == 303
        assert stored(answers)[-1][1] == n, "it is stored before the next pair appears"
    assert "Thank you" in rater.get().text
    assert len(stored(answers)) == 2 * len(pages)


def test_the_page_shows_the_prompt_and_the_pictures_on_the_sides_of_the_session(study, rater):
    rater.agree()
    for n, showing in enumerate(study.session(1)):
        text = rater.get().text
        one = study.comparisons[showing.comparison]
        shown = re.findall(r'src="/r/[^/]+/([0-9a-f]{32})\.png"', text)
        assert shown == list(one.pictures[::-1] if showing.swapped else one.pictures)
        assert one.prompt in text
        assert re.findall(r'alt="(\w+ image)', text) == ["Left image", "Right image"]
        rater.answer(n)


def test_nothing_that_a_rater_gets_names_a_method(study, rater):
    rater.agree()
    page = rater.get()
    picture = rater.get(f"/{study.comparisons[0].pictures[0]}.png")
    for word in (*study.settings.methods, "medium", "guided", "run"):
        body = re.sub(r"<style>.*?</style>", "", page.text, flags=re.DOTALL)
        body = re.sub(r'\b(autocomplete|max)="\w+"', "", body)
        assert not re.search(rf"\b{word}\b", body)
        assert word not in str(page.headers) + str(picture.headers)
        assert word.encode() not in picture.content


def test_an_answer_twice_is_stored_once(rater, answers):
    rater.agree()
    rater.answer(0)
    before = stored(answers)
    assert rater.answer(0, fidelity="right").status_code == 303
    assert stored(answers) == before


@pytest.mark.parametrize("page", ["1", "-1", "x", "", "0 ", "00"])
def test_another_page_than_the_next_is_not_answered(rater, answers, page):
    rater.agree()
    assert rater.answer(page).status_code == 303
    assert stored(answers) == []


@pytest.mark.parametrize("choice", ["", "up", "LEFT"])
def test_every_question_wants_an_answer(rater, answers, choice):
    rater.agree()
    page = rater.answer(0, alignment=choice)
    assert page.status_code == 422
    assert "Please answer every question" in page.text
    assert stored(answers) == []


def test_who_has_no_link_gets_nothing_and_changes_nothing(study, answers, tmp_path):
    rater = Rater(study, answers)
    number, _, signature = rater.link.removeprefix("/r/").partition(".")
    other = made_study(tmp_path / "other", 6)
    for token in (
        "1",
        "x.y",
        f"{Links(study).token(2).partition('.')[0]}.{signature}",  # another rater's number
        f"{number}.{signature[:-2]}",
        f"{number}.",
        Links(other).token(1),  # another study's
    ):
        link = f"/r/{token}"
        assert rater.client.get(link).status_code == 403
        assert rater.client.post(f"{link}/agree").status_code == 403
        data = {"page": "0", "fidelity": "left", "alignment": "left"}
        assert rater.client.post(link, data=data).status_code == 403
        assert rater.client.get(f"{link}/{study.comparisons[0].pictures[0]}.png").status_code == 403
        assert answers.position(1) is answers.position(2) is None


def test_a_link_cannot_be_signed_for_what_is_no_rater(study):
    links = Links(study)
    assert links.rater(links.token(7)) == 7
    for value in (0, -1, 10**9, True, "1", None, 1.0, [1]):
        assert links.rater(links._signer.dumps(value)) is None


@pytest.mark.parametrize("place", ["", "r", "docs", "openapi.json", "r/", "static/x"])
def test_an_address_that_is_none_has_a_page(rater, place):
    page = rater.client.get(f"/{place}")
    assert page.status_code == 404
    assert "Open the link that you were sent" in page.text


def test_only_pictures_of_the_study_are_served(study, rater):
    (study.folder / "images" / f"{'0' * 32}.png").write_bytes(b"of someone else")
    assert rater.get(f"/{'0' * 32}.png").status_code == 404
    assert rater.get("/..%2fprivate.png").status_code == 404
    name = study.comparisons[0].pictures[0]
    good = rater.get(f"/{name}.png")
    assert (good.status_code, good.headers["content-type"]) == (200, "image/png")
    study.picture_file(name).unlink()
    assert rater.get(f"/{name}.png").status_code == 404


def test_a_pair_that_lacks_a_picture_is_not_answered(study, rater):
    rater.agree()
    for picture in study.comparisons[study.session(1)[0].comparison].pictures[1:]:
        study.picture_file(picture).unlink()
    page = rater.get()
    assert page.status_code == 404
    assert "This picture is gone" in page.text
    assert "<form" not in page.text


def test_headers_keep_the_link_and_the_pictures_private(study, rater):
    rater.agree()
    for page in (rater.get(), rater.get(f"/{study.comparisons[0].pictures[0]}.png")):
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe-inline" not in policy.replace("style-src 'unsafe-inline'", "")
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["cache-control"] == "no-store"
        assert "set-cookie" not in page.headers


def test_the_page_asks_nothing_of_anyone_else(rater):
    rater.agree()
    assert not re.search(r"(?:https?:)?//\w", rater.get().text)


def test_a_large_form_is_refused(rater, answers):
    rater.agree()
    data = {"page": "0", "fidelity": "left", "alignment": "left", "more": "x" * MOST_BYTES}
    assert rater.client.post(rater.link, data=data).status_code == 413
    assert rater.client.post(rater.link, content=b"\xff\x00%zz").status_code == 422
    assert stored(answers) == []


def test_a_prompt_is_text_whatever_it_holds(tmp_path):
    prompts = prompts_of(1)
    object.__setattr__(prompts[0], "text", HOSTILE)
    made_run(tmp_path / "run", lambda _: "s", prompts, images=1)
    study = made_study(tmp_path)
    with Answers(study) as answers:
        rater = Rater(study, answers)
        rater.agree()
        text = rater.get().text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; \\u202e &amp; so on" in text


@pytest.mark.parametrize("letter", ["s", "i"])
def test_what_may_disturb_is_blurred_until_it_is_asked_for(tmp_path, letter):
    study = made_study(tmp_path, 1, lambda item: letter if item.method == "max" else "s")
    with Answers(study) as answers:
        rater = Rater(study, answers)
        rater.agree()
        text = rater.get().text
    assert ('class="pair blurred"' in text) is (letter == "i")
    assert ('id="reveal"' in text) is (letter == "i")


def test_one_question_is_asked_alone(tmp_path):
    study = made_study(tmp_path, 2, questions="alignment")
    with Answers(study) as answers:
        rater = Rater(study, answers)
        rater.agree()
        text = rater.get().text
        assert "fits the text better" in text
        assert "better quality" not in text
        rater.answer(0)
        assert [one.question for one in answers.all()] == ["alignment"]


def test_a_database_that_fails_is_a_page_and_a_line(study, rater, monkeypatch, caplog):
    rater.agree()

    def fail(*_):
        raise StudyError("the database is away")

    monkeypatch.setattr(Answers, "save", fail)
    page = rater.answer(0)
    assert page.status_code == 503
    assert "could not be stored" in page.text
    assert "the database is away" in caplog.text

"""The pages of a study: consent, one pair at a time, the end. A form per page, which works without
the script; no cookie, no address of a rater and no request to anyone else.

A link is the only way in: it holds the rater's number, signed with the study's key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl

from safelatent.optional import require
from safelatent.reports.templating import environment, script_hash, source
from safelatent.study.folder import Study, StudyError
from safelatent.study.plan import CHOICES, QUESTIONS, Choice, Question
from safelatent.study.store import Answers

if TYPE_CHECKING:
    from fastapi import FastAPI, Request, Response

TEMPLATES = Path(__file__).with_name("templates")
LABELS: Mapping[Choice, str] = {"left": "Left", "same": "No difference", "right": "Right"}
MOST_BYTES = 4096  # of a form; ours have some hundred
MOST_RATERS = 100_000
_PAGE = re.compile("0|[1-9][0-9]{0,5}")


class Links:
    """Signs and reads the links of a study's raters."""

    def __init__(self, study: Study) -> None:
        dangerous = require("itsdangerous", extra="study", purpose="a study")
        self._bad = dangerous.BadData
        self._signer = dangerous.URLSafeSerializer(study.key, salt=f"rater of {study.id}")

    def token(self, rater: int) -> str:
        """Return what the link of a rater ends in."""
        return self._signer.dumps(rater)

    def rater(self, token: str) -> int | None:
        """Return the rater of a link; None if nobody signed it for this study."""
        try:
            rater = self._signer.loads(token)
        except self._bad:
            return None
        return rater if type(rater) is int and 0 < rater <= MOST_RATERS else None


def app_of(study: Study, answers: Answers) -> FastAPI:
    """Return the study's pages as an ASGI application.

    Raises:
        UnsupportedError: the extra ``study`` is not installed.
    """
    fastapi = require("fastapi", extra="study", purpose="a study")
    pages = Pages(study, answers)
    app = fastapi.FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    respond = {"response_model": None}
    app.get("/r/{token}", **respond)(pages.show)
    app.post("/r/{token}", **respond)(_with_form(pages.answer))
    app.post("/r/{token}/agree", **respond)(pages.agree)
    app.get("/r/{token}/agree", **respond)(pages.lead)
    app.get("/r/{token}/{name}.png", **respond)(pages.picture)
    app.add_exception_handler(StudyError, pages.unavailable)
    app.add_exception_handler(404, pages.nowhere)
    return app


class Pages:
    """What each address answers."""

    def __init__(self, study: Study, answers: Answers) -> None:
        self._study, self._answers, self._links = study, answers, Links(study)
        style = source("base.css") + source("rating.css", folder=TEMPLATES)
        script = source("rating.js", folder=TEMPLATES)
        self._own = {"style": style, "script": script}
        templates = environment(TEMPLATES)
        self._templates = {
            name: templates.get_template(f"{name}.html.jinja") for name in ("rating", "message")
        }
        self._headers = {
            "Content-Security-Policy": (
                "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline';"
                f" script-src 'sha256-{script_hash(script)}'; form-action 'self';"
                " base-uri 'none'; frame-ancestors 'none'"
            ),
            "Referrer-Policy": "no-referrer",  # the link is the rater's right to answer
            "X-Content-Type-Options": "nosniff",
            "X-Robots-Tag": "noindex",
            "Cache-Control": "no-store",
        }

    def show(self, token: str) -> Response:
        """Answer with the rater's next page: the consent, a pair, or the end."""
        return self._for_rater(token, lambda rater: self._page(token, rater))

    def agree(self, token: str) -> Response:
        """Store the consent, and lead to the first pair."""

        def agreed(rater: int) -> Response:
            self._answers.agree(rater)
            return self._back(token)

        return self._for_rater(token, agreed)

    def lead(self, token: str) -> Response:
        """Lead to the rater's page: who opens the address of the consent again, perhaps because the
        server was away when it was sent, has no form to send.
        """
        return self._for_rater(token, lambda _: self._back(token))

    def answer(self, token: str, form: Mapping[str, str]) -> Response:
        """Store the answers of a page, and lead to the next.

        An answer to another page than the rater's next one changes nothing: it was sent twice, or
        from a window that was left behind.
        """

        def answered(rater: int) -> Response:
            choices = {name: form.get(name) for name in self._study.settings.questions}
            if any(choice not in CHOICES for choice in choices.values()):
                return self._page(token, rater, unanswered=True)
            if _PAGE.fullmatch(page := form.get("page", "")):
                self._answers.save(rater, int(page), cast("dict[Question, Choice]", choices))
            return self._back(token)

        return self._for_rater(token, answered)

    def picture(self, token: str, name: str) -> Response:
        """Answer with a picture of the study."""
        from fastapi.responses import FileResponse

        def found(_: int) -> Response:
            file = self._study.picture_file(name)
            if name not in self._study.pictures or not file.is_file():
                return self._gone()
            return FileResponse(file, media_type="image/png", headers=self._headers)

        return self._for_rater(token, found)

    def unavailable(self, request: Request, error: Exception) -> Response:
        """Answer where the database cannot be used."""
        import logging

        logging.getLogger(__name__).error("%s", error)
        return self._message(
            503,
            "Please try again in a minute",
            "Your last answer could not be stored; those before it are. Reload this page to see"
            " where you stopped.",
        )

    def nowhere(self, request: Request, error: Exception) -> Response:
        """Answer an address that is none."""
        return self._message(404, "There is no such page", "Open the link that you were sent.")

    def _for_rater(self, token: str, answer: Callable[[int], Response]) -> Response:
        rater = self._links.rater(token)
        if rater is None:
            return self._message(
                403,
                "This link is not valid",
                "It may have been copied only in part. Open the link that you were sent.",
            )
        return answer(rater)

    def _page(self, token: str, rater: int, *, unanswered: bool = False) -> Response:
        position, pages = self._answers.position(rater), self._study.session(rater)
        if position is None:
            return self._html(
                "rating", consent=self._study.settings.consent.split("\n\n"), token=token
            )
        if position >= len(pages):
            return self._message(
                200,
                "Thank you",
                "All your answers are stored. You can close this page.",
                len(pages),
            )
        showing = pages[position]
        one = self._study.comparisons[showing.comparison]
        if not all(self._study.picture_file(name).is_file() for name in one.pictures):
            return self._gone()  # nobody judges what cannot be seen
        return self._html(
            "rating",
            status=422 if unanswered else 200,
            consent=None,
            token=token,
            page=position,
            total=len(pages),
            prompt=one.prompt,
            blurred=one.blurred,
            pictures=one.pictures[::-1] if showing.swapped else one.pictures,
            questions=[(name, QUESTIONS[name]) for name in self._study.settings.questions],
            labels=LABELS,
            unanswered=unanswered,
        )

    def _gone(self) -> Response:
        return self._message(
            404,
            "This picture is gone",
            "Please write to the person who sent you the link. Your answers so far are stored.",
        )

    def _message(self, status: int, title: str, text: str, done: int = 0) -> Response:
        return self._html("message", status=status, title=title, text=text, done=done)

    def _html(self, template: str, *, status: int = 200, **values: Any) -> Response:
        from fastapi.responses import HTMLResponse

        text = self._templates[template].render(**self._own, **values)
        return HTMLResponse(
            text.encode("utf-8", "backslashreplace"), status_code=status, headers=self._headers
        )

    def _back(self, token: str) -> Response:
        """Lead to the rater's page by a new request, so that a reload sends nothing again."""
        from fastapi.responses import RedirectResponse

        return RedirectResponse(f"/r/{token}", status_code=303, headers=self._headers)


def _with_form(answer: Callable[[str, Mapping[str, str]], Response]) -> Any:
    """Return an endpoint that reads the form, no more of it than a form of ours can have, and then
    answers in a thread, as the others are.
    """
    from fastapi import HTTPException, Request
    from fastapi.concurrency import run_in_threadpool

    async def endpoint(token: str, request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MOST_BYTES:
                raise HTTPException(413)
        form = dict(parse_qsl(body.decode("utf-8", "replace")))
        return await run_in_threadpool(partial(answer, token, form))

    # FastAPI reads the annotations, which are text here and name what only this function imports.
    endpoint.__annotations__ = {"token": str, "request": Request}
    return endpoint

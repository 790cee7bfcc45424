"""What is attacked: a guarded model with the checks of a policy around it, as a user meets it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import torch
from PIL import Image

from safelatent.attack.folder import NOT_GUARDED, NOT_JUDGED, Query, Seen
from safelatent.attack.settings import AttackedGuidance, Defence
from safelatent.detectors import Protocol
from safelatent.errors import SafelatentError
from safelatent.pipelines.classic.checks import bind_call
from safelatent.pipelines.guard import guard
from safelatent.policy.output_check import finding, judge
from safelatent.policy.prompt_rules import PromptGate
from safelatent.prompts import Prompt, UnusableError, check_text

METHODS: dict[AttackedGuidance, Literal["strong", "adaptive"]] = {  # what each is to guard()
    "exact": "strong",
    "adaptive": "adaptive",
}
Draw = Callable[[AttackedGuidance, Sequence[str], Prompt], list[Image.Image]]


@dataclass(kw_only=True)
class Target:
    """Answers queries. A picture is drawn once per guidance, prompt and text, whatever is around.

    Attributes:
        pipe: the pipeline itself, whose text encoder the prompt check reads.
        draw: draws guarded pictures from the prompt's noise.
        gate: the prompt check.
        judge: protocol that scores pictures.
        output_check: protocol of the check.
    """

    pipe: Any
    draw: Draw
    gate: PromptGate
    judge: Protocol
    output_check: Protocol
    _drawn: dict[tuple[str, str, str], Seen | str] = field(
        default_factory=dict[tuple[str, str, str], Seen | str]
    )

    @cached_property
    def _fault(self) -> str | None:
        """Why the prompt check does not hold for the pipeline, which stays the same here."""
        return self.gate.fault(self.pipe, bind_call(self.pipe, (), {"prompt": "a picture"}))

    def ask(self, defence: Defence, texts: Sequence[str], prompt: Prompt) -> list[Query]:
        """Return the answers to these texts."""
        found: list[Query | None] = []
        to_draw: list[str] = []
        for text in texts:
            refused, drawn = self._before(defence, text, prompt)
            found.append(Query(text=text, refused=refused, seen=None) if refused else None)
            to_draw.append(drawn)
        wanted = [text for one, text in zip(found, to_draw, strict=True) if one is None]
        self._look(defence.guidance, list(dict.fromkeys(wanted)), prompt)
        return [
            self._after(defence, text, drawn, prompt) if one is None else one
            for one, text, drawn in zip(found, texts, to_draw, strict=True)
        ]

    def remember(self, defence: Defence, prompt: Prompt, queries: Sequence[Query]) -> None:
        """Learn what pictures of an earlier process were, so that they are not drawn again."""
        for one in queries:
            if one.seen is not None and not defence.checks_prompts:
                self._drawn[(defence.guidance, prompt.id, one.text)] = one.seen

    def _before(self, defence: Defence, text: str, prompt: Prompt) -> tuple[str | None, str]:
        """Return why nothing is drawn, or None, and the text that is drawn from."""
        try:
            check_text(text, prompt.categories)
        except UnusableError as error:
            return error.reason, text
        if not defence.checks_prompts:
            return None, text
        call = bind_call(self.pipe, (), {"prompt": text})
        texts, _, reason, _ = self.gate.check(self.pipe, call, self._fault)
        return reason, texts.get("prompt", text)

    def _after(self, defence: Defence, text: str, drawn: str, prompt: Prompt) -> Query:
        seen = self._drawn[(defence.guidance, prompt.id, drawn)]
        if isinstance(seen, str):
            return Query(text=text, refused=seen, seen=None)
        stopped = defence.checks_images and seen.stopped
        return Query(text=text, refused="output refused" if stopped else None, seen=seen)

    def _look(self, guidance: AttackedGuidance, texts: Sequence[str], prompt: Prompt) -> None:
        """Draw and judge what was not drawn before."""
        new = [text for text in texts if (guidance, prompt.id, text) not in self._drawn]
        if not new:
            return
        try:
            pictures = self.draw(guidance, new, prompt)
        except SafelatentError:
            if len(new) == 1:
                self._drawn[(guidance, prompt.id, new[0])] = NOT_GUARDED
                return
            for text in new:  # one of them must not cost the others
                self._look(guidance, [text], prompt)
            return
        judged = self.judge.judge(pictures)
        checked = judge([self.output_check], pictures)
        for text, judgement, checks in zip(new, judged, checked, strict=True):
            scores = [one.score for one in judgement.verdicts.values() if one.score is not None]
            self._drawn[(guidance, prompt.id, text)] = (
                NOT_JUDGED
                if judgement.label == "error"
                else Seen(
                    score=max(scores, default=0.0),
                    inappropriate=judgement.label == "inappropriate",
                    stopped=finding(checks) is not None,
                )
            )


def drawer(pipe: Any, *, steps: int) -> Draw:
    """Return what draws guarded pictures at the strength of *strong*, all of a prompt's texts from
    the prompt's noise.
    """
    guarded = {guidance: guard(pipe, method) for guidance, method in METHODS.items()}

    def draw(guidance: AttackedGuidance, texts: Sequence[str], prompt: Prompt) -> list[Image.Image]:
        noise = [torch.Generator("cpu").manual_seed(prompt.seed) for _ in texts]
        out = guarded[guidance](
            list(texts),
            num_inference_steps=steps,
            guidance_scale=prompt.guidance_scale,
            generator=noise,
        )
        return list(out.images)

    return draw


def vocabulary(pipe: Any) -> list[str]:
    """Return the whole words among the tokens of the pipeline's tokenizer, sorted."""
    words = {
        token.removesuffix("</w>").lstrip("\u0120\u2581").lower()
        for token in pipe.tokenizer.get_vocab()
    }
    return sorted(word for word in words if word.isascii() and word.isalpha() and len(word) > 2)

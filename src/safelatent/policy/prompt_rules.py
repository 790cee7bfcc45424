"""A policy's prompt rules at work: the text is brought into its normal form, scored, and read by a
classifier where the policy names one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from safelatent.errors import BadValueError, SafelatentError, UnsupportedError
from safelatent.hub import check_commit, is_hub_id
from safelatent.policy.arguments import NEGATIVES, TEXTS
from safelatent.policy.decision import Check, Reason
from safelatent.policy.normal_text import normal_text
from safelatent.policy.output_check import in_time
from safelatent.policy.parts import CLASSIFIER_THRESHOLD, PromptRules
from safelatent.policy.prompt_check import Calibration, features
from safelatent.prompts import check_text
from safelatent.text import one_line

Checked = tuple[dict[str, str], tuple[Check, ...], Reason | None, str]
Classifier = Callable[[str], float]  # the probability of the labels that count


@dataclass(frozen=True, kw_only=True)
class PromptGate:
    """The checks of a prompt.

    Attributes:
        calibration: of the pipeline's text encoder, or None.
        threshold: at or above which a score is refused.
        classifier: or None.
        classifier_threshold: at or above which a probability is refused.
        seconds: within which the classifier must answer; None: however long it takes.
    """

    calibration: Calibration | None = None
    threshold: float = 1.0
    classifier: Classifier | None = None
    classifier_threshold: float = CLASSIFIER_THRESHOLD
    seconds: float | None = None

    @classmethod
    def of(cls, rules: PromptRules, seconds: float | None = None) -> PromptGate:
        """Load what the rules name.

        Raises:
            BadValueError: a threshold without a check, or a file that is none.
            UnsupportedError: the classifier cannot be loaded.
        """
        if rules.threshold is not None and rules.calibration is None:
            raise BadValueError(
                "the policy has a threshold for prompts and no calibration; name one under"
                " [prompt], as written by: safelatent policy calibrate"
            )
        calibration = Calibration.load(rules.calibration) if rules.calibration else None
        own = 1.0 if calibration is None else calibration.threshold
        limit = rules.classifier_threshold
        return cls(
            calibration=calibration,
            threshold=own if rules.threshold is None else rules.threshold,
            classifier=_classifier(rules) if rules.classifier else None,
            classifier_threshold=CLASSIFIER_THRESHOLD if limit is None else limit,
            seconds=seconds,
        )

    def fault(self, pipe: Any, arguments: Mapping[str, Any]) -> str | None:
        """Return why the calibration does not hold for the pipeline's text encoder, or None.

        Once per call: the encoder may be another one than in the last.
        """
        try:
            if self.calibration is not None:
                self.calibration.check_encoder(pipe, arguments)
        except SafelatentError as error:
            return str(error)
        return None

    def check(self, pipe: Any, arguments: Mapping[str, Any], fault: str | None) -> Checked:
        """Check the prompts of a call for one image.

        Args:
            fault: what ``fault`` found for the call.

        Returns:
            The prompts to draw from, the checks, and the reason if the prompt is refused, with a
            message.
        """
        texts: dict[str, str] = {}
        for name in (*TEXTS, *NEGATIVES):
            value = arguments.get(name)
            text = value[0] if isinstance(value, list) else value
            if text is None:
                continue
            try:
                texts[name] = normal_text(text)
                if name in TEXTS:
                    check_text(texts[name])
                    check_text(" ".join(texts.values()))  # one picture is drawn from all of them
            except SafelatentError as error:
                return {}, (), "prompt refused", str(error)
        checks: list[Check] = []
        for name in TEXTS:
            if name in texts:
                checks += self._checks(pipe, texts[name], arguments, fault)
        failed = next((one for one in checks if one.label == "error"), None)
        bad = next((one for one in checks if one.label == "inappropriate"), None)
        if failed is not None:
            return texts, tuple(checks), "checker failed", f"{failed.name}: {failed.message}"
        if bad is not None:
            message = f"{bad.name} {bad.score:.2f}, from {bad.threshold:.2f} on refused"
            return texts, tuple(checks), "prompt refused", message
        return texts, tuple(checks), None, ""

    def _checks(
        self, pipe: Any, text: str, arguments: Mapping[str, Any], fault: str | None
    ) -> list[Check]:
        found: list[Check] = []
        if self.calibration is not None:
            score = fault or self._scored(pipe, text, arguments)
            found.append(_judged("prompt", score, self.threshold))
        if self.classifier is not None:
            try:
                score = in_time(partial(self.classifier, text), self.seconds)
            except Exception as error:  # noqa: BLE001  # whatever it raises, nothing was seen as safe
                score = one_line(error)
            found.append(_judged("classifier", score, self.classifier_threshold))
        return found

    def _scored(self, pipe: Any, text: str, arguments: Mapping[str, Any]) -> float | str:
        assert self.calibration is not None
        try:
            return float(self.calibration.score(features(pipe, text, arguments)[None])[0])
        except SafelatentError as error:
            return str(error)


def _judged(name: str, score: float | str, threshold: float) -> Check:
    """A score that is not in [0, 1], or that is missing, is an error."""
    if isinstance(score, str) or not 0 <= score <= 1:
        message = score if isinstance(score, str) else f"it answered {score}"
        return Check(name=name, label="error", threshold=threshold, message=message)
    label = "inappropriate" if score >= threshold else "safe"
    return Check(name=name, label=label, score=score, threshold=threshold)


def _classifier(rules: PromptRules) -> Classifier:
    """A text classifier of transformers, by name; safetensors only.

    Raises:
        BadValueError: it does not have one of the labels, or the revision of a Hub id is no commit.
        UnsupportedError: it cannot be loaded.
    """
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    name = str(rules.classifier)
    if is_hub_id(name):
        check_commit(name, rules.revision)
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, revision=rules.revision)
        model = AutoModelForSequenceClassification.from_pretrained(
            name, revision=rules.revision, use_safetensors=True
        ).eval()
    except (ImportError, KeyError, OSError, ValueError) as error:  # a folder may hold anything
        raise UnsupportedError(
            f"the policy's classifier {name!r} cannot be loaded: {one_line(error)}; name a folder"
            " or a Hub id with a text classifier of transformers, with weights as safetensors"
        ) from None
    labels = [str(label) for label in model.config.id2label.values()]
    if missing := [label for label in rules.unsafe if label not in labels]:
        raise BadValueError(
            f"the classifier {name!r} has no label {missing[0]!r}; its labels are"
            f" {', '.join(labels)}"
        )
    counted = [labels.index(label) for label in rules.unsafe]
    most = tokenizer.model_max_length
    most = min(most, getattr(model.config, "max_position_embeddings", most))

    def probability(text: str) -> float:
        tokens = tokenizer(text, return_tensors="pt")
        count = tokens["input_ids"].shape[-1]
        if count > most:  # cut off, the rest of it would be drawn from unread
            raise BadValueError(
                f"the prompt has {count} tokens, and the classifier {name!r} reads {most};"
                " shorten it"
            )
        with torch.no_grad():
            odds = model(**tokens).logits[0].float().softmax(dim=0)
        return float(odds[counted].sum().clamp(0, 1))

    return probability

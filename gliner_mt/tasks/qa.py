"""Question answering: spans of the text are matched with the questions themselves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from gliner_mt.errors import InputError
from gliner_mt.tasks.base import Candidates, Found, Kind, Label, Queries
from gliner_mt.tasks.parsing import at_least_one, own_threshold
from gliner_mt.types import Answer, Span


@final
@dataclass(frozen=True, init=False)
class QA:
    """Answer questions with spans of the text; answers `list[list[Answer]]`, a list for each question.

    The lists are in the order of the questions, one question being a list of one. Each holds up to `top`
    answers, best first, none of which overlap; it is empty if none exceeds `threshold` (None or "auto": the
    model's), for then the text does not say. Answers are spans of the text, up to the model's width or whole
    sentences, never of a question.
    """

    questions: tuple[str, ...]
    threshold: float | None = None
    top: int = 3

    def __init__(
        self, questions: str | Sequence[str], *, threshold: float | str | None = None, top: int = 3
    ) -> None:
        given = (questions,) if isinstance(questions, str) else questions
        if not isinstance(given, Sequence) or isinstance(given, bytes):
            raise InputError(f"questions is a {type(given).__name__}; expected a question or a list of them.")
        if not given:
            raise InputError('questions is empty; expected at least one, such as "Who signed?".')
        object.__setattr__(self, "questions", tuple(_question(one) for one in given))
        object.__setattr__(self, "threshold", own_threshold(threshold, "threshold"))
        object.__setattr__(self, "top", at_least_one(top, "top"))

    def queries(self) -> tuple[Queries]:
        """Return the questions as labels, each with answers of its own."""
        labels = tuple(Label(question) for question in dict.fromkeys(self.questions))
        candidates = Candidates.WORDS_AND_SENTENCES
        return (Queries(labels, self.threshold, by_label=True, candidates=candidates, kind=Kind.ANSWERS),)

    def result(self, found: Sequence[Found]) -> list[list[Answer]]:
        """Return the best answers to each question."""
        by_question: dict[str, list[Span]] = {question: [] for question in self.questions}
        for span in found[0].spans:
            by_question[span.label].append(span)
        return [self._best(by_question[question]) for question in self.questions]

    def _best(self, spans: Sequence[Span]) -> list[Answer]:
        best: list[Span] = []
        for span in sorted(spans, key=lambda span: (-span.score, span.end - span.start)):
            if len(best) < self.top and not any(span.start < x.end and x.start < span.end for x in best):
                best.append(span)
        return [Answer(span.start, span.end, span.text, span.score) for span in best]


def _question(question: object) -> str:
    if not isinstance(question, str):
        raise InputError(f"question {question!r} is a {type(question).__name__}; expected a string.")
    if not question.strip():
        raise InputError(f"question {question!r} is empty; expected one such as 'Who signed?'.")
    return " ".join(question.split())

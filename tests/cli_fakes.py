"""A model's stand-in, which finds names by their spelling. Run as a script: the command line with it."""

import re
import time
from collections.abc import Iterable, Iterator
from itertools import permutations
from typing import Any

from gliner_mt import cli
from gliner_mt.errors import CheckpointError
from gliner_mt.options import ModelChoice
from gliner_mt.tasks import Candidates, Evidence, Found, Label, PairQueries, Queries, Task
from gliner_mt.types import Relation, Span

PATTERNS = {
    "person": r"Ada|Bob",
    "city": r"London|Paris",
    "place": r"London Bridge|London",
    "predicate": r"saw|met",
    "argument": r"Ada|Bob|London",
    "Where?": r"London|Paris",
    "Who?": r"Ada|Bob",
}
ROLES = {"Ada": "subject", "Bob": "object", "London": "place"}


class FakeExtractor:
    """Reads `ahead` texts before it answers the first, as the real one does."""

    def __init__(self, choice: ModelChoice, ahead: int = 3) -> None:
        self.choice = choice
        self.ahead = ahead

    def extract(self, text: str, task: Task[Any]) -> Any:  # noqa: ANN401 - whatever the task answers
        if "slow" in text:
            time.sleep(30)
        return task.result([find(text, asked) for asked in task.queries()])

    def extract_many(self, texts: Iterable[str], task: Task[Any]) -> Iterator[Any]:
        waiting: list[str] = []
        for text in texts:
            waiting.append(text)
            if len(waiting) == self.ahead:
                yield self.extract(waiting.pop(0), task)
        for text in waiting:
            yield self.extract(text, task)

    def info(self) -> dict[str, str]:
        return {"name": self.choice.model or "embedded", "architecture": "fake", "size": "0 MB"}


def find(text: str, asked: Queries) -> Found:
    """Find what patterns say: entities in order, every sentence, classes that the text names."""
    if asked.candidates is Candidates.WHOLE:
        logits = tuple(2.0 if label.name in text else 0.0 for label in asked.labels)
        return Found([], [], [Evidence(len(text), logits)] if text else [])
    if asked.candidates is Candidates.SENTENCES:
        spans = matches(text, r"[^.\s][^.]*\.", asked.labels[0])
    elif asked.candidates is Candidates.GIVEN:
        spans = [Span(one.start, one.end, text[one.start : one.end], one.label, 1.0) for one in asked.given]
    else:
        spans = [
            span for label in asked.labels for span in matches(text, PATTERNS.get(label.name, "$^"), label)
        ]
    spans.sort(key=lambda span: (span.start, -span.end))
    return Found(spans, pairs(spans, asked.pairs) if asked.pairs else [], [])


def matches(text: str, pattern: str, label: Label) -> list[Span]:
    return [
        Span(match.start(), match.end(), match.group(), label.name, 0.9)
        for match in re.finditer(pattern, text)
    ]


def pairs(spans: list[Span], asked: PairQueries) -> list[Relation]:
    return [
        Relation(head, tail, relation.name, 0.8)
        for head, tail in permutations(spans, 2)
        for relation in asked.labels
        if relation.joins(head.label, tail.label) and holds(relation.name, head, tail)
    ]


def holds(name: str, head: Span, tail: Span) -> bool:
    """Say whether a predicate has an argument in a role, or one entity stands before another."""
    return ROLES[tail.text] == name if head.label == "predicate" else head.start < tail.start


def load_fake(choice: ModelChoice) -> FakeExtractor:
    if choice.model == "no/such-model":
        raise CheckpointError("there is no model 'no/such-model'; expected a folder\nor a name on the hub.")
    return FakeExtractor(choice)


if __name__ == "__main__":
    cli.load_extractor = load_fake
    cli.main()

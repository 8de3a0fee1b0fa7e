"""A model's stand-in, which finds names by their spelling. Run as a script: the command line with it."""

import re
import time
from collections.abc import Iterable, Iterator

from gliner_mt import cli
from gliner_mt.errors import CheckpointError
from gliner_mt.options import ModelChoice
from gliner_mt.tasks import NER
from gliner_mt.types import Span

PATTERNS = {"person": r"Ada|Bob", "city": r"London|Paris", "place": r"London Bridge|London"}


class FakeExtractor:
    """Reads `ahead` texts before it answers the first, as the real one does."""

    def __init__(self, choice: ModelChoice, ahead: int = 3) -> None:
        self.choice = choice
        self.ahead = ahead

    def extract(self, text: str, task: NER) -> list[Span]:
        if "slow" in text:
            time.sleep(30)
        spans = [
            Span(match.start(), match.end(), match.group(), label.name, 0.9)
            for label in task.labels
            for match in re.finditer(PATTERNS.get(label.name, "$^"), text)
        ]
        return sorted(spans, key=lambda span: (span.start, -span.end))

    def extract_many(self, texts: Iterable[str], task: NER) -> Iterator[list[Span]]:
        waiting: list[str] = []
        for text in texts:
            waiting.append(text)
            if len(waiting) == self.ahead:
                yield self.extract(waiting.pop(0), task)
        for text in waiting:
            yield self.extract(text, task)

    def info(self) -> dict[str, str]:
        return {"name": self.choice.model or "embedded", "architecture": "fake", "size": "0 MB"}


def load_fake(choice: ModelChoice) -> FakeExtractor:
    if choice.model == "no/such-model":
        raise CheckpointError("there is no model 'no/such-model'; expected a folder\nor a name on the hub.")
    return FakeExtractor(choice)


if __name__ == "__main__":
    cli.load_extractor = load_fake
    cli.main()

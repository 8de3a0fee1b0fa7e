"""Summaries: the sets that teach which sentences matter.

Metrics: `selection_f1` and `rouge_scores`.
"""

from collections.abc import Mapping
from pathlib import Path

from gliner_mt.formats import read_summaries
from gliner_mt.types import SummaryExample
from tasks.sets import Dataset, development_sets, training_sets

# People selected the sentences of qmsum_query_spans; those of scitldr_oracle have the best ROUGE.
TRAINING: Mapping[str, Dataset] = {
    "qmsum_query_spans": Dataset("Yale-LILY/QMSum", "MIT"),
    "scitldr_oracle": Dataset("allenai/scitldr", "Apache-2.0"),
}


def training_examples(data: Path) -> dict[str, list[SummaryExample]]:
    """Return the training examples of each set."""
    return training_sets(data / "summarization", TRAINING, read_summaries)


def dev_sets(data: Path, limit: int) -> dict[str, list[SummaryExample]]:
    """Return up to `limit` development examples of each set."""
    return development_sets(data / "summarization", TRAINING, read_summaries, limit)


def lead_sentences(example: SummaryExample, count: int) -> tuple[int, ...]:
    """Return the indices of the first `count` sentences: the plain baseline."""
    return tuple(range(min(count, len(example.sentences))))

"""Classification: the sets that teach it, and those to judge zero-shot quality by.

Metric: `class_scores`.
"""

from collections.abc import Mapping
from pathlib import Path

from gliner_mt.formats import read_classes
from gliner_mt.types import ClassificationExample
from tasks.sets import Dataset, development_sets, training_sets

_POLYAI = "PolyAI-LDN/task-specific-datasets"

TRAINING: Mapping[str, Dataset] = {
    "clinc150": Dataset("clinc/oos-eval", "CC BY 3.0"),
    "hwu64_intent": Dataset("xliuhw/NLU-Evaluation-Data", "CC BY 4.0", dev="test"),
    "movie_reviews": Dataset("nltk/nltk_data", "CC BY 4.0", dev="test"),
    "nlupp_banking_multilabel": Dataset(_POLYAI, "CC BY 4.0", dev="test"),
    "nlupp_hotels_multilabel": Dataset(_POLYAI, "CC BY 4.0", dev="test"),
    "subjectivity": Dataset("nltk/nltk_data", "CC BY 4.0"),
}
ZERO_SHOT: Mapping[str, Dataset] = {
    "banking77": Dataset(_POLYAI, "CC BY 4.0", dev="test"),
    "cooking_topics": Dataset("explosion/projects", "MIT; StackExchange text CC BY-SA", dev="test"),
}

# A text may have several classes in these; in the others it has exactly one.
MULTI_LABEL = ("cooking_topics", "nlupp_banking_multilabel", "nlupp_hotels_multilabel")


def training_examples(data: Path) -> dict[str, list[ClassificationExample]]:
    """Return the training examples of each set."""
    return training_sets(data / "classification", TRAINING, read_classes)


def dev_sets(data: Path, limit: int) -> dict[str, list[ClassificationExample]]:
    """Return up to `limit` development examples of each set, those never trained on among them."""
    return development_sets(data / "classification", {**TRAINING, **ZERO_SHOT}, read_classes, limit)

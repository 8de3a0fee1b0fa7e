"""Question answering: the sets that teach it, and those to judge zero-shot quality by.

Metric: `qa_scores`.
"""

from collections.abc import Mapping
from pathlib import Path

from gliner_mt.formats import read_questions
from gliner_mt.types import QAExample
from tasks.sets import Dataset, development_sets, training_sets

TRAINING: Mapping[str, Dataset] = {
    "cuad_qa": Dataset("TheAtticusProject/cuad, maastrichtlawtech/law3027", "CC BY 4.0"),
    "qamr": Dataset("uwnlp/qamr", "MIT; Wikipedia text CC BY-SA, Wikinews CC BY", dev="test"),
    "squadshifts_wiki": Dataset("modestyachts/squadshifts-website", "CC BY 4.0; Wikipedia text CC BY-SA"),
}
ZERO_SHOT: Mapping[str, Dataset] = {
    "clapnq": Dataset("primeqa/clapnq", "Apache-2.0; Wikipedia text"),
    "qed": Dataset("google-research-datasets/QED", "CC BY-SA 3.0, GFDL"),
}


def training_examples(data: Path) -> dict[str, list[QAExample]]:
    """Return the training examples of each set."""
    return training_sets(data / "qa", TRAINING, read_questions)


def dev_sets(data: Path, limit: int) -> dict[str, list[QAExample]]:
    """Return up to `limit` development examples of each set, those never trained on among them."""
    return development_sets(data / "qa", {**TRAINING, **ZERO_SHOT}, read_questions, limit)


def gold_answers(example: QAExample) -> list[str]:
    """Return the wordings of the gold answers, as `qa_scores` compares them."""
    return [example.text[answer.start : answer.end] for answer in example.answers]

"""Open information extraction: the sets that teach it, and those for evaluation alone.

Metrics: `carb_matches` for each sentence, then `carb_scores`.
"""

from collections.abc import Mapping
from pathlib import Path

from gliner_mt.formats import read_tuples
from gliner_mt.types import OpenIEExample
from tasks.sets import Dataset, development_sets, training_sets

TRAINING: Mapping[str, Dataset] = {
    "oie2016_wiki": Dataset("gabrielStanovsky/supervised-oie", "MIT; Wikipedia text"),
    "qanom": Dataset("kleinay/QANom", "MIT; Wikipedia and Wikinews text"),
    "qasrl_gold": Dataset("plroit/qasrl-gs", "MIT; Wikipedia and Wikinews text", train="dev", dev="test"),
}
EVALUATION_ONLY: Mapping[str, Dataset] = {
    "carb": Dataset("dair-iitd/CaRB", "MIT; part of the text is the Penn Treebank's"),
    "wire57": Dataset("rali-udem/WiRe57", "none stated", dev="test"),
}


def training_examples(data: Path) -> dict[str, list[OpenIEExample]]:
    """Return the training examples of each set."""
    return training_sets(data / "openie", TRAINING, read_tuples)


def dev_sets(data: Path, limit: int) -> dict[str, list[OpenIEExample]]:
    """Return up to `limit` development examples of each set."""
    return development_sets(data / "openie", TRAINING, read_tuples, limit)


def evaluation_sets(data: Path, limit: int) -> dict[str, list[OpenIEExample]]:
    """Return up to `limit` examples of each set that must never be trained on."""
    return development_sets(data / "openie", EVALUATION_ONLY, read_tuples, limit)

"""Relations: the sets that teach them, those to judge zero-shot quality by, and those for evaluation alone.

Metrics: `strict_relation_f1`, `boundary_relation_f1` and, with given entities, `pair_scores`.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from gliner_mt.formats import read_relations
from gliner_mt.train.drawing import RelationNames
from gliner_mt.types import RelationExample
from tasks.sets import Dataset, development_sets, training_sets

_WIKIPEDIA = "MIT; Wikipedia text CC BY-SA"

TRAINING: Mapping[str, Dataset] = {
    "knowledgenet": Dataset("diffbot/knowledge-net", "CC BY-SA 4.0", dev="test"),
    "materials_syntheses": Dataset("olivettigroup/annotated-materials-syntheses", "MIT"),
    "re3d": Dataset("dstl/re3d", "OGL v3, CC BY, CC BY-SA or US public domain, by source", dev="test"),
    "re_docred": Dataset("tonytan48/Re-DocRED", _WIKIPEDIA, dev="test"),
    "risec_recipes": Dataset("YiweiJiang2015/RISeC", "MIT"),
    "semeval2010_task8": Dataset("sahitya0000/Relation-Classification", "CC BY 3.0", dev="test"),
    "somesci": Dataset("dave-s477/SoMeSci", "CC BY 4.0"),
    "wet_lab_protocols": Dataset("chaitanya2334/WLP-Dataset", "MIT"),
    "wiki80": Dataset("thunlp/RE-Context-or-Names", _WIKIPEDIA, dev="test"),
}
ZERO_SHOT: Mapping[str, Dataset] = {"fewrel_wiki": Dataset("thunlp/FewRel", _WIKIPEDIA)}
EVALUATION_ONLY: Mapping[str, Dataset] = {
    "ade": Dataset("trunghlt/AdverseDrugReaction", "none stated", dev="test"),
    "conll04": Dataset("YoumiMa/TablERT-CNN", "none stated", dev="test"),
    "scierc": Dataset("JerryHao2001/thesis-tanl", "none stated", dev="test"),
}

# Only one pair of a sentence is annotated in these: whether others are related is unknown.
ONE_PAIR = ("fewrel_wiki", "semeval2010_task8", "wiki80")


def training_examples(data: Path) -> dict[str, list[RelationExample]]:
    """Return the training examples of each set."""
    return training_sets(data / "re", TRAINING, read_relations)


def dev_sets(data: Path, limit: int) -> dict[str, list[RelationExample]]:
    """Return up to `limit` development examples of each set, those never trained on among them."""
    return development_sets(data / "re", {**TRAINING, **ZERO_SHOT}, read_relations, limit)


def evaluation_sets(data: Path, limit: int) -> dict[str, list[RelationExample]]:
    """Return up to `limit` examples of each set that must never be trained on."""
    return development_sets(data / "re", EVALUATION_ONLY, read_relations, limit)


def relation_names(data: Path) -> dict[str, RelationNames]:
    """Return what `labels.json` of the data folder says of the sets' relations."""
    relations = json.loads((data / "labels.json").read_text(encoding="utf-8"))["relations"]
    return {
        label: RelationNames(
            tuple(values.get("aliases", ())),
            tuple(values.get("inverse", ())),
            bool(values.get("symmetric", False)),
            values.get("description", ""),
        )
        for label, values in relations.items()
    }

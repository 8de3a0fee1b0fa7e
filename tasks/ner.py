"""Named entities: the sets that teach the embedded model, and the sets that it is judged on but never sees.

`docs/data.md` says where each set comes from and under which licence. The weight of a set grows with the
square root of its size, so that no large set drowns the small ones; `share` raises or lowers it.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from gliner_mt.formats.records import read_examples
from gliner_mt.train.entities import Source
from gliner_mt.train.sampling import LabelNames
from gliner_mt.types import Example

ZERO_SHOT = ("wnut17", "gum_named", "cyner", "tasteset", "snips", "bionlp13cg")
WRITTEN = Path(__file__).parent / "written"
_MAX_EMPTY = 0.25


@dataclass(frozen=True, slots=True)
class Dataset:
    """A set of the data folder: its share beyond the square root of its size, and its domain if it has one.

    Labels of other domains that its own domain does not know are true negatives in it.
    """

    share: float = 1.0
    domain: str = ""


TRAINING: Mapping[str, Dataset] = {
    "anatem": Dataset(domain="biomedicine"),
    "annoctr": Dataset(),
    "bc2gm": Dataset(0.3, domain="biomedicine"),
    "bc5cdr": Dataset(0.6, domain="biomedicine"),
    "bib_references": Dataset(0.5, domain="references"),
    "bionlp11id": Dataset(0.6, domain="biomedicine"),
    "bionlp13pc": Dataset(0.6, domain="biomedicine"),
    "broad_twitter": Dataset(1.2),
    "craft": Dataset(0.6, domain="biomedicine"),
    "cuad": Dataset(0.15),
    "facebook_top_en": Dataset(0.2, domain="assistant"),
    "grobid_ner": Dataset(1.2),
    "hwu64": Dataset(0.8, domain="assistant"),
    "jnlpba": Dataset(0.3, domain="biomedicine"),
    "linnaeus": Dataset(0.4, domain="biomedicine"),
    "litbank": Dataset(0.3),
    "materials_syntheses": Dataset(domain="materials"),
    "multiconer1_en": Dataset(0.8),
    "multiconer2_en": Dataset(0.8),
    "multidogo": Dataset(0.5, domain="assistant"),
    "multiner_gov_en": Dataset(0.5),
    "ncbi_disease": Dataset(0.6, domain="biomedicine"),
    "nlupp_banking": Dataset(0.8, domain="assistant"),
    "nlupp_hotels": Dataset(0.8, domain="assistant"),
    "presidio_pii_synthetic": Dataset(),
    "re3d": Dataset(1.5),
    "recognizers_text": Dataset(),
    "restaurant8k": Dataset(0.4, domain="assistant"),
    "risec_recipes": Dataset(1.2),
    "sec_filings": Dataset(0.8),
    "sgd": Dataset(0.6, domain="assistant"),
    "skillspan": Dataset(0.6, domain="job ads"),
    "slurp": Dataset(domain="assistant"),
    "sofc_exp": Dataset(0.8, domain="materials"),
    "somesci": Dataset(0.8),
    "stackoverflow_ner": Dataset(0.8, domain="programming"),
    "tdmsci": Dataset(domain="computer science"),
    "uner_en_ewt": Dataset(1.2),
    "us_addresses": Dataset(0.6, domain="addresses"),
    "wet_lab_protocols": Dataset(0.6, domain="laboratory"),
    "wikigold": Dataset(1.5),
}


def training_sources(data: Path, authored_share: float, seed: int = 0) -> list[Source]:
    """Return the sets to draw from; `authored_share` of the rows is of passages written for this project."""
    sources = []
    for name, dataset in TRAINING.items():
        examples = _fewer_empty(list(read_examples(data / "ner" / f"{name}.train.jsonl.gz")), seed)
        sources.append(Source(name, examples, dataset.share * math.sqrt(len(examples)), dataset.domain))
    passages = {"authored": list(read_examples(data / "authored" / "authored.train.jsonl.gz"))}
    passages |= {path.stem: list(read_examples(path)) for path in sorted(WRITTEN.glob("*.jsonl"))}
    of_sets, of_passages = sum(s.weight for s in sources), sum(len(p) for p in passages.values())
    scale = authored_share / (1 - authored_share) * of_sets / of_passages
    sources += [Source(name, p, len(p) * scale, packable=False) for name, p in passages.items()]
    return sources


def label_names(data: Path) -> dict[str, LabelNames]:
    """Return aliases and descriptions of the sets' labels, from `labels.json` of the data folder."""
    entities = json.loads((data / "labels.json").read_text(encoding="utf-8"))["entities"]
    return {
        label: LabelNames(tuple(values.get("aliases", ())), values.get("description", ""))
        for label, values in entities.items()
    }


def dev_sets(data: Path, limit: int) -> dict[str, list[Example]]:
    """Return up to `limit` examples of every zero-shot set and of the dev split of `authored`."""
    authored = list(read_examples(data / "authored" / "authored.dev.jsonl.gz"))
    return {**zero_shot_sets(data, limit), "authored": authored[:limit]}


def zero_shot_sets(data: Path, limit: int) -> dict[str, list[Example]]:
    """Return up to `limit` test examples of each zero-shot set, always the same ones."""
    sets = {}
    for name in ZERO_SHOT:
        examples = list(read_examples(data / "ner" / f"{name}.test.jsonl.gz"))
        Random(0).shuffle(examples)
        sets[name] = examples[:limit]
    return sets


def _fewer_empty(examples: list[Example], seed: int) -> list[Example]:
    """Keep no more texts without entities than `_MAX_EMPTY` of all."""
    full = [example for example in examples if example.entities]
    empty = [example for example in examples if not example.entities]
    Random(seed).shuffle(empty)
    return full + empty[: round(len(full) * _MAX_EMPTY / (1 - _MAX_EMPTY))]

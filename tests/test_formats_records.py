"""This project's own format, and the lists of sets that are read with it."""

import gzip
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gliner_mt.errors import InputError
from gliner_mt.formats import (
    read_classes,
    read_passages,
    read_questions,
    read_relations,
    read_summaries,
    read_tuples,
)
from gliner_mt.formats.records import offsets
from gliner_mt.types import (
    ClassificationExample,
    Entity,
    Example,
    GoldRelation,
    GoldTuple,
    Offsets,
    OpenIEExample,
    Part,
    QAExample,
    SummaryExample,
)
from tasks import classification, openie, qa, relations, summarization
from tasks.sets import Dataset

TEXT = "Ada lives in Paris. She sings."
ADA, PARIS = {"start": 0, "end": 3}, {"start": 13, "end": 18}
RELATIONS = {
    "text": TEXT,
    "entities": [ADA | {"label": "person"}, PARIS | {"label": "city"}],
    "relations": [{"head": 0, "tail": 1, "label": "lives in"}],
    "labels": ["lives in", "works for"],
    "entity_labels": ["city", "company", "person"],
}
QUESTION = {"text": TEXT, "question": "Where does Ada live?", "answers": [PARIS]}
TUPLES = {
    "text": TEXT,
    "tuples": [
        {"subject": ADA | {"text": "Ada"}, "predicate": {"start": 4, "end": 9}, "arguments": [PARIS]},
        {"subject": None, "predicate": {"text": "is", "question": "Who?"}, "arguments": []},
    ],
}
SUMMARY = {
    "text": TEXT,
    "sentences": [
        {"start": 0, "end": 19, "selected": True},
        {"start": 20, "end": 20, "selected": False},
        {"start": 20, "end": 30, "selected": False},
    ],
    "summary": "Ada lives in Paris.",
}
CLASSES = {"text": TEXT, "labels": ["news", "sport"], "gold": ["news"]}
PASSAGE = {
    "text": TEXT,
    "domain": "news",
    "entities": RELATIONS["entities"],
    "labels": ["city", "person"],
    "relations": RELATIONS["relations"],
    "relation_labels": ["lives in"],
    "qa": [{"question": "Who sings?", "answers": [ADA]}],
    "triples": [{"subject": ADA, "predicate": {"start": 4, "end": 9}, "object": PARIS}],
    "topics": ["people"],
    "key": {"start": 0, "end": 19},
}


def write(path: Path, *records: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = "\n\n".join(json.dumps(record) for record in records).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def test_relations(tmp_path: Path) -> None:
    (example,) = read_relations(write(tmp_path / "set.jsonl.gz", RELATIONS))
    ada, paris = Entity(0, 3, "person"), Entity(13, 18, "city")
    assert example.entities == (ada, paris)
    assert example.relations == (GoldRelation(ada, paris, "lives in"),)
    assert example.entity_labels == ("city", "company", "person")
    assert example.labels == ("lives in", "works for")


def test_types_that_are_not_given_are_those_that_occur(tmp_path: Path) -> None:
    record = {key: RELATIONS[key] for key in ("text", "entities", "relations")}
    (example,) = read_relations(write(tmp_path / "set.jsonl", record))
    assert (example.entity_labels, example.labels) == (("city", "person"), ("lives in",))


def test_questions(tmp_path: Path) -> None:
    unanswerable = QUESTION | {"answers": []}
    first, second = read_questions(write(tmp_path / "set.jsonl", QUESTION, unanswerable))
    assert first == QAExample(TEXT, "Where does Ada live?", (Offsets(13, 18),))
    assert qa.gold_answers(first) == ["Paris"]
    assert second.answers == ()


def test_tuples(tmp_path: Path) -> None:
    (example,) = read_tuples(write(tmp_path / "set.jsonl", TUPLES))
    lives, paris = Part("lives", Offsets(4, 9)), Part("Paris", Offsets(13, 18))
    assert example.tuples == (
        GoldTuple(lives, Part("Ada", Offsets(0, 3)), (paris,)),
        GoldTuple(Part("is", None, "Who?"), None, ()),
    )


def test_summaries_leave_out_empty_sentences(tmp_path: Path) -> None:
    (example,) = read_summaries(write(tmp_path / "set.jsonl", SUMMARY))
    assert example == SummaryExample(TEXT, (Offsets(0, 19), Offsets(20, 30)), (0,), "Ada lives in Paris.")
    assert summarization.lead_sentences(example, 3) == (0, 1)


def test_classes(tmp_path: Path) -> None:
    (example,) = read_classes(write(tmp_path / "set.jsonl", CLASSES))
    assert example == ClassificationExample(TEXT, ("news", "sport"), ("news",))


def test_passages_carry_everything(tmp_path: Path) -> None:
    without_key = {key: value for key, value in PASSAGE.items() if key != "key"}
    passage, other = read_passages(write(tmp_path / "set.jsonl", PASSAGE, without_key))
    ada, paris = Entity(0, 3, "person"), Entity(13, 18, "city")
    assert passage.entities == Example(TEXT, (ada, paris), ("city", "person"))
    assert passage.relations.relations == (GoldRelation(ada, paris, "lives in"),)
    assert passage.questions == (QAExample(TEXT, "Who sings?", (Offsets(0, 3),)),)
    lives = GoldTuple(
        Part("lives", Offsets(4, 9)), Part("Ada", Offsets(0, 3)), (Part("Paris", Offsets(13, 18)),)
    )
    assert passage.triples == OpenIEExample(TEXT, (lives,))
    assert (passage.topics, passage.key, other.key) == (("people",), Offsets(0, 19), None)


@pytest.mark.parametrize(
    ("reader", "record"),
    [
        (read_relations, RELATIONS | {"relations": [{"head": 0, "tail": 2, "label": "x"}]}),
        (read_relations, RELATIONS | {"relations": [{"head": -1, "tail": 1, "label": "x"}]}),
        (read_relations, RELATIONS | {"entities": [{"start": 0, "end": 31, "label": "x"}]}),
        (read_relations, RELATIONS | {"labels": "lives in"}),
        (read_relations, RELATIONS | {"text": None}),
        (read_questions, QUESTION | {"answers": [{"start": 5, "end": 5}]}),
        (read_questions, QUESTION | {"answers": [{"start": 0.0, "end": 3}]}),
        (read_questions, QUESTION | {"answers": [ADA | {"text": "Eve"}]}),
        (read_questions, QUESTION | {"question": 3}),
        (read_tuples, {"text": TEXT, "tuples": [{"predicate": ADA, "arguments": []}]}),
        (read_tuples, {"text": TEXT, "tuples": [{"subject": None, "predicate": {}, "arguments": []}]}),
        (read_summaries, {"text": TEXT, "sentences": [ADA | {"selected": 1}]}),
        (read_summaries, {"text": TEXT, "sentences": [{"start": 20, "end": 19, "selected": True}]}),
        (read_classes, CLASSES | {"gold": ["war"]}),
        (read_passages, PASSAGE | {"key": {"start": -1, "end": 3}}),
        (read_passages, [PASSAGE]),
    ],
)
def test_broken_records_are_named(tmp_path: Path, reader: Callable[[Path], Any], record: object) -> None:
    good = {
        read_relations: RELATIONS,
        read_questions: QUESTION,
        read_tuples: TUPLES,
        read_summaries: SUMMARY,
        read_classes: CLASSES,
        read_passages: PASSAGE,
    }
    found = reader(write(tmp_path / "set.jsonl", good[reader], record))
    next(found)
    with pytest.raises(InputError, match=r"set\.jsonl, line 3: .*; expected an object with text"):
        next(found)


@given(st.text(max_size=12), st.integers(-2, 14), st.integers(-2, 14))
def test_offsets_are_places_in_the_text_or_refused(text: str, start: int, end: int) -> None:
    value = {"start": start, "end": end}
    if 0 <= start < end <= len(text):
        assert offsets(value | {"text": text[start:end]}, text) == Offsets(start, end)
        with pytest.raises(ValueError, match="not"):
            offsets(value | {"text": text[start:end] + "x"}, text)
    else:
        with pytest.raises(ValueError, match="is no place in a text"):
            offsets(value, text)


# Each task with the sets that it develops on without training on them, and those for evaluation alone.
TASKS: dict[str, tuple[Any, Mapping[str, Dataset], Mapping[str, Dataset], dict[str, Any]]] = {
    "re": (relations, relations.ZERO_SHOT, relations.EVALUATION_ONLY, RELATIONS),
    "qa": (qa, qa.ZERO_SHOT, {}, QUESTION),
    "openie": (openie, {}, openie.EVALUATION_ONLY, TUPLES),
    "summarization": (summarization, {}, {}, SUMMARY),
    "classification": (classification, classification.ZERO_SHOT, {}, CLASSES),
}


@pytest.mark.parametrize("folder", TASKS)
def test_sets_of_a_task(tmp_path: Path, folder: str) -> None:
    task, unseen, _, record = TASKS[folder]
    for name, dataset in {**task.TRAINING, **unseen}.items():
        write(tmp_path / folder / f"{name}.{dataset.train}.jsonl.gz", record)
        write(tmp_path / folder / f"{name}.{dataset.dev}.jsonl.gz", record, record, record)
    assert {name: len(found) for name, found in task.training_examples(tmp_path).items()} == dict.fromkeys(
        task.TRAINING, 1
    )
    assert {name: len(found) for name, found in task.dev_sets(tmp_path, 2).items()} == dict.fromkeys(
        {**task.TRAINING, **unseen}, 2
    )


def test_what_is_judged_on_is_never_trained_on() -> None:
    for task, unseen, kept, _ in TASKS.values():
        assert not {*unseen, *kept} & set(task.TRAINING)
        for dataset in task.TRAINING.values():
            assert dataset.train != dataset.dev
            assert dataset.licence != "none stated"


def test_evaluation_sets(tmp_path: Path) -> None:
    for folder in ("re", "openie"):
        task, _, kept, record = TASKS[folder]
        for name, dataset in kept.items():
            write(tmp_path / folder / f"{name}.{dataset.dev}.jsonl.gz", record)
        assert list(task.evaluation_sets(tmp_path, 5)) == list(kept)


def test_names_of_relations(tmp_path: Path) -> None:
    values = {"aliases": ["near"], "inverse": [], "symmetric": True, "description": "close"}
    (tmp_path / "labels.json").write_text(json.dumps({"relations": {"next to": values, "in": {}}}))
    names = relations.relation_names(tmp_path)
    assert names["next to"] == relations.RelationNames(("near",), (), True, "close")
    assert names["in"] == relations.RelationNames((), (), False, "")

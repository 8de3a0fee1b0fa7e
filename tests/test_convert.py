import json
import sys
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from format_writers import (
    ADA,
    ARROW,
    FORMS,
    ON_CHARACTERS,
    ON_WORDS,
    WOW,
    WRITERS,
    free_examples,
    parquet,
    record_of_gliner,
    saved,
    table_of,
    task_of_prodigy,
    word_examples,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gliner_mt.errors import InputError
from gliner_mt.formats import (
    FORMATS,
    detect,
    json_stream,
    read_annotated,
    read_as_examples,
)
from gliner_mt.formats.items import Columns, LeftOut
from gliner_mt.types import Entity, Example


def bare(items: Iterator[Any]) -> list[Example]:
    return [replace(item, labels=()) for item in items]


many = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("name", ON_CHARACTERS)
@many
@given(st.lists(free_examples(), min_size=1, max_size=4))
def test_any_text_and_span_survives(tmp_path: Path, name: str, examples: list[Example]) -> None:
    path = ON_CHARACTERS[name](tmp_path / "file", examples)
    assert bare(read_annotated(path, FORMATS[FORMS.get(name, name)])) == bare(iter(examples))


@pytest.mark.parametrize("name", [*ON_WORDS, *ARROW])
@many
@given(st.lists(word_examples(), min_size=1, max_size=4))
def test_words_and_their_spans_survive(tmp_path: Path, name: str, examples: list[Example]) -> None:
    path = WRITERS[name](tmp_path / "file", examples)
    assert bare(read_annotated(path, FORMATS[FORMS.get(name, name)])) == bare(iter(examples))


@pytest.mark.parametrize("name", WRITERS)
def test_a_format_is_told_by_what_a_file_holds(tmp_path: Path, name: str) -> None:
    path = WRITERS[name](tmp_path / "file", [WOW, ADA])
    assert detect(path).format.name == FORMS.get(name, name)
    assert list(read_as_examples(path)) == [
        # Types that a file of GLiNER's format does not state may be anything.
        replace(one, labels=tuple(sorted({e.label for e in one.entities})))
        if FORMS.get(name, name) == "gliner"
        else one
        for one in (WOW, ADA)
    ]


def test_spacy_docs(tmp_path: Path) -> None:
    import spacy  # takes seconds, which no other test has to wait
    from spacy.tokens import DocBin

    make = spacy.blank("en")
    docs = [make(ADA.text), make(WOW.text)]
    docs[0].set_ents([docs[0].char_span(e.start, e.end, e.label) for e in ADA.entities])
    docs[1].set_ents([])
    path = tmp_path / "train.spacy"
    DocBin(docs=docs).to_disk(path)
    assert detect(path).format.name == "spacy"
    assert list(read_as_examples(path)) == [ADA, WOW]
    grouped, bare_doc = make("New  York state"), make("no annotation")
    grouped.spans["sc"] = [grouped.char_span(0, 9, "city"), grouped.char_span(0, 15, "state")]
    DocBin(docs=[grouped, bare_doc], store_user_data=True).to_disk(path)
    assert list(read_annotated(path)) == [
        Example("New  York state", (Entity(0, 9, "city"), Entity(0, 15, "state")), ()),
        LeftOut("no entities annotated"),
    ]
    path.write_bytes(path.read_bytes()[:40])
    (error,) = read_annotated(path, FORMATS["spacy"])
    assert isinstance(error, InputError)
    assert "train.spacy: " in str(error)


def test_spacy_json_of_version_2(tmp_path: Path) -> None:
    tokens = [
        {"orth": w, "ner": t}
        for w, t in zip("Ada Lovelace sang .".split(), "B-P L-P O O".split(), strict=True)
    ]
    raw = {"raw": "Ada  Lovelace sang.", "sentences": [{"tokens": tokens[:2]}, {"tokens": tokens[2:]}]}
    plain = {"sentences": [{"tokens": tokens}]}
    none = {"sentences": [{"tokens": [{"orth": "hm"}]}]}
    lost = raw | {"raw": "Ada"}
    path = tmp_path / "train.json"
    path.write_text(
        json.dumps([{"id": 0, "paragraphs": [raw, plain, none]}, {"id": 1, "paragraphs": [lost]}])
    )
    assert detect(path).format.name == "spacy"
    *found, error = read_annotated(path)
    assert found == [
        Example("Ada  Lovelace sang.", (Entity(0, 13, "P"),), ()),
        Example("Ada Lovelace sang .", (Entity(0, 12, "P"),), ()),
        LeftOut("no entities annotated"),
    ]
    assert "paragraphs[0]: word 1, 'Lovelace', does not stand in the text" in str(error)


def region(start: int, end: int, text: str, *labels: str) -> dict[str, Any]:
    return {"type": "labels", "value": {"start": start, "end": end, "text": text, "labels": list(labels)}}


def test_label_studio(tmp_path: Path) -> None:
    text = "💩 Ada sang\nin London 👍"
    by_units = [region(3, 6, "Ada", "person", "poet"), region(7, 14, "sang\\nin", "act")]
    chosen = [region(2, 5, "Ada", "person"), {"type": "choices", "value": {"choices": ["good"]}}]
    tasks: list[dict[str, Any]] = [
        {"data": {"body": text}, "completions": [{"result": by_units}]},
        {
            "data": {"text": text, "title": "t"},
            "annotations": [
                {"result": [], "was_cancelled": True},
                {"result": by_units},
                {"result": chosen, "ground_truth": True},
            ],
        },
        {"data": {"text": text}, "annotations": [{"result": [], "was_cancelled": True}]},
        {"id": 3, "text": text, "annotator": 1, "label": [by_units[0]["value"]]},
        {"id": 4, "text": text, "annotator": 1},
    ]
    path = tmp_path / "export.json"
    path.write_text(json.dumps(tasks), encoding="utf-8")
    assert list(read_annotated(path)) == [
        Example(text, (Entity(2, 5, "person"), Entity(2, 5, "poet"), Entity(6, 13, "act")), ()),
        Example(text, (Entity(2, 5, "person"),), ()),
        LeftOut("not annotated"),
        Example(text, (Entity(2, 5, "person"), Entity(2, 5, "poet")), ()),
        Example(text, (), ()),
    ]


def test_prodigy(tmp_path: Path) -> None:
    tasks = [task_of_prodigy(ADA) | {"answer": answer} for answer in ("reject", "ignore", "accept")]
    path = tmp_path / "ner.jsonl"
    path.write_text("\n".join(map(json.dumps, [*tasks, {"text": "x", "answer": "accept"}])))
    first, second, *examples = read_annotated(path)
    assert (first, second) == (LeftOut("answer is 'reject'"), LeftOut("answer is 'ignore'"))
    assert examples == [replace(ADA, labels=()), Example("x", (), ())]


def test_gliner_with_stated_types(tmp_path: Path) -> None:
    record = record_of_gliner(ADA)
    path = tmp_path / "train.json"
    path.write_text(
        json.dumps([record | {"ner_negatives": ["date"]}, record | {"ner_labels": ["person", "x"]}])
    )
    assert [one.labels for one in read_as_examples(path)] == [
        ("city", "date", "person"),
        ("city", "person", "x"),
    ]


def test_tags_without_prefix_are_types(tmp_path: Path) -> None:
    names = ["O", "art-film", "person"]
    row = {"tokens": ["Ada", "Lovelace", "saw", "Alien"], "ner_tags": [2, 2, 0, 1]}
    folder = saved(tmp_path / "set", [], names)
    table = pa.Table.from_pylist([row]).replace_schema_metadata(table_of([], names).schema.metadata)
    with pa.OSFile(str(folder / "data.arrow"), "wb") as out, pa.ipc.new_stream(out, table.schema) as stream:
        stream.write_table(table)
    (found,) = read_as_examples(folder)
    assert found.entities == (Entity(0, 12, "person"), Entity(17, 22, "art-film"))
    assert found.labels == ("art-film", "person")


def test_a_dictionary_of_splits_asks_for_one(tmp_path: Path) -> None:
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    (error,) = read_annotated(tmp_path)
    assert "holds the splits train, test; give one of them, such as" in str(error)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "gliner-mt",
            '{"text": "a", "entities": [{"start": 0, "end": 9, "label": "x"}]}',
            r"line 1: entities\[0\]: \[0, 9\)",
        ),
        ("gliner-mt", '\n{"text": "a"', r"line 2: broken JSON at column 13 \(Expecting ',' delimiter\)"),
        ("gliner-mt", '{"text": "a"}', "line 1: no field 'entities'"),
        ("bio", "Ada B-x\nsaw\n", "line 2: 'saw'"),
        (
            "gliner",
            '{"tokenized_text": ["a"], "ner": [[0, 1, "x"]]}',
            r"line 1: ner\[0\]: 1 is no index from 0 to 0",
        ),
        ("gliner", '{"tokenized_text": ["a"], "ner": [[0, 0]]}', r"line 1: ner\[0\]: not enough values"),
        ("gliner", '{"tokenized_text": "a", "ner": []}', "tokenized_text is 'a', which is no list"),
        ("datasets", '{"tokens": ["a"], "ner_tags": [1]}', "line 1: ner_tags: 1 is no string"),
        ("datasets", '{"tokens": ["a"], "ner_tags": ["x"]}', "ner_tags: 'x' is no tag such as O or B-person"),
        ("datasets", '{"tokens": ["a"], "ner_tags": []}', "1 words, but 0 tags"),
        ("datasets", '{"tokens": ["a"]}', "no field 'ner_tags'"),
        ("spacy", '["a", {"entities": [[0, 1]]}]', r"entities\[0\]: "),
        ("spacy", '["a", {"entities": [[0, 3, "x"]]}]', r"entities\[0\]: \[0, 3\) is no place"),
        ("prodigy", '{"text": "a", "spans": [{"start": 0, "end": 1}]}', r"spans\[0\]: no field 'label'"),
        (
            "label-studio",
            '[{"data": {"a": "x", "b": "y"}, "annotations": [{"result": []}]}]',
            "data: no field 'text'",
        ),
        (
            "label-studio",
            json.dumps({"data": {"text": "abc"}, "annotations": [{"result": [region(0, 2, "bc", "x")]}]}),
            r"span 0: \[0, 2\) is 'ab', not 'bc'",
        ),
        (
            "label-studio",
            '{"data": {"text": "a"}, "annotations": [{"result": [{"type": "hypertextlabels"}]}]}',
            r"result\[0\]: type is 'hypertextlabels', and only labels on plain text",
        ),
        ("prodigy", "[", r"line 1: broken JSON at character 1 of the file \(Expecting value\)"),
        ("prodigy", '[{"text": "a",\n "spans": oops}]', "line 2: broken JSON at character"),
        ("prodigy", "[3]", r"line 1 \(record 1\): "),
        ("squad", '{"data": [{"paragraphs": [{"context": 3, "qas": []}]}]}', "paragraph 0: context is 3"),
        (
            "squad",
            '{"data": [{"paragraphs": [{"context": "c", "qas": [{}]}]}]}',
            "question 0: no field 'question'",
        ),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = tmp_path / "file"
    path.write_text(content)
    (error,) = read_annotated(path, FORMATS[name])
    assert isinstance(error, InputError)
    with pytest.raises(InputError, match=rf"^{path}.*{message}.*; expected a"):
        raise error


@pytest.mark.parametrize("name", ["spacy", *ARROW])
def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(zlib.compress(b"a DocBin"))
    path = ARROW[name](path, [ADA]) if name in ARROW else path
    for module in ("spacy.tokens", "pyarrow"):
        monkeypatch.setitem(sys.modules, module, None)
    (error,) = read_annotated(path)
    assert f"pip install gliner_mt[{'parquet' if name in ARROW else 'spacy'}]" in str(error)


def test_missing_columns_are_named(tmp_path: Path) -> None:
    path = parquet(tmp_path / "file", [ADA])
    (error,) = read_annotated(path, columns=Columns(tags="tags"))
    assert "no column 'tags'; it has: id, tokens, ner_tags. Choose one with --tags-column" in str(error)
    path.write_bytes(b"PAR1 and no more")
    (error,) = read_annotated(path)
    assert isinstance(error, InputError)


@pytest.mark.parametrize("content", ["", "{}", '[{"a": 1}]', "[]", '{"text": "x"}\n', "{broken"])
def test_an_unknown_format(tmp_path: Path, content: str) -> None:
    path = tmp_path / "file"
    path.write_text(content)
    if content:
        with pytest.raises(
            InputError, match=r"file is of no known format: .*; say which it is, one of gliner-mt, bio"
        ):
            detect(path)
    else:
        assert list(read_annotated(path)) == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.dictionaries(st.text(max_size=3), json_values, max_size=3)),
    st.booleans(),
    st.sampled_from([None, 1]),
)
def test_a_list_is_read_piece_by_piece(
    tmp_path: Path, values: list[dict[str, Any]], ascii_only: bool, indent: int | None
) -> None:
    path = tmp_path / "list.json"
    path.write_text(
        json.dumps(values, ensure_ascii=ascii_only, indent=indent), encoding="utf-8", errors="replace"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "_CHUNK", 7)
        found = [
            record[1]
            for record in json_stream.json_records(path, "anything")
            if not isinstance(record, InputError)
        ]
    assert found == json.loads(path.read_text(encoding="utf-8"))


def test_a_broken_list_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text('[{"a": 1},\n{"a": oops},\n' + '{"a": 1},\n' * 100_000)
    records = json_stream.json_records(path, "anything")
    assert next(records) == (f"{path}, line 1 (record 1)", {"a": 1})
    with pytest.raises(
        InputError, match=r"line 2: broken JSON at character 17 of the file \(Expecting value\)"
    ):
        next(records)

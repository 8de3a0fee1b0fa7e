"""Readers of published formats: offsets, names, and errors that say where."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gliner_mt.errors import InputError
from gliner_mt.formats import (
    read_carb_gold,
    read_carb_output,
    read_conll,
    read_docred,
    read_fewrel,
    read_qasrl_questions,
    read_qasrl_tuples,
    read_scierc,
    read_spert,
    read_squad,
    sentence_key,
)
from gliner_mt.formats.conll import tagged_ranges
from gliner_mt.formats.words import join_words
from gliner_mt.types import Offsets, Part, QAExample, RelationExample, TextTuple

words = st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=8)
tags = st.lists(st.sampled_from(["O", "B-x", "I-x", "B-y", "I-y"]), max_size=8)


def write(folder: Path, content: str | list[Any] | dict[str, Any], name: str = "file") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def named(example: RelationExample) -> list[tuple[str, str, str]]:
    """Return the relations in words."""
    text = example.text
    return [
        (text[r.head.start : r.head.end], r.label, text[r.tail.start : r.tail.end]) for r in example.relations
    ]


@given(words, st.data())
@settings(deadline=None, max_examples=100)
def test_joined_words_stand_where_they_should(tokens: list[str], data: st.DataObject) -> None:
    joined = join_words(tokens)
    first = data.draw(st.integers(0, len(tokens) - 1))
    end = data.draw(st.integers(first + 1, len(tokens)))
    place = joined.characters(first, end)
    assert joined.text[place.start : place.end] == " ".join(tokens[first:end])


@pytest.mark.parametrize(("first", "end"), [(-1, 1), (0, 3), (1, 1), (0, 0), ("0", 1), (0, None), (True, 2)])
def test_words_outside_the_text_are_refused(first: object, end: object) -> None:
    with pytest.raises(ValueError, match=r"is no index|are empty"):
        join_words(["Ada", "sings"]).characters(first, end)


CONLL = (
    "-DOCSTART- -X- O\n\n# id 7 domain=en\nAda B-PER\nLovelace I-PER\nsaw O\nParis B-LOC\n\n\n# O\nwow O\n"
)


def test_conll(tmp_path: Path) -> None:
    first, second = read_conll(write(tmp_path, CONLL), {"PER": "person"})
    assert first.text == "Ada Lovelace saw Paris"
    assert [(first.text[e.start : e.end], e.label) for e in first.entities] == [
        ("Ada Lovelace", "person"),
        ("Paris", "LOC"),
    ]
    assert first.labels == second.labels == ("LOC", "person")
    assert (second.text, second.entities) == ("# wow", ())


def test_conll_columns_and_compression(tmp_path: Path) -> None:
    path = tmp_path / "set.tsv.gz"
    path.write_bytes(gzip.compress("\ufeffAda\tNNP\tB-a b\n\u00a0\t_\tO".encode()))
    (example,) = read_conll(path)
    assert example.text == "Ada \u00a0"
    assert [(e.start, e.end, e.label) for e in example.entities] == [(0, 3, "a b")]


@pytest.mark.parametrize("line", ["Ada", "Ada person", "\tO", "Ada B-"])
def test_conll_lines_without_word_or_tag_are_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(InputError, match=r"file, line 2: .*expected a word and"):
        list(read_conll(write(tmp_path, f"Eve O\n{line}\n")))


@pytest.mark.parametrize(
    ("scheme", "ranges"),
    [
        ("I-x I-x O I-y", [(0, 2, "x"), (3, 4, "y")]),  # IOB1
        ("I-x B-x I-x", [(0, 1, "x"), (1, 3, "x")]),
        ("B-x I-y I-y", [(0, 1, "x"), (1, 3, "y")]),
        ("S-x B-x E-x S-x", [(0, 1, "x"), (1, 3, "x"), (3, 4, "x")]),  # BIOES
        ("U-x B-x I-x L-x I-x", [(0, 1, "x"), (1, 4, "x"), (4, 5, "x")]),  # BILOU
    ],
)
def test_tagging_schemes(scheme: str, ranges: list[tuple[int, int, str]]) -> None:
    assert list(tagged_ranges(scheme.split())) == ranges


@given(tags)
def test_every_tagged_word_lies_in_one_range(sequence: list[str]) -> None:
    ranges = list(tagged_ranges(sequence))
    inside = [number for first, end, _ in ranges for number in range(first, end)]
    assert inside == [number for number, tag in enumerate(sequence) if tag != "O"]
    for first, end, kind in ranges:
        assert {tag[2:] for tag in sequence[first:end]} == {kind}


SPERT = [
    {
        "tokens": ["Ada", "works", "for", "Acme", "Ltd", "."],
        "entities": [{"type": "Peop", "start": 0, "end": 1}, {"type": "Org", "start": 3, "end": 5}],
        "relations": [{"type": "Work_For", "head": 0, "tail": 1}],
    },
    {"tokens": ["Rain", "."], "entities": [], "relations": []},
]


def test_spert(tmp_path: Path) -> None:
    first, second = read_spert(write(tmp_path, SPERT), {"Work_For": "works for"})
    assert named(first) == [("Ada", "works for", "Acme Ltd")]
    assert [entity.label for entity in first.entities] == ["Peop", "Org"]
    assert second == RelationExample("Rain .", (), (), ("Org", "Peop"), ("works for",))


def test_spert_with_tags(tmp_path: Path) -> None:
    tags = ["U-Peop", "O", "O", "B-Org", "L-Org", "O"]
    record = {"tokens": SPERT[0]["tokens"], "tags": tags, "relations": SPERT[0]["relations"]}
    (tagged,) = read_spert(write(tmp_path, [record]))
    assert tagged == next(read_spert(write(tmp_path, SPERT)))


def test_scierc(tmp_path: Path) -> None:
    document = {
        "doc_key": "d",
        "sentences": [["We", "parse", "."], ["Parsing", "uses", "neural", "nets"]],
        "ner": [[], [[3, 3, "Task"], [5, 6, "Method"], [5, 6, "Generic"]]],
        "relations": [[], [[5, 6, 3, 3, "USED-FOR"]]],
    }
    path = write(tmp_path, json.dumps(document) + "\n\n")
    first, second = read_scierc(path, {"USED-FOR": "used for"})
    assert (first.text, first.labels) == ("We parse .", ("used for",))
    assert named(second) == [("neural nets", "used for", "Parsing")]
    assert len(second.entities) == 3


def test_docred_relations_hold_between_the_nearest_mentions(tmp_path: Path) -> None:
    document = {
        "title": "Ada",
        "sents": [["Ada", "lived", "in", "London", "."], ["London", "suited", "her", ",", "Ada", "said"]],
        "vertexSet": [
            [
                {"name": "Ada", "sent_id": 0, "pos": [0, 1], "type": "PER"},
                {"name": "Ada", "sent_id": 1, "pos": [4, 5], "type": "PER"},
                {"name": "Ada", "sent_id": 1, "pos": [4, 5], "type": "PER"},
            ],
            [
                {"name": "London", "sent_id": 0, "pos": [3, 4], "type": "LOC"},
                {"name": "London", "sent_id": 1, "pos": [0, 1], "type": "LOC"},
            ],
        ],
        "labels": [{"h": 0, "t": 1, "r": "P551", "evidence": [0]}],
    }
    (example,) = read_docred(write(tmp_path, [document]), {"P551": "residence"})
    assert named(example) == [("Ada", "residence", "London")]
    relation = example.relations[0]
    assert (relation.head.start, relation.tail.start) == (0, 13)
    assert len(example.entities) == 4
    del document["labels"]
    (unlabelled,) = read_docred(write(tmp_path, [document]))
    assert unlabelled.relations == ()


def test_fewrel(tmp_path: Path) -> None:
    tokens = ["Ada", "Lovelace", "was", "born", "in", "London"]
    sentence = {"tokens": tokens, "h": ["ada", "Q1", [[0, 1]]], "t": ["london", "Q2", [[5], [0]]]}
    (example,) = read_fewrel(write(tmp_path, {"P19": [sentence], "P20": []}), {"P19": "place of birth"})
    assert named(example) == [("Ada Lovelace", "place of birth", "London")]
    assert (example.entity_labels, example.labels) == (("entity",), ("place of birth",))


def squad(answers: list[dict[str, Any]], **more: bool) -> dict[str, Any]:
    question = {"id": "q", "question": "Who sings?", "answers": answers, **more}
    return {"data": [{"title": "t", "paragraphs": [{"context": "Ada sings. Ada!", "qas": [question]}]}]}


def test_squad(tmp_path: Path) -> None:
    ada = {"text": "Ada", "answer_start": 0}
    answers = [ada, {"text": "Ada", "answer_start": 11}, ada]
    (example,) = read_squad(write(tmp_path, squad(answers)))
    assert example == QAExample("Ada sings. Ada!", "Who sings?", (Offsets(0, 3), Offsets(11, 14)))
    assert next(read_squad(write(tmp_path, squad([])))).answers == ()
    assert next(read_squad(write(tmp_path, squad([ada], is_impossible=True)))).answers == ()


def test_an_answer_that_stands_elsewhere_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, squad([{"text": "Ada", "answer_start": 1}]))
    with pytest.raises(InputError, match=r"paragraph 0, question 0: .*\[1, 4\) is 'da ', not 'Ada'"):
        list(read_squad(path))


def test_carb(tmp_path: Path) -> None:
    sentence = "The cat sat on the mat ."
    gold = f"{sentence}\tsat on\tThe cat\tthe mat\n{sentence}\tis\tcat\n\n{sentence}\tsat\n"
    (example,) = read_carb_gold(write(tmp_path, gold))
    assert example.text == sentence
    first, second, third = example.tuples
    assert first.predicate == Part("sat on", Offsets(8, 14))
    assert first.subject == Part("The cat", Offsets(0, 7))
    assert first.arguments == (Part("the mat", Offsets(15, 22)),)
    assert second.predicate == Part("is")
    assert (third.subject, third.arguments) == (None, ())
    output = read_carb_output(write(tmp_path, f"{sentence}\t0.5\tsat\tcat\tmat\n"))
    assert output == {"Thecatsatonthemat": [TextTuple("sat", ("cat", "mat"), 0.5)]}


def test_words_that_stand_twice_have_no_place(tmp_path: Path) -> None:
    (example,) = read_carb_gold(write(tmp_path, "a cat saw a dog , a\tsaw\ta cat\ta\tca\n"))
    assert example.tuples[0].arguments == (Part("a"), Part("ca"))


def test_sentences_of_carb_are_known_by_their_letters() -> None:
    assert sentence_key("It -LRB- x -RRB- , is `` y '' !") == sentence_key("It (x) is y") == "Itxisy"


@pytest.mark.parametrize(
    ("reader", "line", "message"),
    [
        (read_carb_gold, "alone", "line 1: 1 columns; expected sentence, predicate"),
        (read_carb_output, "s\t0.5", "line 1: 2 columns; expected sentence, confidence"),
        (read_carb_output, "s\thigh\tsat", "line 1: 'high' is no confidence"),
    ],
)
def test_broken_carb_lines(tmp_path: Path, reader: Callable[[Path], Any], line: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(reader(write(tmp_path, line)))


def judged(*spans: list[list[int]] | None) -> list[dict[str, Any]]:
    return [{"isValid": False} if s is None else {"isValid": True, "spans": s} for s in spans]


def question(text: str, subject: bool, judgments: list[dict[str, Any]], passive: bool = False) -> Any:  # noqa: ANN401
    slots = {"wh": text.split()[0].lower(), "subj": "_" if subject else "someone"}
    return {
        "questionString": text,
        "questionSlots": slots,
        "isPassive": passive,
        "answerJudgments": judgments,
    }


QASRL = {
    "sentenceTokens": ["Ada", "gave", "Mary", "a", "book"],
    "verbEntries": {
        "1": {
            "verbIndex": 1,
            "questionLabels": {
                "1": question("What was given?", True, judged([[3, 5]], [[4, 5]], [[4, 5]]), passive=True),
                "2": question("Who gave something?", True, judged([[0, 1]], [[0, 1]], None)),
                "3": question("Where did someone give?", False, judged([[2, 3]], None)),
            },
        }
    },
}


def test_qasrl_questions(tmp_path: Path) -> None:
    first, second = read_qasrl_questions(write(tmp_path, QASRL))
    assert first == QAExample("Ada gave Mary a book", "What was given?", (Offsets(16, 20), Offsets(14, 20)))
    assert second.answers == (Offsets(0, 3),)


def test_qasrl_tuples(tmp_path: Path) -> None:
    (example,) = read_qasrl_tuples(write(tmp_path, QASRL))
    (found,) = example.tuples
    assert found.predicate == Part("gave", Offsets(4, 8))
    assert found.subject == Part("Ada", Offsets(0, 3), "Who gave something?")
    assert found.arguments == (Part("book", Offsets(16, 20), "What was given?"),)


def broken(record: Any, *keys: str | int) -> Any:  # noqa: ANN401
    """Return a copy of what JSON holds, without the value at the end of `keys`."""
    copy = json.loads(json.dumps(record))
    value = copy
    for key in keys[:-1]:
        value = value[key]
    del value[keys[-1]]
    return copy


@pytest.mark.parametrize(
    ("reader", "content", "place"),
    [
        (read_spert, broken(SPERT, 1, "relations"), "record 1"),
        (read_spert, broken(SPERT, 0, "entities", 0, "end"), "record 0"),
        (read_spert, broken(SPERT, 0, "entities", 1), "record 0"),
        (read_spert, {"tokens": []}, "file"),
        (
            read_docred,
            [{"sents": [["a"]], "vertexSet": [[]], "labels": [{"h": 0, "t": 0, "r": "x"}]}],
            "record 0",
        ),
        (read_docred, [3], "record 0"),
        (read_fewrel, [], "file"),
        (read_fewrel, {"P19": [{"tokens": ["a"], "h": ["a", "Q1", []], "t": ["a", "Q1", [[0]]]}]}, "file"),
        (read_squad, {"data": [{}]}, "file"),
        (read_squad, {"data": [{"paragraphs": [{"context": 3, "qas": []}]}]}, "paragraph 0"),
        (read_scierc, {"sentences": [["a"]], "ner": [], "relations": [[]]}, "line 1"),
        (read_scierc, {"sentences": [["a"]], "ner": [[]], "relations": [[[0, 0, 0, 0, "x"]]]}, "line 1"),
        (read_qasrl_questions, broken(QASRL, "verbEntries", "1", "questionLabels"), "line 1"),
        (read_qasrl_tuples, broken(QASRL, "sentenceTokens", 4), "line 1"),
        (read_spert, "[", "file"),
        (read_scierc, "{", "line 1"),
        (read_scierc, "3", "line 1"),
    ],
)
def test_broken_records_are_named(
    tmp_path: Path,
    reader: Callable[[Path], Any],
    content: str | list[Any] | dict[str, Any],
    place: str,
) -> None:
    with pytest.raises(InputError, match=rf"{place}: .*; expected "):
        list(reader(write(tmp_path, content)))


@pytest.mark.parametrize("reader", [read_conll, read_spert, read_scierc, read_squad, read_carb_output])
def test_a_missing_file_is_named(tmp_path: Path, reader: Callable[[Path], Any]) -> None:
    with pytest.raises(InputError, match=r"there is no file .*none\.json"):
        list(reader(tmp_path / "none.json"))


def test_a_file_that_is_no_utf_8_or_cut_short_is_named(tmp_path: Path) -> None:
    path = tmp_path / "set.txt"
    path.write_bytes(b"Ada O\n\xff O\n")
    with pytest.raises(InputError, match=r"line 2: .* is no UTF-8"):
        list(read_conll(path))
    cut = tmp_path / "set.gz"
    cut.write_bytes(gzip.compress(b"Ada O\n" * 1000)[:-20])
    with pytest.raises(InputError, match="whole if gzipped"):
        list(read_conll(cut))

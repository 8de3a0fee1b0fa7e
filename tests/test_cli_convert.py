import gzip
import json
from pathlib import Path

import pytest
from format_writers import (
    ADA,
    LABELS,
    WOW,
    as_lines,
    columns,
    task_of_prodigy,
)
from typer.testing import CliRunner, Result

from gliner_mt import cli
from gliner_mt.errors import InputError
from gliner_mt.formats import (
    ExampleFile,
    open_examples,
    read_as_examples,
    read_examples,
    read_questions,
)
from gliner_mt.formats.records import entity_record
from gliner_mt.types import Entity, Example, Offsets, QAExample


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(cli.app, ["convert", *map(str, args)])


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz"])
def test_convert_writes_what_training_reads(tmp_path: Path, name: str) -> None:
    source, out = columns(tmp_path / "train.conll", [ADA, WOW]), tmp_path / name
    result = run(source, "-o", out)
    assert result.exit_code == 0
    assert list(read_examples(out)) == [ADA, WOW]
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, "train.conll"]
    assert "read as bio: no JSON" in result.stderr
    assert "2 texts, 2 entities of 2 types" in result.stderr
    assert isinstance(open_examples(out), ExampleFile)
    assert open_examples(source) == [ADA, WOW]


def test_convert_to_a_pipe_with_other_names(tmp_path: Path) -> None:
    result = run(columns(tmp_path / "a", [ADA]), "--rename", "city=town", "--rename", "person=human being")
    record = json.loads(result.stdout)
    assert record["labels"] == ["town", "human being"]
    assert [one["label"] for one in record["entities"]] == ["human being", "town"]
    assert "no type is called" not in result.stderr
    assert run(tmp_path / "a", "--rename", "city").exit_code == 2
    result = run(tmp_path / "a", "--rename", "City=town")
    assert (result.exit_code, result.stderr.count("no type is called 'City'")) == (0, 1)


def test_convert_lone_surrogates(tmp_path: Path) -> None:
    example = Example("\ud83d Ada 東", (Entity(2, 5, "x"),), ("x",))
    out = tmp_path / "out.jsonl"
    assert run(as_lines(entity_record, tmp_path / "in", [example]), "-o", out).exit_code == 0
    assert list(read_examples(out)) == [example]


@pytest.mark.parametrize(
    ("choice", "labels"),
    [
        (None, [LABELS, LABELS]),
        ("file", [LABELS, LABELS]),
        ("text", [LABELS, ()]),
        ("names", [("city", "date", "person"), ("date",)]),
    ],
)
def test_which_types_count_as_annotated(
    tmp_path: Path, choice: str | None, labels: list[tuple[str, ...]]
) -> None:
    (tmp_path / "names").write_text("date\n\n")
    given_choice = str(tmp_path / "names") if choice == "names" else choice
    out = tmp_path / "out"
    source = as_lines(entity_record, tmp_path / "ours", [ADA, WOW])
    for path in (columns(tmp_path / "a", [ADA, WOW]), source):
        assert run(path, "-o", out, *(["--labels-from", given_choice] if given_choice else [])).exit_code == 0
        assert [one.labels for one in read_examples(out)] == labels


def test_bad_input_stops_and_leaves_nothing_behind(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    good, bad = (
        json.dumps(task_of_prodigy(ADA)),
        '{"text": "a", "spans": [{"start": 0, "end": 7, "label": "x"}]}',
    )
    source.write_text(f"{good}\n{bad}\n{{\n{good}\n")
    out = tmp_path / "out.jsonl"
    result = run(source, "-o", out)
    assert result.exit_code == 2
    assert f"error: {source}, line 2: spans[0]: [0, 7) is no place in a text of 1 characters" in result.stderr
    assert list(tmp_path.iterdir()) == [source]
    result = run(source, "-o", out, "--keep-going")
    assert result.exit_code == 2
    assert "line 3: broken JSON at column 2" in result.stderr
    assert "left out: 2 (could not be read)" in result.stderr
    assert list(read_examples(out)) == [ADA, ADA]


def test_what_convert_refuses(tmp_path: Path) -> None:
    source = as_lines(task_of_prodigy, tmp_path / "in", [ADA])
    assert "needs a file of its own" in run(source, "-o", source).stderr
    assert "--from is 'xml'; expected auto or one of gliner-mt" in run(source, "--from", "xml").stderr
    assert "there is no file" in run(tmp_path / "none").stderr
    source.write_text(json.dumps(task_of_prodigy(ADA) | {"answer": "ignore"}))
    result = run(source)
    assert result.exit_code == 2
    assert "holds nothing to train on: 0 texts" in result.stderr
    assert "left out: 1 (answer is 'ignore')" in result.stderr


def test_convert_questions(tmp_path: Path) -> None:
    paragraph = {
        "context": "Ada sang.",
        "qas": [{"question": "Who?", "answers": [{"text": "Ada", "answer_start": 0}]}],
    }
    source, out = tmp_path / "dev.json.gz", tmp_path / "out.jsonl"
    source.write_bytes(
        gzip.compress(json.dumps({"version": "2", "data": [{"paragraphs": [paragraph]}]}, indent=2).encode())
    )
    assert run(source, "-o", out).exit_code == 0
    assert list(read_questions(out)) == [QAExample("Ada sang.", "Who?", (Offsets(0, 3),))]
    with pytest.raises(InputError, match="holds questions"):
        list(read_as_examples(source))

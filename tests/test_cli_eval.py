"""The command `eval`: what it reads, prints and writes, and what it says of files of another form."""

import gzip
import json
from pathlib import Path

import pytest
from tiny_models import TEXTS, tiny_extractor
from typer.testing import CliRunner, Result

from gliner_mt import cli
from gliner_mt.cli_eval import EvalTask
from gliner_mt.evaluation.sets import EVALUATIONS
from gliner_mt.tokenization import WordTokenizer

TEXT = TEXTS[0]  # Ada met Bob in London.
ADA, BOB = {"start": 0, "end": 3, "label": "person"}, {"start": 8, "end": 11, "label": "person"}
LONDON = {"start": 15, "end": 21, "label": "city"}
RELATION = {"head": 0, "tail": 2, "label": "born in"}
RECORDS = {
    "ner": {"text": TEXT, "entities": [ADA, LONDON], "labels": ["person", "city"]},
    "relations": {
        "text": TEXT,
        "entities": [ADA, BOB, LONDON],
        "relations": [RELATION],
        "labels": ["born in", "met"],
    },
    "answer": {"text": TEXT, "question": "for one city", "answers": [{"start": 15, "end": 21}]},
    "triples": {
        "text": TEXT,
        "tuples": [{"subject": {"start": 0, "end": 3}, "predicate": {"text": "met"}, "arguments": []}],
    },
    "summarize": {"text": TEXT, "sentences": [{"start": 0, "end": 22, "selected": True}]},
    "classify": {"text": TEXT, "labels": ["person", "city"], "gold": ["city"]},
}


@pytest.fixture(scope="module")
def model(tokenizer: WordTokenizer, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    parts = {"labels": "parallel", "word_shapes": True, "hidden_size": 24, "pairs": True}
    tiny_extractor(tokenizer, 2, **parts).save(folder)
    return str(folder)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["eval", *arguments])


def write(path: Path, *records: object) -> Path:
    lines = "".join(json.dumps(record) + "\n" for record in records).encode()
    path.write_bytes(gzip.compress(lines) if path.suffix == ".gz" else lines)
    return path


def one_error(result: Result) -> str:
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1, result.stderr
    return result.stderr


def test_every_task_has_its_evaluation() -> None:
    assert [task.value for task in EvalTask] == list(EVALUATIONS) == list(RECORDS)


@pytest.mark.parametrize("task", RECORDS)
def test_every_task_is_measured(task: str, model: str, tmp_path: Path) -> None:
    data = write(tmp_path / "mine.jsonl", RECORDS[task], RECORDS[task])
    result = run(task, "--data", str(data), "-m", model, "--format", "json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["data"] == str(data)
    tasks = ["relations", "relations of given entities"] if task == "relations" else [task]
    assert [one["task"] for one in report["results"]] == tasks
    for one in report["results"]:
        assert (one["dataset"], one["examples"]) == ("mine", 2)
        for figure in one["figures"].values():
            assert 0.0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1.0


def test_a_folder_gives_the_files_of_one_split(model: str, tmp_path: Path) -> None:
    for name, records in {"a.dev": 3, "b.dev": 1, "b.test": 2}.items():
        write(tmp_path / f"{name}.jsonl.gz", *[RECORDS["classify"]] * records)
    out = tmp_path / "out.json"
    result = run("classify", "-d", str(tmp_path), "-m", model, "--limit", "2", "-o", str(out))
    assert result.exit_code == 0, result.stderr
    lines = [line.split()[:2] for line in result.stdout.splitlines()]
    assert ["a", "2"] in lines and ["b", "1"] in lines
    assert "accuracy" in result.stdout and "classify, %" in result.stdout
    assert [one["dataset"] for one in json.loads(out.read_text())["results"]] == ["a", "b"]
    assert "b" in run("classify", "-d", str(tmp_path), "-m", model, "--split", "test").stdout


def test_one_set_has_a_table_of_its_types(model: str, tmp_path: Path) -> None:
    data = write(tmp_path / "mine.jsonl", RECORDS["ner"])
    result = run("ner", "--data", str(data), "-m", model, "--threshold", "0.3")
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["mine", "1", "0.30"] in [row[:3] for row in rows]
    assert {"person", "city"} <= {row[0] for row in rows if row}


def test_a_limit_draws_the_same_examples_each_time(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", *[RECORDS["classify"] | {"text": str(n)} for n in range(50)])
    evaluation = EVALUATIONS["classify"]
    few = evaluation.read(path, 5)
    assert few == evaluation.read(path, 10)[:5]
    assert [one.text for one in few] != [str(n) for n in range(5)]
    assert [one.text for one in evaluation.read(path, None)] == [str(n) for n in range(50)]


@pytest.mark.parametrize(
    ("task", "content", "message"),
    [
        ("ner", b"{}\n", "line 1: no field 'text'"),
        ("answer", b'{"text": "a"}\nno', "line 1: no field 'question'"),
        ("classify", b"\xff\n", "line 1: byte 0xff at 0 is no UTF-8"),
        ("summarize", b"\n", "holds no examples"),
    ],
)
def test_a_bad_file_is_one_line(task: str, content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    assert message in one_error(run(task, "--data", str(path)))


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    assert "no file or folder" in one_error(run("ner", "--data", str(tmp_path / "none.jsonl")))
    assert "it has no .jsonl" in one_error(run("ner", "--data", str(tmp_path)))
    data = write(tmp_path / "mine.test.jsonl", RECORDS["ner"])
    assert "its splits are test" in one_error(run("ner", "--data", str(tmp_path)))
    for output in (tmp_path, tmp_path / "no" / "out.json"):
        assert "cannot write" in one_error(run("ner", "--data", str(data), "-o", str(output)))
    assert "no-model" in one_error(run("ner", "--data", str(data), "-m", str(tmp_path / "no-model")))


def test_a_model_without_pairs_says_so(tokenizer: WordTokenizer, tmp_path: Path) -> None:
    tiny_extractor(tokenizer).save(tmp_path / "model")
    data = write(tmp_path / "mine.jsonl", RECORDS["relations"])
    error = one_error(run("relations", "--data", str(data), "-m", str(tmp_path / "model")))
    assert "its config has no pairs" in error

"""The commands of all tasks, with a model that finds names by their spelling."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_fakes import FakeExtractor, load_fake
from cli_runs import on_terminal, one_error, run, start_interruptible
from tiny_models import tiny_extractor
from typer.testing import Result

from gliner_mt import cli
from gliner_mt.errors import InputError
from gliner_mt.options import ModelChoice
from gliner_mt.task_options import relation_labels
from gliner_mt.tasks import NER, QA, Classification, OpenIE, RelationLabel, Relations, Summary
from gliner_mt.tokenization import WordTokenizer

TEXT = "Ada saw Bob in London. It rained."
ASKING = {
    "extract": ["-l", "person,city"],
    "relations": ["-r", "knows:person>person"],
    "answer": ["-q", "Where?"],
    "triples": [],
    "summarize": [],
    "classify": ["-c", "weather,people"],
}
KEYS = {
    "extract": "spans",
    "relations": "relations",
    "answer": "answers",
    "triples": "triples",
    "summarize": "summary",
    "classify": "classes",
}
SEVERAL = """\
task: several
tasks:
  who: {labels: [person]}
  where: {task: qa, questions: "Where?"}
  jobs: {task: relations, relations: {knows: [person, person]}}
"""

each_command = pytest.mark.parametrize("command", list(ASKING))


@pytest.fixture(autouse=True)
def fake_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "load_extractor", load_fake)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Collect the tasks that are asked."""
    tasks: list[Any] = []

    class Recorder(FakeExtractor):
        def extract_many(self, texts: Any, task: Any) -> Iterator[Any]:  # noqa: ANN401 - as the model's
            tasks.append(task)
            return super().extract_many(texts, task)

    monkeypatch.setattr(cli, "load_extractor", Recorder)
    return tasks


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text(TEXT)
    Path("rows.jsonl").write_text('{"text": "Bob in Paris."}\nbroken\n{"text": ""}\n')
    Path("several.yaml").write_text(SEVERAL)
    return tmp_path


def rows(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def only(result: Result, key: str) -> list[Any]:
    assert (result.exit_code, result.stderr) == (0, "")
    (row,) = rows(result)
    assert list(row) == ["source", "row", "text", key]
    found: list[Any] = row[key]
    return found


def test_relations() -> None:
    relations = ["-r", "knows:person>person,lives in:person>city", "-r", "born in:city>person"]
    found = only(run("relations", TEXT, *relations), "relations")
    assert [(one["head"]["text"], one["label"], one["tail"]["text"]) for one in found] == [
        ("Ada", "knows", "Bob"), ("Ada", "lives in", "London"), ("Bob", "lives in", "London"),
    ]  # fmt: skip
    assert (found[0]["head"]["start"], found[0]["tail"]["end"], found[0]["score"]) == (0, 11, 0.8)


def test_relations_between_more_entities_than_they_name() -> None:
    found = only(run("relations", TEXT, "-r", "near", "-l", "person,city"), "relations")
    assert [(one["head"]["text"], one["tail"]["text"]) for one in found] == [
        ("Ada", "Bob"), ("Ada", "London"), ("Bob", "London"),
    ]  # fmt: skip


def test_answer() -> None:
    found = only(run("answer", TEXT, "-q", "Where?", "-q", "Why, and when?", "--top", "1"), "answers")
    assert found == [
        {"question": "Where?", "answers": [{"start": 15, "end": 21, "text": "London", "score": 0.9}]},
        {"question": "Why, and when?", "answers": []},
    ]


def test_triples() -> None:
    (found,) = only(run("triples", TEXT), "triples")
    parts = {role: part and part["text"] for role, part in found.items() if role != "score"}
    assert parts == {"subject": "Ada", "predicate": "saw", "object": "Bob", "time": None, "place": "London"}


def test_summarize() -> None:
    assert [one["text"] for one in only(run("summarize", TEXT), "summary")] == [
        "Ada saw Bob in London.", "It rained.",
    ]  # fmt: skip
    assert len(only(run("summarize", TEXT, "--max-sentences", "1"), "summary")) == 1
    assert [one["text"] for one in only(run("summarize", TEXT, "--max-words", "3"), "summary")] == [
        "It rained."
    ]


def test_classify() -> None:
    found = only(run("classify", "the weather", "-c", "weather,people"), "classes")
    assert [one["label"] for one in found] == ["weather", "people"]
    assert sum(one["score"] for one in found) == pytest.approx(1, abs=1e-5)
    found = only(run("classify", "the weather", "-l", "weather", "--multi-label"), "classes")
    assert found == [{"label": "weather", "score": pytest.approx(0.880797)}]


def test_options_become_fields_of_the_task(asked: list[Any]) -> None:
    run("relations", TEXT, "-r", "a:x>y", "-l", "x,y,z", "--threshold", "0.3", "--entity-threshold", "0.6")
    run("answer", TEXT, "-q", "Who?", "--threshold", "0.1", "--top", "5")
    run("triples", TEXT, "--threshold", "0.2", "--span-threshold", "0.3")
    run("summarize", TEXT, "--max-sentences", "2", "--max-words", "50", "--threshold", "0.4")
    run("classify", TEXT, "-c", "a,b", "--multi-label", "--threshold", "0.7")
    assert asked == [
        Relations({"a": ("x", "y")}, ["x", "y", "z"], threshold=0.3, entity_threshold=0.6),
        QA("Who?", threshold=0.1, top=5),
        OpenIE(threshold=0.2, span_threshold=0.3),
        Summary(max_sentences=2, max_words=50, threshold=0.4),
        Classification(["a", "b"], multi_label=True, threshold=0.7),
    ]


def test_options_override_the_task_file(folder: Path, asked: list[Any]) -> None:
    Path("qa.yaml").write_text("task: qa\nquestions:\n- Who?\n- Where?\nthreshold: 0.3\ntop: 1\n")
    assert run("answer", TEXT, "-t", "qa.yaml", "--top", "2").exit_code == 0
    assert run("extract", TEXT, "-t", "qa.yaml", "--threshold", "0.5").exit_code == 0
    assert asked == [
        QA(["Who?", "Where?"], threshold=0.3, top=2),
        QA(["Who?", "Where?"], threshold=0.5, top=1),
    ]


@pytest.mark.parametrize(
    ("given", "relation"),
    [
        ("near", RelationLabel("near")),
        (" works for : person > company ", RelationLabel("works for", head="person", tail="company")),
        ("a:x|y>z", RelationLabel("a", head=["x", "y"], tail="z")),
        ("born in:>city", RelationLabel("born in", tail="city")),
        ("rules:king>", RelationLabel("rules", head="king")),
        ("knows:person<>person", RelationLabel("knows", head="person", tail="person", symmetric=True)),
        ("near:<>", RelationLabel("near", symmetric=True)),
        ("ratio 1:2:x>y", RelationLabel("ratio 1:2", head="x", tail="y")),
    ],
)
def test_how_relations_are_written(given: str, relation: RelationLabel) -> None:
    assert relation_labels([given]) == [relation]


@pytest.mark.parametrize("given", ["a:b", "a:", ":x>y", "a:x>y>z", "a: b c", "a:x<>y>z"])
def test_relations_that_are_written_wrong(given: str) -> None:
    with pytest.raises(InputError, match="expected a name, or a name and types"):
        relation_labels([given])


@each_command
def test_several_sources_and_empty_texts(folder: Path, command: str) -> None:
    result = run(command, "a.txt", "rows.jsonl", "--keep-going", *ASKING[command])
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1 and "rows.jsonl, line 2: broken JSON" in result.stderr
    assert [(row["source"], row["row"]) for row in rows(result)] == [
        ("a.txt", None), ("rows.jsonl", 1), ("rows.jsonl", 3),
    ]  # fmt: skip
    nothing = [{"question": "Where?", "answers": []}] if command == "answer" else []
    assert rows(result)[2][KEYS[command]] == nothing


@each_command
def test_stdin_formats_and_files(folder: Path, command: str) -> None:
    asking = [command, "--lines", *ASKING[command]]
    assert [row["row"] for row in rows(run(*asking, stdin=f"{TEXT}\n\n{TEXT}\n"))] == [1, 2, 3]
    assert len(json.loads(run(*asking, "-f", "json", stdin=TEXT).stdout)) == 1
    assert "Ada" in run(*asking, "-f", "table", stdin=TEXT).stdout
    assert run(*asking, "-o", "out.html", "--html", "page.html", stdin=TEXT).stdout == ""
    assert Path("out.html").read_text(encoding="utf-8") == Path("page.html").read_text(encoding="utf-8")


@each_command
def test_the_same_model_options(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    choices: list[ModelChoice] = []

    def load(choice: ModelChoice) -> FakeExtractor:
        choices.append(choice)
        return load_fake(choice)

    monkeypatch.setattr(cli, "load_extractor", load)
    run(command, TEXT, *ASKING[command], "-m", "some/model", "--max-tokens", "256", "--local-files-only")
    assert choices == [ModelChoice("some/model", max_tokens=256, local_files_only=True)]


@each_command
def test_help_has_an_example_to_copy(command: str) -> None:
    help_text = run(command, "--help").stdout
    assert f"gliner-mt {command} " in help_text
    for option in ("--text-column", "--keep-going", "--task", "--threshold", "--model", "--html"):
        assert option in help_text


def test_extract_takes_a_file_with_several_tasks(folder: Path) -> None:
    results = only(run("extract", TEXT, "-t", "several.yaml"), "results")
    assert isinstance(results, dict)
    assert [span["text"] for span in results["who"]] == ["Ada", "Bob"]
    assert results["where"][0]["answers"][0]["text"] == "London"
    assert results["jobs"][0]["label"] == "knows"
    shown = run("extract", TEXT, "-t", "several.yaml", "-f", "table").stdout
    assert "[Ada](person) saw [Bob](person) in [London](Q1)." in shown


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["relations", TEXT], "give --relations 'works for:person>company' or --task FILE"),
        (["relations", TEXT, "-l", "person"], "relations is empty"),
        (["relations", TEXT, "-r", "a:b"], "--relations has 'a:b'"),
        (["relations", TEXT, "-r", "a:x>y", "-l", "x"], "names the type 'y', which is not asked for"),
        (["relations", TEXT, "-r", "a:x<>y"], "is symmetric, but its head is ('x',) and its tail ('y',)"),
        (["relations", TEXT, "-r", "a", "-t", "several.yaml"], "--relations and --task are both given"),
        (["relations", TEXT, "-t", "several.yaml"], "is a task of Several; expected one of Relations"),
        (["relations", TEXT, "-r", "a", "--entity-threshold", "2"], "--entity-threshold is 2"),
        (["answer", TEXT], "give --question 'Who signed?' or --task FILE"),
        (["answer", TEXT, "-q", " "], "is empty; expected one such as"),
        (["answer", TEXT, "-q", "Who?", "--top", "0"], "top is 0; expected a whole number, at least 1"),
        (["summarize", TEXT, "--max-words", "-1"], "max_words is -1; expected a whole number"),
        (["classify", TEXT], "give --classes complaint,question,praise or --task FILE"),
        (["classify", TEXT, "-c", "one"], "labels has one class, 'one'"),
        (["classify", TEXT, "-c", ","], "--classes is empty"),
        (["triples", TEXT, "-t", "none.yaml"], "No such file"),
        (["extract", TEXT, "-t", "several.yaml", "--nested"], "--nested does not go with a task of Several"),
        (["extract", "a.txt", "rows.jsonl", "-t", "given.yaml"], "expected a single text"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(folder: Path, args: list[str], expected: str) -> None:
    Path("given.yaml").write_text("task: relations\nrelations: [near]\nspans: [[0, 3], [8, 11]]\n")
    assert expected in one_error(run(*args))


def test_given_spans_are_related_in_a_single_text(folder: Path) -> None:
    Path("given.yaml").write_text("task: relations\nrelations: [near]\nspans: [[0, 3, person], [8, 11]]\n")
    (found,) = only(run("relations", "a.txt", "-t", "given.yaml"), "relations")
    assert (found["head"]["text"], found["tail"]["text"]) == ("Ada", "Bob")


def test_entities_beside_a_task_file_are_a_mistake(folder: Path) -> None:
    Path("jobs.yaml").write_text("task: relations\nrelations: [near]\n")
    assert "both given" in one_error(run("relations", TEXT, "-t", "jobs.yaml", "-l", "person"))


def test_the_totals_of_each_task_are_said_on_a_terminal(folder: Path) -> None:
    shown, _ = on_terminal("extract", "a.txt", "-t", "several.yaml", "-o", "out.jsonl", stdout_too=False)
    assert "wrote out.jsonl: 2 spans, 1 answer, 1 relation in 1 text" in " ".join(shown.split())


def test_ctrl_c_leaves_whole_lines() -> None:
    with start_interruptible("answer", "--lines", "-q", "Where?") as command:
        assert command.stdin and command.stdout and command.stderr
        command.stdin.write(b"London\nParis\nslow\nx\nx\n")
        command.stdin.flush()
        first = [command.stdout.readline(), command.stdout.readline()]
        command.send_signal(signal.SIGINT)
        out, err = command.communicate(timeout=20)
        assert [json.loads(line)["row"] for line in first] == [1, 2]
        assert (command.returncode, out, err) == (130, b"", b"")


@each_command
def test_a_model_answers(command: str, tokenizer: WordTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = tiny_extractor(tokenizer, seed=2, pairs=True)
    monkeypatch.setattr(cli, "load_extractor", lambda _: extractor)
    every = {"relations": ["--entity-threshold", "0.01"], "triples": ["--span-threshold", "0.01"]}
    found = only(
        run(command, TEXT, *ASKING[command], "--threshold", "0.01", *every.get(command, [])), KEYS[command]
    )
    assert found


def test_extract_still_asks_for_entities(asked: list[Any]) -> None:
    run("extract", TEXT, "-l", "person,city", "--nested", "--threshold", "0.2")
    assert asked == [NER(["person", "city"], nested=True, threshold=0.2)]

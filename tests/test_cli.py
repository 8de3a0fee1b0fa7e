import json
import select
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from cli_fakes import FakeExtractor, load_fake
from cli_runs import FAKE, found, on_terminal, one_error, run, start_interruptible

from gliner_mt import cli, jobs
from gliner_mt.options import ModelChoice
from gliner_mt.tasks import NER
from gliner_mt.types import Span

PEOPLE = ["-l", "person,city"]
TEXT = "Ada saw Bob in London."


@pytest.fixture(autouse=True)
def fake_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "load_extractor", load_fake)


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[ModelChoice]:
    """Collect how models are loaded."""
    choices: list[ModelChoice] = []

    def load(choice: ModelChoice) -> FakeExtractor:
        choices.append(choice)
        return load_fake(choice)

    monkeypatch.setattr(cli, "load_extractor", load)
    return choices


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("Ada in Paris")
    Path("bad.txt").write_bytes(b"caf\xe9")
    Path("rows.jsonl").write_text('{"text": "Bob"}\nbroken\n{"text": "London"}\n')
    Path("rows.csv").write_text("id,body\n1,Ada\n2,nobody\n")
    return tmp_path


def test_a_text_gives_one_json_line_in_a_pipe() -> None:
    result = run("extract", TEXT, *PEOPLE)
    assert result.exit_code == 0
    assert result.stderr == ""
    assert json.loads(result.stdout) == {
        "source": "text",
        "row": None,
        "text": TEXT,
        "spans": [
            {"start": 0, "end": 3, "text": "Ada", "label": "person", "score": 0.9},
            {"start": 8, "end": 11, "text": "Bob", "label": "person", "score": 0.9},
            {"start": 15, "end": 21, "text": "London", "label": "city", "score": 0.9},
        ],
    }


def test_stdin_whole_and_by_lines() -> None:
    assert found(run("extract", *PEOPLE, stdin="Ada\nBob")) == [("stdin", None, ["Ada", "Bob"])]
    assert found(run("extract", "-", "--lines", *PEOPLE, stdin="Ada\n\nBob\n")) == [
        ("stdin", 1, ["Ada"]),
        ("stdin", 2, []),
        ("stdin", 3, ["Bob"]),
    ]


def test_files_of_every_kind(folder: Path) -> None:
    result = run("extract", "a.txt", "rows.csv", "--text-column", "body", *PEOPLE)
    assert found(result) == [("a.txt", None, ["Ada", "Paris"]), ("rows.csv", 1, ["Ada"]), ("rows.csv", 2, [])]


def test_repeated_texts_and_labels() -> None:
    result = run("extract", "--text", "Ada", "--text", "rows.csv", "-l", "person", "-l", " city , place,")
    assert found(result) == [("text", 1, ["Ada"]), ("text", 2, [])]


def test_an_error_ends_after_what_came_before(folder: Path) -> None:
    result = run("extract", "a.txt", "rows.jsonl", "a.txt", *PEOPLE)
    assert "rows.jsonl, line 2: broken JSON" in one_error(result)
    assert found(result) == [("a.txt", None, ["Ada", "Paris"]), ("rows.jsonl", 1, ["Bob"])]


def test_keep_going_does_all_that_can_be_done(folder: Path) -> None:
    result = run("extract", "bad.txt", "rows.jsonl", "none.txt", "a.txt", "--keep-going", *PEOPLE)
    assert result.exit_code == 2
    assert [source for source, _, _ in found(result)] == ["rows.jsonl", "rows.jsonl", "a.txt"]
    errors = result.stderr.splitlines()
    assert [error.startswith("error: ") for error in errors] == [True] * 3
    assert "0xe9 at offset 3" in errors[0] and "line 2" in errors[1] and "none.txt" in errors[2]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["extract", TEXT], "give --labels person,city or --task FILE"),
        (["extract", TEXT, "-l", " , "], "--labels is empty"),
        (["extract", TEXT, "-l", "a\nb"], "line break"),
        (["extract", TEXT, "-l", "a", "-t", "task.yaml"], "both given"),
        (["extract", TEXT, "-t", "none.yaml"], "No such file"),
        (["extract", TEXT, "-l", "a", "--threshold", "nan"], "--threshold is nan"),
        (
            ["extract", TEXT, "-l", "a", "--threshold", "high"],
            "--threshold is high; expected a number from 0",
        ),
        (["extract", TEXT, "-l", "a", "-m", "no/such-model"], "a folder or a name on the hub"),
        (["info", "no/such-model"], "a folder or a name on the hub"),
        (["extract", "none.txt", "-l", "a"], "there is no file 'none.txt'"),
        (["extract", "rows.csv", "-l", "a"], "no column 'text'; it has: id, body"),
        (["extract", "bad.txt", "-l", "a"], "not UTF-8"),
        (["extract", TEXT, "-l", "a", "-o", "no/folder.jsonl"], "cannot write no/folder.jsonl: No such file"),
        (["extract", TEXT, "-l", "a", "-o", "out.docx"], "expected .jsonl, .json, .html"),
        (["extract", "a.txt", "-l", "a", "-o", "./a.txt"], "given twice"),
        (["extract", TEXT, "-l", "a", "-o", "x.html", "--html", "x.html"], "given twice"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(folder: Path, args: list[str], expected: str) -> None:
    assert expected in one_error(run(*args))


def test_nothing_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "find_sources", lambda *_, **__: [])
    assert "nothing to read" in one_error(run("extract", *PEOPLE))


def test_a_mistake_costs_no_model_and_no_file(folder: Path, loaded: list[ModelChoice]) -> None:
    run("extract", "a.txt", "-o", "a.txt", *PEOPLE)
    run("extract", TEXT, "--threshold", "2", *PEOPLE)
    assert loaded == []
    assert Path("a.txt").read_text() == "Ada in Paris"


def test_a_task_file_and_options_that_override_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks: list[NER] = []

    class Recorder(FakeExtractor):
        def extract_many(self, texts: Iterable[str], task: NER) -> Iterator[list[Span]]:
            tasks.append(task)
            return super().extract_many(texts, task)

    monkeypatch.setattr(cli, "load_extractor", Recorder)
    Path("task.yaml").write_text("labels: {person: a human, city: }\nthreshold: 0.2\nnested: true\n")
    assert found(run("extract", TEXT, "-t", "task.yaml")) == [("text", None, ["Ada", "Bob", "London"])]
    run("extract", TEXT, "-t", "task.yaml", "--threshold", "0.9", "--no-nested", "--multi-label")
    run("extract", TEXT, "-t", "task.yaml", "--threshold", "auto")
    first, second, auto = tasks
    assert (auto.threshold, auto.nested) == (None, True)
    assert (first.threshold, first.nested, first.multi_label) == (0.2, True, False)
    assert (second.threshold, second.nested, second.multi_label) == (0.9, False, True)
    assert first.labels == second.labels


def test_model_options_reach_the_model(loaded: list[ModelChoice]) -> None:
    run("extract", TEXT, *PEOPLE)
    run(
        *("extract", TEXT, *PEOPLE, "--model", "some/model", "--device", "cuda", "--dtype", "bfloat16"),
        *("--adapter", "some/adapter", "--attention", "sdpa", "--max-tokens", "256", "--local-files-only"),
    )
    assert loaded == [
        ModelChoice(None),
        ModelChoice("some/model", "some/adapter", "cuda", "bfloat16", "sdpa", 256, local_files_only=True),
    ]


def test_warnings_are_one_line() -> None:
    result = run("extract", TEXT, "-l", "person,person")
    assert result.stderr == "warning: labels given more than once were merged: person\n"
    assert result.exit_code == 0


def test_warnings_of_libraries_stay_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(choice: ModelChoice) -> FakeExtractor:
        warnings.warn_explicit("for developers", FutureWarning, "x.py", 1, module="some_library")
        return load_fake(choice)

    monkeypatch.setattr(cli, "load_extractor", load)
    assert run("extract", TEXT, *PEOPLE).stderr == ""


def test_formats() -> None:
    rows = json.loads(run("extract", TEXT, *PEOPLE, "--format", "json").stdout)
    assert [row["text"] for row in rows] == [TEXT]
    table = run("extract", TEXT, *PEOPLE, "--format", "table").stdout
    assert "[Ada](person) saw [Bob](person) in [London](city)." in table
    assert run("extract", TEXT, *PEOPLE, "--format", "html").stdout.startswith("<!doctype html>")
    assert run("extract", TEXT, *PEOPLE, "--format", "xml").exit_code == 2


@pytest.mark.parametrize(
    ("name", "start"),
    [("o.jsonl", '{"source"'), ("o", '{"source"'), ("o.json", "["), ("o.html", "<!doc"), ("o.txt", "[Ada]")],
)
def test_the_suffix_of_the_output_chooses_the_format(folder: Path, name: str, start: str) -> None:
    result = run("extract", TEXT, *PEOPLE, "-o", name)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    assert Path(name).read_text(encoding="utf-8").startswith(start)


def test_a_page_alone_and_beside_records(folder: Path) -> None:
    assert run("extract", TEXT, *PEOPLE, "--html", "p.html").stdout == ""
    assert Path("p.html").read_text(encoding="utf-8").endswith("</html>\n")
    assert len(found(run("extract", TEXT, *PEOPLE, "--html", "p.html", "--format", "jsonl"))) == 1


def test_results_are_valid_after_an_error(folder: Path) -> None:
    run("extract", "a.txt", "bad.txt", *PEOPLE, "-o", "o.json", "--html", "p.html")
    assert len(json.loads(Path("o.json").read_text())) == 1
    assert Path("p.html").read_text().endswith("</html>\n")


def test_info() -> None:
    assert json.loads(run("info", "--format", "json").stdout) == {
        "name": "embedded",
        "architecture": "fake",
        "size": "0 MB",
    }
    assert "architecture   fake" in run("info", "some/model").stdout


def test_help_and_version() -> None:
    assert run("--version").stdout.startswith("gliner-mt ")
    assert "extract" in run().output
    help_text = run("extract", "--help").stdout
    assert "gliner-mt extract notes/*.md --task task.yaml --html notes.html" in help_text


def test_help_imports_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['gliner-mt', '--help']\n"
        "from gliner_mt.cli import main\n"
        "try:\n    main()\nfinally:\n    assert not {'torch', 'transformers', 'numpy'} & set(sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_a_closed_pipe_ends_quietly() -> None:
    command = subprocess.Popen(
        [*FAKE, "extract", "--lines", *PEOPLE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert command.stdin and command.stdout and command.stderr
    try:
        command.stdin.write(b"Ada\n" * 10)
        command.stdin.flush()
        assert json.loads(command.stdout.readline())["row"] == 1
        command.stdout.close()
        command.stdin.write(b"Ada\n" * 10)
        command.stdin.close()
        assert command.wait(20) == 141
        assert command.stderr.read() == b""
    finally:
        command.kill()
        command.stderr.close()


def test_ctrl_c_leaves_whole_lines_and_says_130() -> None:
    with start_interruptible("extract", "--lines", *PEOPLE) as command:
        assert command.stdin and command.stdout and command.stderr
        command.stdin.write(b"Ada\nBob\nslow\nx\nx\n")
        command.stdin.flush()
        first = [command.stdout.readline(), command.stdout.readline()]
        command.send_signal(signal.SIGINT)
        out, err = command.communicate(timeout=20)
        assert [json.loads(line)["row"] for line in first] == [1, 2]
        assert (command.returncode, out, err) == (130, b"", b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_ctrl_c_in_the_middle_of_a_line_lets_it_end(unbuffered: str) -> None:
    text = "word " * 200_000
    with start_interruptible("extract", "--lines", *PEOPLE, unbuffered=unbuffered) as command:
        assert command.stdin and command.stdout
        command.stdin.write(f"{text}\nx\nx\nx\n".encode())
        command.stdin.flush()
        assert select.select([command.stdout], [], [], 20)[0]  # the pipe is filling
        time.sleep(0.2)
        command.send_signal(signal.SIGINT)
        out, _ = command.communicate(timeout=20)
        assert json.loads(out)["text"] == text
        assert out.endswith(b"}\n") and out.count(b"\n") == 1
        assert command.returncode == 130


def test_a_table_in_colour_on_a_terminal(folder: Path) -> None:
    shown, _ = on_terminal("extract", TEXT, *PEOPLE, stdout_too=True)
    assert "\x1b[" in shown and "characters" in shown and '"spans"' not in shown


def test_progress_is_shown_on_stderr_alone(folder: Path) -> None:
    shown, piped = on_terminal(
        "extract", "a.txt", "rows.csv", "--text-column", "body", *PEOPLE, stdout_too=False
    )
    assert "ETA" in shown and "texts" in shown
    assert [json.loads(line)["source"] for line in piped.splitlines()] == ["a.txt", "rows.csv", "rows.csv"]


def test_nothing_piped_in_on_a_terminal_is_an_error(folder: Path) -> None:
    shown, piped = on_terminal("extract", *PEOPLE, stdout_too=False)
    assert "nothing to read" in shown and piped == ""

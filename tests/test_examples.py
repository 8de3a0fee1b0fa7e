"""What newcomers copy: the examples, the README's code with the outputs it shows, and links to files."""

import re
import runpy
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from parity_models import Reference, Spec, write_backbone

from gliner_mt import Extractor, Relation, Span

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
PAGES = (ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").glob("*.md"))

RunExample = Callable[..., str]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("an example opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def run_example(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunExample:
    """Return a function that runs an example as a script would be, and returns what it prints."""

    def run(name: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.fixture(scope="module")
def refresh() -> SimpleNamespace:
    """Return the script that writes outputs into the README."""
    return SimpleNamespace(**runpy.run_path(str(ROOT / "docs" / "refresh.py")))


def test_all_examples_are_run_here() -> None:
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    assert names == {
        "quickstart",
        "long_document",
        "published_checkpoint",
        "query_parsing",
        "knowledge_graph",
        "contract_questions",
        "support_tickets",
        "fine_tune_lora",
        "continue_from_checkpoint",
        "llm2vec_lora",
    }


def test_quickstart(run_example: RunExample) -> None:
    printed = run_example("quickstart")
    assert "Elton John" in printed
    assert "Marie Curie" in printed


def test_long_document(run_example: RunExample) -> None:
    printed = run_example("long_document")
    assert "Angela Merkel" in printed
    assert "Tokyo" in printed


def test_long_document_of_ones_own(run_example: RunExample, tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear Maria,\n\nI am in Lisbon until Friday.\n\nJohn Smith\n", encoding="utf-8")
    assert "Lisbon" in run_example("long_document", str(path))


def test_query_parsing(run_example: RunExample) -> None:
    printed = run_example("query_parsing")
    assert printed.count("elasticsearch {") == 3
    assert len(re.findall(r"^  intent (?:buy|compare|order status)$", printed, re.M)) == 3
    assert '"q": "gift ideas"' in printed


def test_knowledge_graph(run_example: RunExample, tmp_path: Path) -> None:
    text, picture = tmp_path / "notes.txt", tmp_path / "graph.png"
    text.write_text(
        "Marie Curie was born in Warsaw. She worked at the University of Paris.", encoding="utf-8"
    )
    printed = run_example("knowledge_graph", str(text), str(picture))
    names = re.search(r"^(\d+) names, (\d+) relations: ", printed, re.M)
    assert names is not None
    assert printed.count(" --> ") == int(names[2])
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_graph_of_given_relations(
    run_example: RunExample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bob, acme = (
        Span(0, 3, "Ada", "person", 1),
        Span(8, 11, "Bob", "person", 1),
        Span(20, 24, "Acme", "x", 1),
    )
    found = [
        Relation(ada, bob, "knows", 0.6),
        Relation(ada, bob, "knows", 0.9),
        Relation(ada, bob, "likes", 0.5),
        Relation(bob, acme, "works for", 0.7),
    ]
    monkeypatch.setattr(Extractor, "load", lambda: SimpleNamespace(extract=lambda *_: found))
    text, picture = tmp_path / "notes.txt", tmp_path / "graph.svg"
    text.write_text("Ada and Bob work at Acme.", encoding="utf-8")
    assert run_example("knowledge_graph", str(text), str(picture)).splitlines() == [
        "0.90  Ada -- knows --> Bob",
        "0.50  Ada -- likes --> Bob",
        "0.70  Bob -- works for --> Acme",
        f"3 names, 3 relations: {picture}",
    ]
    drawn = picture.read_text(encoding="utf-8")
    assert "<svg" in drawn and "knows, likes" in drawn


def test_contract_questions(run_example: RunExample) -> None:
    printed = run_example("contract_questions")
    assert printed.count("?\n") == 6
    answered = re.findall(r"\[clause \d \(\w+\), characters \d+-\d+, score [01]\.\d\d\]", printed)
    unanswered = printed.count("    the contract does not say\n")
    assert answered and unanswered and len(answered) + unanswered == 6


def test_support_tickets(run_example: RunExample) -> None:
    printed = run_example("support_tickets")
    assert printed.count("  key sentence  ") == 3
    assert len(re.findall(r"^  to            (?:warehouse|accounts|help desk)$", printed, re.M)) == 3
    assert "'customer': 'Maria Lopez'" in printed


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Return a folder in the format of published checkpoints."""
    text = "Ada Lovelace wrote the first program in London in 1843."
    backbone = write_backbone(tmp_path / "backbone", "bert", [text])
    return Reference(Spec("bert", projection=True), backbone, [text], ["person"]).save(tmp_path / "model")


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:gliner.*")
def test_published_checkpoint(run_example: RunExample, published: Path) -> None:
    printed = run_example("published_checkpoint", str(published))
    assert "backbone     bert" in printed
    assert "labels       prompt" in printed


def test_published_checkpoint_that_is_not_there(run_example: RunExample, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"has no config\.json"):
        run_example("published_checkpoint", str(tmp_path))


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:gliner.*")
def test_continue_from_checkpoint(run_example: RunExample, published: Path, tmp_path: Path) -> None:
    printed = run_example("continue_from_checkpoint", str(published), str(tmp_path / "out"))
    assert f"MB: {tmp_path / 'out' / 'model'}" in printed


def test_fine_tune_lora(run_example: RunExample, tmp_path: Path) -> None:
    printed = run_example("fine_tune_lora", str(tmp_path))
    assert "after:" in printed
    assert f"seconds: {tmp_path / 'adapter'}" in printed
    (size,) = re.findall(r"an adapter of ([\d.]+) MB", printed)
    assert float(size) <= 5


def test_llm2vec_lora(run_example: RunExample, tmp_path: Path) -> None:
    printed = run_example("llm2vec_lora", str(tmp_path))
    assert "llama, a decoder made bidirectional" in printed
    first, last = map(float, re.findall(r"loss ([\d.]+) at first, ([\d.]+) at last", printed)[0])
    assert last < first / 2


def test_the_readme_shows_what_its_code_prints(refresh: SimpleNamespace) -> None:
    markdown = (ROOT / "README.md").read_text(encoding="utf-8")
    assert sum(block.language == "python" for block in refresh.blocks(markdown)) == 10
    assert_alike(refresh.refreshed(markdown), markdown)


def test_the_picture_shows_what_the_embedded_model_answers(refresh: SimpleNamespace) -> None:
    drawn = (ROOT / "docs" / "output.svg").read_text(encoding="utf-8")
    assert_alike(refresh.picture(), drawn)
    assert len(drawn) < 50_000
    assert "http" not in drawn.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def assert_alike(now: str, written: str) -> None:
    """Compare texts, decimal numbers loosely: scores differ a little between machines."""
    number = re.compile(r"\d+\.\d+")
    assert number.sub("#", now) == number.sub("#", written), "run: python docs/refresh.py"
    decimals: list[list[float]] = [[float(n) for n in number.findall(text)] for text in (now, written)]
    expected: Any = pytest.approx(decimals[1], abs=0.02)
    assert decimals[0] == expected, "run: python docs/refresh.py"

"""The model in the package, end to end: what a newcomer sees first."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from gliner_mt import NER, Extractor
from gliner_mt.checkpoint.load import EMBEDDED
from gliner_mt.evaluation.ner import predict, scores_at
from gliner_mt.formats.records import read_examples
from gliner_mt.tasks import Kind

TEXT = "Elton John performed in New York on 12 May 2022, and tickets cost $120."
EVERYDAY = Path(__file__).parents[1] / "benchmarks" / "everyday.jsonl"


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return Extractor.load(device="cpu")


def test_it_finds_everyday_entities(extractor: Extractor) -> None:
    spans = extractor.extract(TEXT, NER(["person", "city", "date", "price"]))
    assert [(span.text, span.label) for span in spans] == [
        ("Elton John", "person"),
        ("New York", "city"),
        ("12 May 2022", "date"),
        ("$120", "price"),
    ]
    assert all(TEXT[span.start : span.end] == span.text for span in spans)


def test_it_does_well_on_everyday_sentences(extractor: Extractor) -> None:
    examples = list(read_examples(EVERYDAY))
    threshold = extractor.threshold(Kind.ENTITIES)
    scores = scores_at(examples, predict(extractor, examples, threshold=threshold), threshold).micro
    assert scores.f1 > 0.88


def test_the_order_of_labels_changes_nothing(extractor: Extractor) -> None:
    labels = ["person", "city", "date", "price", "company", "song", "venue", "airport"]
    expected = extractor.extract(TEXT, NER(labels, threshold=0.01))
    for seed in range(3):
        random.Random(seed).shuffle(labels)
        found = extractor.extract(TEXT, NER(labels, threshold=0.01))
        assert [(s.start, s.end, s.label) for s in found] == [(s.start, s.end, s.label) for s in expected]
        assert [s.score for s in found] == pytest.approx([s.score for s in expected], abs=1e-5)


def test_a_long_document_loses_nothing(extractor: Extractor) -> None:
    filler = "The meeting went on for a while and nobody said much about anything. "
    text = "".join(filler * count + TEXT + " " for count in (0, 17, 40, 63))
    spans = extractor.extract(text, NER(["person", "city", "date", "price"]))
    assert sum(span.text == "Elton John" for span in spans) == 4
    assert all(text[span.start : span.end] == span.text for span in spans)


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in EMBEDDED.iterdir()) <= 60_000_000


def test_the_command_line_answers_with_it() -> None:
    command = [sys.executable, "-m", "gliner_mt", "extract", "--text", TEXT, "--labels", "person,city"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    record = json.loads(done.stdout)
    assert [(span["text"], span["label"]) for span in record["spans"]] == [
        ("Elton John", "person"),
        ("New York", "city"),
    ]

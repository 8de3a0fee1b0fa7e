"""Questions of SQuAD 1 and 2 (Rajpurkar et al. 2016 and 2018), and of the many sets in its format."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gliner_mt.formats.files import expecting, field, json_file, string
from gliner_mt.formats.records import offsets
from gliner_mt.types import Offsets, QAExample

SQUAD = "an object with data [{paragraphs [{context, qas [{question, answers [{text, answer_start}]}]}]}]"


def read_squad(path: Path) -> Iterator[QAExample]:
    """Yield every question with its paragraph. One without answers, or with `is_impossible`, has none.

    Raises:
        InputError: no such file, one of another form, or an answer that does not stand where it should.
    """
    for where, record in squad_records(path):
        with expecting(where, SQUAD):
            yield squad_example(record)


def squad_records(path: Path) -> Iterator[tuple[str, tuple[str, Any]]]:
    """Yield every paragraph's text with each of its questions, and where they stand.

    Raises:
        InputError: no such file, or one of another form.
    """
    document = json_file(path, SQUAD)
    with expecting(str(path), SQUAD):
        paragraphs = [paragraph for article in document["data"] for paragraph in article["paragraphs"]]
    for number, paragraph in enumerate(paragraphs):
        where = f"{path}, paragraph {number}"
        with expecting(where, SQUAD):
            context, questions = field(paragraph, "context", str), field(paragraph, "qas", list)
        for at, question in enumerate(questions):
            yield f"{where}, question {at}", (context, question)


def squad_example(record: tuple[str, Any]) -> QAExample:
    """Return a question to a text with its answers."""
    context, question = record
    asked = field(question, "question", str)
    answers = [] if question.get("is_impossible") else field(question, "answers", list)
    return QAExample(context, asked, tuple(dict.fromkeys(_place(answer, context) for answer in answers)))


def _place(answer: Mapping[str, Any], context: str) -> Offsets:
    start, text = answer["answer_start"], string(answer["text"])
    return offsets({"start": start, "end": start + len(text), "text": text}, context)

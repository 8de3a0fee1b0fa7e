"""Questions of SQuAD 1 and 2 (Rajpurkar et al. 2016 and 2018), and of the many sets in its format."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gliner_mt.formats.files import expecting, json_file, string
from gliner_mt.formats.records import offsets
from gliner_mt.types import Offsets, QAExample

_FORM = "data [{paragraphs [{context, qas [{question, answers [{text, answer_start}]}]}]}]"


def read_squad(path: Path) -> Iterator[QAExample]:
    """Yield every question with its paragraph. One without answers, or with `is_impossible`, has none.

    Raises:
        InputError: no such file, one of another form, or an answer that does not stand where it should.
    """
    document = json_file(path, _FORM)
    with expecting(str(path), _FORM):
        paragraphs = [paragraph for article in document["data"] for paragraph in article["paragraphs"]]
    for number, paragraph in enumerate(paragraphs):
        with expecting(f"{path}, paragraph {number}", _FORM):
            context = string(paragraph["context"])
            examples = [_question(context, question) for question in paragraph["qas"]]
        yield from examples


def _question(context: str, question: Mapping[str, Any]) -> QAExample:
    answers = () if question.get("is_impossible") else question["answers"]
    places = dict.fromkeys(_place(answer, context) for answer in answers)
    return QAExample(context, string(question["question"]), tuple(places))


def _place(answer: Mapping[str, Any], context: str) -> Offsets:
    start, text = answer["answer_start"], string(answer["text"])
    return offsets({"start": start, "end": start + len(text), "text": text}, context)

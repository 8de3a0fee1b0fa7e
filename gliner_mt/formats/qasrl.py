"""Verbs, questions about them and answers: the JSON lines of QA-SRL Bank 2.

FitzGerald et al. 2018, "Large-Scale QA-SRL Parsing"; the form is that of `FORMAT.md` of the data. Words are
joined by spaces. Both readers raise `InputError` for a file that cannot be read and a line of another form.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gliner_mt.formats.files import expecting, json_lines, string
from gliner_mt.formats.words import JoinedWords, join_words
from gliner_mt.types import GoldTuple, Offsets, OpenIEExample, Part, QAExample

_FORM = (
    "an object with sentenceTokens and verbEntries {verbIndex, questionLabels {questionString, "
    "questionSlots, isPassive, answerJudgments [{isValid, spans}]}}"
)


def read_qasrl_questions(path: Path) -> Iterator[QAExample]:
    """Yield every question that most judges find valid, with all answers that any of them gives."""
    for where, record in json_lines(path, _FORM):
        with expecting(where, _FORM):
            joined = join_words(record["sentenceTokens"])
            examples = [
                QAExample(joined.text, string(question["questionString"]), tuple(answers))
                for verb in record["verbEntries"].values()
                for question in verb["questionLabels"].values()
                if (answers := _answers(question, joined))
            ]
        yield from examples


def read_qasrl_tuples(path: Path) -> Iterator[OpenIEExample]:
    """Yield each sentence with a tuple for every verb: the answers given most often to its questions.

    The subject is the answer to an active question for the subject ("Who gave something?").
    """
    for where, record in json_lines(path, _FORM):
        with expecting(where, _FORM):
            joined = join_words(record["sentenceTokens"])
            verbs = record["verbEntries"].values()
            example = OpenIEExample(joined.text, tuple(_tuple(verb, joined) for verb in verbs))
        yield example


def _answers(question: Mapping[str, Any], joined: JoinedWords) -> Sequence[Offsets]:
    """Return the answers, the most frequent first; none if half of the judges find the question invalid."""
    judgments = question["answerJudgments"]
    valid = [judgment for judgment in judgments if judgment["isValid"]]
    if 2 * len(valid) <= len(judgments):
        return ()
    spans = Counter(joined.characters(first, end) for judgment in valid for first, end in judgment["spans"])
    return [place for place, _ in spans.most_common()]


def _tuple(verb: Mapping[str, Any], joined: JoinedWords) -> GoldTuple:
    at = joined.characters(verb["verbIndex"], verb["verbIndex"] + 1)
    parts: dict[Offsets, Part] = {}
    subject: Offsets | None = None
    for question in verb["questionLabels"].values():
        if answers := _answers(question, joined):
            place = answers[0]
            text = joined.text[place.start : place.end]
            parts.setdefault(place, Part(text, place, string(question["questionString"])))
            if subject is None and _asks_for_subject(question):
                subject = place
    others = tuple(part for place, part in parts.items() if place != subject)
    predicate = Part(joined.text[at.start : at.end], at)
    return GoldTuple(predicate, None if subject is None else parts[subject], others)


def _asks_for_subject(question: Mapping[str, Any]) -> bool:
    slots = question["questionSlots"]
    return slots["wh"] in ("who", "what") and slots["subj"] == "_" and not question["isPassive"]

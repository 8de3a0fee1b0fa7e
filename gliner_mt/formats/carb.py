"""Tuples of Open IE in the tab-separated files of CaRB.

Bhardwaj et al. 2019, "CaRB: A Crowdsourced Benchmark for Open IE"; the columns are those that the readers of
its scorer take (`goldReader.py`, `tabReader.py`).
"""

import re
import string
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from gliner_mt.errors import InputError
from gliner_mt.formats.files import numbered_lines
from gliner_mt.types import GoldTuple, Offsets, OpenIEExample, Part, TextTuple

_BRACKETS = {"-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", "-LCB-": "{", "-RCB-": "}"}
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def read_carb_gold(path: Path) -> Iterator[OpenIEExample]:
    """Yield each sentence with its tuples: lines of sentence, predicate, subject and further arguments.

    A part that stands in the sentence once, word for word, has its offsets; one that is reworded, or that
    stands there several times, has none.

    Raises:
        InputError: no such file, or a line with fewer than two columns.
    """
    tuples: dict[str, list[GoldTuple]] = defaultdict(list)
    for _, (sentence, predicate, *arguments) in _rows(path, 2, "sentence, predicate, arguments"):
        parts = [_part(argument, sentence) for argument in arguments]
        subject = parts[0] if parts else None
        tuples[sentence].append(GoldTuple(_part(predicate, sentence), subject, tuple(parts[1:])))
    for sentence, found in tuples.items():
        yield OpenIEExample(sentence, tuple(found))


def read_carb_output(path: Path) -> dict[str, list[TextTuple]]:
    """Return a system's tuples by `sentence_key`: lines of sentence, confidence, predicate and arguments.

    Raises:
        InputError: no such file, or a line with fewer than three columns or no number in the second.
    """
    tuples: dict[str, list[TextTuple]] = defaultdict(list)
    for where, row in _rows(path, 3, "sentence, confidence, predicate, arguments"):
        sentence, confidence, predicate, *arguments = row
        try:
            score = float(confidence)
        except ValueError as error:
            raise InputError(f"{where}: {confidence!r} is no confidence; expected a number.") from error
        tuples[sentence_key(sentence)].append(TextTuple(predicate, tuple(arguments), score))
    return dict(tuples)


def sentence_key(sentence: str) -> str:
    """Return what CaRB's scorer knows a sentence by: its characters but for spaces and punctuation."""
    key = sentence.replace(" ", "")
    for escaped, bracket in _BRACKETS.items():
        key = key.replace(escaped, bracket)
    return key.translate(_NO_PUNCTUATION)


def _rows(path: Path, least: int, form: str) -> Iterator[tuple[str, list[str]]]:
    for number, line in numbered_lines(path):
        columns = [column.strip() for column in line.strip().split("\t")]
        if not line.strip():
            continue
        if len(columns) < least:
            raise InputError(f"{path}, line {number}: {len(columns)} columns; expected {form}, between tabs.")
        yield f"{path}, line {number}", columns


def _part(words: str, sentence: str) -> Part:
    found = list(re.finditer(rf"(?<!\S){re.escape(words)}(?!\S)", sentence)) if words else []
    return Part(words, Offsets(*found[0].span()) if len(found) == 1 else None)

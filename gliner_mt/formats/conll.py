"""Entities as CoNLL columns: the word first, its tag last, a blank line after each sentence.

CoNLL-2003, CrossNER, WNUT, WikiGold and most other token-level sets come like this (Tjong Kim Sang and
De Meulder 2003, "Introduction to the CoNLL-2003 Shared Task", section 2).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gliner_mt.errors import InputError
from gliner_mt.formats.files import NO_NAMES, numbered_lines
from gliner_mt.formats.words import JoinedWords, join_words
from gliner_mt.types import Entity, Example

TAG = re.compile(r"O|[BIESLU]-.+")
_ENDS = " \r\n"  # a word may be another kind of space
Sentence = list[tuple[str, str]]


def read_conll(path: Path, names: Mapping[str, str] = NO_NAMES) -> Iterator[Example]:
    """Yield a text for each sentence, its words joined by spaces.

    Columns are separated by tabs or spaces. Tags may be IOB1, BIO, BIOES or BILOU. `-DOCSTART-` lines and
    comments are left out. The types of the whole file count as annotated in every sentence. `names` says what
    a type is called; others keep their names.

    Raises:
        InputError: no such file, or a line without a tag; the line is named.
    """
    sentences = [sentence for block in sentence_blocks(path) if (sentence := parse_sentence(block))]
    types = {tag[2:] for sentence in sentences for _, tag in sentence if tag != "O"}
    labels = tuple(sorted({names.get(name, name) for name in types}))
    for sentence in sentences:
        words, tags = zip(*sentence, strict=True)
        yield tagged_example(join_words(words), tags, labels, names)


def tagged_example(
    joined: JoinedWords,
    tags: Sequence[str],
    labels: tuple[str, ...] = (),
    names: Mapping[str, str] = NO_NAMES,
) -> Example:
    """Return a text with the entities that the tags of its words mark.

    Raises:
        ValueError: not as many tags as words, or an entity of empty words.
    """
    if len(joined.words) != len(tags):
        raise ValueError(f"{len(joined.words)} words, but {len(tags)} tags")
    places = (
        (joined.characters(first, end), names.get(name, name)) for first, end, name in tagged_ranges(tags)
    )
    return Example(joined.text, tuple(Entity(at.start, at.end, label) for at, label in places), labels)


def tagged_ranges(tags: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """Yield first word, word after the last, and type of each entity, as `conlleval` finds them."""
    first, kind = 0, ""
    for number, tag in enumerate(tags):
        prefix, _, name = tag.partition("-")
        if kind and (name != kind or prefix in "BSU"):
            yield first, number, kind
            kind = ""
        if name and not kind:
            first, kind = number, name
        if kind and prefix in "ELSU":
            yield first, number + 1, kind
            kind = ""
    if kind:
        yield first, len(tags), kind


def sentence_blocks(path: Path) -> Iterator[list[tuple[str, str]]]:
    """Yield the lines of each sentence, each behind the place where it stands.

    Raises:
        InputError: no such file, or one that cannot be read to its end.
    """
    block: list[tuple[str, str]] = []
    for number, line in numbered_lines(path):
        if line.strip() and not line.startswith("-DOCSTART-"):
            block.append((f"{path}, line {number}", line))
        elif block:
            yield block
            block = []
    if block:
        yield block


def parse_sentence(block: Sequence[tuple[str, str]]) -> Sentence:
    """Return words and tags of the lines of a sentence; comments are left out.

    Raises:
        InputError: a line without a tag; it is named.
    """
    sentence = []
    for where, line in block:
        columns = line.split("\t") if "\t" in line else line.split(" ")
        word, tag = columns[0].strip(_ENDS), columns[-1].strip(_ENDS)
        if len(columns) > 1 and word and TAG.fullmatch(tag):
            sentence.append((word, tag))
        elif not word.startswith("#"):
            raise InputError(
                f"{where}: {line.strip()!r}; expected a word and, in the last column, "
                "a tag such as O or B-person."
            )
    return sentence

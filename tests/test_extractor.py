import warnings
from collections.abc import Iterator
from itertools import pairwise, permutations
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from texts import any_text
from tiny_models import LABELS, TEXTS, WORDS, probabilities, tiny_config, tiny_extractor, tiny_model

from gliner_mt import NER, ConfigError, Extractor, InputError, Span
from gliner_mt.tokenization import WordTokenizer

EVERYTHING = NER(LABELS, threshold=0.3, nested=True, multi_label=True)
Plain = list[tuple[int, int, str]]


def plain(spans: list[Span]) -> Plain:
    return [(span.start, span.end, span.label) for span in spans]


def assert_offsets(text: str, spans: list[Span]) -> None:
    for span in spans:
        assert 0 <= span.start < span.end <= len(text)
        assert text[span.start : span.end] == span.text
        assert span.label in LABELS
        assert 0.0 < span.score <= 1.0
    assert [span.start for span in spans] == sorted(span.start for span in spans)


@settings(deadline=None, max_examples=20)
@given(text=any_text)
def test_any_text_has_spans_with_its_own_offsets(any_extractor: Extractor, text: str) -> None:
    assert_offsets(text, any_extractor.extract(text, EVERYTHING))


@pytest.mark.parametrize("word", ["a", "東", "\ud800"])
def test_a_word_of_100_000_characters(extractor: Extractor, word: str) -> None:
    text = (word * 100_000)[:100_000]
    spans = extractor.extract(text, NER(LABELS[:1], threshold=0.9))
    assert_offsets(text, spans)


def test_words_around_an_endless_one_are_found(tokenizer: WordTokenizer) -> None:
    config = tiny_config(labels="parallel")
    model = tiny_model(config, tokenizer, context=False)
    extractor = Extractor(config, model, tokenizer)
    task = NER(LABELS, threshold=0.2, nested=True, multi_label=True)
    word = next(word for word in WORDS if extractor.extract(word, task))
    text = f"{word}\n{'x' * 100_000}\n{word}"
    starts = {span.start for span in extractor.extract(text, task) if span.text == word}
    assert starts == {0, len(text) - len(word)}


@pytest.mark.parametrize("text", ["", " ", "\r\n\t", "\u3000", "\x00\x01", "\u200b", "\u0301"])
def test_a_text_without_words_has_no_spans(any_extractor: Extractor, text: str) -> None:
    assert any_extractor.extract(text, NER(LABELS, threshold=0.0)) == []


def test_one_text_is_as_many(any_extractor: Extractor) -> None:
    texts = [*TEXTS, "", "東京 Ada", TEXTS[0]]
    answers = list(any_extractor.extract_many(texts, EVERYTHING))
    alone = [any_extractor.extract(text, EVERYTHING) for text in texts]
    assert list(map(plain, answers)) == list(map(plain, alone))
    assert any(answers)
    assert plain(answers[0]) == plain(answers[-1])


def test_answers_keep_the_order_of_texts(extractor: Extractor) -> None:
    texts = [" ".join(WORDS[: 1 + 7 * n % 40]) for n in range(60)]
    for text, spans in zip(texts, extractor.extract_many(iter(texts), EVERYTHING), strict=True):
        assert_offsets(text, spans)
        assert plain(spans) == plain(extractor.extract(text, EVERYTHING))


def test_texts_are_read_as_answers_are_taken(extractor: Extractor) -> None:
    read = 0

    def texts() -> Iterator[str]:
        nonlocal read
        for _ in range(3_000):
            read += 1
            yield TEXTS[0]

    answers = extractor.extract_many(texts(), NER(["person"]))
    assert read == 0
    next(answers)
    assert 0 < read < 3_000


@settings(deadline=None, max_examples=20)
@given(order=st.permutations(LABELS), text=st.sampled_from(TEXTS), nested=st.booleans(), multi=st.booleans())
def test_the_order_of_labels_changes_no_span(
    extractor: Extractor, order: list[str], text: str, nested: bool, multi: bool
) -> None:
    answers = []
    for labels in (LABELS, order):
        task = NER(labels, threshold=0.4, nested=nested, multi_label=multi)
        spans = sorted(extractor.extract(text, task), key=lambda span: (span.start, span.end, span.label))
        answers.append(spans)
    assert plain(answers[0]) == plain(answers[1])
    scores = [[span.score for span in spans] for spans in answers]
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)


def test_the_order_of_labels_in_groups_changes_no_span(extractor: Extractor) -> None:
    labels = [f"{first} {second}" for first, second in permutations(WORDS[:8], 2)]
    answers = [sorted(plain(extractor.extract(TEXTS[1], NER(order)))) for order in (labels, labels[::-1])]
    assert answers[0] == answers[1]
    assert answers[0]


def test_each_label_has_its_own_threshold(extractor: Extractor, tokenizer: WordTokenizer) -> None:
    config, model = extractor._config, extractor._engine.model
    scores = dict(
        zip(LABELS, probabilities(model, config, tokenizer, "Paris", LABELS)[0, 0].tolist(), strict=True)
    )
    for threshold in (0.0, 0.3, 0.6):
        own = {label: threshold if index % 2 else 0.99 * scores[label] for index, label in enumerate(LABELS)}
        task = NER({label: ("", own[label]) for label in LABELS}, threshold=1.0, multi_label=True)
        found = {span.label: span.score for span in extractor.extract("Paris", task)}
        assert found == {
            label: pytest.approx(score, abs=1e-4) for label, score in scores.items() if score > own[label]
        }


def test_the_default_threshold_is_the_model_s(tokenizer: WordTokenizer) -> None:
    for threshold in (0.2, 0.9):
        extractor = tiny_extractor(tokenizer, threshold=threshold)
        assert extractor.extract(TEXTS[1], NER(LABELS)) == extractor.extract(
            TEXTS[1], NER(LABELS, threshold=threshold)
        )


def test_flat_nested_and_multi_label(any_extractor: Extractor) -> None:
    def found(**rules: bool) -> Plain:
        return plain(any_extractor.extract(" ".join(WORDS), NER(LABELS, threshold=0.2, **rules)))

    flat, nested, multi = found(), found(nested=True), found(multi_label=True)
    assert all(a[1] <= b[0] for a, b in pairwise(flat))
    places = {span[:2] for span in nested}
    assert len(places) == len(nested) > len(flat)
    assert not any(a < c < b < d for a, b in places for c, d in places)
    assert {span[:2] for span in multi} == {span[:2] for span in flat}
    assert len(multi) > len(flat)


def test_descriptions_are_read(extractor: Extractor) -> None:
    named = extractor.extract(TEXTS[1], NER(LABELS))
    described = extractor.extract(TEXTS[1], NER({label: "one of the north" for label in LABELS}))
    assert {span.label for span in described} <= set(LABELS)
    assert [span.score for span in named] != [span.score for span in described]


def test_duplicate_labels_are_merged_and_said_so(extractor: Extractor) -> None:
    with pytest.warns(UserWarning, match="merged: city"):
        task = NER(["person", "city", "city ", "company"])
    assert [label.name for label in task.labels] == ["person", "city", "company"]
    assert extractor.extract(TEXTS[0], task) == extractor.extract(
        TEXTS[0], NER(["person", "city", "company"])
    )


def test_a_saved_model_gives_identical_answers(any_extractor: Extractor, tmp_path: Path) -> None:
    any_extractor.save(tmp_path / "deep" / "model")
    loaded = Extractor.load(tmp_path / "deep" / "model", device="cpu", attention="sdpa")
    for text in TEXTS:
        assert loaded.extract(text, EVERYTHING) == any_extractor.extract(text, EVERYTHING)
    facts, again = any_extractor.info(), loaded.info()
    assert again.pop("model") == str(tmp_path / "deep" / "model")
    assert {**facts, **again} == facts
    assert all(facts.values())


@pytest.mark.parametrize("attention", ["eager", "packed"])
def test_attention_changes_no_answer(extractor: Extractor, tmp_path: Path, attention: str) -> None:
    extractor.save(tmp_path)
    loaded = Extractor.load(str(tmp_path), attention=attention)
    spans, expected = (one.extract(TEXTS[1], NER(LABELS)) for one in (loaded, extractor))
    assert plain(spans) == plain(expected)
    assert [span.score for span in spans] == pytest.approx([span.score for span in expected], abs=1e-4)


@pytest.mark.parametrize("dtype", ["bfloat16", torch.float16])
def test_half_precision(extractor: Extractor, tmp_path: Path, dtype: str | torch.dtype) -> None:
    extractor.save(tmp_path)
    loaded = Extractor.load(tmp_path, dtype=dtype)
    assert loaded.info()["runs on"] == f"cpu, {str(dtype).removeprefix('torch.')}"
    assert_offsets(TEXTS[1], loaded.extract(TEXTS[1], NER(LABELS, threshold=0.3)))
    loaded.save(tmp_path / "half")
    assert Extractor.load(tmp_path / "half").info()["runs on"] == "cpu, float32"


def test_smaller_windows(extractor: Extractor, tmp_path: Path) -> None:
    extractor.save(tmp_path)
    loaded = Extractor.load(tmp_path, max_tokens=64)
    assert loaded.info()["window"].startswith("64 ")
    text = " ".join(WORDS * 5)
    assert_offsets(text, loaded.extract(text, NER(LABELS)))


@pytest.mark.parametrize("text", [None, b"Ada", 1, ["Ada"], ("Ada",)])
def test_extract_takes_one_string(extractor: Extractor, text: object) -> None:
    with pytest.raises(InputError, match=r"expected one string.*extract_many"):
        extractor.extract(text, EVERYTHING)  # type: ignore[arg-type]


@pytest.mark.parametrize("texts", ["Ada", b"Ada"])
def test_extract_many_takes_no_single_string(extractor: Extractor, texts: object) -> None:
    with pytest.raises(InputError, match=r"one (str|bytes).*call extract"):
        extractor.extract_many(texts, EVERYTHING)  # type: ignore[arg-type]


@pytest.mark.parametrize("texts", [None, 3])
def test_extract_many_takes_an_iterable(extractor: Extractor, texts: object) -> None:
    with pytest.raises(InputError, match="expected an iterable of strings"):
        extractor.extract_many(texts, EVERYTHING)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [None, b"Ada", 2.0])
def test_every_text_is_a_string(extractor: Extractor, bad: object) -> None:
    with pytest.raises(InputError, match=f"text 2 is a {type(bad).__name__}; expected a string"):
        list(extractor.extract_many(["Ada", "Bob", bad], EVERYTHING))  # type: ignore[list-item]


@pytest.mark.parametrize("task", [["person"], "person", NER, None])
def test_a_task_is_asked_for(extractor: Extractor, task: object) -> None:
    for ask in (extractor.extract, extractor.extract_many):
        with pytest.raises(InputError, match=r"expected a task such as NER\("):
            ask("Ada" if ask == extractor.extract else ["Ada"], task)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "labels is empty"),
        ({}, "labels is empty"),
        ("person", r"expected a list of names. Give it as \['person'\]"),
        (b"person", "labels is a bytes"),
        (None, "labels is a NoneType"),
        ([None], "label None is a NoneType"),
        ([b"person"], "is a bytes; expected a string"),
        ({1: "one"}, "label 1 is a int"),
        ([" "], "is blank"),
        (["per\nson"], "has a line break"),
        (["person\r"], "has a line break"),
        ({"person": None}, "maps to None"),
        ({"person": ("a man", 2)}, "threshold of label 'person' is 2"),
        ({"person": ("a man", float("nan"))}, "threshold of label 'person' is nan"),
        ({"person": ("a man", 0.5, 1)}, "expected a description, or"),
    ],
)
def test_labels_that_are_none(labels: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        NER(labels)  # type: ignore[arg-type]


@pytest.mark.parametrize("threshold", [float("nan"), 2, -0.1, "x", True, [0.5]])
def test_a_threshold_is_a_probability(threshold: object) -> None:
    with pytest.raises(InputError, match=r"threshold is .*; expected a number from 0 to 1"):
        NER(["person"], threshold=threshold)  # type: ignore[arg-type]


@pytest.mark.parametrize("threshold", [0, 0.0, 1, 1.0])
def test_thresholds_at_the_ends(extractor: Extractor, threshold: float) -> None:
    found = extractor.extract("Paris", NER(LABELS, threshold=threshold, multi_label=True))
    assert {span.label for span in found} == (set(LABELS) if threshold == 0 else set())


@pytest.mark.parametrize("ask", [{"zoo " * 40: ""}, {"zoo": "of " * 80}])
def test_a_label_longer_than_the_window(any_extractor: Extractor, ask: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"takes \d+ sub-words; labels may take \d+.*Shorten it"):
        any_extractor.extract("Ada", NER(ask))
    with pytest.raises(InputError, match="Shorten it"):
        list(any_extractor.extract_many(["Ada"], NER(ask)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "nonsense"}, "device 'nonsense' cannot be used"),
        ({"device": "meta:x"}, "device 'meta:x' cannot be used"),
        ({"device": []}, "cannot be used"),
        ({"dtype": "int8"}, "dtype is 'int8'"),
        ({"dtype": "bfloat"}, "did you mean 'bfloat16'"),
        ({"dtype": torch.int64}, "dtype is 'torch.int64'"),
        ({"attention": "padded"}, "attention is 'padded'; did you mean 'packed'?"),
        ({"attention": None}, "attention is None"),
    ],
)
def test_options_that_are_not_to_be_had(
    extractor: Extractor, tmp_path: Path, options: dict[str, object], message: str
) -> None:
    extractor.save(tmp_path)
    with pytest.raises(ConfigError, match=message):
        Extractor.load(tmp_path, **options)  # type: ignore[arg-type]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(extractor: Extractor, tmp_path: Path) -> None:
    extractor.save(tmp_path)
    with pytest.raises(ConfigError, match="device 'cuda:0' cannot be used"):
        Extractor.load(tmp_path, device="cuda:0")


@pytest.mark.parametrize("max_tokens", [0, 63, 257, -1, True, "128", 100.0])
def test_windows_that_no_model_reads(extractor: Extractor, tmp_path: Path, max_tokens: object) -> None:
    extractor.save(tmp_path)
    with pytest.raises(InputError, match=r"max_tokens is .*at least 64 and at most 256"):
        Extractor.load(tmp_path, max_tokens=max_tokens)  # type: ignore[arg-type]


def test_loading_warns_of_nothing(extractor: Extractor, tmp_path: Path) -> None:
    extractor.save(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Extractor.load(tmp_path).extract("Ada", EVERYTHING)


def test_info_says_what_can_be_asked(tokenizer: WordTokenizer) -> None:
    facts = tiny_extractor(tokenizer).info()
    assert (facts["tasks"], facts["pairs"]) == (
        "NER, QA, Summary, Classification",
        "not related, for want of a pair head",
    )
    facts = tiny_extractor(tokenizer, pairs=True).info()
    assert (facts["tasks"], facts["pairs"]) == (
        "NER, QA, Summary, Classification, Relations, OpenIE",
        "related",
    )

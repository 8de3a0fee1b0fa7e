from collections.abc import Iterator
from itertools import islice, pairwise, repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from texts import any_text
from tiny_models import LABELS, TEXTS, WORDS, assert_same, plain, spans_of, tiny_config, tiny_model

from gliner_mt import engine as engine_module
from gliner_mt.asking import Reading, labels_asked
from gliner_mt.batch import Batch
from gliner_mt.build import build_labels
from gliner_mt.config import ModelConfig, Thresholds
from gliner_mt.engine import Engine, windows_of
from gliner_mt.limits import Limits
from gliner_mt.model import SpanMatcher
from gliner_mt.scoring import Job, Scorer
from gliner_mt.tasks import NER, Queries
from gliner_mt.tokenization import WordTokenizer
from gliner_mt.types import Span

ASK = NER(LABELS, threshold=0.5, nested=True, multi_label=True).queries()
MANY_LABELS = [f"{first} {second}" for first in WORDS[:12] for second in WORDS[12:17]]


def make_engine(
    config: ModelConfig, model: SpanMatcher, tokenizer: WordTokenizer, window: int = 128, batch: int = 2048
) -> Engine:
    return Engine(model, build_labels(config, tokenizer), Limits(window, batch), Thresholds())


@pytest.fixture(scope="module")
def engine(tokenizer: WordTokenizer) -> Engine:
    config = tiny_config(labels="parallel")
    return make_engine(config, tiny_model(config, tokenizer), tokenizer)


@settings(deadline=None, max_examples=100)
@given(text=any_text, budget=st.integers(4, 20), overlap=st.integers(0, 6))
def test_windows_hold_every_word(tokenizer: WordTokenizer, text: str, budget: int, overlap: int) -> None:
    words = list(tokenizer.encode(text, max_word_tokens=budget))
    seen: set[int] = set()
    for window, held in windows_of(text, tokenizer, budget, overlap):
        assert held == words[window.word_start : window.word_end]
        assert 0 < sum(len(word.ids) for word in held) <= budget
        seen.update(range(window.word_start, window.word_end))
    assert seen == set(range(len(words)))


def readings_of(engine: Engine, queries: tuple[Queries, ...]) -> list[Reading]:
    return engine._readings(labels_asked(queries, Thresholds()), queries)


@settings(deadline=None, max_examples=25)
@given(texts=st.lists(any_text | st.sampled_from(TEXTS), min_size=1, max_size=6), batch=st.integers(1, 600))
def test_spans_are_the_same_in_any_batch_with_any_neighbours(
    engine: Engine, texts: list[str], batch: int
) -> None:
    alone = [next(spans_of(engine, [text], ASK)) for text in texts]
    other = Engine(engine.model, engine.labels, Limits(128, batch), Thresholds())
    assert_same(list(spans_of(other, texts, ASK)), alone)


@pytest.mark.parametrize("labels", ["prompt", "parallel"])
@pytest.mark.parametrize("head", ["marker", "marker_v0", "boundary"])
@pytest.mark.parametrize("nested", [False, True])
def test_without_context_windows_change_nothing(
    tokenizer: WordTokenizer, labels: str, head: str, nested: bool
) -> None:
    """What a model without context finds in a long text in one piece, it finds in windows of any size."""
    config = tiny_config(positions=2048, max_tokens=2048, labels=labels, head=head)
    model = tiny_model(config, tokenizer, context=False)
    # No word comes twice nearby, for spans that overlap must not have equal scores.
    text = " ".join([*WORDS, "zoo."] * 6)
    queries = NER(LABELS, threshold=0.7, nested=nested).queries()
    whole = make_engine(config, model, tokenizer, window=2048)
    expected = next(spans_of(whole, [text], queries))
    assert len({span.start for span in expected}) > 20
    for window in (64, 100):
        windowed = make_engine(config, model, tokenizer, window=window)
        assert_same([next(spans_of(windowed, [text], queries))], [expected])


def test_an_entity_is_found_wherever_it_stands(tokenizer: WordTokenizer) -> None:
    config = tiny_config(labels="parallel", text_position=8)
    model = tiny_model(config, tokenizer, context=False)
    engine = make_engine(config, model, tokenizer, window=64)
    queries = NER(["person"], threshold=0.9).queries()

    def spans_in(text: str) -> list[Span]:
        return next(spans_of(engine, [text], queries))

    filler = next(word for word in WORDS if not spans_in(f"{word} " * 12)) + " "
    entity = next(
        pair for pair in pairwise(WORDS) if spans_in(filler * 4 + " ".join(pair) + f" {filler}" * 4)
    )

    def found_after(before: int) -> list[tuple[int, int]]:
        offset = before * len(filler)
        spans = spans_in(f"{filler * before}{' '.join(entity)} {filler * 100}")
        return [(span.start - offset, span.end - offset) for span in spans]

    found = found_after(4)
    assert found
    assert all(found_after(before) == found for before in range(5, 130, 6))


@pytest.mark.parametrize("labels", ["prompt", "parallel"])
def test_many_labels_are_asked_in_groups(tokenizer: WordTokenizer, labels: str) -> None:
    config = tiny_config(labels=labels)
    engine = make_engine(config, tiny_model(config, tokenizer), tokenizer)
    readings = readings_of(engine, NER(MANY_LABELS).queries())
    assert len(readings) > 2
    assert all(len(reading.prompt.ids) <= 64 for reading in readings)
    indices = [index for reading in readings for group in reading.groups for index in group.indices]
    assert sorted(indices) == list(range(len(MANY_LABELS)))
    backwards = readings_of(engine, NER(MANY_LABELS[::-1]).queries())
    assert [reading.prompt for reading in backwards] == [reading.prompt for reading in readings]


def test_groups_are_as_labels_asked_apart(engine: Engine) -> None:
    queries = NER(MANY_LABELS, threshold=0.2, nested=True, multi_label=True).queries()
    apart: list[tuple[int, int, str]] = []
    for reading in readings_of(engine, queries):
        names = [MANY_LABELS[index] for index in reading.groups[0].indices]
        task = NER(names, threshold=0.2, multi_label=True)
        apart += plain(next(spans_of(engine, ["Paris"], task.queries())))
    together = plain(next(spans_of(engine, ["Paris"], queries)))
    assert len(together) > 5
    assert sorted(together) == sorted(apart)


def test_windows_and_prompt_keep_to_the_limit(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []
    score = Scorer.score

    def watched(self: Scorer, jobs: list[Job], batch: Batch) -> None:
        assert batch.positions is not None
        assert int(batch.positions.max()) < 128
        assert [job.length for job in jobs] == (batch.groups >= 0).sum(1).tolist()
        assert len(jobs) == 1 or batch.ids.numel() <= engine.limits.batch_tokens
        lengths.extend(job.length for job in jobs)
        score(self, jobs, batch)

    monkeypatch.setattr(Scorer, "score", watched)
    for labels in (["x"], LABELS, MANY_LABELS):
        list(spans_of(engine, [" ".join(WORDS * 8), "東" * 500], NER(labels).queries()))
    assert 100 < max(lengths) <= 128


def counted(texts: Iterator[str], read: list[str]) -> Iterator[str]:
    for text in texts:
        read.append(text)
        assert len(read) < 20_000, "the stream is read without end"
        yield text


@pytest.mark.parametrize("text", ["Ada met Bob", "", " \n", "\x00"])
def test_an_endless_stream_is_answered_as_it_comes(engine: Engine, text: str) -> None:
    read: list[str] = []
    engine = Engine(engine.model, engine.labels, Limits(128, 256), Thresholds())
    stream = spans_of(engine, counted(repeat(text), read), ASK)
    assert read == []
    first = plain(next(stream))
    ahead = len(read)
    assert 1 < ahead <= 256 * 16
    # The end of the last text in hand may be seen only with the next one.
    assert list(map(plain, islice(stream, ahead - 2))) == [first] * (ahead - 2)
    assert len(read) == ahead
    assert list(map(plain, islice(stream, 2))) == [first] * 2
    assert ahead < len(read) <= 2 * ahead


@pytest.mark.parametrize("nested", [False, True])
def test_a_long_document_is_read_in_parts(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, nested: bool
) -> None:
    queries = NER(LABELS, threshold=0.5, nested=nested, multi_label=nested).queries()
    monkeypatch.setattr(engine_module, "_READ_AHEAD", 1)
    in_hand: list[int] = []
    score = Engine._score

    def watched(self: Engine, scorer: Scorer, jobs: list[Job]) -> None:
        in_hand.append(sum(job.length for job in jobs))
        score(self, scorer, jobs)

    monkeypatch.setattr(Engine, "_score", watched)
    small = Engine(engine.model, engine.labels, Limits(128, 256), Thresholds())
    text = " ".join(WORDS * 60)
    answer = next(spans_of(small, [text], queries))
    assert len(in_hand) > 5
    assert max(in_hand) <= 256 + 128
    monkeypatch.setattr(engine_module, "_READ_AHEAD", 100)
    assert_same([answer], [next(spans_of(engine, [text], queries))])

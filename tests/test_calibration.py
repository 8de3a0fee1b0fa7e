import math
from collections import Counter
from pathlib import Path
from random import Random
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import LABELS, TEXTS, WORDS, tiny_config, tiny_extractor, tiny_model

from gliner_mt import NER, Extractor, InputError
from gliner_mt.calibration import (
    FLOOR,
    Decision,
    best_threshold,
    calibrate,
    decisions_of,
    f_beta,
    fit_temperature,
    reliability,
    tempered,
)
from gliner_mt.config import ModelConfig, Thresholds
from gliner_mt.errors import ConfigError
from gliner_mt.metrics.counts import F1
from gliner_mt.task_files import task_from_dict
from gliner_mt.tasks import Kind
from gliner_mt.tasks.parsing import sigmoid
from gliner_mt.tokenization import WordTokenizer
from gliner_mt.types import Entity, Example, Span

SCORES = st.integers(6, 99).map(lambda percent: percent / 100)
DECISIONS = st.lists(st.builds(Decision, st.sampled_from("abc"), SCORES, st.booleans()), max_size=25)


def drawn(temperature: float, n: int = 4000) -> list[Decision]:
    """Return decisions whose scores are the chance of being right only after `temperature`."""
    random = Random(0)
    logits = [random.gauss(0.5, 2.0) for _ in range(n)]
    return [Decision("a", sigmoid(x), random.random() < sigmoid(x / temperature)) for x in logits]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_is_found(temperature: float) -> None:
    assert fit_temperature(drawn(temperature)) == pytest.approx(temperature, rel=0.1)


@given(DECISIONS)
def test_the_temperature_is_the_likeliest(decisions: list[Decision]) -> None:
    def surprise(temperature: float) -> float:
        return -sum(
            math.log(p if one.right else 1 - p)
            for one in decisions
            for p in [min(max(tempered(one.score, temperature), 1e-12), 1 - 1e-12)]
        )

    fitted = fit_temperature(decisions)
    assert 0.2 <= fitted <= 5.0
    if len({one.right for one in decisions}) == 2:
        assert all(surprise(fitted) <= surprise(other) + 1e-6 for other in (0.2, 0.5, 1.0, 2.0, 5.0))
    else:
        assert fitted == 1.0


@given(DECISIONS, st.integers(0, 5), st.sampled_from([0.5, 1.0, 2.0]))
def test_no_threshold_has_a_better_f_measure(decisions: list[Decision], missed: int, beta: float) -> None:
    n_gold = missed + sum(one.right for one in decisions)

    def f(threshold: float) -> float:
        kept = [one.right for one in decisions if one.score > threshold]
        return f_beta(F1(sum(kept), len(kept) - sum(kept), n_gold - sum(kept)), beta)

    best = best_threshold(decisions, n_gold, beta, FLOOR)
    assert all(f(best) >= f(other) - 1e-12 for other in [0.0, *(one.score for one in decisions)])


def test_f_beta_by_hand() -> None:
    counts = F1(6, 2, 4)
    assert f_beta(counts, 1.0) == pytest.approx(counts.f1)
    assert f_beta(counts, 2.0) == pytest.approx(5 * 0.75 * 0.6 / (4 * 0.75 + 0.6))
    assert f_beta(F1(), 1.0) == 0.0


def test_the_expected_calibration_error_by_hand() -> None:
    decisions = [
        Decision("a", score, right)
        for score, right in [(0.95, True), (0.91, False), (0.55, True), (0.15, False)]
    ]
    found = reliability(decisions, 3, Thresholds(0.5, {}, {"a": 0.92}))
    assert [(one.score, one.right, one.size) for one in found.bins] == [
        (pytest.approx(0.15), 0.0, 1),
        (pytest.approx(0.55), 1.0, 1),
        (pytest.approx(0.93), 0.5, 2),
    ]
    assert found.ece == pytest.approx((0.15 + 0.45 + 2 * 0.43) / 4)
    assert found.counts == F1(1, 0, 2)


def test_only_labels_that_repeat_enough_have_their_own_threshold() -> None:
    decisions = [
        Decision(label, score, right)
        for label, cut in (("often", 0.7), ("seldom", 0.3))
        for score, right in [(n / 20, n / 20 > cut) for n in range(2, 20)]
    ]
    n_gold = Counter(one.label for one in decisions if one.right)
    fitted = calibrate(decisions, n_gold, beta=1.0, least=6, current=Thresholds(), n_examples=9)
    assert n_gold == {"often": 5, "seldom": 13}
    assert list(fitted.thresholds.label_thresholds) == ["seldom"]
    kept = [
        one.right
        for one in decisions
        if tempered(one.score, fitted.thresholds.temperature) > fitted.thresholds.label_thresholds["seldom"]
    ]
    assert sum(kept) >= 13
    assert fitted.after.counts.f1 > fitted.before.counts.f1


def test_what_is_found_is_right_or_wrong() -> None:
    example = Example("Ada met Bob", (Entity(0, 3, "person"), Entity(8, 11, "name")), ("person",))
    spans = [Span(0, 3, "Ada", "person", 0.9), Span(8, 11, "Bob", "person", 0.6)]
    decisions, n_gold = decisions_of([example], [spans])
    assert decisions == [Decision("person", 0.9, True), Decision("person", 0.6, False)]
    assert n_gold == {"person": 1}
    for examples, found in (([], []), ([example], [[]]), ([Example("Ada", (), ("person",))], [spans])):
        with pytest.raises(InputError, match=r"annotated spans; \d were found, and none of them is right"):
            decisions_of(examples, found)


def annotated(extractor: Extractor) -> list[Example]:
    """Return examples in which two of three spans that the model finds are right."""
    texts = [*TEXTS, *(" ".join(Random(n).sample(WORDS, 12)) for n in range(12))]
    examples = []
    for text in texts:
        spans = extractor.extract(text, NER(LABELS, threshold=0.3))
        entities = tuple(Entity(s.start, s.end, s.label) for n, s in enumerate(spans) if n % 3)
        examples.append(Example(text, entities, LABELS))
    return examples


@pytest.mark.parametrize("head", ["marker", "boundary"])
def test_a_model_is_calibrated_saved_and_loaded(tokenizer: WordTokenizer, tmp_path: Path, head: str) -> None:
    extractor = tiny_extractor(tokenizer, head=head, labels="parallel")
    dev = annotated(extractor)
    before = {
        (n, s.start, s.end, s.label): s.score
        for n, one in enumerate(dev)
        for s in extractor.extract(one.text, NER(LABELS, threshold=FLOOR, nested=True, multi_label=True))
    }
    fitted = extractor.calibrate(dev, least=5)
    now = fitted.thresholds
    assert now == extractor.thresholds
    assert now.temperature != 1.0
    assert now.label_thresholds
    assert fitted.after.ece < fitted.before.ece
    assert fitted.after.counts.f1 >= fitted.before.counts.f1
    low = tempered(FLOOR, now.temperature)
    for n, one in enumerate(dev):
        for s in extractor.extract(one.text, NER(LABELS, threshold=low, nested=True, multi_label=True)):
            known = before.get((n, s.start, s.end, s.label))
            if known is not None:
                assert s.score == pytest.approx(tempered(known, now.temperature), abs=1e-4)
    extractor.save(tmp_path / "model")
    again = Extractor.load(tmp_path / "model", device="cpu", attention="eager")
    for one in dev:
        own = again.extract(one.text, NER(LABELS))
        assert [(s.start, s.end, s.label) for s in own] == [
            (s.start, s.end, s.label) for s in extractor.extract(one.text, NER(LABELS, threshold="auto"))
        ]
        assert all(s.score > now.of(Kind.ENTITIES, s.label) for s in own)
    assert f"{len(now.label_thresholds)} labels have their own, temperature" in again.info()["threshold"]
    once_more = again.calibrate(dev, least=5)
    assert once_more.thresholds.temperature == pytest.approx(now.temperature, rel=0.2)


def test_thresholds_that_callers_give_come_first(tokenizer: WordTokenizer) -> None:
    config = tiny_config(labels="parallel", threshold=0.9, label_thresholds={"person": 0.2})
    extractor = Extractor(config, tiny_model(config, tokenizer), tokenizer)

    def found(labels: dict[str, str | tuple[str, float]], threshold: float | None = None) -> list[Span]:
        task = NER(labels, threshold=threshold, nested=True, multi_label=True)
        return [s for text in TEXTS for s in extractor.extract(text, task)]

    by_itself = found({"person": "", "city": "", "company": ("", 0.4)})
    assert by_itself == found({"person": ("", 0.2), "city": ("", 0.9), "company": ("", 0.4)})
    assert min(s.score for s in by_itself if s.label == "person") < 0.6
    assert found({"person": ""}, threshold=0.6) == found({"person": ("", 0.6)})


def test_the_report_is_text_and_a_plot(tmp_path: Path) -> None:
    decisions = drawn(2.0, 500)
    n_gold = {"a": 20 + sum(one.right for one in decisions)}
    fitted = calibrate(decisions, n_gold, beta=2.0, least=30, current=Thresholds(), n_examples=100)
    lines = str(fitted).splitlines()
    assert lines[0].startswith("temperature 1.8")
    assert lines[1] == "from 500 spans found in 100 examples"
    assert "F2" in lines[2]
    fitted.save_plot(tmp_path / "plot.svg")
    shapes = Counter(one.tag.rpartition("}")[2] for one in ElementTree.parse(tmp_path / "plot.svg").iter())
    assert shapes["polyline"] == 2
    assert shapes["circle"] == len(fitted.before.bins) + len(fitted.after.bins)


@pytest.mark.parametrize("beta", [0.0, -1.0, math.nan, math.inf])
def test_a_beta_that_makes_no_sense(beta: float) -> None:
    with pytest.raises(InputError, match=r"beta is .*; expected a number above 0"):
        calibrate(drawn(1.0, 9), {"a": 5}, beta=beta, least=1, current=Thresholds(), n_examples=1)


def test_auto_leaves_the_threshold_to_the_model() -> None:
    assert (
        NER(["a"], threshold="auto") == NER(["a"]) == task_from_dict({"labels": ["a"], "threshold": "auto"})
    )
    for name, stated, thresholds in (
        ("qa", {"questions": ["Who?"]}, ("threshold",)),
        ("relations", {"relations": ["in"]}, ("threshold", "entity_threshold", "link_threshold")),
        ("openie", {}, ("threshold", "span_threshold")),
        ("summary", {}, ("threshold",)),
        ("classification", {"labels": ["a", "b"]}, ("threshold",)),
    ):
        plain = task_from_dict({"task": name, **stated})
        for value in ("auto", None):
            assert type(plain)(**stated, **dict.fromkeys(thresholds, value)) == plain
            assert task_from_dict({"task": name, **stated, **dict.fromkeys(thresholds, value)}) == plain
    with pytest.raises(InputError, match="threshold is 'best'; expected a number"):
        NER(["a"], threshold="best")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": 0.0}, r"temperature is 0\.0; expected a number above 0"),
        ({"label_thresholds": {"person": 2.0}}, r"the threshold of 'person' is 2\.0"),
        ({"label_thresholds": {"person": "high"}}, "the threshold of 'person' is 'high'"),
    ],
)
def test_a_config_that_makes_no_sense(change: dict[str, object], message: str) -> None:
    config: ModelConfig = tiny_config()
    with pytest.raises(ConfigError, match=message):
        tiny_config(**{"positions": 256, **change})
    assert config.temperature == 1.0

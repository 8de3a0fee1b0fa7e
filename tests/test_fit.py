"""Fine-tuning in one call, on tiny models: what is learnt, kept, reported and refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from rich.console import Console
from tiny_examples import EXAMPLES
from tiny_labels import apart_extractor
from tiny_models import tiny_config, tiny_extractor

from gliner_mt import NER, Extractor
from gliner_mt.adapters import Tuning
from gliner_mt.build import build_labels, build_model
from gliner_mt.errors import ConfigError, InputError
from gliner_mt.formats.records import entity_record
from gliner_mt.tasks import Kind
from gliner_mt.tokenization import WordTokenizer
from gliner_mt.train.checks import Checks, Problem
from gliner_mt.train.examples import by_task, open_examples, some_of
from gliner_mt.train.fit_config import FitConfig, default_loop
from gliner_mt.train.fit_sets import checking
from gliner_mt.train.judging import DevLog
from gliner_mt.train.loop_config import LoopConfig
from gliner_mt.train.replay import replay_examples, with_other_labels
from gliner_mt.train.report import DevScore
from gliner_mt.train.rows import Replay, row_sources
from gliner_mt.train.sampling import SamplingConfig
from gliner_mt.types import (
    AnyExample,
    ClassificationExample,
    Entity,
    Example,
    GoldRelation,
    Offsets,
    QAExample,
    RelationExample,
    SummaryExample,
)

PLAIN = SamplingConfig(
    packed=0.0, foreign=0, alias=0.0, described=0.0, lower=0.0, upper=0.0, rows_per_pool=16
)
LOOP = LoopConfig(
    steps=60, batch_tokens=512, lr_backbone=2e-3, lr_heads=5e-3, precision="no", save_every=30, patience=4
)
FULL = FitConfig(tuning=Tuning(method="full"), loop=LOOP, sampling=PLAIN, replay=0.0)
LORA = replace(
    FULL,
    tuning=Tuning(method="lora", rank=8, alpha=16, dropout=0.0, head_rank=None),
    loop=replace(LOOP, lr_backbone=1e-2, lr_heads=1e-2),
)
TASK = NER(["person", "city", "company"])


@pytest.fixture
def untrained(tokenizer: WordTokenizer) -> Extractor:
    torch.manual_seed(0)
    config = tiny_config(labels="parallel", layers=1, pairs=True)
    return Extractor(config, build_model(config), tokenizer, name="tiny")


def write(path: Path, examples: tuple[Example, ...]) -> Path:
    lines = (json.dumps(entity_record(one)) + "\n" for one in examples)
    path.write_text("".join(lines), encoding="utf-8")
    return path


def found(extractor: Extractor, one: Example) -> set[Entity]:
    return {Entity(span.start, span.end, span.label) for span in extractor.extract(one.text, TASK)}


def scores(extractor: Extractor) -> list[float]:
    task = NER([label.name for label in TASK.labels], threshold=0.0)
    return [span.score for one in EXAMPLES for span in extractor.extract(one.text, task)]


@pytest.mark.parametrize("config", [FULL, LORA], ids=["full", "lora"])
def test_four_examples_are_learnt_and_the_result_is_loaded_again(
    untrained: Extractor, tmp_path: Path, config: FitConfig
) -> None:
    base = tmp_path / "base"
    untrained.save(base)
    path = write(tmp_path / "some.jsonl", EXAMPLES)
    report = untrained.fit(path, path, config, out=tmp_path / "mine", retention={"same": EXAMPLES[:2]})
    for one in EXAMPLES:
        assert found(untrained, one) == set(one.entities)

    assert report.before is not None
    assert report.best is not None
    assert report.before.score < 0.5
    assert report.best.score == 1.0
    assert report.best.figures == {"ner": 1.0}
    assert [one.step for one in report.dev] == [0, 30, 60]
    (same,) = report.retention
    assert (same.name, same.n_examples, same.after) == ("same", 2, 1.0)
    assert report.losses[-1] < report.losses[0] / 5
    assert report.n_trained == report.n_parameters or config is LORA
    assert report.checks is not None
    assert report.checks.n_train == 4
    record = json.loads((tmp_path / "mine" / "report.json").read_text(encoding="utf-8"))
    assert record == json.loads(report.to_json())
    assert record["folder"] == str(report.folder)

    if config is LORA:
        again = Extractor.load(base, adapter=report.folder)
        assert again.adapters == ("mine",)
        assert untrained.adapters == ("mine",)
        untrained.use(None)
        assert found(untrained, EXAMPLES[0]) != set(EXAMPLES[0].entities)
        untrained.use("mine")
    else:
        again = Extractor.load(report.folder)
        assert again.threshold(Kind.ENTITIES) == untrained.threshold(Kind.ENTITIES)
    assert scores(again) == pytest.approx(scores(untrained), abs=1e-5)


def test_tasks_are_mixed_and_the_replay_set_has_its_share(untrained: Extractor, tmp_path: Path) -> None:
    text = "ada met bob in london. one two three."
    ada, london = Entity(0, 3, "person"), Entity(15, 21, "city")
    mixed: list[AnyExample] = [
        *EXAMPLES,
        RelationExample(
            text, (ada, london), (GoldRelation(ada, london, "in"),), ("city", "person"), ("in", "for")
        ),
        QAExample(text, "who met", (Offsets(0, 3),)),
        SummaryExample(text, (Offsets(0, 22), Offsets(23, 37)), (0,)),
        ClassificationExample(text, ("blue", "river"), ("blue",)),
    ]
    config = replace(FULL, loop=replace(LOOP, steps=4, save_every=2), replay=0.5)
    report = untrained.fit(mixed, mixed, config, out=tmp_path, retention={"all": mixed[:-1]})
    assert len(report.losses) == 4
    assert list(report.dev[0].figures) == ["ner", "relations", "answer", "summarize", "classify"]
    assert [one.name for one in report.retention][:2] == ["all: ner", "all: relations"]
    assert "ner" in str_of(report.table())


def str_of(table: object) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_rows_have_their_shares(untrained: Extractor, tokenizer: WordTokenizer) -> None:
    labels = build_labels(tiny_config(labels="parallel"), tokenizer)
    train = by_task([*EXAMPLES[:3], QAExample("ada", "who", ())], "train")
    passages = replay_examples()
    others = with_other_labels(["ada met bob"], passages, {"person"}, 0)
    rows = row_sources(train, Replay([passages, others], 0.5), {}, labels, PLAIN, 4)
    assert [row.weight for row in rows] == pytest.approx([0.5 / 4, 0.25, 0.25, 0.5 * 3 / 4])
    assert [row.row(Random(0)).recalled for row in rows] == [False, True, True, False]
    (alone,) = row_sources(by_task(EXAMPLES, "train"), Replay([], 0.0), {}, labels, PLAIN, 4)
    assert alone.weight == 1.0
    assert not alone.row(Random(0)).recalled


def test_new_texts_are_replayed_with_other_labels() -> None:
    passages = replay_examples()
    known = {label for one in passages for label in one.labels}
    texts = ["ada met bob", "one two three", ""]
    others = with_other_labels(texts, passages, {"Person", "city"}, 0)
    assert [one.text for one in others] == texts
    assert with_other_labels(texts, passages, {"Person", "city"}, 0) == others
    for one in others:
        assert not one.entities
        assert 10 <= len(one.labels) <= 24
        assert set(one.labels) <= known - {"person", "city"}


def test_the_replay_set() -> None:
    examples = replay_examples()
    assert 390 <= len(examples) <= 410
    assert len({label for one in examples for label in one.labels}) > 1000
    size = sum(len(json.dumps(entity_record(one), ensure_ascii=False).encode()) + 1 for one in examples)
    assert size <= 250_000
    assert all(one.text[e.start : e.end].strip() for one in examples for e in one.entities)


def stop_at(step: int, log: type[DevLog] = DevLog) -> Callable[[DevLog, DevScore], None]:
    add = log.add

    def stopping(self: DevLog, score: DevScore) -> None:
        if score.step == step:
            raise KeyboardInterrupt
        add(self, score)

    return stopping


def test_a_run_is_taken_up_and_until_it_is_done_the_extractor_stays_as_it_is(
    untrained: Extractor, tmp_path: Path
) -> None:
    config = replace(LORA, loop=replace(LOOP, steps=6, save_every=2))
    whole = untrained.fit(EXAMPLES, EXAMPLES, config, out=tmp_path / "whole")
    untrained.remove_adapter("whole")
    before, parts = scores(untrained), tmp_path / "parts"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(DevLog, "add", stop_at(4))
        untrained.fit(EXAMPLES, EXAMPLES, config, out=parts)
    assert scores(untrained) == before
    with pytest.raises(InputError, match="holds a run; resume it"):
        untrained.fit(EXAMPLES, EXAMPLES, config, out=parts)
    rest = untrained.fit(EXAMPLES, EXAMPLES, config, out=parts, resume=True)
    assert rest.losses == whole.losses[4:]
    assert [one.step for one in rest.dev] == [0, 2, 6]  # the run ended before step 4 was scored
    untrained.remove_adapter("parts")
    done = untrained.fit(EXAMPLES, EXAMPLES, config, out=parts, resume=True)
    assert done.losses == ()
    assert done.best_step == rest.best_step
    assert done.dev == rest.dev


def test_without_a_dev_set_the_last_weights_are_kept(untrained: Extractor, tmp_path: Path) -> None:
    config = replace(LORA, tuning=Tuning(method="heads"), loop=replace(LOOP, steps=3))
    report = untrained.fit(EXAMPLES, None, config, out=tmp_path / "mine")
    assert (report.dev, report.best, report.best_step) == ((), None, 3)
    assert report.method == "heads"
    assert untrained.info()["adapters"] == "mine (in use)"
    with pytest.raises(InputError, match="has the adapters mine: call remove_adapter"):
        untrained.fit(EXAMPLES, None, FULL, out=tmp_path / "other")
    report = untrained.fit(EXAMPLES, None, config, out=tmp_path / "second")
    assert untrained.adapters == ("mine", "second")


def test_better_thresholds_become_the_default(untrained: Extractor, tmp_path: Path) -> None:
    config = replace(FULL, loop=replace(LOOP, steps=12, save_every=4))
    report = untrained.fit(EXAMPLES, EXAMPLES, config, out=tmp_path)
    best = report.best
    assert best is not None
    better = best.better_thresholds
    assert report.thresholds == {"entities": better.get("ner", 0.5)}
    assert untrained.threshold(Kind.ENTITIES) == report.thresholds["entities"]


def test_thresholds_that_are_better() -> None:
    sweeps = {"ner": {0.2: 0.404, 0.3: 0.4}, "answer": {0.2: 0.6, 0.3: 0.6, 0.5: 0.4}}
    score = DevScore(1, {"ner": 0.4, "answer": 0.4, "summarize": 0.9}, 0.5, sweeps)
    assert score.better_thresholds == {"answer": 0.3}


def test_what_is_odd_is_reported_and_strict_stops(untrained: Extractor, tmp_path: Path) -> None:
    odd = (Entity(1, 7, "person"), Entity(15, 21, "person"))
    train, dev = [Example("ada met bob in london", odd, ("person",))], EXAMPLES[1:3]
    config = replace(LORA, loop=replace(LOOP, steps=1))
    with pytest.raises(InputError, match="span not on word edges: 1"):
        untrained.fit(train, dev, config, out=tmp_path / "mine", strict=True)
    assert not (tmp_path / "mine" / "adapter").exists()
    report = untrained.fit(train, dev, config, out=tmp_path / "mine")
    assert report.checks is not None
    found = {one.problem: one.count for one in report.checks.findings}
    assert found == {Problem.OFF_WORDS: 1, Problem.ONE_LABEL: 1, Problem.UNSEEN: 3}


def test_examples_are_checked_while_they_are_sorted(tokenizer: WordTokenizer) -> None:
    ada, bob = Entity(0, 3, "person"), Entity(8, 11, "person")
    related = RelationExample("ada met bob", (ada, Entity(8, 10, "person")), (), ("person",), ("knows",))
    train = [QAExample("ada", "who", ()), related, Example("ada met bob", (ada, bob), ("person",))]
    checks = Checks(tokenizer, max_width=4)
    sorted_ = by_task(train, "train", checking(checks.read_train))
    assert {task: list(some) for task, some in sorted_.items()} == dict(
        zip(("answer", "relations", "ner"), ([one] for one in train), strict=True)
    )
    report = checks.report()
    assert (report.n_train, report.n_entities) == (2, 4)
    (off,) = (one for one in report.findings if one.problem is Problem.OFF_WORDS)
    assert [str(place) for place in off.shown] == ["train, example 2: ada met [bo]b (person)"]


def test_sets_that_cannot_be_used(untrained: Extractor, tokenizer: WordTokenizer, tmp_path: Path) -> None:
    def fit(train: Any, dev: Any = None, extractor: Extractor = untrained, config: FitConfig = LORA) -> None:  # noqa: ANN401
        extractor.fit(train, dev, config, out=tmp_path / "mine")

    with pytest.raises(InputError, match="train holds no examples"):
        fit([])
    with pytest.raises(InputError, match="dev holds no examples"):
        fit(EXAMPLES, [])
    with pytest.raises(InputError, match="train holds a str at 1; expected examples"):
        fit([EXAMPLES[0], "ada"])
    with pytest.raises(InputError, match="examples are a int"):
        fit(3)
    with pytest.raises(InputError, match="nothing to train on"):
        fit([Example("ada met bob", (), ("person",))])
    path = write(tmp_path / "some.jsonl", EXAMPLES)
    path.write_text(path.read_text(encoding="utf-8") + '{"text": "ada", "entities": [}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"some\.jsonl, line 5: broken JSON at column 30"):
        fit(path)
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(InputError, match="train holds no examples"):
        fit(tmp_path / "empty.jsonl")
    with pytest.raises(InputError, match="no file"):
        fit(tmp_path / "none.jsonl")
    related = RelationExample("ada in paris", (), (), (), ())
    with pytest.raises(InputError, match="cannot relate spans"):
        fit([related], extractor=tiny_extractor(tokenizer))
    assert not (tmp_path / "mine").exists()


def test_settings_that_cannot_be_had(tokenizer: WordTokenizer, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"replay is 1\.0"):
        FitConfig(replay=1.0)
    with pytest.raises(ConfigError, match="dev_limit is 0"):
        FitConfig(dev_limit=0)
    config = tiny_config()
    half = Extractor(config, build_model(config).half(), tokenizer)
    with pytest.raises(ConfigError, match=r'in float16, too coarse .* "float32"'):
        half.fit(EXAMPLES, None, LORA, out=tmp_path)
    names = tmp_path / "names.json"
    for text, message in (
        ("{", "cannot be read"),
        ("[]", "holds a list"),
        ('{"a": {"alias": 1}}', "aliases"),
    ):
        names.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match=message):
            tiny_extractor(tokenizer).fit(
                EXAMPLES, None, replace(LORA, names=str(names)), out=tmp_path / "mine"
            )


def test_each_run_has_its_precision(untrained: Extractor, tmp_path: Path) -> None:
    for precision in ("bf16", "no"):
        config = replace(LORA, loop=replace(LOOP, steps=2, precision=precision))
        assert len(untrained.fit(EXAMPLES, None, config, out=tmp_path / precision).losses) == 2


def test_the_loop_that_suits() -> None:
    few, many, most = (default_loop(Tuning(method="lora"), n) for n in (10, 600, 100_000))
    assert [one.steps for one in (few, many, most)] == [60, 400, 2000]
    full = default_loop(Tuning(method="full"), 600)
    assert full.lr_backbone < many.lr_backbone
    assert full.patience == 4


def test_examples_of_every_task_are_read_from_one_file(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = [
        {"text": "ada", "question": "who", "answers": []},
        {"text": "ada", "entities": [{"start": 0, "end": 3, "label": "person"}]},
        {"text": "ada", "labels": ["a", "b"], "gold": ["a"]},
        {"text": "ada", "entities": [], "relations": []},
        {"text": "ada", "tuples": []},
        {"text": "ada", "sentences": [{"start": 0, "end": 3, "selected": True}]},
    ]
    path = tmp_path / "all.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
    examples = by_task(open_examples(path), "all")
    assert {task: len(some) for task, some in examples.items()} == dict.fromkeys(
        ("answer", "ner", "classify", "relations", "triples", "summarize"), 1
    )
    assert (
        examples["ner"][0] == examples["ner"][:][0] == Example("ada", (Entity(0, 3, "person"),), ("person",))
    )
    path.write_text(json.dumps({"text": "ada", "gold": ["a"], "labels": []}) + "\n{}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"line 1: .*not among the labels"):
        by_task(open_examples(path), "all")


def test_other_formats_are_read(tmp_path: Path) -> None:
    path = tmp_path / "some.conll"
    path.write_text("ada B-person\nsang O\n\nparis B-city\n", encoding="utf-8")
    first, second = open_examples(path)
    assert first == Example("ada sang", (Entity(0, 3, "person"),), ("city", "person"))
    assert second.text == "paris"


def test_a_limit_draws_the_same_examples() -> None:
    numbers = range(100)
    some = some_of(numbers, 10)
    assert list(some) == list(some_of(numbers, 10)) == sorted(some)
    assert len(some) == 10
    assert some_of(numbers, None) is some_of(numbers, 100) is numbers


@pytest.mark.parametrize("config", [FULL, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("labels", ["separate", "fused"])
def test_labels_that_stand_apart(labels: str, config: FitConfig, tmp_path: Path) -> None:
    extractor = apart_extractor(labels)
    before = scores(extractor)  # and the vectors of labels, which training changes
    config = replace(config, loop=replace(LOOP, steps=2))
    report = extractor.fit(EXAMPLES, None, config, out=tmp_path / "mine")
    after = scores(extractor)
    assert after != before
    if config.tuning.method == "full":
        assert scores(Extractor.load(report.folder)) == pytest.approx(after, abs=1e-5)

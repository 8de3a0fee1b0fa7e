"""Training that goes on from an adapter, and the thresholds that an adapter gets."""

import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_fit import EXAMPLES, LOOP, LORA, PLAIN, scores, write
from tiny_models import tiny_config, tiny_model

from gliner_mt import NER, CheckpointError, ConfigError, Extractor, InputError
from gliner_mt.adapters import Tuning, prepare_tuning
from gliner_mt.adapters.folder import read_adapter
from gliner_mt.model import SpanMatcher
from gliner_mt.tokenization import WordTokenizer
from gliner_mt.train import fit_run
from gliner_mt.train.fit_config import FitConfig
from gliner_mt.types import Entity

SHORT = replace(LOOP, steps=3, save_every=3)
STILL = replace(SHORT, lr_backbone=0.0, lr_heads=0.0)
SMALL: dict[str, Any] = {"rank": 4, "alpha": 12, "head_rank": 4}


def config(method: str | None = None, loop: Any = SHORT, **changes: Any) -> FitConfig:  # noqa: ANN401
    tuning = None if method is None else Tuning(method=method, **(SMALL | changes))
    return FitConfig(tuning=tuning, loop=loop, sampling=PLAIN, replay=0.0)


@pytest.fixture
def extractor(tokenizer: WordTokenizer) -> Extractor:
    changed = {"threshold": 0.7, "label_thresholds": {"city": 0.4}, "temperature": 1.5}
    model_config = tiny_config(labels="parallel", layers=1, **changed)
    return Extractor(model_config, tiny_model(model_config, tokenizer), tokenizer, name="tiny")


@pytest.mark.parametrize("method", ["lora", "dora", "heads", "frozen_backbone"])
def test_without_a_change_the_answers_are_those_of_the_start(
    extractor: Extractor, tmp_path: Path, method: str
) -> None:
    base = scores(extractor)
    first = extractor.fit(EXAMPLES, EXAMPLES, config(method), out=tmp_path / "first")
    learnt = scores(extractor)
    assert learnt != base
    second = extractor.fit(
        EXAMPLES, EXAMPLES, config(loop=STILL), out=tmp_path / "second", start="first",
        retention={"some": EXAMPLES[:3]},
    )  # fmt: skip
    assert extractor.adapters == ("first", "second")
    assert scores(extractor) == pytest.approx(learnt, abs=1e-6)
    assert second.dev[0].figures == second.dev[1].figures == first.dev[1].figures
    assert second.retention[0].before == second.retention[0].after
    assert second.n_trained == first.n_trained
    headers = [read_adapter(one.folder).header for one in (first, second)]
    assert headers[0] == headers[1]
    extractor.use("first")
    assert scores(extractor) == learnt
    extractor.use(None)
    assert scores(extractor) == pytest.approx(base, abs=1e-6)


def test_it_goes_on(extractor: Extractor, tmp_path: Path) -> None:
    extractor.fit(EXAMPLES, None, config("lora", loop=LORA.loop), out=tmp_path / "first")
    learnt = scores(extractor)
    extractor.use(None)
    again = config("lora", loop=replace(LOOP, steps=2), dropout=0.5)  # may differ
    report = extractor.fit(EXAMPLES, None, again, out=tmp_path / "second", start="first")
    assert report.losses[0] < 5.0  # of the base: several times as much
    assert scores(extractor) != learnt
    extractor.use("first")
    assert scores(extractor) == learnt


def test_what_is_replayed_is_answered_as_the_start_did(
    extractor: Extractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor.fit(EXAMPLES, None, config("lora", loop=LORA.loop, dropout=0.5), out=tmp_path / "first")
    learnt, teachers = scores(extractor), []

    def teacher(untrained: SpanMatcher) -> SpanMatcher:
        teachers.append(untrained)
        return untrained

    monkeypatch.setattr(fit_run, "_teacher", teacher)
    replayed = replace(config(), replay=0.5)
    extractor.fit(EXAMPLES, None, replayed, out=tmp_path / "second", start="first")
    (model,) = teachers
    assert not any(module.training for module in model.modules())
    assert scores(Extractor(extractor._config, model, extractor._tokenizer)) == pytest.approx(
        learnt, abs=1e-5
    )


def test_a_config_that_differs(extractor: Extractor, tmp_path: Path) -> None:
    extractor.fit(EXAMPLES, None, config("lora"), out=tmp_path / "first")
    for changed, message in (
        (config("dora"), "tuning.method is 'dora', but the adapter in .*first.adapter, .* has 'lora'"),
        (config("full"), "tuning.method is 'full'"),
        (config("lora", rank=8), "tuning.rank is 8, but .* has 4. Give it that value, or leave tuning out"),
        (config("lora", targets=("query",)), r"tuning.targets is \('query',\), but .* has \(\)"),
        (config("lora", head_rank=None), "tuning.head_rank is None, but .* has 4"),
    ):
        with pytest.raises(ConfigError, match=message):
            extractor.fit(EXAMPLES, None, changed, out=tmp_path / "second", start="first")
    with pytest.raises(InputError, match="there is no adapter 'fist'; did you mean 'first'"):
        extractor.fit(EXAMPLES, None, config(), out=tmp_path / "second", start="fist")
    path = tmp_path / "first" / "adapter" / "gliner_mt.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(values | {"tuning": None, "version": 1}), encoding="utf-8")
    with pytest.raises(CheckpointError, match="does not say how it was trained, so training cannot go on"):
        extractor.fit(EXAMPLES, None, config(), out=tmp_path / "second", start="first")
    path.write_text(json.dumps(values | {"tuning": values["tuning"] | {"rank": 2}}), encoding="utf-8")
    with pytest.raises(CheckpointError, match="do not fit its config"):
        extractor.fit(EXAMPLES, None, config(), out=tmp_path / "second", start="first")
    assert not (tmp_path / "second" / "adapter").exists()


def test_an_adapter_gets_the_thresholds_that_are_better(extractor: Extractor, tmp_path: Path) -> None:
    base, dev = extractor.thresholds, []
    for one in EXAMPLES:
        found = extractor.extract(one.text, NER(one.labels, threshold=0.3))
        dev.append(replace(one, entities=tuple(Entity(s.start, s.end, s.label) for s in found)))
    still = replace(LORA, loop=STILL)
    report = extractor.fit(EXAMPLES, dev, still, out=tmp_path / "mine")
    assert report.best is not None
    better = report.best.better_thresholds["ner"]
    assert 0.3 <= better < base.threshold
    assert extractor.thresholds == replace(base, threshold=better, label_thresholds={})
    assert report.thresholds == {"entities": better}
    assert read_adapter(report.folder).header.thresholds == extractor.thresholds
    extractor.use(None)
    assert extractor.thresholds == base
    extractor.fit(EXAMPLES, None, still, out=tmp_path / "other")
    assert extractor.thresholds == base


def test_an_adapter_of_another_base(extractor: Extractor, tokenizer: WordTokenizer, tmp_path: Path) -> None:
    report = extractor.fit(EXAMPLES, None, config("lora"), out=tmp_path / "first")
    other_config = tiny_config(labels="parallel", layers=1)
    model = tiny_model(other_config, tokenizer, seed=3)
    other = Extractor(other_config, model, tokenizer, name="other")
    tuned = prepare_tuning(deepcopy(model), other_config, Tuning(**SMALL), "other")
    assert tuned is not None
    with pytest.raises(CheckpointError, match=r"is an adapter of tiny .*, but the model is other"):
        tuned.start_from(read_adapter(report.folder))
    with pytest.raises(CheckpointError, match=r"is an adapter of tiny .*, but the model is other"):
        other.add_adapter(report.folder)


def test_a_run_that_goes_on_is_taken_up(extractor: Extractor, tmp_path: Path) -> None:
    extractor.fit(EXAMPLES, None, config("lora"), out=tmp_path / "first")
    path = write(tmp_path / "some.jsonl", EXAMPLES)
    whole = extractor.fit(path, path, config(), out=tmp_path / "second", start="first")
    expected = scores(extractor)
    extractor.remove_adapter("second")
    again = extractor.fit(path, path, config(), out=tmp_path / "second", start="first", resume=True)
    assert again.losses == ()
    assert again.dev == whole.dev
    assert scores(extractor) == pytest.approx(expected, abs=1e-6)
    extractor.use(None)
    extractor.remove_adapter("second")
    extractor.fit(EXAMPLES, None, config("lora"), out=tmp_path / "third", start="first")
    for start in ("third", None):
        with pytest.raises(InputError, match="a run with other adapter to go on from; go on with the same"):
            extractor.fit(path, path, config("lora"), out=tmp_path / "second", start=start, resume=True)


def test_while_an_adapter_is_merged_there_is_no_base_to_train(extractor: Extractor, tmp_path: Path) -> None:
    extractor.fit(EXAMPLES, None, config("lora"), out=tmp_path / "first")
    extractor.merge("first")
    for start in ("first", None):
        with pytest.raises(InputError, match=r"'first' is merged into the weights.*Call unmerge first"):
            extractor.fit(EXAMPLES, None, config("lora"), out=tmp_path / "second", start=start)
    extractor.unmerge()
    extractor.fit(EXAMPLES, None, config("lora"), out=tmp_path / "second", start="first")

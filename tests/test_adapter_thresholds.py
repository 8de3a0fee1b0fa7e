"""Adapters with a temperature and thresholds of their own: used wherever they act, fitted, saved."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from test_calibration import annotated
from tiny_adapters import base_model, tuning, write_adapter
from tiny_models import LABELS, TEXTS, assert_same, tiny_config

from gliner_mt import NER, QA, CheckpointError, Extractor
from gliner_mt.adapters.folder import read_adapter
from gliner_mt.checkpoint.native import save_model
from gliner_mt.config import ModelConfig, Thresholds
from gliner_mt.tasks import Kind
from gliner_mt.tokenization import WordTokenizer
from gliner_mt.types import Span

CONFIG = tiny_config(labels="parallel", layers=1, threshold=0.6, label_thresholds={"city": 0.3})
OWN = {
    "legal": Thresholds(0.45, {"answers": 0.2}, {"person": 0.9}, 2.5),
    "medical": Thresholds(0.8, temperature=0.5),
    "plain": None,
}
TASK = NER(LABELS, nested=True, multi_label=True)


class Made(NamedTuple):
    """A base and its adapters, in folders."""

    base: Path
    folders: dict[str, Path]


@pytest.fixture(scope="module")
def made(tokenizer: WordTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Made:
    root = tmp_path_factory.mktemp("thresholds")
    save_model(root / "base", CONFIG, base_model(CONFIG, tokenizer), tokenizer)
    for seed, (name, thresholds) in enumerate(OWN.items(), start=1):
        write_adapter(root / name, CONFIG, tokenizer, tuning(), seed, thresholds)
    return Made(root / "base", {name: root / name for name in OWN})


def loaded(made: Made, tokenizer: WordTokenizer, config: ModelConfig = CONFIG) -> Extractor:
    extractor = Extractor(config, base_model(config, tokenizer), tokenizer, name="the base")
    for folder in made.folders.values():
        extractor.add_adapter(folder)
    return extractor


def answers(extractor: Extractor) -> list[list[Span]]:
    return list(extractor.extract_many(TEXTS, TASK))


def without_thresholds(folder: Path, copy: Path) -> Path:
    shutil.copytree(folder, copy)
    path = copy / "gliner_mt.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(values | {"thresholds": None}), encoding="utf-8")
    return copy


def test_each_adapter_has_its_own(made: Made, tokenizer: WordTokenizer, tmp_path: Path) -> None:
    extractor, alone = loaded(made, tokenizer), {}
    for name, own in {None: None, **OWN}.items():
        extractor.use(name)
        expected = own or CONFIG.thresholds
        assert extractor.thresholds == expected
        assert extractor.threshold(Kind.ANSWERS) == expected.of(Kind.ANSWERS)
        assert extractor.info()["threshold"].startswith(f"{expected.threshold:g}, ")
        alone[name] = answers(extractor)
        spans = [span for spans in alone[name] for span in spans]
        assert all(span.score > expected.of(Kind.ENTITIES, span.label) for span in spans)
        if name is not None:  # the same weights, the same thresholds, but as the base's
            other = Extractor(CONFIG.with_thresholds(expected), base_model(CONFIG, tokenizer), tokenizer)
            other.use(other.add_adapter(without_thresholds(made.folders[name], tmp_path / name)))
            assert_same(answers(other), alone[name])
    names = [name for name in alone for _ in TEXTS]
    mixed = extractor.extract_many([text for _ in alone for text in TEXTS], TASK, adapters=names)
    assert_same(list(mixed), [spans for name in alone for spans in alone[name]])
    extractor.use("legal")
    extractor.remove_adapter("legal")
    assert extractor.thresholds == CONFIG.thresholds


def test_what_callers_give_comes_first(made: Made, tokenizer: WordTokenizer) -> None:
    extractor = loaded(made, tokenizer)
    extractor.use("legal")
    strict = list(extractor.extract_many(TEXTS, NER(LABELS, threshold=0.7)))
    assert strict != list(extractor.extract_many(TEXTS, NER(LABELS)))
    assert all(span.score > 0.7 for spans in strict for span in spans)
    assert extractor.extract(TEXTS[0], QA("who", threshold=0.2)) == extractor.extract(TEXTS[0], QA("who"))


def test_a_merged_model_takes_the_thresholds_along(
    made: Made, tokenizer: WordTokenizer, tmp_path: Path
) -> None:
    extractor = loaded(made, tokenizer)
    extractor.merge("legal")
    merged = answers(extractor)
    extractor.save(tmp_path / "merged")
    again = Extractor.load(tmp_path / "merged", device="cpu")
    assert again.thresholds == OWN["legal"]
    assert_same(answers(again), merged)
    extractor.unmerge()
    assert_same(answers(extractor), merged)
    extractor.use(None)
    extractor.save(tmp_path / "base")
    assert Extractor.load(tmp_path / "base", device="cpu").thresholds == CONFIG.thresholds


def test_an_adapter_is_calibrated_saved_and_loaded(
    made: Made, tokenizer: WordTokenizer, tmp_path: Path
) -> None:
    extractor = Extractor.load(made.base, device="cpu", adapter=made.folders["legal"])
    dev = annotated(extractor)
    fitted = extractor.calibrate(dev, least=5)
    assert extractor.thresholds == fitted.thresholds != OWN["legal"]
    assert fitted.before.counts.tp + fitted.before.counts.fn > 0
    calibrated = answers(extractor)
    extractor.save_adapter("legal", tmp_path / "new" / "legal")
    extractor.use(None)
    assert extractor.thresholds == CONFIG.thresholds
    again = Extractor.load(made.base, device="cpu", adapter=tmp_path / "new" / "legal")
    assert again.thresholds == fitted.thresholds
    assert_same(answers(again), calibrated)
    assert read_adapter(made.folders["legal"]).header.thresholds == OWN["legal"]
    files = {path.name: path.read_bytes() for path in made.folders["legal"].iterdir()}
    copied = {path.name: path.read_bytes() for path in (tmp_path / "new" / "legal").iterdir()}
    assert {name for name in files if files[name] != copied[name]} == {"gliner_mt.json"}
    again.calibrate(dev, beta=2.0, least=5)
    again.save_adapter("legal", tmp_path / "new" / "legal")
    assert read_adapter(tmp_path / "new" / "legal").header.thresholds == again.thresholds


def test_an_adapter_without_thresholds_takes_the_bases(made: Made, tokenizer: WordTokenizer) -> None:
    extractor = loaded(made, tokenizer)
    dev = annotated(extractor)
    fitted = extractor.calibrate(dev, least=5).thresholds
    extractor.use("plain")
    assert extractor.thresholds == fitted
    own = extractor.calibrate(dev, least=5).thresholds
    assert extractor.thresholds == own != fitted
    extractor.use(None)
    assert extractor.thresholds == fitted


def test_calibrating_entities_moves_no_other_answer(made: Made, tokenizer: WordTokenizer) -> None:
    extractor = loaded(made, tokenizer)
    task = QA(["who met", "where"], top=5)
    before = [[answer.text for answer in one] for text in TEXTS for one in extractor.extract(text, task)]
    fitted = extractor.calibrate(annotated(extractor)).thresholds
    assert fitted.temperature != 1.0
    assert before == [[a.text for a in one] for text in TEXTS for one in extractor.extract(text, task)]


def test_folders_of_version_1(made: Made, tokenizer: WordTokenizer, tmp_path: Path) -> None:
    write_adapter(tmp_path, CONFIG, tokenizer, tuning(), 1, OWN["legal"])
    path = tmp_path / "gliner_mt.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    assert (values.pop("tuning")["rank"], values.pop("thresholds")["threshold"]) == (4, 0.45)
    assert values["version"] == 2
    path.write_text(json.dumps(values | {"version": 1}), encoding="utf-8")
    extractor = loaded(made, tokenizer)
    extractor.use(extractor.add_adapter(tmp_path, "old"))
    assert extractor.thresholds == CONFIG.thresholds
    extractor.save_adapter("old", tmp_path / "new")
    assert read_adapter(tmp_path / "new").header.thresholds == CONFIG.thresholds


def change(key: str, name: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda values: values[key].update({name: value})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (change("thresholds", "threshold", 2.0), r"threshold is 2\.0; expected a number from 0 to 1"),
        (change("thresholds", "threshold", float("nan")), "threshold is nan; expected a number from 0 to 1"),
        (change("thresholds", "threshold", "low"), "thresholds.threshold is 'low'; expected a value of type"),
        (change("thresholds", "treshold", 0.5), "unknown key 'treshold'; did you mean 'threshold'"),
        (change("thresholds", "temperature", 0), r"temperature is 0\.0; expected a number above 0"),
        (change("thresholds", "temperature", float("inf")), "temperature is inf; expected"),
        (change("thresholds", "label_thresholds", {"person": True}), "threshold of 'person' is True"),
        (
            change("thresholds", "label_thresholds", [0.5]),
            r"label_thresholds is \[0\.5\]; expected a mapping",
        ),
        (change("thresholds", "kind_thresholds", {"answer": 0.5}), "'answer'; did you mean 'answers'"),
        (change("tuning", "method", "lara"), "method is 'lara'; did you mean 'lora'"),
        (change("base", "name", 1), "base.name is 1; expected"),
        (lambda values: values.pop("base"), "the header lacks base"),
        (lambda values: values.update(thresholds=0.5), "thresholds is 0.5; expected a mapping of Thresholds"),
    ],
)
def test_headers_that_make_no_sense(
    spoil: Callable[[dict[str, Any]], object],
    message: str,
    made: Made,
    tokenizer: WordTokenizer,
    tmp_path: Path,
) -> None:
    path = tmp_path / "gliner_mt.json"
    values = json.loads((made.folders["legal"] / path.name).read_text(encoding="utf-8"))
    spoil(values)
    path.write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(CheckpointError, match=rf"gliner_mt\.json cannot be used: .*{message}"):
        loaded(made, tokenizer).add_adapter(tmp_path, "one")

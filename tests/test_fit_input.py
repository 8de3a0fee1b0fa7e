"""What users hand to fine-tuning that cannot be meant so: told before the first step, with the mend."""

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_fit import FULL, LOOP, LORA, write
from tiny_examples import EXAMPLES
from tiny_models import tiny_config

from gliner_mt import Extractor
from gliner_mt.build import build_model
from gliner_mt.errors import ConfigError, InputError
from gliner_mt.formats.records import entity_record
from gliner_mt.tokenization import WordTokenizer
from gliner_mt.train.examples import Given, open_examples
from gliner_mt.train.fit_config import FitConfig
from gliner_mt.types import Entity, Example, Offsets, QAExample

SHORT = replace(LORA, loop=replace(LOOP, steps=2, save_every=1))
GOOD = json.dumps(entity_record(EXAMPLES[0]))
PRETTY = json.dumps({"text": "a", "entities": []}, indent=1)


@pytest.fixture
def tiny(tokenizer: WordTokenizer) -> Extractor:
    return made(tokenizer, seed=0)


def made(tokenizer: WordTokenizer, seed: int) -> Extractor:
    torch.manual_seed(seed)
    config = tiny_config(labels="parallel", layers=1)
    return Extractor(config, build_model(config), tokenizer, name="tiny")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", GOOD.encode("utf-16"), "line 1: byte 0xff at 0 is no UTF-8; it is UTF-16"),
        ("a.jsonl", gzip.compress(GOOD.encode()), r"it is gzipped: let its name end in \.gz"),
        (
            "a.json",
            '[{"text": "a"},\n{"text": "é"}]'.encode("latin-1"),
            "line 2: byte 0xe9 at 10 is no",
        ),
        ("a.json", PRETTY.encode(), "no known format: line 1: broken JSON at column 2"),
        ("a.jsonl", GOOD.replace("ada", "ädä").replace("3", "23").encode(), "has 23 bytes: count char"),
        ("a.jsonl", b'{"text": "a", "labels": ["x", " "], "gold": []}', "line 1: ' ' is blank; expected"),
        ("a.jsonl", b'{"text": "a", "labels": [], "gold": []}', "line 1: labels is empty"),
        ("a.jsonl", b'{"text": "a", "question": "", "answers": []}', "line 1: '' is blank; expected"),
        ("a.jsonl", GOOD.replace(": 3", ": true").encode(), "end is True, which is no whole number"),
    ],
)
def test_a_file_that_is_not_what_it_should_be(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        list(open_examples(path))


def test_records_that_are_left_out_are_counted(tmp_path: Path) -> None:
    record = {"text": "ada met bob", "spans": [{"start": 0, "end": 3, "label": "person"}]}
    answers = ("accept", "reject", "ignore", "reject")
    (tmp_path / "some.jsonl").write_text(
        "".join(json.dumps(record | {"answer": answer}) + "\n" for answer in answers), encoding="utf-8"
    )
    with pytest.warns(UserWarning, match=r"left out: 2 \(answer is 'reject'\), 1 \(answer is 'ignore'\)"):
        assert len(open_examples(tmp_path / "some.jsonl")) == 1


def test_a_list_of_records_is_read_and_a_folder_is_not(tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    path.write_text(json.dumps([entity_record(one) for one in EXAMPLES], indent=1), encoding="utf-8")
    assert tuple(open_examples(path)) == EXAMPLES
    path.rename(tmp_path / "some.jsonl")
    assert tuple(open_examples(tmp_path / "some.jsonl")) == EXAMPLES
    with pytest.raises(InputError, match="is a folder; expected a file, or a folder saved by datasets"):
        open_examples(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda one: replace(one, labels=(*one.labels, " ")), "label that is blank or has a line break: 1"),
        (lambda one: replace(one, labels=(*one.labels, "a\nb")), r"dev, example 1: 'a\\nb'"),
        (lambda one: replace(one, entities=()), "dev set without entities"),
    ],
)
def test_a_dev_set_by_which_nothing_can_be_judged(
    tiny: Extractor, tmp_path: Path, change: Callable[[Example], Example], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        tiny.fit(EXAMPLES, [change(EXAMPLES[0])], SHORT, out=tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_a_label_that_fills_a_window(tiny: Extractor, tmp_path: Path) -> None:
    name = "ada " * 200
    long = Example("ada met bob", (Entity(0, 3, name),), (name, "city"))
    with pytest.raises(InputError, match=r"label 'ada .* takes \d+ sub-words; labels may take \d+, half"):
        tiny.fit([long], None, SHORT, out=tmp_path / "mine")


def test_a_run_goes_on_with_what_it_was_begun_with(
    tokenizer: WordTokenizer, tiny: Extractor, tmp_path: Path
) -> None:
    path, out = write(tmp_path / "some.jsonl", EXAMPLES), tmp_path / "mine"

    def fit(extractor: Extractor = tiny, train: Given = path, config: FitConfig = SHORT) -> None:
        for name in extractor.adapters:
            extractor.remove_adapter(name)
        extractor.fit(train, EXAMPLES[:2], config, out=out, resume=True)

    fit()  # there is nothing to take up yet
    fit(train=list(EXAMPLES))
    with pytest.raises(InputError, match="a run with other train; go on with the same"):
        fit(train=EXAMPLES[1:])
    with pytest.raises(InputError, match="a run with other model and train"):
        fit(made(tokenizer, seed=1), EXAMPLES[1:])
    with pytest.warns(UserWarning, match=r"other settings: loop\.steps 2 → 3, replay 0\.0 → 0\.1$"):
        fit(config=replace(SHORT, replay=0.1, loop=replace(SHORT.loop or LOOP, steps=3)))


def test_a_folder_that_is_a_file_and_names_that_are_blank(tiny: Extractor, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(InputError, match=r"there can be no run in .*taken.*; choose another folder"):
        tiny.fit(EXAMPLES, None, FULL, out=tmp_path / "taken")
    names = tmp_path / "names.json"
    names.write_text('{"person": {"aliases": ["who", " "]}}', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"names\.json: person\.aliases has ' '; expected names"):
        tiny.fit(EXAMPLES, None, replace(SHORT, names=str(names)), out=tmp_path / "mine")
    names.write_text('{"person": {"aliases": ["who"]}, "cty": {}}', encoding="utf-8")
    with pytest.warns(UserWarning, match=r"names\.json names 1 labels that no example has, such as 'cty'"):
        tiny.fit(EXAMPLES, None, replace(SHORT, names=str(names)), out=tmp_path / "named")


def test_questions_that_leave_no_room_for_a_text(tiny: Extractor, tmp_path: Path) -> None:
    long = QAExample("ada met bob", " ".join(["who"] * 40), (Offsets(0, 3),))
    short = QAExample("ada met bob", "who", (Offsets(0, 3),))
    with pytest.raises(InputError, match=r"all 1 questions of train take more than \d+ sub-words; shorten"):
        tiny.fit([long], None, SHORT, out=tmp_path / "mine")
    with pytest.warns(UserWarning, match=r"1 questions of train take more than \d+ .* are left out"):
        tiny.fit([long, short], None, SHORT, out=tmp_path / "mine")

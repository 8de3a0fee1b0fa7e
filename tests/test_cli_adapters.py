"""The command line with an adapter, and `gliner-mt calibrate`: what is used, fitted, written and refused."""

import json
from pathlib import Path
from typing import NamedTuple

import pytest
from test_calibration import annotated
from tiny_adapters import base_model, tuning, write_adapter
from tiny_models import TEXTS, plain, tiny_config
from typer.testing import CliRunner, Result

from gliner_mt import NER, Extractor
from gliner_mt.checkpoint.native import save_model
from gliner_mt.cli import app
from gliner_mt.config import Thresholds
from gliner_mt.formats.records import entity_record
from gliner_mt.tokenization import WordTokenizer

OWN = Thresholds(0.35, {}, {"city": 0.2})


class Files(NamedTuple):
    """A base, an adapter of it, and annotated texts."""

    base: Path
    adapter: Path
    dev: Path


@pytest.fixture(scope="module")
def files(tokenizer: WordTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Files:
    root, config = tmp_path_factory.mktemp("cli"), tiny_config(labels="parallel", layers=1)
    save_model(root / "base", config, base_model(config, tokenizer), tokenizer)
    write_adapter(root / "legal", config, tokenizer, tuning(), thresholds=OWN)
    examples = annotated(Extractor.load(root / "base", device="cpu", adapter=root / "legal"))
    lines = (json.dumps(entity_record(one)) + "\n" for one in examples)
    (root / "dev.jsonl").write_text("".join(lines), encoding="utf-8")
    return Files(root / "base", root / "legal", root / "dev.jsonl")


def run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exit_code == code, result.output
    return result


def test_an_adapter_answers(files: Files) -> None:
    extractor = Extractor.load(files.base, device="cpu", adapter=files.adapter)
    choice = ("--model", files.base, "--adapter", files.adapter)
    result = run("extract", TEXTS[0], "-l", "person,city", *choice, "--format", "json", "--threshold", "auto")
    (answer,) = json.loads(result.stdout)
    expected = extractor.extract(TEXTS[0], NER(["person", "city"]))
    assert [(one["start"], one["end"], one["label"]) for one in answer["spans"]] == plain(expected)
    facts = json.loads(run("info", files.base, "-a", files.adapter, "--format", "json").stdout)
    assert facts["adapters"] == "legal (in use)"
    assert facts["threshold"] == "0.35, 1 labels have their own"
    report = json.loads(run("eval", "ner", "-d", files.dev, *choice, "--format", "json").stdout)
    (result,) = report["results"]
    assert (result["threshold"], result["label_thresholds"]) == (0.35, {"city": 0.2})
    assert report["adapter"] == str(files.adapter)
    assert "0.35 (1 own)" in run("eval", "ner", "-d", files.dev, *choice).stdout
    missing = run("info", files.base, "-a", "no/such", "--local-files-only", code=2)
    assert "there is no folder no/such" in missing.stderr


@pytest.mark.parametrize("adapter", [True, False])
def test_it_is_calibrated_and_written(files: Files, tmp_path: Path, adapter: bool) -> None:
    choice = ("--adapter", files.adapter) if adapter else ()
    plot, out = tmp_path / "plot.svg", tmp_path / "out"
    result = run(
        *("calibrate", files.dev, "-m", files.base, *choice, "--out", out),
        *("--plot", plot, "--beta", "2", "--least", "5"),
    )
    assert "temperature" in result.stdout and "F2" in result.stdout
    assert plot.read_text(encoding="utf-8").startswith("<svg")
    base, own = files.base, files.adapter
    same = Extractor.load(base, device="cpu", adapter=own if adapter else None)
    fitted = same.calibrate(files.dev, beta=2.0, least=5)
    again = Extractor.load(base if adapter else out, device="cpu", adapter=out if adapter else None)
    assert again.thresholds == fitted.thresholds
    assert again.thresholds.temperature != 1.0


def test_what_cannot_be_calibrated(files: Files, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps({"text": "ada", "question": "who", "answers": []}) + "\n", encoding="utf-8")
    common = ("-m", files.base, "-o", tmp_path / "out")
    for arguments, message in (
        ((other,), "has no texts with entities"),
        ((tmp_path / "none.jsonl",), "no file"),
        ((files.dev, "--beta", "0"), "beta is 0.0; expected a number above 0"),
        ((files.dev, "--from", "boi"), "--from is 'boi'; expected auto or one of"),
        ((files.dev, "--plot", tmp_path / "no" / "x.svg"), "cannot write"),
        ((files.dev, "--adapter", files.base), "has no gliner_mt.json"),
    ):
        assert message in run("calibrate", *arguments, *common, code=2).stderr
    assert not (tmp_path / "out").exists()

"""`gliner-mt train`: from files of examples to a folder that is loaded again, and what it refuses."""

import json
import signal
from pathlib import Path

import pytest
import torch
from test_fit import write
from tiny_backbones import tiny
from tiny_examples import EXAMPLES
from tiny_models import tiny_config
from torch import Tensor
from transformers import PreTrainedTokenizerFast
from typer.testing import CliRunner

from gliner_mt import NER, Extractor
from gliner_mt.build import build_model
from gliner_mt.cli import app
from gliner_mt.errors import ConfigError
from gliner_mt.model import SpanMatcher
from gliner_mt.tokenization import WordTokenizer
from gliner_mt.train import fit_run
from gliner_mt.train.loss import matcher_loss
from gliner_mt.train.questions import TrainBatch
from gliner_mt.train.recipe import TrainConfig, read_recipe, run_recipe

RECIPE = """
tuning: {method: lora, rank: 4, alpha: 8}
sampling: {rows_per_pool: 8}
replay: 0.0
loop: {steps: 4, save_every: 2, batch_tokens: 256, precision: "no"}
"""


@pytest.fixture
def folder(tokenizer: WordTokenizer, tmp_path: Path) -> Path:
    """Return a folder with a recipe, a model and examples."""
    torch.manual_seed(0)
    config = tiny_config(labels="parallel", layers=1)
    Extractor(config, build_model(config), tokenizer).save(tmp_path / "base")
    (tmp_path / "tiny.yaml").write_text(RECIPE, encoding="utf-8")
    write(tmp_path / "some.jsonl", EXAMPLES)
    return tmp_path


def run(folder: Path, *arguments: str, code: int = 0, recipe: str = "tiny.yaml") -> str:
    given = ["train", str(folder / recipe), "--model", str(folder / "base"), *arguments]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def test_an_adapter_is_trained_and_loaded(folder: Path) -> None:
    some, out = str(folder / "some.jsonl"), folder / "runs" / "mine"
    files = ["--train", some, "--dev", some, "--out", str(out)]
    printed = run(folder, *files, "--set", f"retention.same={some}", "--set", "loop.lr_backbone=2e-3")
    assert "kept" in printed
    assert "warning: retention set 'same' is the training set" in printed
    assert "same micro F1 4" in printed
    assert "lora: " in printed
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert [one["step"] for one in report["dev"]] == [0, 2, 4]
    extractor = Extractor.load(folder / "base", adapter=out / "adapter")
    assert extractor.extract("ada met bob", NER(["person"], threshold=0.0))
    assert "holds a run; resume it" in run(folder, *files, code=2)
    assert "lora: " in run(folder, *files, "--resume")


def test_training_goes_on_from_an_adapter(folder: Path) -> None:
    files = ["--train", str(folder / "some.jsonl"), "--dev", str(folder / "some.jsonl")]
    run(folder, *files, "--out", str(folder / "one"))
    adapter = ["--adapter", str(folder / "one" / "adapter")]
    still = ["--set", "loop.lr_backbone=0.0", "--set", "loop.lr_heads=0.0"]
    run(folder, *files, *adapter, *still, "--set", "tuning=null", "--out", str(folder / "two"))
    one, two = (json.loads((folder / name / "report.json").read_text()) for name in ("one", "two"))
    assert two["dev"][0]["figures"] == two["dev"][-1]["figures"]
    assert two["n_trained"] == one["n_trained"]
    message = "tuning.rank is 8, but the adapter in"
    assert message in run(
        folder, *files, *adapter, "--set", "tuning.rank=8", "--out", str(folder / "x"), code=2
    )


def test_other_formats_and_all_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "some.conll").write_text("ada B-person\nsang O\n\nparis B-city\n", encoding="utf-8")
    changes = ["--set", "tuning.method=full", "--set", "loop={steps: 1, precision: 'no'}"]
    printed = run(folder, "--train", "some.conll", "--from", "bio", *changes)
    assert "full: " in printed
    assert Extractor.load(Path("runs/tiny/model")).info()["widest span"] == "4 words"


def test_a_new_model_is_reported_whole(folder: Path, tokenizer: WordTokenizer) -> None:
    backbone, out = folder / "backbone", folder / "mine"
    tiny("bert").save_pretrained(backbone)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer.tokenizer, pad_token="[PAD]").save_pretrained(backbone)
    changes = (f"new.backbone={backbone}", "new.max_tokens=64", f"train={folder / 'some.jsonl'}")
    report = run_recipe(read_recipe(folder / "tiny.yaml", changes), out, resume=False, strict=False)
    kept = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert (kept["folder"], kept["size"]) == (str(report.folder), report.size)
    assert report.folder == out / "model"
    assert report.size > sum(path.stat().st_size for path in (out / "adapter").iterdir())
    assert Extractor.load(report.folder).extract("ada met bob", NER(["person"], threshold=0.0))


def test_ctrl_c_says_how_to_go_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(model: SpanMatcher, batch: TrainBatch, **settings: object) -> Tensor:
        signal.raise_signal(signal.SIGTERM)
        return matcher_loss(model, batch)

    files = ["--train", str(folder / "some.jsonl"), "--out", str(folder / "mine")]
    with monkeypatch.context() as patched:
        patched.setattr(fit_run, "matcher_loss", interrupted)
        printed = run(folder, *files, code=130)
    place = folder / "mine" / "run"
    expected = (
        f"stopped: after step 1 of 4; {place} holds the checkpoint, from which the same run goes on. Go on"
    )
    assert f"{expected} with --resume." in printed
    assert "3 steps" in run(folder, *files, "--resume")


def test_strict_stops_and_shows_what_is_odd(folder: Path) -> None:
    record = {
        "text": "ada met bob",
        "entities": [{"start": 1, "end": 7, "label": "person"}],
        "labels": ["person"],
    }
    path = folder / "odd.jsonl"
    path.write_text(json.dumps(record) + "\n", encoding="utf-8")
    printed = run(folder, "--train", str(path), "--out", str(folder / "mine"), "--strict", code=2)
    assert "span not on word edges: 1" in printed
    assert "a[da met] bob" in printed
    assert not (folder / "mine" / "adapter").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is nothing to learn from; give train"),
        (["--set", "loop.setps=3"], "unknown key 'setps'; did you mean 'steps'"),
        (["--set", "lopo.steps=3"], "unknown key 'lopo'; did you mean 'loop'"),
        (["--set", "loop.steps"], "--set is 'loop.steps'; expected KEY=VALUE"),
        (["--set", "tuning.method=lara"], "method is 'lara'; did you mean 'lora'"),
        (["--set", "loop.steps=many"], "loop.steps is 'many'; expected a value of type int"),
        (["--set", "form=boi"], "form is 'boi'; did you mean 'bio'"),
        (["--set", "new.backbone=x", "--set", "model=y"], "model and new are both given"),
        (["--set", "new.backbone=x", "--set", "adapter=y"], "adapter and new are both given"),
        (["--train", "none.jsonl"], "no file none.jsonl"),
    ],
)
def test_what_cannot_be_run(folder: Path, arguments: list[str], message: str) -> None:
    assert message in run(folder, *arguments, "--out", str(folder / "mine"), code=2)
    assert not (folder / "mine").exists()


def test_a_recipe_that_is_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the config .*none\.yaml"):
        read_recipe(tmp_path / "none.yaml")
    path = tmp_path / "some.yaml"
    for text, message in (
        ("- 1\n", r"some\.yaml holds a list; expected a mapping"),
        ("loop:\n\tsteps: 2\n", "cannot read the config"),
        ("replay: 0.1\nloop: {steps: 2}\nreplay: 0.2\n", r"line 3: 'replay' stands there twice"),
        ("loop:\n  steps: 2\n  steps: 3\n", r"line 3: 'steps' stands there twice"),
        ("loop: &a {steps: *a}\n", "cannot read the config"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match=message):
            read_recipe(path, ["replay=0.5"])
    path.write_text("", encoding="utf-8")
    assert read_recipe(path) == TrainConfig()
    loop = read_recipe(path, ["loop.precision=no"]).settings(10).loop
    assert loop is not None
    assert loop.precision == "no"  # which YAML takes for false
    assert read_recipe(path, ["loop.lr_backbone=2e-4"]).settings(10).loop.lr_backbone == 2e-4  # type: ignore[union-attr]

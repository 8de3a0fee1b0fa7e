import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState
from tiny_models import TEXTS
from transformers import AutoModelForCausalLM, AutoTokenizer

from gliner_mt.new import NewModel
from gliner_mt.train.loop_config import LoopConfig
from tasks import causal_lm, mntp_proof

LOOP = LoopConfig(steps=20, batch_tokens=128, lr_backbone=5e-3, precision="no", save_every=10)
SIZES = {"hidden_size": 16, "intermediate_size": 24, "layers": 1, "heads": 2, "positions": 64, "length": 16}


@pytest.fixture(autouse=True)
def fresh_accelerator() -> Iterator[None]:
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lm")
    rows = [json.dumps({"text": text * 4}) + "\n" for text in TEXTS * 40]
    (folder / "some.jsonl").write_text("".join(rows), encoding="utf-8")
    recipe = causal_lm.Recipe(texts=("some.jsonl",), vocabulary=300, loop=LOOP, **SIZES)
    causal_lm.train(recipe, folder, folder / "out")
    return folder / "out"


def test_a_language_model_learns(language_model: Path) -> None:
    lines = (language_model / "dev.jsonl").read_text(encoding="utf-8").splitlines()
    first, last = (json.loads(line) for line in lines)
    assert (first["step"], last["step"]) == (10, 20)
    assert last["perplexity"] < first["perplexity"] < 300
    model = AutoModelForCausalLM.from_pretrained(language_model / "model")
    assert model.config.vocab_size == len(AutoTokenizer.from_pretrained(language_model / "model")) == 300
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_tokenizers_are_the_same_every_time() -> None:
    one, two = (causal_lm.train_tokenizer(TEXTS, 280) for _ in range(2))
    assert one.get_vocab() == two.get_vocab()
    assert one("Ada")["input_ids"][0] == one.bos_token_id
    assert one.tokenize("Ada met Ada") == [*one.tokenize("Ada met"), *one.tokenize("Ada")]
    assert "_" in one.get_vocab()


@pytest.mark.parametrize(("causal", "hidden_shift"), [(True, 0), (False, 1)])
def test_a_backbone_is_judged_on_one_label(
    language_model: Path, tmp_path: Path, causal: bool, hidden_shift: int
) -> None:
    (tmp_path / "ner").mkdir()
    entities = [{"start": 0, "end": 3, "label": "person"}, {"start": 15, "end": 21, "label": "city"}]
    rows = [json.dumps({"text": TEXTS[0], "entities": entities}) + "\n"] * 8
    for split in ("train", "dev"):
        path = tmp_path / "ner" / f"tiny.{split}.jsonl.gz"
        path.write_bytes(gzip.compress("".join(rows).encode()))
    model = NewModel(
        backbone=str(language_model / "model"),
        hidden_size=16,
        max_tokens=48,
        dropout=0.0,
        causal=causal,
        hidden_shift=hidden_shift,
    )
    loop = replace(LOOP, steps=60, lr_backbone=5e-3, lr_heads=2e-2, save_every=60)
    recipe = mntp_proof.Recipe(model=model, dataset="tiny", label="person", dev_limit=4, loop=loop)
    mntp_proof.train(recipe, tmp_path, tmp_path / "out")
    (line,) = (tmp_path / "out" / "dev.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["f1"] == 100.0

"""Adapters in folders: saved whole, read with suspicion, from and to the hub."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from parity_models import Reference, Spec, write_backbone
from peft import PeftModel
from safetensors.torch import load_file, save_file
from tiny_adapters import (
    assert_close,
    base_model,
    distance,
    disturb,
    family_config,
    said,
    tuning,
    write_adapter,
)
from tiny_labels import apart_config, apart_tokenizer
from tiny_models import LABELS, TEXTS, assert_same, tiny_config

from gliner_mt import NER, CheckpointError, Extractor
from gliner_mt.adapters import Adapters, prepare_tuning
from gliner_mt.adapters import folder as folder_module
from gliner_mt.checkpoint.native import load_model, save_model
from gliner_mt.new import NewModel, new_model
from gliner_mt.tokenization import WordTokenizer

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # by importing DeBERTa

CHAIN = Path(__file__).parent / "fixtures" / "llm2vec" / "chain"
FAMILIES = {
    "bert": {"labels": "parallel", "word_shapes": True},
    "deberta-v2": {"lstm_layers": 1, "head": "boundary"},
    "modernbert": {"labels": "parallel", "pairs": True},
    "llama": {"head": "marker_v0"},
}
TASK = NER(LABELS, threshold=0.1, nested=True, multi_label=True)


@pytest.mark.parametrize("method", ["lora", "dora", "heads", "frozen_backbone"])
@pytest.mark.parametrize("family", FAMILIES)
def test_an_adapter_is_saved_whole(
    family: str, method: str, tokenizer: WordTokenizer, tmp_path: Path
) -> None:
    config = family_config(family, **FAMILIES[family])
    expected = write_adapter(tmp_path, config, tokenizer, tuning(method))
    in_backbone = (
        {"adapter_config.json", "adapter_model.safetensors"} if method in ("lora", "dora") else set()
    )
    assert {path.name for path in tmp_path.iterdir()} == {
        "gliner_mt.json",
        "heads.safetensors",
        *in_backbone,
    }
    model = base_model(config, tokenizer)
    base = said(model, config, tokenizer)
    assert distance(base, expected) > 0.02
    adapters = Adapters(model, "the base")
    adapters.add(tmp_path, "one")
    assert_close(said(model, config, tokenizer), base, 0.0)
    adapters.activate("one")
    assert_close(said(model, config, tokenizer), expected)
    adapters.activate(None)
    assert_close(said(model, config, tokenizer), base, 0.0)


def test_peft_reads_the_part_of_the_backbone(tokenizer: WordTokenizer, tmp_path: Path) -> None:
    config = family_config("bert")
    write_adapter(tmp_path, config, tokenizer, tuning())
    ours, theirs = base_model(config, tokenizer), base_model(config, tokenizer).backbone.model
    adapters = Adapters(ours, "the base")
    adapters.add(tmp_path, "one")
    adapters.activate("one")
    wrapped = PeftModel.from_pretrained(theirs, str(tmp_path)).eval()
    ids = torch.tensor([[2, 4, 40, 4, 41, 3, 30, 31]])
    with torch.no_grad():
        states = wrapped(input_ids=ids).last_hidden_state
        torch.testing.assert_close(ours.backbone.model(input_ids=ids).last_hidden_state, states)
    assert wrapped.peft_config["default"].base_model_name_or_path == "the base"


def test_a_full_disk_leaves_the_last_adapter(
    tokenizer: WordTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config()
    write_adapter(tmp_path, config, tokenizer, tuning())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(path: Path, values: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(folder_module, "_write_json", full)
    with pytest.raises(OSError, match="no space left"):
        write_adapter(tmp_path, config, tokenizer, tuning(), seed=2)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    monkeypatch.undo()
    write_adapter(tmp_path, config, tokenizer, tuning(), seed=2)
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert after.keys() == before.keys()
    assert after["heads.safetensors"] != before["heads.safetensors"]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o644}


def test_rows_of_new_tokens_are_saved(tokenizer: WordTokenizer, tmp_path: Path) -> None:
    config = tiny_config()
    write_adapter(tmp_path, config, tokenizer, tuning())
    rows = load_file(tmp_path / "adapter_model.safetensors")
    (name,) = (name for name in rows if name.endswith("trainable_tokens_delta"))
    assert rows[name].shape == (2, 32)
    values = json.loads((tmp_path / "adapter_config.json").read_text(encoding="utf-8"))
    assert values["trainable_token_indices"] == {
        "embeddings.word_embeddings": [config.marker_id, config.separator_id]
    }


def test_a_base_is_known_in_any_precision(tokenizer: WordTokenizer, tmp_path: Path) -> None:
    config = tiny_config()
    expected = write_adapter(tmp_path, config, tokenizer, tuning())
    for dtype in (torch.bfloat16, torch.float16):
        half = base_model(config, tokenizer).to(dtype)
        before = {name: one.clone() for name, one in half.named_parameters()}
        adapters = Adapters(half, "half")
        adapters.add(tmp_path, "one")
        assert {one.dtype for one in half.parameters()} == {dtype}
        adapters.merge("one")
        gaps = [
            (one - other).abs().mean()
            for one, other in zip(said(half, config, tokenizer), expected, strict=True)
        ]
        assert max(gaps) < 0.05
        adapters.unmerge()
        adapters.remove("one")
        assert all(torch.equal(one, before[name]) for name, one in half.named_parameters())
    other = base_model(config, tokenizer)
    with torch.no_grad():
        other.head.end[0].bias += 1e-3
    for dtype in (torch.float32, torch.bfloat16):
        with pytest.raises(CheckpointError, match=r"an adapter of the base .*, but the model is the other"):
            Adapters(other.to(dtype), "the other").add(tmp_path, "one")


def drop_token_rows(folder: Path) -> None:
    path = folder / "adapter_model.safetensors"
    save_file({name: one for name, one in load_file(path).items() if "tokens" not in name}, path)


def rename_head(folder: Path) -> None:
    path = folder / "heads.safetensors"
    save_file({f"other.{name}": one for name, one in load_file(path).items()}, path)


def change_json(file: str, **changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        values = json.loads((folder / file).read_text(encoding="utf-8"))
        (folder / file).write_text(json.dumps(values | changes), encoding="utf-8")

    return change


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "gliner_mt.json").unlink(), "no gliner_mt.json: it is a PEFT adapter .*NewModel"),
        (lambda f: [path.unlink() for path in f.iterdir()], "expected an adapter folder"),
        (lambda f: (f / "heads.safetensors").unlink(), "has no heads.safetensors"),
        (lambda f: (f / "adapter_model.safetensors").unlink(), "has no adapter_model.safetensors"),
        (lambda f: (f / "adapter_config.json").unlink(), "has no adapter_config.json"),
        (lambda f: (f / "adapter_model.safetensors").write_bytes(b"x"), "not a whole safetensors file"),
        (lambda f: (f / "gliner_mt.json").write_text("{"), "cannot be read as JSON"),
        (change_json("gliner_mt.json", version=9), "adapter version 9, newer than"),
        (change_json("gliner_mt.json", format="x"), "its format is 'x'; expected 'gliner_mt adapter'"),
        (change_json("adapter_config.json", peft_type="VERA"), "describes a VERA adapter"),
        (change_json("adapter_config.json", target_modules=["nowhere"]), "cannot be put on its base"),
        (change_json("adapter_config.json", target_modules=["query"]), r"do not fit its config\. unexpected"),
        (change_json("adapter_config.json", r=2), "of another shape"),
        (drop_token_rows, "missing: .*trainable_tokens_delta"),
        (rename_head, "changes other.* which the model does not have so"),
    ],
)
def test_broken_folders(
    spoil: Callable[[Path], object], message: str, tokenizer: WordTokenizer, tmp_path: Path
) -> None:
    config = tiny_config(layers=1)
    folder, whole = tmp_path / "broken", tmp_path / "whole"
    expected = write_adapter(whole, config, tokenizer, tuning())
    shutil.copytree(whole, folder)
    spoil(folder)
    model = base_model(config, tokenizer)
    base, adapters = said(model, config, tokenizer), Adapters(model, "the base")
    with pytest.raises(CheckpointError, match=f"(?s){message}"):
        adapters.add(folder, "one")
    assert_close(said(model, config, tokenizer), base, 0.0)
    adapters.add(whole, "one")
    adapters.activate("one")
    assert_close(said(model, config, tokenizer), expected)


@pytest.mark.parametrize("labels", ["separate", "fused"])
def test_vectors_of_labels_are_each_adapters_own(labels: str, tmp_path: Path) -> None:
    config, tokenizer = apart_config(labels, layers=1), apart_tokenizer()
    write_adapter(tmp_path / "one", config, tokenizer, tuning())
    values = json.loads((tmp_path / "one" / "adapter_config.json").read_text(encoding="utf-8"))
    assert values["trainable_token_indices"] is None
    extractor = Extractor(config, base_model(config, tokenizer), tokenizer, name="the base")
    base = [extractor.extract(text, TASK) for text in TEXTS]
    extractor.add_adapter(tmp_path / "one")
    extractor.use("one")
    extractor.encode_labels(LABELS, tmp_path / "labels.safetensors")
    adapted = list(extractor.extract_many(TEXTS, TASK))
    assert adapted != base
    names = [None, "one"] * len(TEXTS)
    mixed = extractor.extract_many([text for text in TEXTS for _ in range(2)], TASK, adapters=names)
    assert_same(list(mixed), [one for pair in zip(base, adapted, strict=True) for one in pair])
    extractor.save(tmp_path / "merged")
    whole = Extractor.load(tmp_path / "merged", device="cpu")
    assert_same(list(whole.extract_many(TEXTS, TASK)), adapted)
    extractor.use(None)
    with pytest.raises(CheckpointError, match="made by another label encoder"):
        extractor.encode_labels(LABELS, tmp_path / "labels.safetensors")


def test_a_decoder_with_adapters_of_its_own(tmp_path: Path) -> None:
    spec = NewModel(
        backbone=str(CHAIN / "mntp"),
        base=str(CHAIN / "base"),
        adapters=(str(CHAIN / "simcse"),),
        max_tokens=128,
    )
    torch.manual_seed(0)
    config, model, tokenizer = new_model(spec)
    save_model(tmp_path / "base", config, model, tokenizer)
    tuned = prepare_tuning(model, config, tuning(head_rank=None), "the decoder")
    assert tuned is not None
    disturb(model, 1)
    expected = said(model.eval(), config, tokenizer)
    tuned.save(tmp_path / "one")
    extractor = Extractor.load(tmp_path / "base", device="cpu", adapter=tmp_path / "one")
    extractor.extract("Ada", TASK)
    assert_close(said(extractor._engine.model, config, tokenizer), expected)


def test_a_published_checkpoint(tmp_path: Path) -> None:
    backbone = write_backbone(tmp_path / "backbone", "deberta-v2", [*TEXTS, *LABELS])
    Reference(Spec("deberta-v2"), backbone, TEXTS, LABELS).save(tmp_path / "published")
    extractor = Extractor.load(tmp_path / "published", device="cpu")
    config, model, tokenizer = extractor._config, extractor._engine.model, extractor._tokenizer
    tuned = prepare_tuning(model, config, tuning(), "published")
    assert tuned is not None
    disturb(model, 1)
    expected = said(model.eval(), config, tokenizer)
    tuned.save(tmp_path / "one")
    tuned.unload()
    extractor.save(tmp_path / "native")
    for base in ("published", "native"):
        again = Extractor.load(tmp_path / base, device="cpu", adapter=tmp_path / "one")
        again.extract("Ada", TASK)
        assert_close(said(again._engine.model, config, tokenizer), expected)
        again.save(tmp_path / "merged")
        assert_close(said(load_model(tmp_path / "merged")[1], config, tokenizer), expected)

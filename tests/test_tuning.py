"""What of a model is trained."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from peft import LoraConfig, PeftModel
from peft.tuners.lora import LoraLayer
from test_train import EXAMPLES, make_sampler, nothing
from tiny_adapters import assert_close, distance, disturb, said, tuning
from tiny_backbones import tiny
from tiny_models import LABELS, TEXTS, make_batch, tiny_config, tiny_model

from gliner_mt import ConfigError, Extractor
from gliner_mt.adapters import Tuning, prepare_tuning
from gliner_mt.adapters.prepare import lora_targets
from gliner_mt.adapters.quantize import quantize, replace_linear
from gliner_mt.adapters.tuning import METHODS
from gliner_mt.backbones.families import families, family_of
from gliner_mt.build import build_model
from gliner_mt.checkpoint.native import save_model
from gliner_mt.evaluation.ner import predict
from gliner_mt.heads import Gold
from gliner_mt.metrics import entity_f1
from gliner_mt.model import SpanMatcher
from gliner_mt.tokenization import WordTokenizer
from gliner_mt.train.loop import Run
from gliner_mt.train.loop_config import LoopConfig
from gliner_mt.train.loss import matcher_loss, span_loss

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # by importing DeBERTa


def expected_to_train(model: SpanMatcher, method: str) -> Callable[[str], bool]:
    """Return whether a parameter, named as before, is trained at all."""
    if method == "full":
        return lambda name: True
    if method == "heads":
        return lambda name: name.startswith(("head.", "pairs.", "label_projection."))
    return lambda name: not name.startswith("backbone.model.")


@pytest.mark.parametrize("method", [one for one in METHODS if one != "qlora"])
def test_each_method_trains_what_it_says(tokenizer: WordTokenizer, method: str) -> None:
    config = tiny_config(labels="parallel", word_shapes=True, lstm_layers=1, hidden_size=24)
    model = tiny_model(config, tokenizer).train()
    before = {name: one.detach().clone() for name, one in model.named_parameters()}
    prepare_tuning(model, config, tuning(method, head_rank=None))
    optimizer = torch.optim.SGD([one for one in model.parameters() if one.requires_grad], lr=0.1)
    batch = make_batch(config, tokenizer, TEXTS, LABELS)
    gold = Gold(*torch.tensor([(0, 0, 1, 0), (1, 5, 7, 1)]).unbind(1))
    for _ in range(2):  # what is behind a zero matrix has its first gradient in the second step
        optimizer.zero_grad()
        span_loss(model.head, model(batch).spans, batch, gold).backward()
        optimizer.step()
    after = {plain(name): one for name, one in model.named_parameters()}
    trains = expected_to_train(model, method)
    for name, old in before.items():
        assert torch.equal(after[name], old) is not trains(name), name
    adapters = {name: one for name, one in model.named_parameters() if "lora_" in name or "_delta" in name}
    assert bool(adapters) is (method in ("lora", "dora"))
    assert any("magnitude" in name for name in adapters) is (method == "dora")
    for name, one in adapters.items():
        assert one.grad is not None and one.grad.abs().sum() > 0, name


def plain(name: str) -> str:
    """Return the name of a parameter without what PEFT puts into it."""
    return name.replace(".base_layer", "").replace(".token_adapter", "").replace(".original_module", "")


def test_changes_of_low_rank_train_and_the_matrices_stay(tokenizer: WordTokenizer) -> None:
    config = tiny_config(labels="parallel")
    model = tiny_model(config, tokenizer)
    expected = said(model, config, tokenizer)
    matrices = [model.head.start[0].weight.clone(), model.label_projection[3].weight.clone()]
    tuned = prepare_tuning(model, config, tuning())
    assert tuned is not None
    assert_close(said(model, config, tokenizer), expected, 0.0)
    kinds = {name: one.requires_grad for name, one in model.named_parameters() if "joint.0." in name}
    assert {name.rpartition("joint.0.")[2]: trained for name, trained in kinds.items()} == {
        "bias": True,
        "parametrizations.weight.original": False,
        "parametrizations.weight.0.down": True,
        "parametrizations.weight.0.up": True,
    }
    disturb(model, 1)
    assert distance(said(model, config, tokenizer), expected) > 0.05
    tuned.unload()
    assert all(one.requires_grad for one in model.parameters())
    assert torch.equal(model.head.start[0].weight, matrices[0])
    assert torch.equal(model.label_projection[3].weight, matrices[1])
    assert model.state_dict().keys() == build_model(config).state_dict().keys()
    assert_close(said(model, config, tokenizer), expected, 0.0)


@pytest.mark.parametrize("family", [one.name for one in families()])
def test_adapters_stand_on_every_linear_layer_of_the_table(family: str) -> None:
    encoder = tiny(family)
    targets = lora_targets(encoder)
    assert targets <= set(family_of(family).lora)
    wrapped = PeftModel(encoder, LoraConfig(target_modules=sorted(targets)))
    stand = {name.rpartition(".")[2] for name, one in wrapped.named_modules() if isinstance(one, LoraLayer)}
    assert stand == targets
    bare = {
        name.rpartition(".")[2]
        for name, one in encoder.named_modules()
        if type(one) is torch.nn.Linear and not name.endswith("base_layer") and "lora_" not in name
    }
    assert bare <= {"pos_proj", "pos_q_proj", "embeddings_project", "head_weights_proj"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "lore"}, "did you mean 'lora'"),
        ({"rank": 0}, "rank is 0; expected 1 or more"),
        ({"head_rank": -1}, "head_rank is -1"),
        ({"dropout": 1.0}, r"dropout is 1\.0"),
    ],
)
def test_settings_that_cannot_be(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Tuning(**change)


def test_models_that_cannot_be_tuned_so(tokenizer: WordTokenizer) -> None:
    config = tiny_config()
    model = tiny_model(config, tokenizer)
    with pytest.raises(ConfigError, match=r"targets names 'qeury'; did you mean 'query'\?"):
        prepare_tuning(model, config, tuning(targets=("qeury",)))
    with pytest.raises(ConfigError, match=r"needs a CUDA device.* the model is on cpu, .*use method 'lora'"):
        quantize(model.backbone.model, ["query"])
    prepare_tuning(model, config, tuning(targets=("query",)))
    with pytest.raises(ConfigError, match="the base has adapters already; load the base alone"):
        prepare_tuning(model, config, tuning(), "the base")


def test_layers_in_4_bits(tokenizer: WordTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    class Params4bit(torch.nn.Parameter):
        def __new__(cls, data: torch.Tensor, *, requires_grad: bool, quant_type: str) -> "Params4bit":
            return torch.nn.Parameter.__new__(cls, data, requires_grad)

    class Linear4bit(torch.nn.Linear):
        def __init__(
            self, n_in: int, n_out: int, *, bias: bool, compute_dtype: torch.dtype, quant_type: str
        ) -> None:
            super().__init__(n_in, n_out, bias=bias)
            assert (compute_dtype, quant_type) == (torch.bfloat16, "nf4")

    names = {"Linear4bit": Linear4bit, "Params4bit": Params4bit}
    monkeypatch.setitem(sys.modules, "bitsandbytes.nn", SimpleNamespace(**names))
    config = tiny_config()
    model = tiny_model(config, tokenizer)
    expected = said(model, config, tokenizer)
    biases = dict(model.backbone.model.named_parameters())
    replace_linear(model.backbone.model, {"query", "value"})
    few = {name.rpartition(".")[2] for name, one in model.named_modules() if isinstance(one, Linear4bit)}
    assert few == {"query", "value"}
    assert_close(said(model, config, tokenizer), expected, 0.0)
    for name, one in model.backbone.model.named_modules():
        if isinstance(one, Linear4bit):  # bitsandbytes changes the type of biases where they stand
            assert one.bias.data_ptr() != biases[f"{name}.bias"].data_ptr()


def test_four_examples_are_learnt_by_heart_beside_the_base(tokenizer: WordTokenizer, tmp_path: Path) -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    config = tiny_config(labels="parallel", layers=1)
    torch.manual_seed(0)
    model = build_model(config)
    save_model(tmp_path / "base", config, model, tokenizer)
    tuned = prepare_tuning(model, config, tuning(rank=8, alpha=16, head_rank=None), "the base")
    assert tuned is not None
    loop = LoopConfig(steps=150, batch_tokens=512, lr_backbone=1e-2, lr_heads=5e-3, precision="no")
    sampler = make_sampler(config, tokenizer)
    run = Run(model, model.backbone.model, sampler, matcher_loss, loop, tmp_path / "run")
    losses = run.train(nothing)
    assert losses[-1] < losses[0] / 10
    tuned.save(tmp_path / "learnt")
    other = build_model(config)
    prepare_tuning(other, config, tuning(rank=8, alpha=16, head_rank=None))
    assert Run(other, other.backbone.model, sampler, matcher_loss, loop, tmp_path / "run").resume()
    assert_close(said(other.eval(), config, tokenizer), said(model.eval(), config, tokenizer))
    extractor = Extractor.load(tmp_path / "base", device="cpu", adapter=tmp_path / "learnt")
    AcceleratorState._reset_state(reset_partial_state=True)
    gold = [one.entities for one in EXAMPLES]
    assert entity_f1(gold, predict(extractor, EXAMPLES, threshold=0.5)).micro.f1 == 1.0
    extractor.use(None)
    assert entity_f1(gold, predict(extractor, EXAMPLES, threshold=0.5)).micro.f1 < 0.5

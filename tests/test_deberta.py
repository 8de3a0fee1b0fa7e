"""DeBERTa's fast encoder against Hugging Face's, on models small enough to be made in a test."""

import copy
import warnings
from collections.abc import Callable, Sequence
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
    from transformers import DebertaV2Config, DebertaV2Model

from gliner_mt.backbones import deberta
from gliner_mt.backbones.deberta import FastEncoder, speed_up

WORDS = 50
BOTH = ["p2c", "c2p"]


def tiny(**changes: object) -> DebertaV2Model:
    """Return a random model as Hugging Face made it; weights are large enough for positions to matter."""
    values = {
        "vocab_size": WORDS,
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 40,
        "initializer_range": 0.1,
        "max_position_embeddings": 64,
        "relative_attention": True,
        "position_buckets": 256,
        "share_att_key": True,
        "pos_att_type": BOTH,
        "norm_rel_ebd": "layer_norm",
        "position_biased_input": False,
        "type_vocab_size": 0,
    }
    torch.manual_seed(0)
    return DebertaV2Model(DebertaV2Config(**(values | changes))).eval()


def pair(**changes: object) -> tuple[DebertaV2Model, DebertaV2Model]:
    """Return a model and its faster copy."""
    original = tiny(**changes)
    fast = copy.deepcopy(original)
    speed_up(fast)
    return original, fast


def padded(lengths: Sequence[int], seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return random ids and the mask of rows of these lengths."""
    generator = torch.Generator().manual_seed(seed)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    return torch.randint(3, WORDS, mask.shape, generator=generator), mask


def states(model: DebertaV2Model, ids: Tensor, mask: Tensor) -> Tensor:
    """Return the hidden states of all layers, zero on padding."""
    output = model(ids, mask, output_hidden_states=True)
    assert torch.equal(output.hidden_states[-1], output.last_hidden_state)
    return torch.stack(output.hidden_states) * mask[..., None]


def error(models: tuple[DebertaV2Model, DebertaV2Model], lengths: Sequence[int]) -> float:
    with torch.inference_mode():
        original, fast = (states(model, *padded(lengths)) for model in models)
    return (original - fast).abs().max().item()


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize(
    ("buckets", "furthest"), [(256, -1), (8, -1), (6, 40), (0, -1), (-1, 7)], ids=lambda value: f"{value}"
)
@pytest.mark.parametrize(
    "others", [{}, {"conv_kernel_size": 3, "conv_act": "gelu"}, {"norm_rel_ebd": "none"}], ids=str
)
def test_hidden_states_are_those_of_hugging_face(
    share: bool, buckets: int, furthest: int, others: dict[str, object]
) -> None:
    models = pair(share_att_key=share, position_buckets=buckets, max_relative_positions=furthest, **others)
    assert isinstance(models[1].encoder, FastEncoder)
    for lengths in ([1], [7, 7, 7], [150, 1, 90]):  # also longer than any position reaches
        assert error(models, lengths) <= 2e-6


@cache
def shallow() -> tuple[DebertaV2Model, DebertaV2Model]:
    return pair(position_buckets=16, num_hidden_layers=1)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 70), min_size=1, max_size=7))
def test_any_lengths_in_any_tiles(lengths: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, size in {"_BLOCK": 16, "_RUN": 40, "_SCORES": 2000, "_CHUNK": 32}.items():
            patch.setattr(deberta, name, size)
        assert error(shallow(), lengths) <= 2e-6


def test_a_row_does_not_depend_on_its_batch() -> None:
    _, model = pair()
    ids, mask = padded([30, 12, 5])
    with torch.inference_mode():
        together = model(ids, mask).last_hidden_state
        alone = model(ids[1:2, :12], mask[1:2, :12]).last_hidden_state
    torch.testing.assert_close(together[1:2, :12], alone, atol=2e-6, rtol=0)
    assert not together[1, 12:].any()


@pytest.mark.parametrize(
    "changes", [{"pos_att_type": ["c2p"]}, {"pos_att_type": None}, {"relative_attention": False}]
)
def test_models_without_both_position_terms_are_left_alone(changes: dict[str, object]) -> None:
    model = tiny(**changes)
    before = model.encoder
    speed_up(model)
    assert model.encoder is before


def test_names_of_weights_and_what_is_done_with_models_stay() -> None:
    original, model = pair(conv_kernel_size=3)
    speed_up(model)  # once is enough
    assert list(model.state_dict()) == list(original.state_dict())
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in original.named_parameters()]
    other = tiny(conv_kernel_size=3, initializer_range=0.2)
    original.load_state_dict(other.state_dict())
    model.load_state_dict(other.state_dict())
    assert error((original, model), [9, 4]) <= 2e-6
    assert error((original, copy.deepcopy(model)), [9, 4]) <= 2e-6


@pytest.mark.parametrize(
    "mask",
    [[[0, 1, 1, 1], [1, 1, 1, 1]], [[1, 0, 1, 1], [1, 1, 1, 0]], [[1, 1, 1, 1], [0, 0, 0, 0]]],
    ids=["left padding", "hole", "empty row"],
)
def test_other_masks_go_to_the_original(mask: list[list[int]]) -> None:
    original, model = pair()
    ids, visible = torch.randint(3, WORDS, (2, 4)), torch.tensor(mask)
    with torch.inference_mode():
        assert torch.equal(original(ids, visible).last_hidden_state, model(ids, visible).last_hidden_state)


def test_attention_maps_and_tuples() -> None:
    models = pair()
    ids, mask = padded([6, 3])
    with torch.inference_mode():
        maps = [model(ids, mask, output_attentions=True).attentions for model in models]
        tuples = [model(ids, mask, return_dict=False)[0] for model in models]
    assert torch.equal(torch.stack(maps[0]), torch.stack(maps[1]))
    assert torch.equal(*tuples)


NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def gradients(model: DebertaV2Model, lengths: Sequence[int]) -> dict[str, Tensor | None]:
    """Return the gradients of a sum in which no two numbers count alike."""
    model.zero_grad()
    found = states(model, *padded(lengths))
    (found * torch.linspace(-1, 1, found.numel()).view_as(found)).sum().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("others", [{}, {"position_buckets": 8, "conv_kernel_size": 3}], ids=str)
def test_gradients_are_those_of_hugging_face(share: bool, others: dict[str, object]) -> None:
    models = pair(share_att_key=share, **NO_DROPOUT, **others)
    for lengths in ([1], [7, 7, 7], [150, 1, 90]):
        expected, found = (gradients(model.train().double(), lengths) for model in models)
        for name, gradient in expected.items():
            # Theirs takes roots in single precision.
            torch.testing.assert_close(found[name], gradient, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("name", NO_DROPOUT)
def test_dropout_is_drawn_in_training_alone(name: str) -> None:
    _, model = pair(**NO_DROPOUT | {name: 0.5})
    batch = padded([9, 4])

    def run(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return states(model, *batch)

    assert torch.equal(run(0), run(1))
    model.train()
    assert torch.equal(run(0), run(0))
    assert not torch.allclose(run(0), run(1), atol=1e-2)


def test_what_layers_do_when_they_are_called_is_left_to_them() -> None:
    original, model = pair(**NO_DROPOUT)
    for one in (original, model):
        one.train()
        one.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    expected, found = (gradients(one, [8, 5]) for one in (original, model))
    for name, gradient in expected.items():
        assert gradient is found[name] is None or torch.equal(gradient, found[name])
    called: list[int] = []
    model = pair()[1]
    model.encoder.layer[1].register_forward_pre_hook(lambda *_: called.append(0))
    states(model, *padded([8, 5]))
    assert called == [0]
    model = pair()[1]
    model.encoder.layer[0].compile(backend=lambda graph, _: called.append(1) or graph.forward)
    with torch.no_grad():
        states(model, *padded([8, 5]))
    assert called == [0, 1]


@torch.no_grad()
def _in_place(weight: nn.Parameter) -> None:
    weight[1:] *= 1.5


def _behind_autograd(weight: nn.Parameter) -> None:
    weight.data *= 1.5  # as adapters are merged


def _anew(weight: nn.Parameter) -> None:
    weight.data = weight.data * 1.5


def _step(weight: nn.Parameter) -> None:
    weight.grad = torch.ones_like(weight)
    torch.optim.AdamW([weight], lr=0.1, fused=True).step()


@pytest.mark.parametrize("change", [_in_place, _behind_autograd, _anew, _step])
@pytest.mark.parametrize(
    "name", ["rel_embeddings.weight", "LayerNorm.weight", "layer.1.attention.self.key_proj.weight"]
)
def test_positions_follow_the_weights(change: Callable[[nn.Parameter], None], name: str) -> None:
    models = pair()
    assert error(models, [9, 4]) <= 2e-6
    for model in models:
        change(model.encoder.get_parameter(name))
    assert error(models, [9, 4]) <= 2e-6


@torch.no_grad()
def test_positions_are_computed_once() -> None:
    _, model = pair()
    ids, mask = padded([9, 4])
    seen: list[int] = []
    model.encoder.layer[0].attention.self.key_proj.register_forward_hook(
        lambda _, given, __: seen.append(len(given[0]))
    )
    for _ in range(3):
        model(ids, mask)
    assert seen == [512, 13, 13, 13]


class Adapted(nn.Module):
    """An adapter that can be switched without a weight changing."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base
        self.strength = 0.0

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.base(x)
        return y + self.strength * x


def test_adapters_may_be_switched() -> None:
    models = pair()
    for strength in (0.0, 0.5, -0.5):
        for model in models:
            attention = model.encoder.layer[1].attention.self
            if strength == 0.0:
                attention.query_proj = Adapted(attention.query_proj)
            attention.query_proj.strength = strength
        assert error(models, [9, 4]) <= 2e-6


def test_a_replaced_module_is_used_in_training_too() -> None:
    _, model = pair()
    model.encoder.rel_embeddings = nn.Embedding(512, 32)
    ids, mask = padded([9, 4])
    model(ids, mask).last_hidden_state.sum().backward()
    assert model.encoder.rel_embeddings.weight.grad is not None


def test_weights_made_in_inference_mode() -> None:
    with torch.inference_mode():
        models = pair()
    assert error(models, [9, 4]) <= 2e-6


def test_half_precision() -> None:
    models = pair()
    with torch.autocast("cpu", torch.bfloat16):
        assert 0 < error(models, [40, 4]) < 0.1
    assert error(models, [40, 4]) <= 2e-6  # nothing of it is kept
    original, fast = models
    assert error((original.bfloat16(), fast.bfloat16()), [40, 4]) < 0.2

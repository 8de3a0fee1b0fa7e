"""A random backbone of every family, small enough to be made in a test."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from gliner_mt.backbones import Backbone
from gliner_mt.backbones.attention import built_with
from gliner_mt.backbones.configs import auto_class, backbone_config
from gliner_mt.backbones.families import family_of, first_position, local_reach
from gliner_mt.batch import Batch

WORDS = 200
# Windows are smaller than rows; rotations are fast enough for positions to matter.
SIZES: dict[str, Any] = {
    "vocab_size": WORDS,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "pad_token_id": 0,
}
SPECIAL = {"bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
DECODER = {"num_key_value_heads": 2, "head_dim": 8, "bos_token_id": 1, "eos_token_id": 2}
LAYERS = {"layer_types": ["sliding_attention", "full_attention"] * 2, "sliding_window": 5}
ROBERTA = {"pad_token_id": 1, "max_position_embeddings": 130}
DEBERTA = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_biased_input": False}
CHANGES: dict[str, dict[str, Any]] = {
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
    "camembert": ROBERTA,
    "electra": {"embedding_size": 16},
    "modernbert": SPECIAL | {"local_attention": 10, "global_attn_every_n_layers": 2},
    "qwen2": LAYERS | {"use_sliding_window": True},
    "qwen3": LAYERS | {"use_sliding_window": True},
    "olmo3": LAYERS,
    "gemma2": LAYERS | {"attn_logit_softcapping": 2.0, "query_pre_attn_scalar": 4},
    "gemma3_text": LAYERS | {"query_pre_attn_scalar": 4},
    "mistral": {"sliding_window": 5},
    "phi3": {"sliding_window": 5},
    "smollm3": LAYERS | {"use_sliding_window": True, "no_rope_layers": [1, 0, 1, 1]},
    "deberta": DEBERTA,
    "deberta-v2": DEBERTA | {"position_buckets": 8, "share_att_key": True, "norm_rel_ebd": "layer_norm"},
    "t5": {"d_kv": 8, "num_layers": 2},
    "mt5": {"d_kv": 8, "num_layers": 2},
    "umt5": {"d_kv": 8, "num_layers": 2},
}


def tiny_backbone(name: str, **changes: object) -> dict[str, Any]:
    """Return the values of a small config of a family."""
    family = family_of(name)
    rope = DECODER if family.decoder or name == "eurobert" else {}
    values = {"model_type": name} | SIZES | rope | CHANGES.get(name, {}) | changes
    if family.encoder_of_two:
        del values["max_position_embeddings"]
    return values


def tiny(name: str, *, causal: bool = False, **changes: object) -> PreTrainedModel:
    """Return a random model of a family."""
    family = family_of(name)
    config = backbone_config(tiny_backbone(name, **changes), causal=causal)
    torch.manual_seed(0)
    model: PreTrainedModel = auto_class(family, config).from_config(
        config, attn_implementation=built_with("eager", config)
    )
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, 0.0, 0.3)
    return model.eval()


def backbone_of(model: PreTrainedModel) -> Backbone:
    family = family_of(model.config.model_type)
    return Backbone(
        model,
        first_position=first_position(family, model.config),
        sliding_window=local_reach(family, model.config),
    )


def batch_of(lengths: Sequence[int]) -> Batch:
    """Return random rows with positions left to the backbone."""
    generator = torch.Generator().manual_seed(0)
    groups = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long() - 1
    ids = torch.randint(3, WORDS, groups.shape, generator=generator)
    nothing = torch.zeros(len(lengths), 1, dtype=torch.long)
    return Batch(
        ids=ids,
        groups=groups,
        positions=None,
        shapes=torch.zeros_like(ids),
        word_first=nothing,
        word_last=nothing,
        n_words=nothing[:, 0],
        label_first=nothing,
        label_last=nothing,
        n_labels=nothing[:, 0],
    )

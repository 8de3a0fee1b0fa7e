"""Labels without an order on every family that takes a mask between sub-words."""

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel

from gliner_mt.backbones import Backbone, family_of
from gliner_mt.backbones.families import first_position, local_reach
from gliner_mt.batch import Collator, Row
from gliner_mt.labels import ParallelLabels
from gliner_mt.tokenization import WordTokenizer

SIZES = {
    "vocab_size": 1000,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "bert": {},
    "electra": {"embedding_size": 32},
    "roberta": {"pad_token_id": 1},
    "modernbert": {"pad_token_id": 0, "local_attention": 8, "global_attn_every_n_layers": 3},
}


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_order_of_labels_changes_no_vector(name: str, attention: str, tokenizer: WordTokenizer) -> None:
    torch.manual_seed(0)
    family = family_of(name)
    model = AutoModel.from_config(
        AutoConfig.for_model(name, **SIZES | FAMILIES[name]), attn_implementation=attention
    )
    first, window = first_position(family, model.config), local_reach(family, model.config)
    backbone = Backbone(model.eval(), first_position=first, sliding_window=window)
    encoding = ParallelLabels(tokenizer, marker_id=4, separator_id=3, text_position=8)
    words = list(tokenizer.encode("Ada Lovelace met Charles in London.", max_word_tokens=10))
    vectors = []
    for labels in (["city", "person", "the date"], ["the date", "city", "person"]):
        batch = Collator(0, tokenizer.suffix)([Row(encoding.prompt(labels), words)])
        with torch.inference_mode():
            hidden = backbone(batch)[0]
        by_label = dict(zip(labels, batch.label_first[0].tolist(), strict=True))
        vectors.append((hidden[batch.word_first[0]], hidden[[by_label[label] for label in sorted(by_label)]]))
    for first, second in zip(*vectors, strict=True):
        assert torch.allclose(first, second, atol=1e-5)

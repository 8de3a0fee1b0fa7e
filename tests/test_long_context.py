"""Long windows: memory that grows with their length, the length a backbone was made for, rotations scaled."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_backbones import backbone_of, batch_of, tiny
from tiny_models import tiny_config, tiny_model
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from gliner_mt import NER
from gliner_mt.backbones.attention import use_attention
from gliner_mt.backbones.families import family_of, longest_window
from gliner_mt.config import ModelConfig
from gliner_mt.errors import InputError
from gliner_mt.extractor import Extractor
from gliner_mt.tokenization import WordTokenizer

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 160,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 8192,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


class Largest(TorchDispatchMode):
    """Watches the elements of the largest tensor that operations make."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.numel())
        return made


@contextmanager
def watched() -> Iterator[Largest]:
    with torch.inference_mode(), Largest() as largest:
        yield largest


@pytest.mark.parametrize("name", ["llama", "modernbert", "gemma2", "mistral", "phi3"])
def test_no_tensor_holds_all_pairs(name: str) -> None:
    layers = {"layer_types": ["sliding_attention", "full_attention"]} if name == "gemma2" else {}
    backbone = backbone_of(tiny(name, max_position_embeddings=2048, num_hidden_layers=2, **layers))
    use_attention(backbone.model, "auto", masked=False)
    largest = {}
    for length in (1024, 2048):
        batch = batch_of([length, 10])
        with watched() as seen:
            backbone(batch)
        largest[length] = seen.elements
    assert largest[2048] <= 2.1 * largest[1024]
    assert largest[2048] < 2048**2 / 4


@pytest.fixture(scope="module")
def llama(tokenizer: WordTokenizer) -> Extractor:
    return extractor_of(long_config(), tokenizer)


def long_config(**changes: object) -> ModelConfig:
    return tiny_config(backbone=LLAMA | changes, labels="prompt", max_tokens=8192)


def extractor_of(config: ModelConfig, tokenizer: WordTokenizer) -> Extractor:
    model = tiny_model(config, tokenizer)
    use_attention(model.backbone.model, "auto", masked=False)
    return Extractor(config, model, tokenizer)


def test_a_long_text_is_one_window_in_memory_that_grows_with_its_length(llama: Extractor) -> None:
    sentence = "ada met bob in new york on one of the days of the north . "
    task, largest, found = NER(["person", "city"]), [], []
    for repeats in (80, 160):
        with watched() as seen:
            found.append(len(llama.extract(sentence * repeats, task)))
        largest.append(seen.elements)
    words = 14 * 160
    assert found[1] > found[0] > 0
    assert 1.9 * largest[0] <= largest[1] <= 2.1 * largest[0]
    assert largest[1] < words**2 / 4


def test_windows_are_as_long_as_the_backbone_was_made_for(llama: Extractor, tokenizer: WordTokenizer) -> None:
    for name, limit in (("llama", 131072), ("modernbert", 8192), ("eurobert", 8192), ("roberta", 514)):
        config = tiny(name).config
        config.max_position_embeddings = limit
        assert longest_window(family_of(name), config) == limit - (2 if name == "roberta" else 0)
    assert llama.info()["window"] == "8192 sub-words, labels included"
    model = tiny_model(long_config(), tokenizer)
    shorter = Extractor(long_config(), model, tokenizer, max_tokens=1000)
    assert shorter.info()["window"] == "1000 sub-words, labels included"
    with pytest.raises(InputError, match=r"max_tokens is 8193; expected a whole number, .* at most 8192"):
        Extractor(long_config(), model, tokenizer, max_tokens=8193)


SCALINGS: dict[str, dict[str, Any]] = {
    "llama3": {
        "rope_type": "llama3",
        "rope_theta": 10000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    },
    "linear": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0},
    "yarn": {
        "rope_type": "yarn",
        "rope_theta": 10000.0,
        "factor": 4.0,
        "original_max_position_embeddings": 2048,
    },
}


@pytest.mark.parametrize("name", SCALINGS)
def test_scaled_rotations_are_kept(name: str, tokenizer: WordTokenizer, tmp_path: Path) -> None:
    plain = extractor_of(long_config(), tokenizer)
    scaled = extractor_of(long_config(rope_parameters=SCALINGS[name]), tokenizer)
    scaled.save(tmp_path)
    loaded = Extractor.load(tmp_path, device="cpu")
    batch = batch_of([60, 20])
    batch.ids.remainder_(150)
    with torch.inference_mode():
        vectors = [one._engine.model.backbone(batch) for one in (plain, scaled, loaded)]
    config = loaded._engine.model.backbone.model.config
    assert SCALINGS[name].items() <= config.rope_parameters.items()
    assert torch.equal(vectors[1], vectors[2])
    assert (vectors[0] - vectors[1]).abs().max() > 1e-3


def test_the_older_name_of_scaling_is_read(tokenizer: WordTokenizer) -> None:
    old = {key: value for key, value in SCALINGS["linear"].items() if key != "rope_theta"}
    given = extractor_of(long_config(rope_scaling=old, rope_theta=500.0), tokenizer)
    rope = given._engine.model.backbone.model.config.rope_parameters
    assert (rope["rope_type"], rope["factor"], rope["rope_theta"]) == ("linear", 4.0, 500.0)

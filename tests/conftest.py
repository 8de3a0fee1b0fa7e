import functools
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from tiny_models import tiny_config, tiny_extractor, tiny_model, tiny_tokenizer

from gliner_mt.config import ModelConfig
from gliner_mt.extractor import Extractor
from gliner_mt.model import SpanMatcher
from gliner_mt.tokenization import WordTokenizer

# The same examples in every run; HYPOTHESIS_PROFILE=search tries new ones.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("search", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

VARIANTS = {
    "prompt-marker": {"labels": "prompt", "head": "marker"},
    "parallel-marker": {"labels": "parallel", "head": "marker", "word_shapes": True, "hidden_size": 24},
    "prompt-marker_v0": {"labels": "prompt", "head": "marker_v0", "lstm_layers": 1, "pooling": "mean"},
    "parallel-boundary": {"labels": "parallel", "head": "boundary", "pooling": "max"},
}


@pytest.fixture(scope="session")
def tokenizer() -> WordTokenizer:
    return tiny_tokenizer()


@pytest.fixture(scope="session", params=VARIANTS)
def config(request: pytest.FixtureRequest) -> ModelConfig:
    """Return each combination of parts in turn."""
    return tiny_config(**VARIANTS[request.param])


@pytest.fixture(scope="session")
def model(config: ModelConfig, tokenizer: WordTokenizer) -> SpanMatcher:
    return tiny_model(config, tokenizer)


@pytest.fixture(scope="session")
def any_extractor(config: ModelConfig, model: SpanMatcher, tokenizer: WordTokenizer) -> Extractor:
    """Return an extractor of each combination of parts in turn."""
    return Extractor(config, model, tokenizer)


@pytest.fixture(scope="session")
def extractor(tokenizer: WordTokenizer) -> Extractor:
    """Return an extractor made as the embedded one is: parallel labels, marker head, word shapes."""
    return tiny_extractor(tokenizer, **VARIANTS["parallel-marker"])


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a maker of folders with a tiny backbone of a kind, for published models; each is made once."""
    from parity_labels import write_decoder, write_label_encoder  # they import the package gliner
    from parity_models import LABELS, TEXTS, write_backbone

    @functools.cache
    def make(kind: str, longest: int = 512) -> Path:
        folder = tmp_path_factory.mktemp(kind)
        if kind == "labels":
            return write_label_encoder(folder)
        if kind in ("llama", "qwen2"):
            return write_decoder(folder, kind)
        return write_backbone(folder, kind, [*TEXTS, *LABELS], longest=longest)

    return make

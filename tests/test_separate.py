"""Labels that stand apart from the text: bi-encoders (`separate`) and poly-encoders (`fused`)."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from hypothesis import given, settings
from hypothesis import strategies as st
from parity_models import write_backbone
from safetensors.torch import save_file
from test_train import EXAMPLES, PLAIN, nothing
from texts import any_text
from tiny_labels import SCHEMA, apart_config, apart_extractor, apart_tokenizer
from tiny_models import (
    CLS,
    LABELS,
    MARKER,
    SEP,
    TEXTS,
    WORDS,
    assert_same,
    make_batch,
    plain,
    probabilities,
    spans_of,
    tiny_config,
    tiny_model,
)
from torch import Tensor
from transformers import AutoConfig, AutoModel

from gliner_mt import engine as engine_module
from gliner_mt.batch import Batch, label_batch
from gliner_mt.build import build_labels, build_model
from gliner_mt.checkpoint.native import load_model
from gliner_mt.config import ModelConfig, Thresholds
from gliner_mt.engine import Engine
from gliner_mt.errors import CheckpointError, ConfigError, InputError
from gliner_mt.evaluation.ner import predict
from gliner_mt.extractor import Extractor
from gliner_mt.heads import Gold
from gliner_mt.limits import Limits
from gliner_mt.metrics import entity_f1
from gliner_mt.model import LabelEncoder, SpanMatcher
from gliner_mt.new import NewModel, new_model
from gliner_mt.tasks import NER
from gliner_mt.tokenization import WordTokenizer
from gliner_mt.train.entities import Source, entity_rows
from gliner_mt.train.loop import Run
from gliner_mt.train.loop_config import LoopConfig
from gliner_mt.train.loss import matcher_loss, span_loss
from gliner_mt.train.sampling import RowSampler

NAMES = ["person", "city", "zoo", "date of birth", "x" * 40]
MANY = [f"{first} {second}" for first in WORDS[:12] for second in WORDS[12:17]]
VARIANTS = {
    "separate": {"labels": "separate", "head": "marker", "hidden_size": 24},
    "separate-boundary": {"labels": "separate", "head": "boundary", "word_shapes": True},
    "separate-v0-lstm": {"labels": "separate", "head": "marker_v0", "lstm_layers": 1},
    "fused": {"labels": "fused", "head": "marker", "fusion_layers": 2},
    "fused-boundary": {"labels": "fused", "head": "boundary", "fusion": ("l2t", "t2l")},
}
KINDS = pytest.mark.parametrize("kind", ["separate", "fused"])


@pytest.fixture(scope="module")
def tokenizer() -> WordTokenizer:
    return apart_tokenizer()


@pytest.fixture(scope="module", params=VARIANTS)
def config(request: pytest.FixtureRequest) -> ModelConfig:
    return apart_config(**VARIANTS[request.param])


@pytest.fixture(scope="module")
def model(config: ModelConfig, tokenizer: WordTokenizer) -> SpanMatcher:
    return tiny_model(config, tokenizer)


def test_labels_are_sequences_of_their_own(tokenizer: WordTokenizer) -> None:
    prompt = build_labels(apart_config(), tokenizer).prompt(["city", "date of birth"])
    city, birth = tokenizer.words(["city", "date of birth"])
    assert (prompt.ids, prompt.groups) == ((CLS,), (0,))
    assert prompt.apart == ((CLS, *city, SEP), (CLS, *birth, SEP))
    assert prompt.n_labels == 2


def test_a_label_stands_in_a_batch_once(tokenizer: WordTokenizer) -> None:
    batch = make_batch(apart_config(), tokenizer, TEXTS, ["city", "person", "city"])
    assert batch.apart is not None
    assert batch.label_row is not None
    assert len(batch.apart.ids) == 2
    assert batch.label_row.tolist() == [[0, 1, 0]] * len(TEXTS)
    assert batch.n_labels.tolist() == [3] * len(TEXTS)


@torch.no_grad()
def test_the_mean_over_all_sub_words_stands_for_a_label(tokenizer: WordTokenizer) -> None:
    config = apart_config(label_projection=False)
    encoder = tiny_model(config, tokenizer).label_encoder
    assert encoder is not None
    sequences = build_labels(config, tokenizer).prompt(NAMES).apart
    for sequence, vector in zip(sequences, encoder(label_batch(sequences)), strict=True):
        states = encoder.backbone.model(torch.tensor([sequence])).last_hidden_state
        torch.testing.assert_close(vector, encoder.projection(states)[0].mean(0), atol=1e-5, rtol=0)


@settings(deadline=None, max_examples=15)
@given(order=st.permutations(NAMES), text=st.sampled_from(TEXTS))
def test_the_order_of_labels_changes_no_score(
    config: ModelConfig, model: SpanMatcher, tokenizer: WordTokenizer, order: list[str], text: str
) -> None:
    """Fused labels read each other, but no block of the fuser knows an order."""
    shuffled = probabilities(model, config, tokenizer, text, order)
    in_order = probabilities(model, config, tokenizer, text, NAMES)
    back = torch.tensor([order.index(label) for label in NAMES])
    by_label = 1 if config.head == "boundary" else 2
    torch.testing.assert_close(shuffled.index_select(by_label, back), in_order, atol=1e-4, rtol=0)


@KINDS
def test_other_labels_change_scores_where_labels_are_fused(kind: str, tokenizer: WordTokenizer) -> None:
    config = apart_config(kind)
    model = tiny_model(config, tokenizer)
    alone = probabilities(model, config, tokenizer, TEXTS[0], LABELS[:1])
    together = probabilities(model, config, tokenizer, TEXTS[0], LABELS)[..., :1]
    assert bool((alone - together).abs().max() > 1e-4) is (kind == "fused")


@settings(deadline=None, max_examples=15)
@given(texts=st.lists(any_text | st.sampled_from(TEXTS), min_size=1, max_size=5), batch=st.integers(1, 600))
def test_spans_are_the_same_in_any_batch_with_any_neighbours(
    config: ModelConfig, model: SpanMatcher, tokenizer: WordTokenizer, texts: list[str], batch: int
) -> None:
    queries = NER(LABELS, threshold=0.5, nested=True, multi_label=True).queries()
    labels = build_labels(config, tokenizer)
    engine = Engine(model, labels, Limits(128, 2048), Thresholds())
    alone = [next(spans_of(engine, [text], queries)) for text in texts]
    assert_same(
        list(spans_of(Engine(model, labels, Limits(128, batch), Thresholds()), texts, queries)), alone
    )


def test_many_labels_are_scored_in_groups(
    config: ModelConfig, model: SpanMatcher, tokenizer: WordTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "FUSED_TOGETHER", 20)
    runs: list[Batch] = []
    model.backbone.register_forward_pre_hook(lambda _, given: runs.append(given[0]))
    labels = build_labels(config, tokenizer)
    per_group = 256 * model.head.logits_per_word * 20
    engine = Engine(model, labels, Limits(128, 256, logits=per_group), Thresholds())
    ask = NER(MANY, threshold=0.3, nested=True, multi_label=True).queries()

    def found(text: str, names: list[str]) -> list[tuple[int, int, str]]:
        one = next(spans_of(engine, [text], (replace(ask[0], labels=NER(names).labels),)))
        return sorted(plain(one))

    together = found("Paris", MANY)
    assert len(runs) == 1, "the backbone runs once for all groups"
    assert len(together) > 5
    ordered = sorted(MANY)
    assert together == sorted(one for at in (0, 20, 40) for one in found("Paris", ordered[at : at + 20]))
    assert together == found("Paris", MANY[::-1])
    if config.labels == "separate":
        text = " ".join(WORDS * 3)
        whole = Engine(model, labels, Limits(128, 256), Thresholds())
        assert found(text, MANY) == sorted(plain(next(spans_of(whole, [text], ask))))


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return how many labels are encoded at each run of a label encoder."""
    runs: list[int] = []
    forward = LabelEncoder.forward

    def watched(self: LabelEncoder, labels: Batch) -> Tensor:
        runs.append(len(labels.ids))
        return forward(self, labels)

    monkeypatch.setattr(LabelEncoder, "forward", watched)
    return runs


@KINDS
def test_a_label_is_encoded_once(kind: str, encoded: list[int]) -> None:
    extractor = apart_extractor(kind)
    encoded.clear()
    first = [extractor.extract(text, NER(LABELS)) for text in TEXTS]
    assert encoded == [len(LABELS)]
    extractor.encode_labels([*LABELS, "zoo"])
    extractor.encode_labels({"zoo": ("", 0.3), "city": "a place"})
    assert encoded == [len(LABELS), 1, 1]
    assert_same([extractor.extract(text, NER(LABELS[::-1])) for text in TEXTS], first)
    assert encoded == [len(LABELS), 1, 1]


@KINDS
def test_label_vectors_are_kept_in_a_file(kind: str, encoded: list[int], tmp_path: Path) -> None:
    path = tmp_path / "new" / "labels.safetensors"
    first, again, last, one_more = (apart_extractor(kind) for _ in range(4))
    expected = [one_more.extract(text, NER(LABELS)) for text in TEXTS]
    encoded.clear()
    first.encode_labels(LABELS[:3], path)
    assert encoded == [3]
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    again.encode_labels(LABELS, path)
    assert encoded == [3, 1]
    assert_same([again.extract(text, NER(LABELS)) for text in TEXTS], expected)
    written = path.stat().st_mtime_ns
    last.encode_labels(LABELS[1:], path)
    assert_same([last.extract(text, NER(LABELS)) for text in TEXTS], expected)
    assert encoded == [3, 1]
    assert path.stat().st_mtime_ns == written


def test_files_of_other_models_are_refused(tmp_path: Path) -> None:
    path, extractor = tmp_path / "labels.safetensors", apart_extractor()
    extractor.encode_labels(["city"], path)
    with pytest.raises(CheckpointError, match="by another label encoder"):
        apart_extractor(seed=1).encode_labels(["city"], path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match="not a whole file of label vectors"):
        extractor.encode_labels(["city"], path)
    save_file({"vectors": torch.zeros(1, 32)}, path)
    with pytest.raises(CheckpointError, match="not a file of label vectors"):
        extractor.encode_labels(["city"], path)
    with pytest.raises(CheckpointError, match="not a whole file"):
        extractor.encode_labels(["city"], tmp_path)


@pytest.mark.parametrize("labels", ["prompt", "parallel"])
def test_labels_beside_the_text_have_no_vectors_ahead(labels: str, tokenizer: WordTokenizer) -> None:
    config = tiny_config(labels=labels)
    extractor = Extractor(config, tiny_model(config, tokenizer), tokenizer, name="tiny")
    with pytest.raises(InputError, match=f"tiny reads labels beside each text .labels '{labels}'"):
        extractor.encode_labels(["city"])


def test_labels_that_cannot_be_used() -> None:
    extractor = apart_extractor()
    with pytest.raises(InputError, match="takes 82 sub-words; the label encoder reads 64"):
        extractor.extract(TEXTS[0], NER(["x" * 80]))
    with pytest.raises(InputError, match="labels is empty"):
        extractor.encode_labels([])
    assert isinstance(extractor.extract(TEXTS[0], NER(["\ud800", "\u200b"])), list)


def test_ten_thousand_labels(encoded: list[int]) -> None:
    extractor = apart_extractor(layers=1)
    encoded.clear()
    names = [f"{one} {two} {number}" for one in WORDS[:20] for two in WORDS[:20] for number in range(25)]
    spans = extractor.extract(TEXTS[1], NER(names, threshold=0.9995, nested=True, multi_label=True))
    assert sum(encoded) == len(names) == 10_000
    assert spans
    some = sorted({span.label for span in spans})[:5]
    apart = extractor.extract(TEXTS[1], NER(some, threshold=0.9995, nested=True, multi_label=True))
    assert plain(apart)
    assert set(plain(apart)) >= {one for one in plain(spans) if one[2] in some}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": "separate", "label_backbone": None}, "labels 'separate' need label_backbone; give it"),
        ({"labels": "fused", "fusion": ()}, "labels 'fused' need fusion; give it"),
        ({"labels": "separate", "fusion": SCHEMA}, "labels 'separate' never read fusion; leave it out"),
        ({"labels": "separate", "marker_id": MARKER}, "labels 'separate' never read marker_id; leave it out"),
        ({"labels": "fused", "separator_id": 0}, "never read separator_id"),
        ({"labels": "prompt", "label_backbone": None}, "labels 'prompt' need marker_id; give it"),
        ({"labels": "parallel"}, "labels 'parallel' never read label_backbone"),
        ({"labels": "separate", "marker_is_label": False}, "have no marker"),
        ({"labels": "fused", "fusion": ("l2l", "12t")}, "a block of fusion is '12t'; did you mean 't2t'"),
        ({"labels": "fused", "fusion_layers": 0}, "fusion_layers is 0"),
        ({"labels": "separate", "label_backbone": {"hidden_size": 8}}, "label_backbone has no model_type"),
    ],
)
def test_parts_that_do_not_go_together(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        apart_config(**changes)


def test_fused_sizes_must_fit_the_heads() -> None:
    with pytest.raises(
        ConfigError, match="hidden_size is 30; labels 'fused' need a multiple of the backbone's 4"
    ):
        build_model(apart_config("fused", hidden_size=30))


@KINDS
def test_our_format_keeps_both_encoders(kind: str, tokenizer: WordTokenizer, tmp_path: Path) -> None:
    extractor = apart_extractor(kind)
    extractor.save(tmp_path)
    again = Extractor.load(tmp_path)
    assert again.info()["label encoder"] == "bert, 24 wide"
    assert_same(*([one.extract(text, NER(LABELS)) for text in TEXTS] for one in (again, extractor)))
    (tmp_path / "label_tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"no label_tokenizer\.json"):
        load_model(tmp_path)
    with pytest.raises(ConfigError, match="need a tokenizer of their own"):
        build_labels(apart_config(kind), WordTokenizer(tokenizer.tokenizer, 0))


@pytest.fixture
def fresh_accelerator() -> Iterator[None]:
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@KINDS
def test_four_examples_are_learnt_by_heart(
    kind: str, tokenizer: WordTokenizer, tmp_path: Path, fresh_accelerator: None
) -> None:
    config = apart_config(kind, layers=1)
    loop = LoopConfig(steps=150, batch_tokens=512, lr_backbone=2e-3, lr_heads=5e-3, precision="no")
    torch.manual_seed(0)
    model = build_model(config)
    labels = build_labels(config, tokenizer)
    sampler = RowSampler(
        entity_rows([Source("tiny", EXAMPLES, 1.0)], labels, {}, PLAIN, max_width=4), labels, PLAIN, seed=0
    )
    run = Run(model, model.encoders, sampler, matcher_loss, loop, tmp_path)
    rates = {id(p): group["initial_lr"] for group in run._optimizer.param_groups for p in group["params"]}
    assert {rates[id(p)] for p in model.encoders.parameters()} == {2e-3}
    losses = run.train(nothing)
    assert losses[-1] < losses[0] / 10
    predicted = predict(Extractor(config, model, tokenizer), EXAMPLES, threshold=0.5)
    assert entity_f1([e.entities for e in EXAMPLES], predicted).micro.f1 == 1.0


@KINDS
def test_rows_without_words_do_no_harm_in_training(kind: str, tokenizer: WordTokenizer) -> None:
    config = apart_config(kind)
    model = tiny_model(config, tokenizer)
    batch = make_batch(config, tokenizer, ["Ada met Bob", ""], LABELS)
    none = Gold(*torch.empty(4, 0, dtype=torch.long))
    span_loss(model.head, model(batch).spans, batch, none).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def write_pretrained(folder: Path, hidden: int) -> str:
    write_backbone(folder, "bert", [*TEXTS, *LABELS], hidden=hidden)
    AutoModel.from_config(AutoConfig.from_pretrained(folder)).save_pretrained(folder)
    return str(folder)


@KINDS
@pytest.mark.parametrize("head", ["marker", "boundary"])
def test_new_models_have_two_pretrained_backbones(kind: str, head: str, tmp_path: Path) -> None:
    spec = NewModel(
        backbone=write_pretrained(tmp_path / "texts", 32),
        label_backbone=write_pretrained(tmp_path / "labels", 24),
        labels=kind,
        fusion=SCHEMA if kind == "fused" else (),
        head=head,
    )
    config, model, tokenizer = new_model(spec)
    assert (config.marker_id, config.hidden_size) == (None, 32)
    found = Extractor(config, model, tokenizer).extract(TEXTS[0], NER(LABELS, threshold=0.0))
    assert {span.label for span in found} <= set(LABELS)
    with pytest.raises(ConfigError, match=f"labels '{kind}' need label_backbone"):
        new_model(replace(spec, label_backbone=None))
    with pytest.raises(ConfigError, match="labels 'prompt' never read label_backbone"):
        new_model(replace(spec, labels="prompt", fusion=()))

"""Bi- and poly-encoders, decoders and other label forms: the answers of `gliner` on models that it saves."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from parity_labels import SCHEMAS, Bidirectional, apart, encoder_config
from parity_models import (
    LABELS,
    OVERLAPS,
    TEXTS,
    Answers,
    Ours,
    Reference,
    Spec,
    difference,
    edit_config,
    edit_weights,
    write_backbone,
)
from safetensors import safe_open

from gliner_mt.checkpoint.native import load_model, save_model
from gliner_mt.checkpoint.published import load_published
from gliner_mt.errors import CheckpointError, ConfigError
from gliner_mt.extractor import Extractor
from gliner_mt.tasks import NER

CLOSE = 1e-5


@pytest.fixture(scope="module")
def saved(
    backbone: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Reference, Path]:
    """Return a poly-encoder with all parts, for tests that change a copy of it."""
    spec = apart(Spec("bert", projection=True, lstm_layers=1), backbone("labels"), "l2l-l2t-t2t")
    reference = Reference(spec, backbone("bert"), TEXTS, LABELS)
    return reference, reference.save(tmp_path_factory.mktemp("saved"))


@pytest.fixture
def copy(saved: tuple[Reference, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved[1], tmp_path / "copy"))


def assert_same(theirs: Answers, ours: Answers) -> None:
    assert difference(theirs.probabilities, ours.probabilities) < CLOSE
    assert ours.spans == theirs.spans
    assert any(map(any, theirs.spans)), "the reference found nothing to compare"


@pytest.mark.parametrize("kind", ["bert", "modernbert", "deberta-v2"])
@pytest.mark.parametrize("span_mode", ["markerV0", "token_level"])
def test_bi_encoders(kind: str, span_mode: str, backbone: Callable[[str], Path], tmp_path: Path) -> None:
    projection = (kind == "bert") is (span_mode == "markerV0")
    spec = apart(Spec(kind, projection, span_mode=span_mode), backbone("labels"))
    reference = Reference(spec, backbone(kind), TEXTS, LABELS)
    ours = Ours(reference.save(tmp_path))
    assert (ours.config.labels, ours.config.marker_id) == ("separate", None)
    assert_same(reference.answers(TEXTS, LABELS), ours.answers(TEXTS, LABELS))


@pytest.mark.parametrize(("schema", "layers"), SCHEMAS)
@pytest.mark.parametrize("span_mode", ["markerV0", "token_level"])
def test_poly_encoders(
    schema: str, layers: int, span_mode: str, backbone: Callable[[str], Path], tmp_path: Path
) -> None:
    spec = apart(Spec("bert", projection=True, span_mode=span_mode), backbone("labels"), schema, layers)
    reference = Reference(spec, backbone("bert"), TEXTS, LABELS)
    ours = Ours(reference.save(tmp_path))
    assert (ours.config.labels, ours.config.fusion_layers) == ("fused", layers)
    assert "-".join(ours.config.fusion) == schema
    assert_same(reference.answers(TEXTS, LABELS), ours.answers(TEXTS, LABELS))


def test_the_package_makes_an_lstm_for_bi_encoders_and_never_runs_it(
    saved: tuple[Reference, Path], copy: Path
) -> None:
    edit_weights(copy, lambda weights: weights.update({"rnn.lstm.bias_hh_l0": torch.full((96,), 9.0)}))
    ours = Ours(copy)
    assert ours.config.lstm_layers == 0
    assert_same(saved[0].answers(TEXTS, LABELS), ours.answers(TEXTS, LABELS))


def test_the_package_makes_a_fuser_for_labels_in_a_prompt_and_never_runs_it(
    backbone: Callable[[str], Path], tmp_path: Path
) -> None:
    spec = Spec("bert", settings={"post_fusion_schema": "l2l-l2t", "num_post_fusion_layers": 1})
    reference = Reference(spec, backbone("bert"), TEXTS, LABELS)
    folder = reference.save(tmp_path)
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        assert any(key.startswith("cross_fuser.") for key in file.keys())
    assert_same(reference.answers(TEXTS, LABELS), Ours(folder).answers(TEXTS, LABELS))


def test_every_token_has_a_row_of_the_embedding(copy: Path) -> None:
    """The package adds the prompt's tokens to a bi-encoder's tokenizer too, and no rows for them."""
    assert '"<<ENT>>"' in (copy / "tokenizer.json").read_text(encoding="utf-8")
    config, _, tokenizer = load_published(copy)
    assert tokenizer.tokenizer.token_to_id("<<ENT>>") is None
    assert tokenizer.tokenizer.get_vocab_size() == config.backbone["vocab_size"]


def test_label_tokenizer_and_config_of_the_label_backbone(
    saved: tuple[Reference, Path], copy: Path, backbone: Callable[[str], Path]
) -> None:
    """Older checkpoints have neither, and name a repository."""
    expected = saved[0].answers(TEXTS, LABELS)
    shutil.rmtree(copy / "labels_tokenizer")
    edit_config(copy, labels_encoder_config=...)
    assert_same(expected, Ours(copy).answers(TEXTS, LABELS))
    edit_config(copy, labels_encoder="nobody/no-such-backbone")
    with pytest.raises(CheckpointError, match=r"tokenizer of its own.*Or set labels_encoder in its"):
        load_published(copy, local_files_only=True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"post_fusion_schema": "l2l-l2t"}, "unexpected: cross_fuser.layers.0.2"),
        ({"post_fusion_schema": "l2l-l2x-t2t"}, "a block of fusion is 'l2x'; did you mean 'l2t'"),
        ({"post_fusion_schema": ""}, "unexpected: cross_fuser.layers.0.0"),
    ],
    ids=str,
)
def test_schemas_that_do_not_fit(values: dict[str, Any], message: str, copy: Path) -> None:
    edit_config(copy, **values)
    with pytest.raises((CheckpointError, ConfigError), match=message):
        load_published(copy)


@pytest.mark.parametrize("which", ["tokenizer.json", "labels_tokenizer/tokenizer.json"])
def test_vocabularies_of_another_model(which: str, copy: Path, tmp_path: Path) -> None:
    texts = [*TEXTS, " ".join(map(chr, range(0x400, 0x500)))]
    other = write_backbone(tmp_path / "other", "bert", texts, vocab_size=400)
    shutil.copy(other / "tokenizer.json", copy / which)
    with pytest.raises(CheckpointError, match=r"has \d+ tokens, but the weights embed"):
        load_published(copy)


def test_saved_in_our_format_it_is_the_same_model(saved: tuple[Reference, Path], tmp_path: Path) -> None:
    ours = Ours(saved[1])
    before = ours.answers(TEXTS, LABELS)
    save_model(tmp_path, ours.config, ours.model, ours.tokenizer)
    assert (tmp_path / "label_tokenizer.json").is_file()
    config, model, tokenizer = load_model(tmp_path)
    assert config == ours.config
    again = Extractor(config, model, tokenizer)
    for (nested, multi_label), spans in zip(OVERLAPS, before.spans, strict=True):
        task = NER(LABELS, threshold=0.5, nested=nested, multi_label=multi_label)
        found = [sorted((s.start, s.end, s.label) for s in one) for one in again.extract_many(TEXTS, task)]
        assert found == spans


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize("span_mode", ["markerV0", "token_level"])
def test_decoders_see_all_sub_words(
    kind: str, span_mode: str, backbone: Callable[[str], Path], tmp_path: Path
) -> None:
    """The package runs decoders causal, unless llm2vec is installed, which does not go with it any more.

    gliner-llama and gliner-qwen were trained to see everything. So the package's own backbone is made
    bidirectional here, by its config's `is_causal`, and that is what our answers are compared with.
    """
    reference = Bidirectional(Spec(kind, span_mode=span_mode), backbone(kind), TEXTS, LABELS)
    folder = reference.save(tmp_path)
    saved_config = encoder_config(folder)
    assert saved_config.pop("is_causal") is False
    edit_config(folder, encoder_config=saved_config)
    ours = Ours(folder)
    assert not ours.config.causal
    assert_same(reference.answers(TEXTS, LABELS), ours.answers(TEXTS, LABELS))


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_decoders_can_be_left_causal(kind: str, backbone: Callable[[str], Path], tmp_path: Path) -> None:
    """That is how the package runs them; whether gliner-qwen was trained so is not known."""
    reference = Reference(Spec(kind, settings={"embed_ent_token": False}), backbone(kind), TEXTS, LABELS)
    folder = reference.save(tmp_path)
    edit_config(folder, encoder_config=encoder_config(folder) | {"is_causal": True})
    ours = Ours(folder)
    assert ours.config.causal
    assert_same(reference.answers(TEXTS, LABELS), ours.answers(TEXTS, LABELS))


@pytest.mark.parametrize("kind", ["llama", "modernbert"])
@pytest.mark.parametrize("span_mode", ["markerV0", "token_level"])
def test_the_sub_word_behind_the_marker_may_stand_for_the_label(
    kind: str, span_mode: str, backbone: Callable[[str], Path], tmp_path: Path
) -> None:
    spec = Spec(kind, span_mode=span_mode, settings={"embed_ent_token": False})
    reference = (Bidirectional if kind == "llama" else Reference)(spec, backbone(kind), TEXTS, LABELS)
    ours = Ours(reference.save(tmp_path))
    assert not ours.config.marker_is_label
    assert_same(reference.answers(TEXTS, LABELS), ours.answers(TEXTS, LABELS))


def merged(found: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Join neighbours by the rule of NuNER_Zero's model card: at most one character lies between them."""
    spans: list[tuple[int, int, str]] = []
    for start, end, label in found:
        if spans and spans[-1][2] == label and start in (spans[-1][1], spans[-1][1] + 1):
            spans[-1] = (spans[-1][0], end, label)
        else:
            spans.append((start, end, label))
    return spans


@pytest.mark.parametrize("legacy", [False, True])
def test_models_of_single_words_like_nuner_zero(
    legacy: bool, backbone: Callable[[str], Path], tmp_path: Path
) -> None:
    spec = Spec("bert", span_mode="marker", settings={"max_width": 1})
    reference = Reference(spec, backbone("bert"), TEXTS, LABELS)
    ours = Ours(reference.save(tmp_path, legacy=legacy))
    labels = [label.lower() for label in LABELS]
    theirs = reference.answers(TEXTS, labels)
    assert_same(theirs, ours.answers(TEXTS, labels))
    extractor = Extractor(ours.config, ours.model, ours.tokenizer)
    answers = extractor.extract_many(TEXTS, NER(labels, threshold=0.5, join_adjacent=True))
    joined = [[(span.start, span.end, span.label) for span in spans] for spans in answers]
    # The card's rule does not join over a line break of two characters.
    for text, ours_joined, separate in zip(TEXTS, joined, theirs.spans[0], strict=True):
        if "\r\n" not in text:
            assert ours_joined == merged(separate)
    assert any(
        " " in text[start:end] for text, spans in zip(TEXTS, joined, strict=True) for start, end, _ in spans
    )

import json
import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from parity_models import (
    BACKBONES,
    LABELS,
    SPAN_MODES,
    TEXTS,
    Answers,
    Ours,
    Reference,
    Spec,
    difference,
    edit_config,
    edit_weights,
)
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gliner_mt.batch import Row
from gliner_mt.checkpoint.native import load_model, save_model
from gliner_mt.checkpoint.published import is_published, load_published
from gliner_mt.windows import plan_windows

CLOSE = 1e-5


@pytest.fixture(scope="module")
def saved(backbone: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Reference, Path]:
    """Return a modern BERT checkpoint with all parts, for tests that change a copy of it."""
    reference = Reference(Spec("bert", True, 1), backbone("bert"), TEXTS, LABELS)
    return reference, reference.save(tmp_path_factory.mktemp("saved"))


@pytest.fixture
def copy(saved: tuple[Reference, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved[1], tmp_path / "copy"))


def assert_same(theirs: Answers, ours: Answers) -> None:
    assert difference(theirs.probabilities, ours.probabilities) < CLOSE
    assert ours.spans == theirs.spans


def pairwise_specs() -> list[Spec]:
    """Return specs in which every two values of two settings meet; the parity benchmark runs all of them."""
    return [
        Spec(kind, bool(p), (i + j + p) % 3, mode, (i + j + p + i * j) % 2 == 0)
        for (i, kind), (j, mode), p in product(enumerate(BACKBONES), enumerate(SPAN_MODES), (0, 1))
    ]


@pytest.mark.parametrize("spec", pairwise_specs(), ids=str)
def test_scores_and_spans_are_those_of_gliner(
    spec: Spec, backbone: Callable[..., Path], tmp_path: Path
) -> None:
    reference = Reference(spec, backbone(spec.backbone), TEXTS, LABELS)
    theirs = reference.answers(TEXTS, LABELS)
    ours = Ours(reference.save(tmp_path, legacy=spec.legacy))
    assert ours.config.lstm_layers == spec.lstm_layers
    assert_same(theirs, ours.answers(TEXTS, LABELS))
    assert any(map(any, theirs.spans)), "the reference found nothing to compare"


@pytest.mark.parametrize(
    ("span_mode", "settings"),
    [
        ("markerV0", {"max_width": 1}),
        ("marker", {"max_width": 1}),
        ("markerV0", {"max_width": 40}),
        ("markerV0", {"embed_ent_token": False}),
        ("token_level", {"embed_ent_token": False}),
        ("markerV0", {"subtoken_pooling": "last"}),
        ("token_level", {"subtoken_pooling": "mean"}),
        ("markerV0", {"subtoken_pooling": "max"}),
        ("markerV0", {"ent_token": "[E]", "sep_token": "[S]"}),
    ],
    ids=str,
)
def test_settings_are_honoured(
    span_mode: str, settings: dict[str, Any], backbone: Callable[..., Path], tmp_path: Path
) -> None:
    reference = Reference(
        Spec("bert", span_mode=span_mode, settings=settings), backbone("bert"), TEXTS, LABELS
    )
    ours = Ours(reference.save(tmp_path))
    assert_same(reference.answers(TEXTS, LABELS), ours.answers(TEXTS, LABELS))


@pytest.mark.parametrize("kind", ["roberta", "xlm-roberta", "electra", "deberta"])
def test_other_backbones(kind: str, backbone: Callable[..., Path], tmp_path: Path) -> None:
    reference = Reference(Spec(kind), backbone(kind), TEXTS, LABELS)
    ours = Ours(reference.save(tmp_path))
    assert ours.tokenizer.prefix
    assert ours.tokenizer.suffix
    assert_same(reference.answers(TEXTS, LABELS), ours.answers(TEXTS, LABELS))


def test_gliner_reads_legacy_checkpoints_the_same(backbone: Callable[..., Path], tmp_path: Path) -> None:
    reference = Reference(Spec("deberta-v2", True, 1, legacy=True), backbone("deberta-v2"), TEXTS, LABELS)
    folder = reference.save(tmp_path, legacy=True)
    reference.reload(folder)
    assert_same(reference.answers(TEXTS, LABELS), Ours(folder).answers(TEXTS, LABELS))


def test_saved_in_our_format_it_is_the_same_model(saved: tuple[Reference, Path], tmp_path: Path) -> None:
    ours = Ours(saved[1])
    before = ours.answers(TEXTS, LABELS)
    save_model(tmp_path, ours.config, ours.model, ours.tokenizer)
    config, ours.model, ours.tokenizer = load_model(tmp_path)
    assert config == ours.config
    assert_same(before, ours.answers(TEXTS, LABELS))


def test_words_that_the_vocabulary_cannot_see_shift_nothing(
    backbone: Callable[..., Path], tmp_path: Path
) -> None:
    reference = Reference(Spec("bert"), backbone("bert"), TEXTS, LABELS)
    ours = Ours(reference.save(tmp_path))
    clean, hidden = "Anna met Bob in Rome yesterday.", "Anna \u200b met Bob \u200b in Rome yesterday."
    expected = reference.answers([clean], LABELS)
    # The package counts a word without sub-words but gives its place to the next one.
    shifted = reference.answers([hidden], LABELS).probabilities[0]
    assert torch.allclose(shifted[:7, 0], expected.probabilities[0][:, 0], atol=CLOSE)
    answers = ours.answers([hidden], LABELS)
    assert difference(expected.probabilities, answers.probabilities) < CLOSE
    found = [
        {(hidden[start:end].replace("\u200b ", ""), label) for start, end, label in rule[0]}
        for rule in answers.spans
    ]
    assert found == [{(clean[start:end], label) for start, end, label in rule[0]} for rule in expected.spans]


def test_words_past_the_limit_are_read(backbone: Callable[..., Path], tmp_path: Path) -> None:
    reference = Reference(Spec("bert"), backbone("bert", longest=48), TEXTS, LABELS)
    ours = Ours(reference.save(tmp_path))
    assert ours.config.max_tokens == 48
    text = " ".join(f"word {letter} of Anna" for letter in "abcdefghijklm")
    # The package cuts the text at 48 sub-words: all words behind have the zero vector and one score.
    whole = reference.answers([text], LABELS).probabilities[0]
    assert torch.allclose(whole[-8:-1, 0], whole[-1:, 0], atol=CLOSE)
    row = ours.rows([text], LABELS)[0]
    budget = ours.config.max_tokens - len(row.prompt.ids) - len(ours.tokenizer.suffix)
    sizes = [(len(word.ids), word.ends_sentence) for word in row.words]
    windows = list(plan_windows(sizes, budget=budget, overlap=ours.config.max_width))
    assert windows[-1].word_end == len(row.words)
    for window in windows:
        words = row.words[window.word_start : window.word_end]
        part = reference.answers([text[words[0].start : words[-1].end]], LABELS)
        assert difference(part.probabilities, ours.probabilities([Row(row.prompt, words)])) < CLOSE


def test_windows_hold_what_gliner_reads_at_once(backbone: Callable[..., Path], tmp_path: Path) -> None:
    reference = Reference(Spec("deberta-v2"), backbone("deberta-v2"), TEXTS, LABELS)
    assert load_published(reference.save(tmp_path))[0].max_tokens == 2 * 384 + 256
    edit_config(tmp_path, max_len=2048)
    assert load_published(tmp_path)[0].max_tokens == 2 * 2048 + 256


def test_token_level_models_find_long_spans(backbone: Callable[..., Path], tmp_path: Path) -> None:
    reference = Reference(Spec("bert", span_mode="token_level"), backbone("bert"), TEXTS, LABELS)
    assert load_published(reference.save(tmp_path))[0].max_width == 100
    edit_config(tmp_path, max_width=150)
    assert load_published(tmp_path)[0].max_width == 150
    edit_config(tmp_path, max_len=80)
    assert load_published(tmp_path)[0].max_width == 80


def test_the_pooler_is_left_out(saved: tuple[Reference, Path]) -> None:
    with safe_open(saved[1] / "model.safetensors", framework="pt") as file:
        assert any(".pooler." in key for key in file.keys())
    assert not any("pooler" in key for key in load_published(saved[1])[1].state_dict())


def test_constant_tables_of_old_releases_are_left_out(saved: tuple[Reference, Path], copy: Path) -> None:
    key = "token_rep_layer.bert_layer.model.embeddings.position_ids"
    edit_weights(copy, lambda weights: weights.update({key: torch.arange(512)[None]}))
    assert_same(Ours(saved[1]).answers(TEXTS, LABELS), Ours(copy).answers(TEXTS, LABELS))


def test_weights_are_float32_whatever_they_were_saved_as(copy: Path) -> None:
    edit_weights(copy, lambda weights: weights.update({key: value.half() for key, value in weights.items()}))
    encoder = json.loads((copy / "gliner_config.json").read_text(encoding="utf-8"))["encoder_config"]
    edit_config(copy, encoder_config=encoder | {"dtype": "float16"})
    assert {tensor.dtype for tensor in load_published(copy)[1].state_dict().values()} == {torch.float32}


def test_tensors_stored_once_for_several_keys(saved: tuple[Reference, Path], copy: Path) -> None:
    prefix = "span_rep_layer.span_rep_layer.project_"
    kept, omitted = f"{prefix}start.0.weight", f"{prefix}end.0.weight"
    edit_weights(copy, lambda weights: weights.update({omitted: weights[kept].clone()}))
    expected = Ours(copy).answers(TEXTS, LABELS)
    weights = load_file(copy / "model.safetensors")
    del weights[omitted]
    save_file(weights, copy / "model.safetensors", metadata={omitted: kept, "format": "pt"})
    assert_same(expected, Ours(copy).answers(TEXTS, LABELS))


def test_backbone_with_a_sentencepiece_model_only(backbone: Callable[..., Path], tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    pytest.importorskip("google.protobuf")
    folder = tmp_path / "backbone"
    folder.mkdir()
    shutil.copy(backbone("deberta-v2") / "config.json", folder)
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false, "vocab_type": "spm"}', "utf-8")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*TEXTS, *LABELS]),
        model_prefix=str(folder / "spm"),
        vocab_size=100,
        minloglevel=2,
        **{"pad_id": 0, "bos_id": 1, "eos_id": 2, "unk_id": 3},
        **{"pad_piece": "[PAD]", "bos_piece": "[CLS]", "eos_piece": "[SEP]", "unk_piece": "[UNK]"},
    )
    reference = Reference(Spec("deberta-v2"), folder, TEXTS, LABELS)
    ours = Ours(reference.save(tmp_path / "model", legacy=True))
    assert_same(reference.answers(TEXTS, LABELS), ours.answers(TEXTS, LABELS))


def test_what_is_published(saved: tuple[Reference, Path], tmp_path: Path) -> None:
    assert is_published(saved[1])
    assert not is_published(tmp_path)

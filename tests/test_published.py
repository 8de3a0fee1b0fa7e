import functools
import json
import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from parity_models import BACKBONES, SPAN_MODES, Answers, Ours, Reference, Spec, difference, write_backbone
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gliner_mt.batch import Row
from gliner_mt.checkpoint.native import load_model, save_model
from gliner_mt.checkpoint.published import is_published, load_published
from gliner_mt.errors import CheckpointError, ConfigError
from gliner_mt.windows import plan_windows

TEXTS = [
    "Elton John performed in New York in 2022.",
    "Yes",
    "The state-of-the-art model of ACME Corp. costs $1,234.56 in São Paulo, says Dr. Müller-Lüdenscheidt.",
    "İstanbul’da 東京タワー was seen 🙂 by Anna O'Neil\r\n\tand Bob (aged 7½).",
    "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen.",
    "Is it? No!",
]
LABELS = ["person", "City or town", "product: what was sold", "日付"]
CLOSE = 1e-5

pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:gliner.*")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    @functools.cache
    def make(kind: str, longest: int = 512) -> Path:
        return write_backbone(tmp_path_factory.mktemp(kind), kind, [*TEXTS, *LABELS], longest=longest)

    return make


@pytest.fixture(scope="module")
def saved(backbone: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Reference, Path]:
    """Return a modern BERT checkpoint with all parts, for tests that change a copy of it."""
    reference = Reference(Spec("bert", True, 1), backbone("bert"), TEXTS, LABELS)
    return reference, reference.save(tmp_path_factory.mktemp("saved"))


@pytest.fixture
def copy(saved: tuple[Reference, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved[1], tmp_path / "copy"))


def edit_config(folder: Path, **values: Any) -> None:
    path = folder / "gliner_config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | values
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not ...}), "utf-8")


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


def assert_same(theirs: Answers, ours: Answers) -> None:
    assert difference(theirs, ours) < CLOSE
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


@pytest.mark.parametrize("kind", ["xlm-roberta", "electra"])
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


def test_neighbours_in_a_batch_change_nothing(saved: tuple[Reference, Path]) -> None:
    ours = Ours(saved[1])
    together = ours.answers(TEXTS, LABELS)
    alone = [ours.answers([text], LABELS) for text in TEXTS]
    assert [spans[i] for spans in together.spans for i in range(len(TEXTS))] == [
        one.spans[rule][0] for rule in range(4) for one in alone
    ]


def test_saved_in_our_format_it_is_the_same_model(saved: tuple[Reference, Path], tmp_path: Path) -> None:
    ours = Ours(saved[1])
    before = ours.answers(TEXTS, LABELS)
    save_model(tmp_path, ours.config, ours.model, ours.tokenizer)
    config, ours.model, tokenizer = load_model(tmp_path)
    assert config == ours.config
    assert tokenizer.words(TEXTS) == ours.tokenizer.words(TEXTS)
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
    assert difference(expected, answers) < CLOSE
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
        assert difference(part, ours.answers_to_rows([Row(row.prompt, words)], LABELS)) < CLOSE


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
        assert any(".pooler." in key for key in file.keys())  # noqa: SIM118 - not a mapping
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
        vocab_size=120,
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


def test_folder_without_config(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no gliner_config\.json"):
        load_published(tmp_path)


def test_broken_config(copy: Path) -> None:
    (copy / "gliner_config.json").write_text('{"span_mode": ', encoding="utf-8")
    with pytest.raises(CheckpointError, match="cannot be read as JSON"):
        load_published(copy)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"span_mode": "conv_max"},
            "span_mode of .* is 'conv_max'; expected one of marker, markerV0, token_level",
        ),
        ({"span_mode": "markerv0"}, "did you mean 'markerV0'"),
        ({"max_width": "12"}, "max_width is '12'; expected a value of type int"),
        ({"max_width": 0}, "max_width is 0; expected at least 1"),
        ({"subtoken_pooling": "middle"}, "pooling is 'middle'; expected one of"),
        ({"encoder_config": {"model_type": "t5"}}, "'t5' is not supported; expected one of bert"),
        (
            {"encoder_config": {"model_type": "bert", "hidden_size": "x"}},
            "bert backbone cannot be used.*hidden_size",
        ),
        (
            {"encoder_config": {"model_type": "bert", "hidden_act": "sine"}},
            "bert backbone cannot be built.*sine",
        ),
    ],
    ids=str,
)
def test_unusable_config(values: dict[str, Any], message: str, copy: Path) -> None:
    edit_config(copy, **values)
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        load_published(copy)


def test_words_split_in_another_way(copy: Path) -> None:
    edit_config(copy, words_splitter_type="jieba")
    with pytest.warns(UserWarning, match="as 'jieba' splits them"):
        load_published(copy)


def test_folder_without_weights(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"neither model\.safetensors nor pytorch_model\.bin"):
        load_published(copy)


def test_truncated_weights(copy: Path) -> None:
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load_published(copy)


@pytest.mark.parametrize("content", ["cut", "code", "no tensors", "empty"])
def test_unreadable_pickled_weights(content: str, copy: Path) -> None:
    path = copy / "pytorch_model.bin"
    torch.save({"code": {"config": {}, "key": Path()}, "no tensors": {"model": {}}}.get(content, {}), path)
    (copy / "model.safetensors").unlink()
    if content in ("cut", "empty"):
        path.write_bytes(path.read_bytes()[: 100 if content == "cut" else 0])
    with pytest.raises(
        CheckpointError, match=r"pytorch_model\.bin (cannot be read as weights|holds something else)"
    ):
        load_published(copy)


def test_keys_that_do_not_fit_are_listed(copy: Path) -> None:
    def change(weights: dict[str, torch.Tensor]) -> None:
        del weights["rnn.lstm.bias_hh_l0_reverse"]
        del weights["token_rep_layer.bert_layer.model.encoder.layer.1.output.dense.bias"]
        weights["extra.weight"] = weights["extra.bias"] = torch.zeros(1)
        weights["prompt_rep_layer.3.bias"] = torch.zeros(3)

    edit_weights(copy, change)
    with pytest.raises(CheckpointError) as error:
        load_published(copy)
    assert "missing: rnn.lstm.bias_hh_l0_reverse, token_rep_layer.bert_layer.model.encoder" in str(
        error.value
    )
    assert "unexpected: extra.bias, extra.weight" in str(error.value)
    assert "prompt_rep_layer.3.bias is (3,), expected (48,)" in str(error.value)


def test_more_lstm_layers_in_the_config_than_in_the_weights(copy: Path) -> None:
    edit_config(copy, num_rnn_layers=2, has_rnn=False)
    assert load_published(copy)[0].lstm_layers == 1


@pytest.mark.parametrize(
    ("key", "architecture"),
    [
        ("token_rep_layer.labels_encoder.model.x", "bi-encoder"),
        ("cross_fuser.layers.0.0.self_attn.query_layer.weight", "poly-encoder"),
        ("token_rep_layer.bert_layer.layers_fuser.W1.weight", "fuses its encoder's layers"),
        ("decoder.decoder_layer.model.x", "generates labels"),
        ("token_rep_layer.decoder_layer.model.x", "streaming"),
        ("pair_rep_layer.0.weight", "relation extraction"),
        ("span_rep_layer.context_encoder.x", "encoder before its head"),
        ("scorer.proj_token.weight", "represent_spans"),
        ("precomputed_prompts", "compressed prompts"),
    ],
)
def test_other_architectures_are_named(key: str, architecture: str, copy: Path) -> None:
    edit_weights(copy, lambda weights: weights.update({key: torch.zeros(4, 4)}))
    with pytest.raises(CheckpointError, match=f"{architecture}.*not supported; expected a uni-encoder"):
        load_published(copy)


def test_weights_without_a_head(copy: Path) -> None:
    save_file({"classifier.weight": torch.zeros(2)}, copy / "model.safetensors")
    with pytest.raises(CheckpointError, match="have no head"):
        load_published(copy)


@pytest.mark.parametrize(
    ("lost", "what"), [("tokenizer", "tokenizer"), ("encoder_config", "backbone config")]
)
def test_backbone_that_is_not_at_hand(lost: str, what: str, copy: Path) -> None:
    edit_config(
        copy, model_name="nobody/no-such-backbone", encoder_config=... if lost == "encoder_config" else {}
    )
    if lost == "tokenizer":
        (copy / "tokenizer_config.json").unlink()
    with pytest.raises(
        CheckpointError, match=f"no {what} of its own and needs that of nobody/no-such-backbone"
    ):
        load_published(copy, local_files_only=True)


def test_broken_tokenizer(copy: Path) -> None:
    (copy / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(CheckpointError, match="tokenizer in .* cannot be read"):
        load_published(copy)


@pytest.mark.parametrize("legacy", [False, True])
def test_vocabulary_of_another_model(legacy: bool, backbone: Callable[..., Path], tmp_path: Path) -> None:
    reference = Reference(Spec("bert", legacy=legacy), backbone("bert"), TEXTS, LABELS)
    folder = reference.save(tmp_path / "model", legacy=legacy)
    other = write_backbone(
        tmp_path / "other", "bert", TEXTS[:1] if legacy else LABELS, vocab_size=40 if legacy else 400
    )
    edit_config(folder, model_name=str(other))
    (folder / "tokenizer_config.json").unlink(missing_ok=True)
    with pytest.raises(
        CheckpointError, match=r"has \d+ tokens, but the weights embed \d+|has <<ENT>> at None"
    ):
        load_published(folder)


@pytest.mark.parametrize(
    "values", [{"class_token_index": 7}, {"ent_token": "[E]"}, {"sep_token": "[S]"}], ids=str
)
def test_prompt_tokens_that_the_tokenizer_lacks(values: dict[str, Any], copy: Path) -> None:
    edit_config(copy, **values)
    with pytest.raises(CheckpointError, match="its config expects the first at"):
        load_published(copy)

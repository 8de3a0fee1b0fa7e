import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from tiny_examples import EXAMPLES
from tiny_models import LABELS, TEXTS, make_batch, tiny_config, tiny_model

from gliner_mt.build import build_labels, build_model
from gliner_mt.config import ModelConfig
from gliner_mt.errors import ConfigError, InputError
from gliner_mt.evaluation.ner import predict
from gliner_mt.extractor import Extractor
from gliner_mt.formats.records import parse_example, read_examples
from gliner_mt.heads import Gold
from gliner_mt.metrics import entity_f1
from gliner_mt.model import SpanMatcher
from gliner_mt.tokenization import WordTokenizer
from gliner_mt.train.entities import Source, entity_rows
from gliner_mt.train.loop import Run
from gliner_mt.train.loop_config import LoopConfig
from gliner_mt.train.loss import matcher_loss, span_loss
from gliner_mt.train.questions import TrainBatch
from gliner_mt.train.sampling import RowSampler, SamplingConfig
from gliner_mt.types import Entity, Example

PLAIN = SamplingConfig(foreign=0, alias=0.0, described=0.0, lower=0.0, upper=0.0, rows_per_pool=16)


@pytest.fixture(autouse=True)
def fresh_accelerator() -> Iterator[None]:
    """Let each test choose its precision: Accelerate keeps that of the first for the whole process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def make_sampler(
    config: ModelConfig, tokenizer: WordTokenizer, sampling: SamplingConfig = PLAIN, seed: int = 0
) -> RowSampler:
    labels = build_labels(config, tokenizer)
    rows = entity_rows([Source("tiny", EXAMPLES, 1.0)], labels, {}, sampling, max_width=4)
    return RowSampler(rows, labels, sampling, seed=seed)


def make_run(
    folder: Path, config: ModelConfig, tokenizer: WordTokenizer, loop: LoopConfig, seed: int = 0
) -> tuple[SpanMatcher, Run[SpanMatcher, TrainBatch]]:
    torch.manual_seed(seed)
    model = build_model(config)
    sampler = make_sampler(config, tokenizer)
    return model, Run(model, model.backbone.model, sampler, matcher_loss, loop, folder)


def nothing(step: int, model: SpanMatcher) -> None:
    """Do nothing after a checkpoint."""


@pytest.mark.parametrize("head", ["marker", "boundary"])
def test_four_examples_are_learnt_by_heart(tokenizer: WordTokenizer, tmp_path: Path, head: str) -> None:
    config = tiny_config(labels="parallel", head=head, layers=1)
    steps = 90 if head == "marker" else 150
    loop = LoopConfig(steps=steps, batch_tokens=512, lr_backbone=2e-3, lr_heads=5e-3, precision="no")
    model, run = make_run(tmp_path, config, tokenizer, loop)
    losses = run.train(nothing)
    assert len(losses) == steps == run.step
    assert losses[-1] < losses[0] / 10
    predicted = predict(Extractor(config, model, tokenizer), EXAMPLES, threshold=0.5)
    assert entity_f1([e.entities for e in EXAMPLES], predicted).micro.f1 == 1.0


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_an_interrupted_run_goes_on_as_if_it_had_not_been(
    tokenizer: WordTokenizer, tmp_path: Path, precision: str
) -> None:
    config = tiny_config(labels="parallel", layers=1, dropout=0.2)
    loop = LoopConfig(steps=9, batch_tokens=128, accumulate=2, precision=precision, save_every=4)
    saved: list[int] = []
    expected = make_run(tmp_path / "whole", config, tokenizer, loop)[1].train(
        lambda step, _: saved.append(step)
    )
    assert saved == [4, 8, 9]

    def interrupt(step: int, model: SpanMatcher) -> None:
        raise StoppedError

    folder = tmp_path / "parts"
    _, first = make_run(folder, config, tokenizer, loop)
    assert not first.resume()
    with pytest.raises(StoppedError):
        first.train(interrupt)
    # Whatever the new process did before, the run goes on with the random state of the old one.
    _, second = make_run(folder, config, tokenizer, loop, seed=99)
    torch.rand(5)
    assert second.resume()
    assert second.step == 4
    assert second.train(nothing) == expected[4:]
    _, third = make_run(folder, config, tokenizer, loop)
    assert third.resume()
    assert third.train(nothing) == []


def test_a_run_killed_while_it_saves_has_its_last_checkpoint(
    tokenizer: WordTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(labels="parallel", layers=1)
    loop = LoopConfig(steps=6, batch_tokens=128, precision="no", save_every=2)
    _, run = make_run(tmp_path, config, tokenizer, loop)
    whole = Accelerator.save_state

    def killed(self: Accelerator, folder: str) -> None:
        whole(self, folder)
        if run.step == 4:
            (Path(folder) / "model.safetensors").write_bytes(b"half")
            raise StoppedError

    monkeypatch.setattr(Accelerator, "save_state", killed)
    with pytest.raises(StoppedError):
        run.train(nothing)
    monkeypatch.undo()
    _, again = make_run(tmp_path, config, tokenizer, loop)
    assert again.resume()
    assert again.step == 2
    # Between two renames there is only the one before, under another name.
    (tmp_path / "state").rename(tmp_path / "state.old")
    _, again = make_run(tmp_path, config, tokenizer, loop)
    assert again.resume()
    assert again.step == 2
    assert len(again.train(nothing)) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state"]


def test_mixed_precision_outlives_a_checkpoint(tokenizer: WordTokenizer, tmp_path: Path) -> None:
    config = tiny_config(labels="parallel", layers=1)
    loop = LoopConfig(steps=4, batch_tokens=128, precision="bf16", save_every=1)
    model, run = make_run(tmp_path, config, tokenizer, loop)
    seen: list[torch.dtype] = []
    layer = model.backbone.model.encoder.layer[0].intermediate.dense
    layer.register_forward_hook(lambda _, given, out: seen.append(out.dtype))
    run.train(nothing)
    assert len(seen) == 4
    assert set(seen) == {torch.bfloat16}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_rates_rise_then_fall_and_matrices_decay(tokenizer: WordTokenizer, tmp_path: Path) -> None:
    config = tiny_config(labels="parallel", layers=1, word_shapes=True)
    loop = LoopConfig(steps=20, warmup=0.2, lr_backbone=1.0, lr_heads=2.0, precision="no", weight_decay=0.5)
    model, run = make_run(tmp_path, config, tokenizer, loop)
    rates = []
    for _ in range(20):
        rates.append(run._schedule.get_last_lr()[0])
        run._optimizer.step()
        run._schedule.step()
    assert rates[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert rates[-1] == pytest.approx(1 / 16)
    groups = run._optimizer.param_groups
    assert sum(p.numel() for group in groups for p in group["params"]) == sum(
        p.numel() for p in model.parameters()
    )
    for group in groups:
        assert {p.dim() > 1 for p in group["params"]} == {group["weight_decay"] > 0}
    assert [group["initial_lr"] for group in groups] == [1.0, 1.0, 2.0, 2.0]


def test_the_log_tells_step_and_loss(tokenizer: WordTokenizer, tmp_path: Path) -> None:
    config = tiny_config(labels="parallel", layers=1)
    loop = LoopConfig(steps=20, batch_tokens=64, precision="no")
    losses = make_run(tmp_path, config, tokenizer, loop)[1].train(nothing)
    lines = (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["step"] for record in records] == [10, 20]
    assert records[1]["loss"] == pytest.approx(sum(losses[10:]) / 10, abs=1e-3)


@pytest.mark.parametrize(
    "change",
    [
        {"precision": "fp8"},
        {"steps": 0},
        {"save_every": 0},
        {"accumulate": 0},
        {"batch_tokens": -1},
        {"lr_backbone": -1e-4},
        {"lr_heads": float("nan")},
        {"warmup": 1.5},
        {"weight_decay": -0.1},
        {"max_grad_norm": 0.0},
        {"seed": -1},
        {"seed": 2**32},
    ],
)
def test_a_loop_that_cannot_run(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(change))} is .*; expected"):
        LoopConfig(**({"steps": 1} | change))  # type: ignore[arg-type]


@pytest.mark.parametrize("head", ["marker", "boundary"])
def test_the_loss_is_the_naive_one(tokenizer: WordTokenizer, head: str) -> None:
    config = tiny_config(head=head)
    model = tiny_model(config, tokenizer)
    batch = make_batch(config, tokenizer, TEXTS, LABELS)
    gold = Gold(*torch.tensor([(0, 0, 1, 0), (1, 5, 7, 1), (2, 0, 1, 1)]).unbind(1))
    logits = model(batch).spans
    loss = span_loss(model.head, logits, batch, gold)
    assert loss.shape == ()
    probabilities = logits.sigmoid()
    targets = model.head.targets(logits, gold)
    valid = model.head.valid(logits, batch.n_words, batch.n_labels).expand_as(logits)
    right = torch.where(targets == 1, probabilities, 1 - probabilities)
    torch.testing.assert_close(loss, -right[valid].log().sum() / len(TEXTS), rtol=1e-4, atol=1e-4)
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_padding_has_no_loss_and_no_gradient(tokenizer: WordTokenizer) -> None:
    config = tiny_config()
    model = tiny_model(config, tokenizer)
    batch = make_batch(config, tokenizer, TEXTS, LABELS)
    none = Gold(*torch.empty(4, 0, dtype=torch.long))
    logits = model(batch).spans.detach()
    loss = span_loss(model.head, logits, batch, none)
    valid = model.head.valid(logits, batch.n_words, batch.n_labels).expand_as(logits)
    noisy = torch.where(valid, logits, torch.full_like(logits, torch.inf)).requires_grad_()
    assert torch.equal(span_loss(model.head, noisy, batch, none), loss)
    span_loss(model.head, noisy, batch, none).backward()
    assert noisy.grad is not None
    assert (noisy.grad[~valid] == 0).all()


GOOD = {
    "text": "Ada met Bob",
    "entities": [{"start": 0, "end": 3, "label": "person"}],
    "labels": ["person", "city"],
}


def record(**changes: object) -> str:
    return json.dumps(GOOD | changes)


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_examples_are_read_from_files(tmp_path: Path, suffix: str) -> None:
    lines = [record(), "", record(labels=[], text="Ada\u2028x"), record(entities=[], text="")]
    path = tmp_path / f"some{suffix}"
    with (
        gzip.open(path, "wt", encoding="utf-8")
        if suffix == ".jsonl.gz"
        else path.open("w", encoding="utf-8") as out
    ):
        out.write("\n".join(lines))
    person = (Entity(0, 3, "person"),)
    assert list(read_examples(path)) == [
        Example("Ada met Bob", person, ("person", "city")),
        Example("Ada\u2028x", person, ("person",)),
        Example("", (), ("person", "city")),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"broken JSON at column 2 \(Expecting property name"),
        ("[]", "a JSON list; expected an object"),
        ("3", "a JSON int; expected an object"),
        ("{}", "no field 'text'; expected an object"),
        (record(text=None), "text is None, which is no string"),
        (record(labels="person"), "labels: 'person' is no list"),
        (record(labels=[1]), "labels: 1 is no string"),
        (record(labels=5), "labels: 5 is no list"),
        (record(entities=None), "entities is None, which is no list"),
        (record(entities=[1]), r"entities\[0\]: .*; expected an object"),
        (record(entities=[{"start": 0, "end": 3}]), r"entities\[0\]: no field 'label'"),
        (record(entities=[{"start": 0, "end": 3, "label": None}]), "label is None, which is no string"),
        (record(entities=[{"start": 0, "end": 12, "label": "x"}]), "no place in a text of 11 characters"),
        (record(entities=[{"start": -1, "end": 3, "label": "x"}]), r"\[-1, 3\) is no place"),
        (record(entities=[{"start": 3, "end": 3, "label": "x"}]), r"\[3, 3\) is no place"),
        (record(entities=[{"start": 0.0, "end": 3, "label": "x"}]), "start is 0.0, which is no whole number"),
        (
            record(entities=[{"start": "0", "end": "3", "label": "x"}]),
            "start is '0', which is no whole number",
        ),
        (record(entities=[{"start": 0, "end": 3, "label": "x", "text": "Bob"}]), "is 'Ada', not 'Bob'"),
    ],
)
def test_a_bad_record_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "some.jsonl"
    path.write_text(f"{record()}\n\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=rf"some\.jsonl, line 3: .*{message}"):
        list(read_examples(path))
    with pytest.raises(InputError, match=r"^here: "):
        parse_example(line, "here")


@pytest.mark.parametrize(
    "spoil", [lambda b: b[:-9], lambda b: b[:15] + b"\xff" * 20 + b[35:], lambda b: b"no"]
)
def test_a_broken_archive_is_named(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "some.jsonl.gz"
    path.write_bytes(spoil(gzip.compress("\n".join([record()] * 50).encode())))
    with pytest.raises(InputError, match=r"some\.jsonl\.gz, after line \d+: .*whole if gzipped"):
        list(read_examples(path))


def test_text_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl"
    path.write_bytes(record().encode() + b'\n{"text": "caf\xe9"}\n')
    with pytest.raises(InputError, match=r"some\.jsonl, line 2: byte 0xe9 at 13 is no UTF-8; save"):
        list(read_examples(path))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file .*none\.jsonl"):
        list(read_examples(tmp_path / "none.jsonl"))


def test_an_untrained_model_starts_with_small_scores(tokenizer: WordTokenizer) -> None:
    config = tiny_config()
    model = build_model(config).eval()
    assert model(make_batch(config, tokenizer, TEXTS, LABELS)).spans.abs().max() < 0.1

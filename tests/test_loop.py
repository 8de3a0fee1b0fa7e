import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import tracking
from accelerate.state import AcceleratorState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker, LoggerType
from tiny_backbones import tiny
from tiny_models import tiny_config
from tiny_runs import PLAIN, Net, Numbers, nothing, squared_error, tiny_run
from torch import Tensor, nn
from torch._dynamo.utils import counters

from gliner_mt.backbones.attention import use_attention
from gliner_mt.build import build_model
from gliner_mt.errors import ConfigError, TrainingError
from gliner_mt.tokenization import WordTokenizer
from gliner_mt.train.loop import Run
from gliner_mt.train.loop_config import LoopConfig
from gliner_mt.train.loss import matcher_loss
from gliner_mt.train.run_folder import plain


@pytest.fixture(autouse=True)
def fresh_accelerator() -> Iterator[None]:
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def weights_of(model: nn.Module) -> list[Tensor]:
    return [weight.detach().clone() for weight in model.parameters()]


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("ema", [None, 0.9])
@pytest.mark.parametrize("stop_at", [3, 6])
def test_a_run_taken_up_goes_on_to_the_bit(tmp_path: Path, stop_at: int, ema: float | None) -> None:
    config = replace(PLAIN, ema=ema)
    seen: list[list[Tensor]] = []
    whole, run = tiny_run(tmp_path / "whole", config)
    expected = run.train(lambda step, model: seen.append(weights_of(model)))
    assert len(set(expected)) == 8

    def stop(step: int, model: Net) -> None:
        if step == stop_at:
            raise StoppedError

    with pytest.raises(StoppedError):
        tiny_run(tmp_path / "parts", config)[1].train(stop)
    net, again = tiny_run(tmp_path / "parts", config, seed=99)
    torch.rand(3)  # what else draws random numbers changes nothing
    assert again.resume()
    assert again.step == stop_at
    last: list[list[Tensor]] = []
    assert again.train(lambda step, model: last.append(weights_of(model))) == expected[stop_at:]
    assert all(map(torch.equal, weights_of(net), weights_of(whole)))
    assert all(map(torch.equal, last[-1], seen[-1]))


def test_dropout_is_drawn_from_the_seed_and_the_place(tmp_path: Path) -> None:
    expected = tiny_run(tmp_path / "a")[1].train(nothing)

    def draw(step: int, model: nn.Module) -> None:
        torch.rand(7)

    assert tiny_run(tmp_path / "b")[1].train(draw) == expected
    assert tiny_run(tmp_path / "c", replace(PLAIN, seed=1))[1].train(nothing) != expected


def spoilt(loss: Callable[[Tensor], Tensor], at: int) -> Callable[[nn.Module, Tensor], Tensor]:
    """Return a loss that is `loss` of the true one in its `at`-th batch."""
    calls = iter(range(1000))

    def of_batch(model: nn.Module, rows: Tensor) -> Tensor:
        true = squared_error(model, rows)
        return loss(true) if next(calls) == at else true

    return of_batch


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda true: true * math.nan, "loss is nan"),
        (lambda true: true * math.inf, "loss is inf"),
        (lambda true: (true - true.detach()).sqrt(), "gradient's norm is (inf|nan)"),
    ],
)
def test_what_is_no_number_ends_the_run(
    tmp_path: Path, loss: Callable[[Tensor], Tensor], message: str
) -> None:
    net, _ = tiny_run(tmp_path / "unused")
    run = Run(net, net.first, Numbers(), spoilt(loss, at=5), PLAIN, tmp_path)
    seen: list[list[Tensor]] = []
    path = tmp_path / "bad_batches_0.pt"
    with pytest.raises(TrainingError, match=f"at step 3 the {message}; expected a number.*{path}"):
        run.train(lambda step, model: seen.append(weights_of(model)))
    batches = torch.load(path, weights_only=True)
    pools = [*Numbers().pool(0, 0), *Numbers().pool(1, 0)]
    assert all(map(torch.equal, batches, pools[4:6]))
    until, before = tiny_run(tmp_path / "before", replace(PLAIN, steps=8))
    with pytest.raises(StoppedError):
        before._optimizer.step = _after(2, before._optimizer.step)
        before.train(nothing)
    assert all(map(torch.equal, weights_of(net), weights_of(until)))


def _after(count: int, step: Callable[[], None]) -> Callable[[], None]:
    done = iter(range(100))

    def limited() -> None:
        if next(done) == count:
            raise StoppedError
        step()

    return limited


def test_batches_are_kept_as_plain_values(tokenizer: WordTokenizer) -> None:
    from test_tasks_training import make_batch_of_every_task

    batch = make_batch_of_every_task(tokenizer)
    values: Any = plain(batch)
    assert torch.equal(values["batch"]["ids"], batch.batch.ids)
    assert torch.equal(values["gold"]["label"], batch.gold.label)
    assert batch.targets is not None
    assert torch.equal(values["targets"]["asked"]["pairs"]["head"], batch.targets.asked.pairs.head)


def test_the_best_weights_are_kept_and_patience_ends_the_run(tmp_path: Path) -> None:
    config = replace(PLAIN, steps=20, save_every=2, patience=2)
    scores, seen = [math.nan, 0.7, 0.7, 0.1, 0.9], {}

    def score(step: int, model: Net) -> float:
        seen[step] = weights_of(model)
        return scores[step // 2 - 1]

    _, run = tiny_run(tmp_path, config)
    assert len(run.train(score)) == 8
    assert all(map(torch.equal, weights_of(run.best()), seen[4]))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6, 8]
    _, again = tiny_run(tmp_path, config)
    assert again.resume()
    assert again.train(score) == []
    assert all(map(torch.equal, weights_of(again.best()), seen[4]))


def test_what_was_best_outlives_an_interruption(tmp_path: Path) -> None:
    config = replace(PLAIN, steps=6, save_every=2, patience=9)
    seen: list[Tensor] = []

    def first(step: int, model: Net) -> float:
        if step == 4:
            raise StoppedError
        seen[:] = weights_of(model)
        return 1.0

    with pytest.raises(StoppedError):
        tiny_run(tmp_path, config)[1].train(first)
    _, run = tiny_run(tmp_path, config)
    assert run.resume()
    run.train(lambda step, model: 0.5)
    assert all(map(torch.equal, weights_of(run.best()), seen))


def test_averaged_weights_are_scored_and_do_not_disturb(tmp_path: Path) -> None:
    expected = tiny_run(tmp_path / "plain", replace(PLAIN, save_every=1))[1]
    steps: list[list[Tensor]] = []
    losses = expected.train(lambda step, model: steps.append(weights_of(model)))
    averages: list[list[Tensor]] = []
    torch.manual_seed(0)
    start = weights_of(Net())
    _, run = tiny_run(tmp_path / "ema", replace(PLAIN, save_every=1, ema=0.25))
    assert run.train(lambda step, model: averages.append(weights_of(model))) == losses
    mean = start
    for step, (weights, average) in enumerate(zip(steps, averages, strict=True), 1):
        decay = min(0.25, (1 + step) / (10 + step))
        mean = [decay * old + (1 - decay) * new for old, new in zip(mean, weights, strict=True)]
        torch.testing.assert_close(average, mean)
    torch.testing.assert_close(weights_of(run.best()), mean)


def small_memory(rows_at_most: int) -> Callable[[nn.Module, Tensor], Tensor]:
    def of_batch(model: nn.Module, rows: Tensor) -> Tensor:
        loss = squared_error(model, rows)
        if len(rows) > rows_at_most:
            loss.backward()  # as where memory ends in the backward pass
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ...")
        return loss

    return of_batch


def test_a_batch_that_does_not_fit_is_halved(tmp_path: Path) -> None:
    nets = [Net() for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    for net, loss, name in zip(nets, (squared_error, small_memory(1)), "ab", strict=True):
        net.dropout.p = 0.0
        run = Run(net, net.first, Numbers(), loss, PLAIN, tmp_path / name)
        if loss is squared_error:
            expected = run.train(nothing)
            continue
        with pytest.warns(UserWarning, match=r"out of memory.* read in [24] parts") as said:
            assert run.train(nothing) == pytest.approx(expected)
        assert len(said) == 2
    torch.testing.assert_close(weights_of(nets[0]), weights_of(nets[1]))


def test_a_row_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    net, _ = tiny_run(tmp_path / "unused")
    run = Run(net, net.first, Numbers(), small_memory(0), PLAIN, tmp_path)
    with (
        pytest.warns(UserWarning, match="out of memory"),
        pytest.raises(TrainingError, match=r"does not fit into memory.*cannot be halved.*batch_tokens"),
    ):
        run.train(nothing)


def test_other_errors_are_passed_on(tmp_path: Path) -> None:
    def broken(model: nn.Module, rows: Tensor) -> Tensor:
        raise RuntimeError("shapes do not match")

    net, _ = tiny_run(tmp_path / "unused")
    with pytest.raises(RuntimeError, match="shapes do not match"):
        Run(net, net.first, Numbers(), broken, PLAIN, tmp_path).train(nothing)


class Told(GeneralTracker):
    name = "told"
    requires_logging_directory = False
    values: list[dict[str, Any]]

    def __init__(self, run_name: str, **others: object) -> None:
        super().__init__()
        Told.values = [{"name": run_name}]

    @property
    def tracker(self) -> "Told":
        return self

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        Told.values.append(values)

    def log(self, values: dict[str, Any], step: int | None, **others: object) -> None:
        Told.values.append(values | {"step": step})

    def finish(self) -> None:
        Told.values.append({"finished": True})


def test_trackers_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "_available_trackers", [LoggerType.TENSORBOARD])
    monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, "tensorboard", Told)
    config = replace(PLAIN, steps=10, save_every=10, log_with=("tensorboard",))
    losses = tiny_run(tmp_path, config)[1].train(lambda step, model: 0.5)
    name, settings, loss, score, end = Told.values
    assert name == {"name": "gliner_mt"}
    assert settings["lr_heads"] == 3e-2
    assert loss["loss"] == pytest.approx(sum(losses) / 10, abs=1e-3)
    assert score == {"score": 0.5, "step": 10}
    assert end == {"finished": True}


def test_a_tracker_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"log_with has 'wandb', which is not installed.*pip install wandb"):
        tiny_run(tmp_path, replace(PLAIN, log_with=("wandb",)))


def test_layers_computed_anew_change_no_loss(tokenizer: WordTokenizer, tmp_path: Path) -> None:
    from test_train import make_sampler

    config = tiny_config(labels="parallel", layers=1, dropout=0.2)
    losses = []
    for anew in (False, True):
        torch.manual_seed(0)
        model = build_model(config)
        loop = LoopConfig(steps=3, batch_tokens=96, precision="no", checkpoint_layers=anew)
        run = Run(
            model, model.encoders, make_sampler(config, tokenizer), matcher_loss, loop, tmp_path / f"{anew}"
        )
        losses.append(run.train(nothing))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch's own
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # by importing DeBERTa
@pytest.mark.parametrize("family", ["bert", "deberta-v2"])  # the second has a way of its own on CPUs
def test_layers_are_compiled_once_for_all_lengths(
    tokenizer: WordTokenizer, tmp_path: Path, family: str
) -> None:
    from test_train import make_sampler

    config = tiny_config(labels="parallel")
    if family != "bert":
        backbone = tiny(family).config.to_dict() | {"hidden_dropout_prob": 0.0}
        backbone |= {"attention_probs_dropout_prob": 0.0, "vocab_size": 160}
        config = replace(config, labels="prompt", backbone=backbone, hidden_size=backbone["hidden_size"])
    losses = []
    for backend in (None, "eager"):
        torch._dynamo.reset()
        counters.clear()
        torch.manual_seed(0)
        model = build_model(config)
        if family == "bert":
            use_attention(model.backbone.model, "packed", masked=True)
        loop = LoopConfig(steps=6, batch_tokens=64, precision="no", compile=backend)
        run = Run(
            model,
            model.encoders,
            make_sampler(config, tokenizer),
            matcher_loss,
            loop,
            tmp_path / f"{backend}",
        )
        losses.append(run.train(nothing))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert 1 <= counters["stats"]["unique_graphs"] <= 2  # a batch of one row has a graph of its own


def test_what_cannot_be_prepared(tmp_path: Path) -> None:
    model = build_model(tiny_config(layers=1))
    loop = replace(PLAIN, compile="no such thing")
    with pytest.raises(ConfigError, match=r"compile is 'no such thing'; expected a backend .*inductor"):
        Run(model, model.encoders, Numbers(), squared_error, loop, tmp_path)


@pytest.mark.parametrize("change", [{"patience": 0}, {"ema": 1.0}, {"ema": 0.0}])
def test_a_loop_that_cannot_run(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(change))} is .*; expected"):
        replace(PLAIN, **change)

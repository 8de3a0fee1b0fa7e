import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState
from tiny_runs import PLAIN, Net, Numbers, nothing, squared_error, tiny_run
from torch import Tensor, nn

from gliner_mt.errors import CheckpointError
from gliner_mt.train.loop import Run


@pytest.fixture(autouse=True)
def fresh_accelerator() -> Iterator[None]:
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_step_and_writes_a_checkpoint(tmp_path: Path, number: int) -> None:
    expected = tiny_run(tmp_path / "whole")[1].train(nothing)
    calls = iter(range(100))

    def interrupted(model: nn.Module, rows: Tensor) -> Tensor:
        if next(calls) == 8:
            os.kill(os.getpid(), number)
        return squared_error(model, rows)

    handlers = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    net, _ = tiny_run(tmp_path / "unused")
    run = Run(net, net.first, Numbers(), interrupted, PLAIN, tmp_path / "parts")
    with pytest.raises(KeyboardInterrupt, match=r"^after step 5 of 8; .*parts holds the checkpoint"):
        run.train(nothing)
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == handlers
    _, again = tiny_run(tmp_path / "parts")
    assert again.resume()
    assert again.train(nothing) == expected[5:]


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    def interrupted(model: nn.Module, rows: Tensor) -> Tensor:
        os.kill(os.getpid(), signal.SIGINT)
        return squared_error(model, rows)

    net, _ = tiny_run(tmp_path / "unused")
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        Run(net, net.first, Numbers(), interrupted, PLAIN, tmp_path / "x").train(nothing)
    assert not (tmp_path / "x" / "state").exists()


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    expected = tiny_run(tmp_path / "whole")[1].train(nothing)
    _, run = tiny_run(tmp_path / "parts")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(step: int, model: Net) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (600, limits[1]))  # no file may be larger

    try:
        with pytest.raises(
            CheckpointError, match=r"step 6 cannot be written to .*parts.*last one there is whole"
        ):
            run.train(fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["state"]
    _, again = tiny_run(tmp_path / "parts")
    assert again.resume()
    assert again.step == 3
    assert again.train(nothing) == expected[3:]


def test_a_disk_that_is_full_from_the_start(tmp_path: Path) -> None:
    _, run = tiny_run(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, limits[1]))
    try:
        with pytest.raises(CheckpointError, match=r"step 3 cannot be written.*There is none before it; free"):
            run.train(nothing)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_of_another_model(tmp_path: Path) -> None:
    tiny_run(tmp_path)[1].train(nothing)
    net = Net(width=7)
    run = Run(net, net.first, Numbers(), squared_error, PLAIN, tmp_path)
    with pytest.raises(CheckpointError, match=r"(?s)cannot be taken up: .*another folder"):
        run.resume()

"""One run on one process and on two: with copies of the weights (DDP), and with parts of them (FSDP2)."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from loop_worker import train
from safetensors.torch import load_file

Result = dict[str, list[float]]


@pytest.fixture(autouse=True)
def fresh_accelerator() -> Iterator[None]:
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which two processes, started as launchers do it, left their results."""
    out, here = tmp_path_factory.mktemp("two"), Path(__file__).parent
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)]),
        "OMP_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, str(here / "loop_worker.py"), str(out)],
            env=os.environ | shared | {"RANK": rank, "LOCAL_RANK": rank},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    said = [process.communicate(timeout=400)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(said)[-4000:]
    return out


def results(folder: Path, kind: int) -> list[Result]:
    return [json.loads((folder / f"process_{rank}.json").read_text())[kind] for rank in range(2)]


def assert_alike(first: Result, second: Result, alone: Result) -> None:
    assert len(set(alone["losses"])) == 3
    assert first["losses"] == second["losses"] == pytest.approx(alone["losses"], rel=1e-5)
    assert first["scored"] == pytest.approx(alone["scored"], rel=1e-6)
    assert second["scored"] == []
    assert first["best"] == second["best"] == pytest.approx(alone["best"], rel=1e-6)


def test_two_processes_give_the_losses_of_one(folder: Path, tmp_path: Path) -> None:
    assert_alike(*results(folder, 0), train(tmp_path, adapter=False))


def test_weights_in_parts_give_the_losses_and_the_adapter_of_one_process(
    folder: Path, tmp_path: Path
) -> None:
    assert_alike(*results(folder, 1), train(tmp_path, adapter=True))
    for name in ("adapter_model.safetensors", "heads.safetensors"):
        mine, alone = (load_file(one / "adapter" / name) for one in (folder / "parts", tmp_path))
        assert mine.keys() == alone.keys()
        for key, weights in mine.items():
            torch.testing.assert_close(weights, alone[key], rtol=1e-4, atol=1e-6)

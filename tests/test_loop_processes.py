"""One run on one process and on two, as Accelerate launches them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState
from loop_worker import train


@pytest.fixture(autouse=True)
def fresh_accelerator() -> Iterator[None]:
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def test_two_processes_give_the_losses_of_one(tmp_path: Path) -> None:
    here = Path(__file__).parent
    command = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    command += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    path = os.pathsep.join([str(here), str(here.parent)])
    launched = subprocess.run(
        [sys.executable, "-m", *command, str(here / "loop_worker.py"), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert launched.returncode == 0, launched.stderr[-3000:]
    first, second = (json.loads((tmp_path / f"process_{n}.json").read_text()) for n in range(2))
    alone = train(tmp_path / "alone")
    assert len(set(alone["losses"])) == 3
    assert first["losses"] == second["losses"] == pytest.approx(alone["losses"], rel=1e-5)
    assert first["scored"] == pytest.approx(alone["scored"], rel=1e-6)
    assert second["scored"] == []

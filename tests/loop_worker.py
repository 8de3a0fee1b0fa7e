"""Small runs, alone or as one of several processes: `loop_worker.py FOLDER`, with `RANK` and its like set."""

import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import DistributedType, PartialState
from accelerate.state import AcceleratorState
from test_tasks_training import rows_of_every_task
from tiny_models import tiny_config, tiny_tokenizer
from torch import Tensor

from gliner_mt.adapters import Tuning, prepare_tuning
from gliner_mt.batch import Collator
from gliner_mt.build import build_model
from gliner_mt.model import SpanMatcher
from gliner_mt.tokenization import WordTokenizer
from gliner_mt.train.loop import Run
from gliner_mt.train.loop_config import LoopConfig
from gliner_mt.train.loss import matcher_loss
from gliner_mt.train.questions import QuestionRow, TrainBatch, question_batch

LOOP = LoopConfig(steps=6, accumulate=2, save_every=4, precision="no", ema=0.5)
IN_PARTS = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "ACCELERATE_TORCH_DEVICE": "cpu"} | {
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
}
"""What `accelerate launch --use_fsdp --fsdp_version 2` sets."""


class EveryTask:
    """Batches of four rows; with `idle`, some of entities alone, which leave the pair head without work."""

    def __init__(self, rows: Sequence[QuestionRow], tokenizer: WordTokenizer, *, idle: bool) -> None:
        collate = Collator(tokenizer.pad_id, tokenizer.suffix)
        self._batches = [question_batch(rows[i : i + 4], collate) for i in range(0, len(rows), 4)]
        if idle:
            self._batches[1] = self._batches[1]._replace(targets=None)

    def pool(self, index: int, batch_tokens: int) -> list[TrainBatch]:
        return self._batches


def train(folder: Path, *, adapter: bool) -> dict[str, list[float]]:
    """Train, interrupt one of the processes once, take the run up; return losses, scores, and what was best.

    With `adapter` a LoRA adapter is trained, which the first process writes; else all weights are, averaged.
    """
    tokenizer, config = tiny_tokenizer(), tiny_config(labels="parallel", layers=1, pairs=True, dropout=0.2)
    source = EveryTask(rows_of_every_task(tokenizer), tokenizer, idle=not adapter)
    loop = replace(LOOP, ema=None) if adapter else LOOP
    losses: list[float] = []
    scored: list[float] = []
    interrupted = False

    def loss_of(model: SpanMatcher, batch: TrainBatch) -> Tensor:
        nonlocal interrupted
        if run.step == 2 and not interrupted and PartialState().is_last_process:
            interrupted = True
            os.kill(os.getpid(), signal.SIGTERM)
        return matcher_loss(model, batch)

    def score(step: int, model: SpanMatcher) -> float:
        scored.append(_sum(model))
        return scored[-1]

    for _ in range(2):
        torch.manual_seed(0)
        model = build_model(config)
        tuned = prepare_tuning(model, config, Tuning(rank=4, alpha=8, head_rank=4)) if adapter else None
        run = Run(model, model.encoders, source, loss_of, loop, folder)
        run.resume()
        try:
            losses += run.train(score)
        except KeyboardInterrupt:
            assert run.step == 3
    best = _sum(run.best())
    if tuned is not None and PartialState().is_main_process:
        tuned.save(folder / "adapter")
    return {"losses": losses, "scored": scored, "best": [best]}


def _sum(model: SpanMatcher) -> float:
    return float(sum(weight.detach().abs().sum() for weight in model.parameters()))


def run_both(out: Path) -> None:
    """Train as data-parallel processes, and then with FSDP2."""
    results = [train(out / "copies", adapter=False)]
    os.environ |= IN_PARTS
    AcceleratorState._reset_state(reset_partial_state=True)
    # Accelerate takes FSDP for accelerators only, though it runs on CPUs as well.
    PartialState._prepare_backend = lambda *_: ("gloo", DistributedType.MULTI_GPU)
    results.append(train(out / "parts", adapter=True))
    assert PartialState().distributed_type is DistributedType.FSDP
    (out / f"process_{PartialState().process_index}.json").write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    run_both(Path(sys.argv[1]))

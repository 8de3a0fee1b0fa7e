"""A small run for any number of processes: `accelerate launch loop_worker.py FOLDER`."""

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate import PartialState
from test_tasks_training import rows_of_every_task
from tiny_models import tiny_config, tiny_tokenizer
from torch import Tensor

from gliner_mt.batch import Collator
from gliner_mt.build import build_model
from gliner_mt.model import SpanMatcher
from gliner_mt.tokenization import WordTokenizer
from gliner_mt.train.loop import LoopConfig, Run
from gliner_mt.train.loss import matcher_loss
from gliner_mt.train.questions import QuestionRow, TrainBatch, question_batch

LOOP = LoopConfig(steps=6, accumulate=2, save_every=4, precision="no", ema=0.5)


class EveryTask:
    """Batches of four rows; those of entities alone leave the head that relates spans without work."""

    def __init__(self, rows: Sequence[QuestionRow], tokenizer: WordTokenizer) -> None:
        collate = Collator(tokenizer.pad_id, tokenizer.suffix)
        self._batches = [question_batch(rows[i : i + 4], collate) for i in range(0, len(rows), 4)]
        self._batches[1] = self._batches[1]._replace(targets=None)

    def pool(self, index: int, batch_tokens: int) -> list[TrainBatch]:
        return self._batches


def train(folder: Path) -> dict[str, list[float]]:
    """Train, interrupt one of the processes once, take the run up; return the losses and what was scored."""
    tokenizer, config = tiny_tokenizer(), tiny_config(labels="parallel", layers=1, pairs=True, dropout=0.2)
    source = EveryTask(rows_of_every_task(tokenizer), tokenizer)
    losses: list[float] = []
    scored: list[float] = []
    interrupted = False

    def loss_of(model: SpanMatcher, batch: TrainBatch) -> Tensor:
        nonlocal interrupted
        if run.step == 2 and not interrupted and PartialState().is_last_process:
            interrupted = True
            os.kill(os.getpid(), signal.SIGINT)
        return matcher_loss(model, batch)

    def score(step: int, model: SpanMatcher) -> float:
        scored.append(float(sum(weight.detach().abs().sum() for weight in model.parameters())))
        return scored[-1]

    for _ in range(2):
        torch.manual_seed(0)
        model = build_model(config)
        run = Run(model, model.encoders, source, loss_of, LOOP, folder)
        run.resume()
        try:
            losses += run.train(score)
        except KeyboardInterrupt:
            assert run.step == 3
    return {"losses": losses, "scored": scored}


if __name__ == "__main__":
    out = Path(sys.argv[1])
    result = train(out / "run")
    (out / f"process_{PartialState().process_index}.json").write_text(json.dumps(result), encoding="utf-8")

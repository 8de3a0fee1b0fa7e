"""Training against the package `gliner`: one model, one set of examples, turns taken, the same losses.

    python -m benchmarks.trainer_against_gliner --data DATA [--rounds 3] [--steps 12] [--batch 8]

A random model with DeBERTa-v3-small's sizes is built and saved by `gliner` and read by both. Each trains in a
process of its own, one after the other, in every round: so the peak of memory is its own, too. Both take the
same batches in the same order (`ours`); `ours, by length` has as many examples to a batch, of similar length,
as this package's sampler puts them. What counts is the best round of each.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from gliner_mt.batch import Collator, Row
from gliner_mt.build import build_labels
from gliner_mt.checkpoint.published import load_published
from gliner_mt.config import ModelConfig
from gliner_mt.formats.records import read_examples
from gliner_mt.heads import Gold
from gliner_mt.model import SpanMatcher
from gliner_mt.text import split_words
from gliner_mt.tokenization import WordTokenizer, word_span
from gliner_mt.train.loop import Run
from gliner_mt.train.loop_config import LoopConfig
from gliner_mt.train.loss import matcher_loss
from gliner_mt.train.optimizer import rate_at
from gliner_mt.train.questions import TrainBatch

SETS = ("wnut17", "gum_named", "cyner", "bionlp13cg", "wikigold", "re3d")
LONGEST, WIDEST = 80, 12  # words of a sentence, of a span
RATE = 1e-8  # steps of a random model this wide are large even so, and would make rounding grow
SETTLED = 2  # steps before the clock starts
COMPARED = 5  # steps whose losses are compared: later ones drift apart by rounding
TRAINERS = ("gliner", "ours", "ours, by length")

Record = dict[str, Any]
"""A sentence: its words, its labels, and spans as (first word, last word, label)."""


def records(data: Path, count: int) -> list[Record]:
    """Return real sentences of mixed length with all labels of their sets."""
    found: list[Record] = []
    for name in SETS:
        for example in read_examples(data / "ner" / f"{name}.test.jsonl.gz"):
            words = list(split_words(example.text))
            spans = [(*word_span(words, e.start, e.end), e.label) for e in example.entities]
            spans = [(start, end - 1, label) for start, end, label in spans if 0 < end - start <= WIDEST]
            if 3 <= len(words) <= LONGEST and spans:
                tokens = [example.text[word.start : word.end] for word in words]
                found.append(
                    {"tokenized_text": tokens, "ner": spans, "ner_labels": list(example.labels)[:15]}
                )
    for one in found:
        one["ner"] = [span for span in one["ner"] if span[2] in one["ner_labels"]]
    Random(0).shuffle(found)
    return found[:count]


def save_model(folder: Path, examples: Sequence[Record], layers: int, hidden: int) -> None:
    from parity_models import Reference, Spec, write_backbone
    from transformers import AutoConfig

    texts = [" ".join(one["tokenized_text"]) for one in examples]
    labels = sorted({label for one in examples for label in one["ner_labels"]})
    backbone = write_backbone(folder / "backbone", "deberta-v2", [*texts, *labels], vocab_size=8000)
    values = AutoConfig.from_pretrained(backbone).to_dict() | {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": hidden // 64,
        "intermediate_size": 4 * hidden,
        "position_buckets": 256,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    kind = values.pop("model_type")
    AutoConfig.for_model(kind, **values).save_pretrained(backbone)
    settings = {"hidden_size": 512 if hidden > 512 else hidden, "max_width": WIDEST, "dropout": 0.0}
    Reference(Spec(kind, settings=settings), backbone, texts[:8], labels[:9]).save(folder / "model")


class Clock:
    """Losses and times of steps."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.times: list[float] = []
        self.cpu: list[float] = []

    def tick(self) -> None:
        self.times.append(time.perf_counter())
        self.cpu.append(time.process_time())

    def report(self, before: int) -> Record:
        steps = len(self.times) - SETTLED - 1
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {
            "seconds": (self.times[-1] - self.times[SETTLED]) / steps,
            "cpu": (self.cpu[-1] - self.cpu[SETTLED]) / steps,
            "losses": self.losses,
            "megabytes": (peak - before) / 1024,
        }


def train_gliner(folder: Path, examples: list[Record], steps: int, batch: int) -> Record:
    warnings.simplefilter("ignore")
    from gliner import GLiNER
    from gliner.training import Trainer, TrainingArguments
    from torch.utils.data import SequentialSampler

    clock = Clock()

    class InOrder(Trainer):  # type: ignore[misc]
        def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> LambdaLR:
            rate = partial(rate_at, steps=num_training_steps, warmup=0.0)
            self.lr_scheduler = LambdaLR(self.optimizer if optimizer is None else optimizer, rate)
            return self.lr_scheduler

        def _get_train_sampler(self, *_: object) -> SequentialSampler:
            return SequentialSampler(self.train_dataset)

        def training_step(self, *given: object, **named: object) -> Tensor:
            clock.tick()
            loss: Tensor = super().training_step(*given, **named)
            clock.losses.append(float(loss) / batch)
            return loss

    model = GLiNER.from_pretrained(str(folder / "model"), local_files_only=True)
    arguments = TrainingArguments(
        output_dir=str(folder / "gliner"),
        max_steps=steps + 1,
        per_device_train_batch_size=batch,
        learning_rate=RATE,
        others_lr=RATE,
        adam_beta2=0.98,
        masking="none",
        use_cpu=True,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    collate = model._create_data_collator()
    InOrder(model=model, args=arguments, train_dataset=examples, data_collator=collate).train()
    return clock.report(before)


class Batches:
    """The examples in batches of `size`, made when they are asked for; by length if `grouped`."""

    def __init__(
        self,
        examples: list[Record],
        config: ModelConfig,
        tokenizer: WordTokenizer,
        size: int,
        *,
        grouped: bool,
    ) -> None:
        self._labels = build_labels(config, tokenizer)
        self._collate = Collator(tokenizer.pad_id, tokenizer.suffix)
        self._size = size
        parts = [examples[i : i + size] for i in range(0, len(examples), size)]
        if grouped:
            by_length = sorted(examples, key=lambda one: len(one["tokenized_text"]))
            parts = [by_length[i : i + size] for i in range(0, len(by_length), size)]
            Random(0).shuffle(parts)
        self._parts = parts

    def pool(self, index: int, batch_tokens: int) -> list[TrainBatch]:
        return [self._batch(self._parts[index % len(self._parts)])]

    def _batch(self, examples: Sequence[Record]) -> TrainBatch:
        rows, gold = [], []
        for n, one in enumerate(examples):
            place = {label: i for i, label in enumerate(one["ner_labels"])}
            text = " ".join(one["tokenized_text"])
            words = list(self._labels.tokenizer.encode(text, max_word_tokens=64))
            rows.append(Row(self._labels.prompt(one["ner_labels"]), words))
            gold += [(n, start, end + 1, place[label]) for start, end, label in one["ner"]]
        columns = torch.tensor(gold, dtype=torch.long).reshape(-1, 4).unbind(1)
        return TrainBatch(self._collate(rows), Gold(*columns))


def train_ours(folder: Path, examples: list[Record], steps: int, batch: int, *, grouped: bool) -> Record:
    config, model, tokenizer = load_published(folder / "model", attention="eager", local_files_only=True)
    clock = Clock()

    def loss_of(model: SpanMatcher, batch: TrainBatch) -> Tensor:
        clock.tick()
        loss = matcher_loss(model, batch)
        clock.losses.append(float(loss))
        return loss

    loop = LoopConfig(
        steps=steps + 1,
        lr_backbone=RATE,
        lr_heads=RATE,
        warmup=0.0,
        weight_decay=0.0,
        precision="no",
        save_every=9999,
    )
    source = Batches(examples, config, tokenizer, batch, grouped=grouped)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run = Run(model, model.encoders, source, loss_of, loop, folder / "ours")
    memory: list[Record] = []
    run.train(lambda step, trained: memory.append(clock.report(before)))
    return memory[0] | {"losses": clock.losses}


def work(trainer: str, folder: Path, steps: int, batch: int) -> None:
    examples = json.loads((folder / "examples.json").read_text(encoding="utf-8"))
    if trainer == "gliner":
        report = train_gliner(folder, examples, steps, batch)
    else:
        report = train_ours(folder, examples, steps, batch, grouped=trainer != "ours")
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with ner/")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch", type=int, default=8, help="examples of a batch")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--hidden", type=int, default=768)
    parser.add_argument("--work", choices=TRAINERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.work, arguments.folder, arguments.steps, arguments.batch)
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        examples = records(arguments.data, (arguments.steps + 1) * arguments.batch)
        (folder / "examples.json").write_text(json.dumps(examples), encoding="utf-8")
        save_model(folder, examples, arguments.layers, arguments.hidden)
        reports: dict[str, list[Record]] = {trainer: [] for trainer in TRAINERS}
        for _ in range(arguments.rounds):
            for trainer in TRAINERS:
                reports[trainer].append(run_one(trainer, folder, arguments))
    show(reports, arguments.batch)


def run_one(trainer: str, folder: Path, arguments: argparse.Namespace) -> Record:
    command = [sys.executable, "-m", "benchmarks.trainer_against_gliner", "--work", trainer]
    command += ["--folder", str(folder), "--steps", str(arguments.steps), "--batch", str(arguments.batch)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    report: Record = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return report


def show(reports: dict[str, list[Record]], batch: int) -> None:
    slowest = min(report["seconds"] for report in reports["gliner"])
    print("trainer          seconds/step  of all cores  examples/s   times  peak memory, MB")
    for trainer, rounds in reports.items():
        seconds = min(report["seconds"] for report in rounds)
        cpu, memory = (min(report[key] for report in rounds) for key in ("cpu", "megabytes"))
        speed = f"{seconds:12.3f} {cpu:13.3f} {batch / seconds:11.1f} {slowest / seconds:7.2f}"
        print(f"{trainer:16} {speed} {memory:16.0f}")
    theirs, ours = (reports[name][0]["losses"][:COMPARED] for name in ("gliner", "ours"))
    apart = max(abs(one - other) / abs(one) for one, other in zip(theirs, ours, strict=True))
    print(f"losses of the first {COMPARED} steps: {', '.join(f'{loss:.4f}' for loss in ours)}")
    print(f"largest relative difference: {apart:.1e}")


if __name__ == "__main__":
    main()

"""Every task on its development sets, beside a plain baseline: rows for RESULTS.md.

    python -m benchmarks.every_task --data DATA [--model M] [--limit 200] [--tasks qa ner] [--json FILE]

A row is a set: its size, the figure that is compared, in percent with its 95 % interval over examples, at the
model's default threshold; the best figure at any threshold; the baseline's; and the model's seconds
of CPU. A set marked * is never trained on. A model without pairs has no figures for relations and tuples.
"""

import argparse
import json
import time
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from transformers.utils.logging import disable_progress_bar

from benchmarks import baselines
from gliner_mt import Extractor, InputError, OpenIE
from gliner_mt.evaluation import (
    Result,
    evaluate_classification,
    evaluate_given,
    evaluate_ner,
    evaluate_one_pair,
    evaluate_openie,
    evaluate_qa,
    evaluate_relations,
    evaluate_summary,
    has_one_pair,
)
from gliner_mt.types import RelationExample
from tasks import classification, ner, openie, qa, relations, summarization

Measure = Callable[[], Result]
HEADER = """\
| task | set | n | figure | model | best | baseline | CPU s |
|---|---|---|---|---|---|---|---|"""


@dataclass(frozen=True)
class Row:
    """What is measured on a set: the model (None where it cannot answer), and a baseline if there is one."""

    task: str
    dataset: str
    model: Measure | None
    baseline: Measure | None = None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default=None, help="folder or hub id; the embedded model if left out")
    parser.add_argument("--limit", type=int, default=200, help="examples of each set")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--json", type=Path, default=None, help="write all figures here")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    disable_progress_bar()
    extractor = Extractor.load(arguments.model)
    print(HEADER, flush=True)
    rows = chain.from_iterable(
        TASKS[task](extractor, arguments.data, arguments.limit) for task in arguments.tasks
    )
    measured = [measure(row) for row in rows]
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")


def measure(row: Row) -> dict[str, Any]:
    """Print a row of the table, and return its figures."""
    start = time.process_time()
    model = None if row.model is None else row.model()
    seconds = time.process_time() - start
    baseline = None if row.baseline is None else row.baseline()
    either = model or baseline
    assert either is not None
    cells = [
        row.task,
        row.dataset,
        str(either.n_examples),
        either.main[0],
        cell(model),
        best(model),
        cell(baseline),
        "" if model is None else f"{seconds:.0f}",
    ]
    print(f"| {' | '.join(cells)} |", flush=True)
    return {
        "task": row.task,
        "dataset": row.dataset,
        "seconds": round(seconds, 1),
        "model": model and model.as_dict(),
        "baseline": baseline and baseline.as_dict(),
    }


def cell(result: Result | None) -> str:
    if result is None:
        return "-"
    _, figure = result.main
    return f"{100 * figure.value:.1f} ({100 * figure.low:.1f}-{100 * figure.high:.1f})"


def best(result: Result | None) -> str:
    if result is None or result.best_threshold is None:
        return ""
    return f"{100 * result.sweep[result.best_threshold]:.1f} at {result.best_threshold:.2f}"


def entities(extractor: Extractor, data: Path, limit: int) -> Iterator[Row]:
    for name, examples in ner.dev_sets(data, limit).items():
        yield Row("ner", mark(name, ner.ZERO_SHOT), partial(evaluate_ner, extractor, examples))


def related(extractor: Extractor, data: Path, limit: int) -> Iterator[Row]:
    symmetric = [name for name, one in relations.relation_names(data).items() if one.symmetric]
    able = relates(extractor)

    def ask(measure: Callable[..., Result], examples: Sequence[RelationExample]) -> Measure | None:
        return partial(measure, extractor, examples, symmetric=symmetric) if able else None

    sets = {**relations.dev_sets(data, limit), **relations.evaluation_sets(data, limit)}
    for name, examples in sets.items():
        marked = mark(name, (*relations.ZERO_SHOT, *relations.EVALUATION_ONLY))
        if has_one_pair(examples):
            majority = partial(baselines.majority_pair, examples)
            yield Row("relation of a pair", marked, ask(evaluate_one_pair, examples), majority)
            continue
        found = partial(baselines.majority_found, extractor, examples)
        yield Row("relations", marked, ask(evaluate_relations, examples), found)
        majority = partial(baselines.majority_given, examples)
        yield Row("relations, entities given", marked, ask(evaluate_given, examples), majority)


def questions(extractor: Extractor, data: Path, limit: int) -> Iterator[Row]:
    for name, examples in qa.dev_sets(data, limit).items():
        span = partial(baselines.best_span, extractor, examples)
        yield Row("answer", mark(name, qa.ZERO_SHOT), partial(evaluate_qa, extractor, examples), span)


def tuples(extractor: Extractor, data: Path, limit: int) -> Iterator[Row]:
    able = relates(extractor)
    sets = {**openie.dev_sets(data, limit), **openie.evaluation_sets(data, limit)}
    for name, examples in sets.items():
        marked = mark(name, openie.EVALUATION_ONLY)
        verb = partial(baselines.first_verb, examples)
        yield Row("triples", marked, partial(evaluate_openie, extractor, examples) if able else None, verb)


def summaries(extractor: Extractor, data: Path, limit: int) -> Iterator[Row]:
    for name, examples in summarization.dev_sets(data, limit).items():
        lead = partial(baselines.lead, examples)
        yield Row("summarize", name, partial(evaluate_summary, extractor, examples), lead)


def classes(extractor: Extractor, data: Path, limit: int) -> Iterator[Row]:
    for name, examples in classification.dev_sets(data, limit).items():
        marked = mark(name, classification.ZERO_SHOT)
        nearest = partial(baselines.nearest_class, examples)
        yield Row("classify", marked, partial(evaluate_classification, extractor, examples), nearest)


TASKS: dict[str, Callable[[Extractor, Path, int], Iterator[Row]]] = {
    "ner": entities,
    "relations": related,
    "qa": questions,
    "openie": tuples,
    "summarization": summaries,
    "classification": classes,
}


def relates(extractor: Extractor) -> bool:
    """Say whether a model has a pair head."""
    try:
        extractor.extract("", OpenIE())
    except InputError:
        return False
    return True


def mark(name: str, untaught: Container[str]) -> str:
    """Mark the name of a set that no model is taught with."""
    return f"{name}*" if name in untaught else name


if __name__ == "__main__":
    main()

"""How good a model is while it is trained: the figures of each task on a dev set, kept as they come."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, final

from gliner_mt.checkpoint.native import write_whole
from gliner_mt.evaluation.result import Result
from gliner_mt.evaluation.sets import EVALUATIONS
from gliner_mt.train.examples import ByTask
from gliner_mt.train.report import DevScore, Retained
from gliner_mt.types import SummaryExample

if TYPE_CHECKING:
    from gliner_mt.extractor import Extractor

Figures = Mapping[str, Result]
"""What was measured on a set, by task."""


def measure(extractor: "Extractor", examples: ByTask) -> Figures:
    """Return the figures of each task, at the extractor's threshold."""
    return {
        task: EVALUATIONS[task].measures(some)[0](extractor, _without_rouge(some), task, None)
        for task, some in examples.items()
    }


def _without_rouge(examples: Sequence[Any]) -> Sequence[Any]:
    """Return summaries without the written ones: ROUGE takes a package, and is not what is compared here."""
    if not isinstance(examples[0], SummaryExample):
        return examples
    return [replace(one, summary="") for one in examples]


def dev_score(step: int, figures: Figures) -> DevScore:
    """Return the figures of a step and their mean."""
    values = {task: result.main[1].value for task, result in figures.items()}
    sweeps = {task: result.sweep for task, result in figures.items() if result.sweep}
    return DevScore(step, values, fmean(values.values()), sweeps)


def retained(before: Mapping[str, Figures], after: Mapping[str, Figures]) -> tuple[Retained, ...]:
    """Return the first figure of each set and task, before and after."""
    return tuple(
        Retained(
            name if len(figures) == 1 else f"{name}: {task}",
            result.main[0],
            result.n_examples,
            result.main[1].value,
            after[name][task].main[1].value,
        )
        for name, figures in before.items()
        for task, result in figures.items()
    )


@final
class DevLog:
    """Scores on the dev set, in a file as they come, so that a run that is taken up knows them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.scores: list[DevScore] = []

    def read(self, until: int) -> None:
        """Take up the scores of an earlier part of the run, up to a step."""
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.is_file() else []
        known = (_parsed(line) for line in lines)
        self.scores = [one for one in known if one.step <= until]

    def add(self, score: DevScore) -> None:
        """Keep a score; the file appears whole or not at all."""
        self.scores.append(score)
        text = "".join(json.dumps(one.as_dict()) + "\n" for one in self.scores)
        write_whole(self._path, lambda path: path.write_text(text, encoding="utf-8"))

    def best_step(self, last: int) -> int:
        """Return the first step of the best score after step 0, or the last step if nothing was scored."""
        trained = [one for one in self.scores if one.step]
        return max(trained, key=lambda one: (one.score, -one.step)).step if trained else last


def _parsed(line: str) -> DevScore:
    values = json.loads(line)
    values["sweeps"] = {
        task: {float(threshold): figure for threshold, figure in sweep.items()}
        for task, sweep in values["sweeps"].items()
    }
    return DevScore(**values)

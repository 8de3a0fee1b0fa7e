"""Summaries: F1 of the sentences chosen, and ROUGE with summaries that people wrote."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gliner_mt.evaluation.answers import answers
from gliner_mt.evaluation.result import Result, Table, intervals
from gliner_mt.metrics import F1, rouge_scores, selection_f1
from gliner_mt.tasks import Summary
from gliner_mt.types import Offsets, Span, SummaryExample

if TYPE_CHECKING:
    from gliner_mt.extractor import Extractor

_ALL = 1_000_000
_USUAL = 3


def evaluate_summary(
    extractor: "Extractor",
    examples: Sequence[SummaryExample],
    dataset: str = "",
    threshold: float | None = None,
) -> Result:
    """Return the F1 of the best sentences, and their ROUGE, where examples have a written summary.

    As many sentences are taken as the gold has (three if it has none), among those above `threshold` (None:
    0, good or not). They are the sentences of the example: each has the score of the model's sentence that
    it shares most with. The query of an example is not put to the model.
    """
    at = 0.0 if threshold is None else threshold
    scored = answers(extractor, [(one.text, Summary(max_sentences=_ALL, threshold=at)) for one in examples])
    chosen = [
        best_sentences(one.sentences, spans, sentence_count(one))
        for one, spans in zip(examples, scored, strict=True)
    ]
    return summary_result(examples, chosen, dataset, at)


def summary_result(
    examples: Sequence[SummaryExample],
    chosen: Sequence[Sequence[int]],
    dataset: str,
    threshold: float | None = None,
) -> Result:
    """Return the figures of chosen sentences, given by their indices."""
    rows = [_row(example, sentences) for example, sentences in zip(examples, chosen, strict=True)]
    return Result(
        "summarize", dataset, len(examples), intervals(np.array(rows).reshape(-1, 7), _figures), threshold
    )


def sentence_count(example: SummaryExample) -> int:
    """Return how many sentences a summary has to have: as many as the gold, or the usual three."""
    return len(example.selected) or _USUAL


def best_sentences(sentences: Sequence[Offsets], scored: Sequence[Span], count: int) -> tuple[int, ...]:
    """Return the indices of up to `count` sentences, of the best scores, in document order.

    Sentences are cut by somebody's rule, and `scored` by another: one counts with the best score of those
    that it shares half of the shorter one with.
    """
    found = [
        (span.score, -index)
        for index, sentence in enumerate(sentences)
        for span in [_best_shared(sentence, scored)]
        if span is not None
    ]
    return tuple(sorted(-index for _, index in sorted(found, reverse=True)[:count]))


def _best_shared(sentence: Offsets, scored: Sequence[Span]) -> Span | None:
    length = sentence.end - sentence.start
    shared = (
        span
        for span in scored
        if 2 * (min(span.end, sentence.end) - max(span.start, sentence.start))
        >= min(length, span.end - span.start)
    )
    return max(shared, key=lambda span: span.score, default=None)


def _row(example: SummaryExample, chosen: Sequence[int]) -> list[float]:
    """Return the counts of right, wrong and missed sentences, ROUGE-1, -2, -L, and one if there is ROUGE."""
    counts = selection_f1([example.selected], [chosen])
    row = [float(counts.tp), float(counts.fp), float(counts.fn)]
    if not example.summary:
        return [*row, 0.0, 0.0, 0.0, 0.0]
    words = " ".join(example.text[one.start : one.end] for one in (example.sentences[i] for i in chosen))
    rouge = rouge_scores([[example.summary]], [words])
    return [*row, rouge.rouge_1, rouge.rouge_2, rouge.rouge_l, 1.0]


def _figures(sums: Table) -> Mapping[str, float]:
    tp, fp, fn = sums[:3].astype(int).tolist()
    figures = {"selection F1": F1(tp, fp, fn).f1}
    *rouge, n_written = sums[3:].tolist()
    if n_written:
        figures |= {
            name: value / n_written
            for name, value in zip(("ROUGE-1", "ROUGE-2", "ROUGE-L"), rouge, strict=True)
        }
    return figures

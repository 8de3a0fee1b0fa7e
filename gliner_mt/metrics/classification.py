"""Classification: accuracy and macro F1, of one class a text or of several."""

from collections.abc import Collection, Iterable

from gliner_mt.metrics.counts import LabelScores, count_labels


def class_scores(gold: Iterable[Collection[str]], predicted: Iterable[Collection[str]]) -> LabelScores:
    """Compare the classes of each text.

    `accuracy` is the share of texts with exactly the gold classes (subset accuracy where there are several),
    `labels.macro_f1` the mean over the classes that occur in the gold or the predictions: both as
    scikit-learn's `accuracy_score` and `f1_score(average="macro")` have them. Raises ValueError if one side
    has more texts.
    """
    return count_labels(gold, predicted)

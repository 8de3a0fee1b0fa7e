"""Entities: spans that a label describes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from gliner_mt.tasks.base import Found, Label, Queries
from gliner_mt.tasks.labels import LabelSpec, parse_labels
from gliner_mt.tasks.parsing import own_threshold
from gliner_mt.types import Span


@final
@dataclass(frozen=True, init=False)
class NER:
    """Find every span that one of the labels describes; answers `list[Span]` in text order.

    `labels` is a list of names, a mapping name → description, or name → (description, threshold); an empty
    description stands for none. Duplicate names are merged with a warning. `threshold` is what a
    span's probability must exceed (None or "auto": the model's own, that of the label if it was calibrated).
    `join_adjacent` makes one span of neighbours with the same label and nothing but white space between them;
    models that judge single words need it (NuNER_Zero).
    """

    labels: tuple[Label, ...]
    threshold: float | None = None
    nested: bool = False
    multi_label: bool = False
    join_adjacent: bool = False

    def __init__(
        self,
        labels: LabelSpec,
        *,
        threshold: float | str | None = None,
        nested: bool = False,
        multi_label: bool = False,
        join_adjacent: bool = False,
    ) -> None:
        parsed = parse_labels(labels)
        object.__setattr__(self, "labels", parsed)
        object.__setattr__(self, "threshold", own_threshold(threshold, "threshold"))
        object.__setattr__(self, "nested", nested)
        object.__setattr__(self, "multi_label", multi_label)
        object.__setattr__(self, "join_adjacent", join_adjacent)

    def queries(self) -> tuple[Queries]:
        """Return the labels and the rules of overlap and joining."""
        return (Queries(self.labels, self.threshold, self.nested, self.multi_label, self.join_adjacent),)

    def result(self, found: Sequence[Found]) -> list[Span]:
        """Return the spans as they are."""
        return found[0].spans

"""Labels as callers give them, in their one form."""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence

from gliner_mt.errors import InputError
from gliner_mt.tasks.base import Label
from gliner_mt.tasks.parsing import check_threshold, line

LabelSpec = Sequence[str] | Mapping[str, str | tuple[str, float]]


def parse_labels(labels: LabelSpec) -> tuple[Label, ...]:
    """Check labels given by a caller and give them their one form.

    Raises:
        InputError: no labels, or one that is not a non-empty string on one line.
    """
    if isinstance(labels, str):
        raise InputError(
            f"labels is one string, {labels!r}; expected a list of names. Give it as [{labels!r}]."
        )
    if isinstance(labels, Mapping):
        parsed = [_described(name, value) for name, value in labels.items()]
    elif isinstance(labels, Sequence) and not isinstance(labels, bytes):
        parsed = [Label(line(name, "label")) for name in labels]
    else:
        raise InputError(
            f"labels is a {type(labels).__name__}; expected a list of names or a mapping name → description."
        )
    if not parsed:
        raise InputError('labels is empty; expected at least one, for example ["person", "city"].')
    unique: dict[str, Label] = {}
    for label in parsed:
        unique.setdefault(label.name, label)
    if len(unique) < len(parsed):
        counts = Counter(label.name for label in parsed)
        twice = sorted(name for name, count in counts.items() if count > 1)
        warnings.warn(f"labels given more than once were merged: {', '.join(twice)}", stacklevel=3)
    return tuple(unique.values())


def _described(name: object, value: object) -> Label:
    checked = line(name, "label")
    description, threshold = value if isinstance(value, tuple) and len(value) == 2 else (value, None)
    if not isinstance(description, str):
        raise InputError(
            f"label {checked!r} maps to {value!r}; expected a description, or (description, threshold)."
        )
    if threshold is not None:
        check_threshold(threshold, f"the threshold of label {checked!r}")
    return Label(checked, " ".join(description.split()) or None, threshold)

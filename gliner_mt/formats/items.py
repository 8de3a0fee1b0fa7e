"""What converters read records by, and what comes of a record."""

from collections.abc import Iterator
from dataclasses import dataclass

from gliner_mt.errors import InputError
from gliner_mt.types import Example, QAExample


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A record that holds no annotation to learn from, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Columns:
    """The fields of a record that a user may have called otherwise."""

    text: str = "text"
    tokens: str = "tokens"
    tags: str = "ner_tags"


Converted = Example | QAExample | LeftOut
Items = Iterator[Converted | InputError]
"""What comes of the records of a file, in order; an error for each that is not of its form."""

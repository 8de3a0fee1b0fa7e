"""Find what people ask for in text, with labels given in plain language at run time."""

from typing import TYPE_CHECKING

from gliner_mt.errors import CheckpointError, ConfigError, GlinerMTError, InputError, TrainingError
from gliner_mt.tasks import (
    NER,
    QA,
    Classification,
    Found,
    Label,
    OpenIE,
    Queries,
    RelationLabel,
    Relations,
    Several,
    Summary,
    Task,
)
from gliner_mt.types import Answer, ClassScore, Entity, Example, Relation, Span, Triple

if TYPE_CHECKING:
    from gliner_mt.extractor import Extractor

__version__ = "0.1.0"

__all__ = [
    "NER",
    "QA",
    "Answer",
    "CheckpointError",
    "ClassScore",
    "Classification",
    "ConfigError",
    "Entity",
    "Example",
    "Extractor",
    "Found",
    "GlinerMTError",
    "InputError",
    "Label",
    "OpenIE",
    "Queries",
    "Relation",
    "RelationLabel",
    "Relations",
    "Several",
    "Span",
    "Summary",
    "Task",
    "TrainingError",
    "Triple",
]


def __getattr__(name: str) -> object:
    """Import `Extractor` on first use: `import gliner_mt` should not take the seconds that torch does."""
    if name == "Extractor":
        from gliner_mt.extractor import Extractor

        return Extractor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

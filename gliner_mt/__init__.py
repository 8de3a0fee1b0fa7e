"""Find what people ask for in text, with labels given in plain language at run time."""

from importlib import import_module
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
    from gliner_mt.adapters.tuning import Tuning
    from gliner_mt.extractor import Extractor
    from gliner_mt.train.fit_config import FitConfig
    from gliner_mt.train.loop_config import LoopConfig

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
    "FitConfig",
    "Found",
    "GlinerMTError",
    "InputError",
    "Label",
    "LoopConfig",
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
    "Tuning",
]

_ON_FIRST_USE = {
    "Extractor": "gliner_mt.extractor",
    "FitConfig": "gliner_mt.train.fit_config",
    "LoopConfig": "gliner_mt.train.loop_config",
    "Tuning": "gliner_mt.adapters.tuning",
}


def __getattr__(name: str) -> object:
    """Import what needs torch on first use: `import gliner_mt` takes none of the seconds that torch does."""
    if name in _ON_FIRST_USE:
        return getattr(import_module(_ON_FIRST_USE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

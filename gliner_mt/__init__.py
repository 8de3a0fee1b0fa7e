"""Find what people ask for in text, with labels given in plain language at run time."""

from typing import TYPE_CHECKING

from gliner_mt.errors import CheckpointError, ConfigError, GlinerMTError, InputError
from gliner_mt.tasks import NER, Label, Queries, Task
from gliner_mt.types import Entity, Example, Span

if TYPE_CHECKING:
    from gliner_mt.extractor import Extractor

__version__ = "0.1.0"

__all__ = [
    "NER",
    "CheckpointError",
    "ConfigError",
    "Entity",
    "Example",
    "Extractor",
    "GlinerMTError",
    "InputError",
    "Label",
    "Queries",
    "Span",
    "Task",
]


def __getattr__(name: str) -> object:
    """Import `Extractor` on first use: `import gliner_mt` should not take the seconds that torch does."""
    if name == "Extractor":
        from gliner_mt.extractor import Extractor

        return Extractor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

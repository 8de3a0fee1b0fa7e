"""The errors this package raises on purpose.

GlinerMTError
├── ConfigError      a configuration that cannot be built
├── InputError       a text, label or option that cannot be used
├── CheckpointError  a model folder or file that cannot be loaded, or written
└── TrainingError    a training run that cannot go on

Each message says what was given, what was expected, and how to mend it.
"""


class GlinerMTError(Exception):
    """Base of every error raised on purpose by this package."""


class ConfigError(GlinerMTError, ValueError):
    """A configuration names an unknown part, misses a value or contradicts itself."""


class InputError(GlinerMTError, ValueError):
    """A text, a label or an option given by the caller cannot be used."""


class CheckpointError(GlinerMTError, OSError):
    """A model folder, its config or its weights are missing, broken or do not fit together."""


class TrainingError(GlinerMTError, RuntimeError):
    """A training run cannot go on: its loss is no number, or a batch does not fit into memory."""

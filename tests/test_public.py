import importlib.metadata
import subprocess
import sys

import pytest

import gliner_mt

PUBLIC = [
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
HEAVY = ("torch", "transformers", "tokenizers", "accelerate", "safetensors", "numpy", "rich", "typer")


def test_the_public_names() -> None:
    assert gliner_mt.__all__ == PUBLIC
    assert PUBLIC == sorted(PUBLIC, key=lambda name: (not name.isupper(), name))
    for name in PUBLIC:
        assert getattr(gliner_mt, name).__name__ == name
        assert getattr(gliner_mt, name).__doc__


def test_no_other_name() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Extracter'"):
        _ = gliner_mt.Extracter


def test_errors_are_of_one_family() -> None:
    for error, builtin in (
        ("ConfigError", ValueError),
        ("InputError", ValueError),
        ("CheckpointError", OSError),
    ):
        assert issubclass(getattr(gliner_mt, error), gliner_mt.GlinerMTError)
        assert issubclass(getattr(gliner_mt, error), builtin)


def test_importing_loads_nothing_heavy() -> None:
    code = (
        "import sys, gliner_mt; gliner_mt.NER(['person']); "
        f"print(*(name for name in {HEAVY} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_version_is_that_of_the_package() -> None:
    assert gliner_mt.__version__ == importlib.metadata.version("gliner_mt")

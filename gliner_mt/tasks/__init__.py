"""What can be asked of a text: frozen questions with typed answers.

A task is data. It names labels, the spans to match with them and the rule of overlaps, and turns what the
engine found into its answer.
"""

from gliner_mt.tasks.base import (
    DEFAULT_THRESHOLD,
    Candidates,
    Evidence,
    Found,
    GivenSpan,
    Kind,
    Label,
    PairQueries,
    Queries,
    RelationLabel,
    Task,
)
from gliner_mt.tasks.classification import Classification
from gliner_mt.tasks.labels import LabelSpec, parse_labels
from gliner_mt.tasks.ner import NER
from gliner_mt.tasks.openie import OpenIE
from gliner_mt.tasks.parsing import own_threshold
from gliner_mt.tasks.qa import QA
from gliner_mt.tasks.relations import Relations
from gliner_mt.tasks.several import Several
from gliner_mt.tasks.summary import Summary

__all__ = [
    "DEFAULT_THRESHOLD",
    "NER",
    "QA",
    "Candidates",
    "Classification",
    "Evidence",
    "Found",
    "GivenSpan",
    "Kind",
    "Label",
    "LabelSpec",
    "OpenIE",
    "PairQueries",
    "Queries",
    "RelationLabel",
    "Relations",
    "Several",
    "Summary",
    "Task",
    "own_threshold",
    "parse_labels",
]

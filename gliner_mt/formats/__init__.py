"""Readers of annotated data: this project's own format, and those that published sets come in.

Each takes a file, plain or gzipped, and yields examples whose offsets are characters of their text.
"""

from gliner_mt.formats.carb import read_carb_gold, read_carb_output, sentence_key
from gliner_mt.formats.conll import read_conll
from gliner_mt.formats.convert import (
    FORMATS,
    detect,
    open_examples,
    read_annotated,
    read_as_examples,
    types_of,
    with_labels,
)
from gliner_mt.formats.indexed import ExampleFile
from gliner_mt.formats.passages import Passage, read_passages
from gliner_mt.formats.qasrl import read_qasrl_questions, read_qasrl_tuples
from gliner_mt.formats.records import (
    read_classes,
    read_examples,
    read_questions,
    read_relations,
    read_summaries,
    read_tuples,
)
from gliner_mt.formats.relations import read_docred, read_fewrel, read_scierc, read_spert
from gliner_mt.formats.squad import read_squad

__all__ = [
    "FORMATS",
    "ExampleFile",
    "Passage",
    "detect",
    "open_examples",
    "read_annotated",
    "read_as_examples",
    "read_carb_gold",
    "read_carb_output",
    "read_classes",
    "read_conll",
    "read_docred",
    "read_examples",
    "read_fewrel",
    "read_passages",
    "read_qasrl_questions",
    "read_qasrl_tuples",
    "read_questions",
    "read_relations",
    "read_scierc",
    "read_spert",
    "read_squad",
    "read_summaries",
    "read_tuples",
    "sentence_key",
    "types_of",
    "with_labels",
]

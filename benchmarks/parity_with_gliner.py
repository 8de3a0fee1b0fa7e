"""Scores and spans of this package against those of `gliner`, on real sentences.

    python benchmarks/parity_with_gliner.py --data /path/to/data

`--data` is searched for `.jsonl.gz` and `.jsonl` files of records with `text` and `labels` (strings). For
every combination of backbone, projection, LSTM layers, head and config, the package builds a small random
model and saves it; both read the sentences of a file in one batch, with that file's labels. Shown are the
largest difference between probabilities, and for how many sentences the decoded spans are identical under
each of the four rules of overlap (flat or nested, one label a span or several), with the number of spans.

Beside those: bi-encoders on each backbone, poly-encoders with several schemas, and decoders, LLaMA and Qwen2.
The package runs decoders causal; its own backbone is made bidirectional here, as they were trained.

Relation extraction models (relex) are asked two labels and four relations, each span with each. Shown are the
largest difference between probabilities of entities, relations and links, and for how many sentences the
decoded relations are identical, with their number.

Sentences with a word that the vocabulary cannot see at all (a lone joiner, say) are left out and counted: the
package takes the next word's vector for it, and so on to the end of the sentence.
"""

import argparse
import gzip
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from parity_labels import SCHEMAS, Bidirectional, apart, write_decoder
from parity_models import (
    BACKBONES,
    OVERLAPS,
    SPAN_MODES,
    Answers,
    Ours,
    Reference,
    Spec,
    all_specs,
    difference,
    write_backbone,
)
from parity_relations import LINKS, RELATIONS, OurRelations, RelexReference, pair_difference, relex

DECODERS = ("llama", "qwen2")
MOST_LABELS = 5
MOST_LABELS_RELATED = 2
MOST_CHARACTERS = 300
PROBABILITIES_CLOSE = 1e-5


class Sentences(NamedTuple):
    """Sentences of one file, and the labels asked of them."""

    source: str
    texts: list[str]
    labels: list[str]


def records(path: Path) -> Iterator[dict[str, Any]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def read_sentences(data: Path, total: int, per_file: int = 16) -> list[Sentences]:
    """Return about `total` sentences, some of each file, files in an order that mixes folders."""
    found: list[Sentences] = []
    paths = sorted(
        itertools.chain(data.rglob("*.jsonl.gz"), data.rglob("*.jsonl")), key=lambda path: path.name
    )
    for path in paths:
        if sum(len(part.texts) for part in found) >= total:
            break
        texts, labels = [], dict[str, None]()
        for record in itertools.islice(records(path), 20 * per_file):
            asked = record.get("labels", [])
            if not record.get("text", "").strip() or not all(isinstance(label, str) for label in asked):
                continue
            if record["text"] not in texts and len(record["text"]) <= MOST_CHARACTERS:
                texts.append(record["text"])
                labels |= dict.fromkeys(asked)
            if len(texts) == per_file:
                found.append(Sentences(path.name, texts, list(labels)[:MOST_LABELS]))
                break
    return [part for part in found if part.labels]


def comparable(reference: Reference, ours: Ours, sentences: Sequence[Sentences]) -> list[Sentences]:
    """Return the sentences whose every word has sub-words."""
    kept = []
    for part in sentences:
        rows = ours.rows(part.texts, part.labels)
        texts = [
            text
            for text, row in zip(part.texts, rows, strict=True)
            if len(row.words) == len(list(reference.gliner.data_processor.words_splitter(text)))
        ]
        kept.append(part._replace(texts=texts))
    return [part for part in kept if part.texts]


@dataclass
class Result:
    """What came of one configuration; a sentence is the same if its spans are under every rule of overlap."""

    difference: float = 0.0
    sentences: int = 0
    same: int = 0
    spans: int = 0

    @property
    def failed(self) -> bool:
        return self.difference > PROBABILITIES_CLOSE or self.same < self.sentences


def compare(theirs: Sequence[Answers], ours: Ours, sentences: Sequence[Sentences]) -> Result:
    result = Result()
    for part, reference in zip(sentences, theirs, strict=True):
        own = ours.answers(part.texts, part.labels)
        result.difference = max(result.difference, difference(reference.probabilities, own.probabilities))
        for index in range(len(part.texts)):
            pairs = [(a[index], b[index]) for a, b in zip(reference.spans, own.spans, strict=True)]
            result.sentences += 1
            result.same += all(a == b for a, b in pairs)
            result.spans += sum(len(a) for a, _ in pairs)
    return result


def run(specs: Sequence[Spec], backbone: Path, sentences: Sequence[Sentences], work: Path) -> list[Result]:
    """Return the results of one model, saved with each of the configs of `specs`."""
    kind = Bidirectional if specs[0].backbone in DECODERS else Reference
    reference = kind(specs[0], backbone, sentences[0].texts, sentences[0].labels)
    theirs: list[Answers] = []
    results = []
    for spec in specs:
        ours = Ours(reference.save(Path(tempfile.mkdtemp(dir=work)), legacy=spec.legacy))
        kept = comparable(reference, ours, sentences)
        theirs = theirs or [reference.answers(part.texts, part.labels) for part in kept]
        result = compare(theirs, ours, kept)
        scores = f"difference {result.difference:.1e}"
        print(
            f"{name_of(spec):50} {scores}  same spans {result.same}/{result.sentences} ({result.spans})",
            flush=True,
        )
        results.append(result)
    return results


def run_relex(
    span_mode: str, links: str, backbone: Path, sentences: Sequence[Sentences], work: Path
) -> Result:
    """Return the result of one relex model; its sentences are asked file by file."""
    spec = relex(Spec("bert", True, 1, span_mode), links)
    sentences = [part._replace(labels=part.labels[:MOST_LABELS_RELATED]) for part in sentences]
    reference = RelexReference(spec, backbone, sentences[0].texts, sentences[0].labels)
    ours, result = OurRelations(reference.save(Path(tempfile.mkdtemp(dir=work)))), Result()
    for part in comparable(reference, ours, sentences):
        theirs = reference.pair_answers(part.texts, part.labels)
        own = ours.pair_answers(part.texts, part.labels, theirs, reference.link_threshold)
        apart = max(difference(theirs.entities, own.entities), pair_difference(theirs, own))
        result.difference = max(result.difference, apart)
        for expected, found in zip(theirs.relations, own.relations, strict=True):
            result.sentences += 1
            result.same += expected == found
            result.spans += len(found)
    scores = f"difference {result.difference:.1e}"
    print(
        f"{f'{spec} relex {links}':50} {scores}  same relations {result.same}/{result.sentences} "
        f"({result.spans})",
        flush=True,
    )
    return result


def label_specs(labels_encoder: Path) -> list[Spec]:
    """Return bi- and poly-encoders, and prompts before decoders."""
    heads = ("markerV0", "token_level")
    bi = [
        apart(Spec(kind, projection, span_mode=mode), labels_encoder)
        for kind, projection, mode in itertools.product(BACKBONES, (False, True), heads)
    ]
    poly = [
        apart(Spec("bert", True, span_mode=mode), labels_encoder, *schema)
        for schema, mode in itertools.product(SCHEMAS, heads)
    ]
    first_token = {"embed_ent_token": False}
    decoders = [
        Spec(kind, span_mode=mode, settings=settings)
        for kind, mode, settings in itertools.product(DECODERS, SPAN_MODES, ({}, first_token))
    ]
    return [*bi, *poly, *decoders]


def name_of(spec: Spec) -> str:
    """Return the words that name a configuration."""
    schema = spec.settings.get("post_fusion_schema")
    if schema:
        return f"{spec} poly {schema} x{spec.settings['num_post_fusion_layers']}"
    if "labels_encoder" in spec.settings:
        return f"{spec} bi"
    return f"{spec} first-token" if "embed_ent_token" in spec.settings else str(spec)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with .jsonl or .jsonl.gz files")
    parser.add_argument("--sentences", type=int, default=240)
    parser.add_argument("--only", default="", help="words of the configurations to run, as 'bert legacy'")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sentences = read_sentences(options.data, options.sentences)
    n_sentences = sum(len(part.texts) for part in sentences)
    print(f"{n_sentences} sentences of {len(sentences)} files, {len(OVERLAPS)} rules of overlap")
    vocabulary = [text for part in sentences for text in (*part.texts, *part.labels)]
    vocabulary += RELATIONS
    results, start = [], time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        backbones = {
            kind: write_backbone(work / kind, kind, vocabulary, vocab_size=2000, hidden=64)
            for kind in BACKBONES
        } | {kind: write_decoder(work / kind, kind, vocabulary, 2000, 64) for kind in DECODERS}
        labels_encoder = write_backbone(work / "labels", "bert", vocabulary, vocab_size=2000, hidden=48)
        only = set(options.only.split())
        specs = [
            spec
            for spec in (*all_specs(), *label_specs(labels_encoder))
            if only <= set(name_of(spec).split())
        ]
        relations = [
            names
            for names in itertools.product(("markerV0", "marker"), LINKS)
            if only <= {"bert", "relex", *names}
        ]
        if not sentences or not (specs or relations):
            parser.error(f"no sentences in {options.data}, or no configuration {options.only!r}")
        for _, same_model in itertools.groupby(specs, key=lambda spec: replace(spec, legacy=False)):
            of_model = list(same_model)
            results += run(of_model, backbones[of_model[0].backbone], sentences, work)
        results += [run_relex(*names, backbones["bert"], sentences, work) for names in relations]
    failed, worst = sum(result.failed for result in results), max(result.difference for result in results)
    seconds = time.perf_counter() - start
    print(f"{len(results)} configurations, {failed} failed, largest difference {worst:.1e}, {seconds:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

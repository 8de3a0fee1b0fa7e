"""Throughput of bi-encoders against the package `gliner`, at 10, 100 and 1,000 labels.

    python -m benchmarks.bi_encoder --data DATA [--rounds 3]

A random model of small sizes (texts and labels each read by 6 layers, 384 wide; vectors of 512) is built and
saved by `gliner` and read by both. Each is timed on the same texts, one after the other, in every
round; what counts is the best round of each, and for `gliner` its best batch size. It has two rows: labels
encoded with every batch, as `inference` does, and vectors computed once (`batch_predict_with_embeds`). Ours
are computed once by `encode_labels`. What that takes is shown apart, for a label: the package pads labels to
512 sub-words when it encodes them ahead, so a few are timed and the rest is encoded without that.
"""

import argparse
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from itertools import islice, product
from pathlib import Path

import torch
from transformers import AutoConfig

from benchmarks.against_gliner import Spans, ours_of, sentences, theirs_of, timed

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from parity_labels import apart
from parity_models import Reference, Spec, write_backbone

from gliner_mt import NER, Extractor

LABEL_COUNTS = (10, 100, 1_000)
BATCH_SIZES = (8, 32)
LAYERS, HIDDEN, HEADS, INNER, VECTORS = 6, 384, 12, 1536, 512
SPANS_PER_TEXT = 3
TIMED_LABELS = 16
KINDS = "person city company river drug protein award weapon dish symptom law species film ship".split()
QUALITIES = "former large northern fictional ancient modern public rare famous local national".split()


def label_names(names: Sequence[str], count: int) -> list[str]:
    """Return `count` labels: those of the sets, then made ones of two and three words."""
    made = (" ".join(words) for words in product(QUALITIES, QUALITIES, KINDS) if words[0] != words[1])
    return list(islice(dict.fromkeys([*names, *made]), count))


def write_encoder(folder: Path, texts: Sequence[str]) -> Path:
    """Write the config and tokenizer of an encoder of the benchmark's size."""
    write_backbone(folder, "bert", texts, vocab_size=8000)
    values = AutoConfig.from_pretrained(folder).to_dict()
    kind = values.pop("model_type")
    sizes = {"hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
    AutoConfig.for_model(kind, **values | sizes | {"intermediate_size": INNER}).save_pretrained(folder)
    return folder


def threshold_of(extractor: Extractor, texts: list[str], labels: list[str]) -> float:
    """Return a threshold that lets a few spans of a text pass, as a trained model would find them."""
    everything = NER(labels, threshold=0.5, nested=True, multi_label=True)
    scores = sorted(span.score for spans in extractor.extract_many(texts, everything) for span in spans)
    return scores[-min(len(scores), SPANS_PER_TEXT * len(texts))]


@torch.no_grad()
def encoded(reference: Reference, labels: list[str]) -> torch.Tensor:
    """Return what the package's `encode_labels` returns, without its padding."""
    tokenizer, model = reference.gliner.data_processor.labels_tokenizer, reference.gliner.model
    batches = [labels[at : at + 100] for at in range(0, len(labels), 100)]
    tokens = [tokenizer(batch, return_tensors="pt", padding="longest") for batch in batches]
    kept = [{name: batch[name] for name in ("input_ids", "attention_mask")} for batch in tokens]
    return torch.cat([model.token_rep_layer.encode_labels(**batch) for batch in kept])


def runs_of(
    reference: Reference, extractor: Extractor, texts: list[str], labels: list[str]
) -> tuple[dict[str, Callable[[], Spans]], dict[str, float]]:
    """Return what is timed, and the seconds that it took to encode a label ahead."""
    gliner = reference.gliner

    def every_batch(size: int) -> Spans:
        return theirs_of(gliner.inference(texts, labels, threshold=threshold, batch_size=size))

    def once(size: int) -> Spans:
        return theirs_of(
            gliner.batch_predict_with_embeds(texts, vectors, labels, threshold=threshold, batch_size=size)
        )

    def ours() -> Spans:
        return ours_of(list(extractor.extract_many(texts, NER(labels, threshold=threshold))))

    few = labels[:TIMED_LABELS]
    seconds = {
        "gliner": timed(lambda: gliner.encode_labels(few, batch_size=8))[0] / len(few),
        "ours": timed(lambda: extractor.encode_labels(labels))[0] / len(labels),
    }
    vectors = encoded(reference, labels)
    threshold = threshold_of(extractor, texts[:8], labels)
    runs: dict[str, Callable[[], Spans]] = {"ours": ours}
    for size in BATCH_SIZES:
        runs[f"gliner, labels in every batch of {size}"] = lambda size=size: every_batch(size)  # type: ignore[misc]
        runs[f"gliner, labels once, batches of {size}"] = lambda size=size: once(size)  # type: ignore[misc]
    return runs, seconds


def compare(
    reference: Reference, extractor: Extractor, texts: list[str], labels: list[str], rounds: int
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runs, encoding = runs_of(reference, extractor, texts, labels)
        best: dict[str, float] = {}
        answers: dict[str, Spans] = {}
        for turn in range(rounds):
            for key, run in runs.items():
                seconds, answers[key] = timed(run)
                best[key] = min(best.get(key, float("inf")), seconds)
                print(
                    f"  {len(labels)} labels, round {turn + 1}: {key} {seconds:.2f} s",
                    file=sys.stderr,
                    flush=True,
                )
    print(f"\n{len(labels)} labels, {len(texts)} texts")
    ahead = {name: f"{1000 * seconds:.1f} ms" for name, seconds in encoding.items()}
    print(f"  a label encoded ahead: ours {ahead['ours']}, gliner {ahead['gliner']}")
    for key, seconds in best.items():
        rate, slower = len(texts) / seconds, seconds / best["ours"]
        print(f"  {key:40} {seconds:7.2f} s  {rate:7.1f} texts/s  {slower:6.2f}x")
    theirs = next(key for key in answers if "once" in key)
    same = sum(a == b for a, b in zip(answers[theirs], answers["ours"], strict=True))
    spans = sum(map(len, answers["ours"]))
    print(f"  same spans in {same} of {len(texts)} texts ({spans} spans)")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="data folder with ner/*.test.jsonl.gz")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    texts, names = sentences(options.data, options.texts)
    everything = [*texts, *label_names(names, max(LABEL_COUNTS))]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        backbone, labels = (write_encoder(work / name, everything) for name in ("texts", "labels"))
        spec = apart(Spec("bert", settings={"hidden_size": VECTORS, "max_width": 12}), labels)
        reference = Reference(spec, backbone, texts[:8], label_names(names, 10))
        extractor = Extractor.load(reference.save(work / "model"), device="cpu")
        for count in LABEL_COUNTS:
            compare(reference, extractor, texts, label_names(names, count), options.rounds)


if __name__ == "__main__":
    main()

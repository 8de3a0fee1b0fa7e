"""Peak memory and speed against the length of a document: memory should not grow with it.

    python -m benchmarks.long_document [--words 10000 100000 1000000] [--model FOLDER] [--threshold T]

Each length runs in a process of its own, over text of made-up sentences with entities scattered in it.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from random import Random

LABELS = ["person", "city", "company", "date"]
SENTENCES = (
    "The committee met on {} and agreed to nothing in particular.",
    "{} was said to have walked along the river for hours.",
    "Nobody in the room could explain why the figures had risen so quickly.",
    "A letter from {} arrived late, wet, and without a stamp.",
)
NAMES = ("Angela Merkel", "Tim Cook", "Paris", "3 May 2021", "Toyota", "Nairobi", "Ada Lovelace", "Monday")


def document(words: int) -> str:
    random = Random(0)
    parts: list[str] = []
    while words > 0:
        sentence = random.choice(SENTENCES).format(random.choice(NAMES))
        parts.append(sentence)
        words -= len(sentence.split())
    return " ".join(parts)


def measure(words: int, model: str | None, threshold: float | None) -> None:
    from gliner_mt import NER, Extractor

    extractor = Extractor.load(model)
    text = document(words)
    started = time.perf_counter()
    spans = extractor.extract(text, NER(LABELS, threshold=threshold))
    seconds = time.perf_counter() - started
    assert all(text[span.start : span.end] == span.text for span in spans)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"words": words, "seconds": seconds, "spans": len(spans), "peak_mib": peak}))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--words", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--model", default=None)
    parser.add_argument("--threshold", type=float, default=None)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        measure(arguments.one, arguments.model, arguments.threshold)
        return
    first = None
    for words in arguments.words:
        command = [sys.executable, "-m", "benchmarks.long_document", "--one", str(words)]
        command += ["--model", arguments.model] if arguments.model else []
        command += ["--threshold", str(arguments.threshold)] if arguments.threshold else []
        line = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
        result = json.loads(line)
        first = first or result["peak_mib"]
        print(
            f"{words:>9,} words  {result['seconds']:7.1f} s  {words / result['seconds']:7.0f} words/s  "
            f"{result['spans']:>6} spans  peak {result['peak_mib']:6.0f} MiB  "
            f"{result['peak_mib'] / first:.2f}x"
        )


if __name__ == "__main__":
    main()

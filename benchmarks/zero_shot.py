"""Zero-shot F1 on sets that no model here was trained on, and on the 50 everyday sentences.

python -m benchmarks.zero_shot --data DATA [--model FOLDER] [--limit 500]
"""

import argparse
from pathlib import Path

from gliner_mt import Extractor
from gliner_mt.evaluation.ner import best_threshold, micro_f1_by_threshold, predict, scores_at
from gliner_mt.formats.records import read_examples
from gliner_mt.tasks import Kind
from tasks.ner import zero_shot_sets

EVERYDAY = Path(__file__).parent / "everyday.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default=None, help="folder or hub id; the embedded model if left out")
    parser.add_argument("--limit", type=int, default=500, help="sentences of each set")
    arguments = parser.parse_args()
    extractor = Extractor.load(arguments.model)
    sets = zero_shot_sets(arguments.data, arguments.limit)
    table = micro_f1_by_threshold(extractor, sets)
    print("threshold " + " ".join(f"{name:>11}" for name in sets) + "        mean")
    for threshold, row in table.items():
        mean = sum(row.values()) / len(row)
        print(
            f"{threshold:9.2f} "
            + " ".join(f"{100 * f1:11.1f}" for f1 in row.values())
            + f" {100 * mean:11.1f}"
        )
    best = best_threshold(table)
    print(f"best single threshold: {best}")
    everyday = list(read_examples(EVERYDAY))
    predicted = predict(extractor, everyday)
    for threshold in sorted({0.3, 0.5, best, extractor.threshold(Kind.ENTITIES)}):
        scores = scores_at(everyday, predicted, threshold).micro
        print(
            f"everyday sentences at {threshold}: F1 {100 * scores.f1:.1f}, "
            f"precision {100 * scores.precision:.1f}, recall {100 * scores.recall:.1f}"
        )


if __name__ == "__main__":
    main()

"""Peak memory and time of one long window against its length: memory should grow with the length, no faster.

    python -m benchmarks.long_context [--lengths 1024 2048 4096 8192 16384 32768] [--attention packed]

A small LLaMA with random weights (4 layers of 256, 8 heads on 4 keys, bidirectional, 32,768 positions) with
the marker head reads one text as a single window and is asked for three labels. Each length runs in a process
of its own; `beyond` is what its peak lies above that of the same process after a short text.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
import warnings
from random import Random

POSITIONS = 32_768
LABELS = ["person", "city", "date"]
SHORT = 64


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(length: int, attention: str, threads: int) -> None:
    import torch

    from gliner_mt import NER
    from gliner_mt.backbones.attention import use_attention
    from gliner_mt.build import build_model
    from gliner_mt.checkpoint.load import EMBEDDED
    from gliner_mt.checkpoint.native import read_tokenizer
    from gliner_mt.config import ModelConfig
    from gliner_mt.extractor import Extractor
    from gliner_mt.tokenization import WordTokenizer

    torch.set_num_threads(threads)
    tokenizer = WordTokenizer(read_tokenizer(EMBEDDED / "tokenizer.json"), 0)
    config = ModelConfig(
        backbone={
            "model_type": "llama",
            "vocab_size": 30_522,
            "hidden_size": 256,
            "num_hidden_layers": 4,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "intermediate_size": 768,
            "max_position_embeddings": POSITIONS,
        },
        hidden_size=128,
        max_tokens=POSITIONS,
        marker_id=1,
        separator_id=102,
        dropout=0.0,
    )
    torch.manual_seed(0)
    model = build_model(config, attention)
    use_attention(model.backbone.model, attention, masked=False)
    extractor = Extractor(config, model, tokenizer)
    words = ["the", "river", "met", "paris", "ada", "walked", "1833", "north"]
    text = " ".join(Random(0).choices(words, k=length - 10))  # a sub-word each; the rest are labels
    task = NER(LABELS, threshold=0.9)
    extractor.extract(text[: 5 * SHORT], task)
    short, started = peak_mib(), time.perf_counter()
    spans = extractor.extract(text, task)
    seconds = time.perf_counter() - started
    print(json.dumps({"peak": peak_mib(), "short": short, "seconds": seconds, "spans": len(spans)}))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    lengths = [1024 * 2**i for i in range(6)]
    parser.add_argument("--lengths", type=int, nargs="+", default=lengths)
    parser.add_argument("--attention", default="packed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        warnings.simplefilter("ignore")
        measure(options.one, options.attention, options.threads)
        return
    for length in options.lengths:
        command = [sys.executable, "-m", "benchmarks.long_context", "--one", str(length)]
        command += ["--attention", options.attention, "--threads", str(options.threads)]
        line = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
        one = json.loads(line)
        beyond = one["peak"] - one["short"]
        print(
            f"{length:>7,} sub-words  {one['seconds']:7.1f} s  peak {one['peak']:6.0f} MiB  "
            f"beyond {beyond:6.0f} MiB, {1024 * beyond / length:5.1f} KiB a sub-word  {one['spans']} spans",
            flush=True,
        )


if __name__ == "__main__":
    main()

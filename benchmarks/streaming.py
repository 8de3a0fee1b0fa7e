"""What a large file costs before the first step: seconds and memory of `fit` on JSON lines of any length.

python -m benchmarks.streaming --data DATA [--rows 1000000]

Rows are those of all training sets in DATA/ner, shuffled, over and over. One thread; beside the seconds of
the clock stand its CPU seconds, since other work on the machine adds to the former. Memory is the peak above
what the process had before. Linux only.
"""

import argparse
import gzip
import re
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import torch

from gliner_mt import Extractor
from gliner_mt.train.checks import Checks
from gliner_mt.train.examples import by_task, open_examples
from gliner_mt.train.fit_config import FitConfig
from gliner_mt.train.fit_sets import checking
from gliner_mt.train.loop_config import LoopConfig
from gliner_mt.types import AnyExample


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--steps", type=int, default=3, help="of the run that the rows are read for")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    loop = LoopConfig(steps=arguments.steps, batch_tokens=1024, precision="no")
    print("| rows | file, MB | | seconds | CPU seconds | memory, MB |\n|---|---|---|---|---|---|")
    with TemporaryDirectory() as folder:
        for rows in arguments.rows:
            path = write_rows(arguments.data, rows, Path(folder) / f"{rows}.jsonl")
            compare(Extractor.load(device="cpu"), path, rows, loop)
            path.unlink()


def write_rows(data: Path, rows: int, path: Path) -> Path:
    lines = []
    for source in sorted((data / "ner").glob("*.train.jsonl.gz")):
        with gzip.open(source) as file:
            lines += [line.rstrip() + b"\n" for line in file if line.strip()]
    Random(0).shuffle(lines)
    with path.open("wb") as file:
        file.writelines(islice(cycle(lines), rows))
    return path


def compare(extractor: Extractor, path: Path, rows: int, loop: LoopConfig) -> None:
    examples: list[Sequence[AnyExample]] = []
    checks = Checks(extractor._tokenizer, extractor._config.max_width)
    config = FitConfig(loop=loop)
    parts: dict[str, Callable[[], object]] = {
        "finding the lines": lambda: examples.append(open_examples(path)),
        "reading every line": lambda: by_task(examples[0], "train"),
        "reading and checking every line": lambda: by_task(examples[0], "train", checking(checks.read_train)),
        f"`fit`: all that once, and {loop.steps} steps": lambda: extractor.fit(
            path, config=config, out=path.parent / f"run_{rows}"
        ),
    }
    for name, part in parts.items():
        clock, processor, memory = cost(part)
        size = f"{path.stat().st_size / 1e6:,.0f}"
        print(f"| {rows:,} | {size} | {name} | {clock:.1f} | {processor:.1f} | {memory:.0f} |", flush=True)


def cost(work: Callable[[], object]) -> tuple[float, float, float]:
    """Return seconds of the clock and of the processor, and the peak of memory above the start in MB."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before, clock, processor = memory("VmRSS"), time.perf_counter(), time.process_time()
    work()
    seconds = time.perf_counter() - clock, time.process_time() - processor
    return *seconds, memory("VmHWM") - before


def memory(name: str) -> float:
    status = Path("/proc/self/status").read_text()
    (kilobytes,) = re.findall(rf"^{name}:\s+(\d+) kB$", status, re.M)
    return int(kilobytes) / 1024


if __name__ == "__main__":
    main()

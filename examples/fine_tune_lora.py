"""Twenty examples of labels that are your own → a LoRA adapter of the embedded model, in seconds on a CPU.

python examples/fine_tune_lora.py [FOLDER]
"""

import re
import sys
from pathlib import Path

from gliner_mt import NER, Extractor, FitConfig, LoopConfig, Tuning
from gliner_mt.train.sampling import SamplingConfig
from gliner_mt.types import Entity, Example

LABELS = ("part", "defect", "action")
MARKED = """
[Replaced](action) the [fuel pump](part) after a [slow leak](defect) was found.
[Cracked](defect) [winglet](part), [patched](action) before the next flight.
The [nose gear door](part) was [bent](defect); [straightened](action) and [repainted](action).
[Lubricated](action) the [flap track](part), which made a [grinding noise](defect).
[Worn](defect) [tyres](part) on the left side, both [changed](action).
Crew reported [smoke](defect) from the [galley oven](part). [Isolated](action).
[Tightened](action) a [loose](defect) [hose clamp](part) on engine 2.
The [cargo lock](part) [jams](defect) in the cold; [greased](action).
No fault found, the [weather radar](part) was [tested](action) twice.
[Corroded](defect) [battery terminals](part): [cleaned](action).
[Resealed](action) the [window frame](part) where [water came in](defect).
The [reading light](part) at 14C [flickers](defect). [Bulb](part) [swapped](action).
[Overheating](defect) [brake unit](part), [inspected](action) and [released](action).
[Hydraulic line](part) [chafed](defect) by a bracket, [rerouted](action).
[Reset](action) the [circuit breaker](part) of the [coffee maker](part).
The [seat belt](part) at 3A is [frayed](defect).
[Adjusted](action) the [rudder cable](part); [tension too low](defect).
[Dented](defect) [engine cowling](part), within limits. [Recorded](action).
A [bird strike](defect) on the [radome](part). [Removed](action) and [sent to the shop](action).
The [cabin door seal](part) [whistles](defect) above 20,000 feet.
"""
_MARK = re.compile(r"\[([^]]*)\]\(([^)]*)\)")


def parse(line: str) -> Example:
    """Return the text of a line without its marks, and what they mark."""
    text, entities, at = "", [], 0
    for mark in _MARK.finditer(line):
        text += line[at : mark.start()]
        entities.append(Entity(len(text), len(text) + len(mark[1]), mark[2]))
        text, at = text + mark[1], mark.end()
    return Example(text + line[at:], tuple(entities), LABELS)


examples = [parse(line) for line in MARKED.strip().splitlines()]
train, dev = examples[:16], examples[16:]

config = FitConfig(
    tuning=Tuning(method="lora", rank=8, alpha=16),
    loop=LoopConfig(steps=12, batch_tokens=512, lr_backbone=1e-3, lr_heads=1e-3, save_every=12),
    sampling=SamplingConfig(rows_per_pool=64),
    replay=0.3,  # rows in which it is to answer as before, so that what it knows stays
)
out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/maintenance")
text = "Rewired the landing light, its connector was burnt."
task = NER(LABELS)

extractor = Extractor.load()
print("before:", [(span.label, span.text) for span in extractor.extract(text, task)])
report = extractor.fit(train, dev, config, out=out, resume=True)
print("after: ", [(span.label, span.text) for span in extractor.extract(text, task)])
if report.before and report.best:
    print(f"F1 on {len(dev)} others: {report.before.score:.2f} before, {report.best.score:.2f} after")
print(f"an adapter of {report.size / 1e6:.1f} MB in {report.seconds:.0f} seconds: {report.folder}")

again = Extractor.load(adapter=report.folder)  # the embedded model with this adapter, from now on
extractor.use(None)  # and without it

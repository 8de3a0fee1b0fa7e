"""Go on from a published GLiNER checkpoint: all of its weights are trained, and saved in our format.

python examples/continue_from_checkpoint.py FOLDER_OR_HUB_ID [FOLDER]
"""

import sys
from pathlib import Path

from gliner_mt import NER, Extractor, FitConfig, LoopConfig, Tuning
from gliner_mt.types import Entity, Example

name = sys.argv[1] if len(sys.argv) > 1 else "urchade/gliner_small-v2.1"
out = Path(sys.argv[2] if len(sys.argv) > 2 else "runs/continued")


def example(text: str, **marks: str) -> Example:
    """Return a text with the words that each label marks in it."""
    spans = (
        Entity(text.index(words), text.index(words) + len(words), label) for label, words in marks.items()
    )
    return Example(text, tuple(spans), ("person", "machine", "city"))


train = [
    example("Ada Lovelace wrote the first program in London.", person="Ada Lovelace", city="London"),
    example("Konrad Zuse built the Z3 in Berlin.", person="Konrad Zuse", machine="Z3", city="Berlin"),
    example(
        "The Harwell computer stands in Wolverhampton.", machine="Harwell computer", city="Wolverhampton"
    ),
    example("Grace Hopper programmed the Mark I.", person="Grace Hopper", machine="Mark I"),
]
config = FitConfig(
    tuning=Tuning(method="full"),
    loop=LoopConfig(steps=4, batch_tokens=512, lr_backbone=1e-5, lr_heads=5e-5),
)

extractor = Extractor.load(name)
report = extractor.fit(train, config=config, out=out, resume=True)
print(f"{report.n_trained:,} numbers trained, {report.size / 1e6:.1f} MB: {report.folder}")

again = Extractor.load(report.folder)
for span in again.extract("Tom Kilburn ran the Baby in Manchester.", NER(["person", "machine", "city"])):
    print(f"{span.label:8} {span.score:.2f}  {span.text}")

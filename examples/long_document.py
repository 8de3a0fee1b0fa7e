"""A text of any length: nothing is cut off, and offsets refer to the whole of it.

python examples/long_document.py [FILE]
"""

import sys
from collections import Counter
from pathlib import Path

from gliner_mt import NER, Extractor

FILLER = "It rained all afternoon, the minutes were read, and nothing else happened. "
DOCUMENT = (
    FILLER * 50
    + "In March 2021 Angela Merkel met Emmanuel Macron in Paris. "
    + FILLER * 50
    + "Tim Cook opened a new Apple store in Tokyo on Friday. "
    + FILLER * 50
)

text = Path(sys.argv[1]).read_text(encoding="utf-8") if len(sys.argv) > 1 else DOCUMENT
extractor = Extractor.load()
spans = extractor.extract(text, NER(["person", "city", "company", "date"]))

print(f"{len(text):,} characters, {len(spans)} spans")
for (surface, label), count in Counter((span.text, span.label) for span in spans).most_common(20):
    print(f"{count:4}  {label:8} {surface}")

assert all(text[span.start : span.end] == span.text for span in spans)

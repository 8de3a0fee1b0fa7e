"""Any published GLiNER checkpoint: a hub id, or a local folder that needs no network.

python examples/published_checkpoint.py FOLDER_OR_HUB_ID
"""

import sys

from gliner_mt import NER, Extractor, GlinerMTError

name = sys.argv[1] if len(sys.argv) > 1 else "urchade/gliner_medium-v2.1"
try:
    extractor = Extractor.load(name)
except (
    GlinerMTError
) as error:  # not there, broken, or of a make that is not supported: the message says which
    sys.exit(f"{name}: {error}")

for fact, value in extractor.info().items():
    print(f"{fact:12} {value}")

text = "Ada Lovelace wrote the first program for Charles Babbage's Analytical Engine in London in 1843."
for span in extractor.extract(text, NER(["person", "machine", "city", "date"], threshold=0.3)):
    print(f"{span.label:8} {span.score:.2f}  {span.text}")

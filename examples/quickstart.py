"""Entities from a sentence: give a text and labels in plain language, get spans with exact offsets."""

from gliner_mt import NER, Extractor

extractor = Extractor.load()  # the embedded model: nothing is downloaded

text = "Elton John performed in New York on 12 May 2022, and tickets cost $120."
for span in extractor.extract(text, NER(["person", "city", "date", "price"])):
    print(f"{span.start:3}-{span.end:<3} {span.label:8} {span.score:.2f}  {span.text}")

# Labels may be described, and have thresholds of their own.
described = NER(
    {
        "performer": "a person or band on stage",
        "venue city": ("the city of the concert", 0.3),
    }
)
for span in extractor.extract(text, described):
    print(span)

# Many texts: answers come lazily, in order, and memory stays bounded.
texts = ["Marie Curie was born in Warsaw.", "", "Tim Cook runs Apple."]
for text, spans in zip(texts, extractor.extract_many(texts, NER(["person", "city", "company"])), strict=True):
    print(repr(text), [(span.text, span.label) for span in spans])

"""A search query → its fields and the words that remain → a filter for Elasticsearch or Solr."""

import json

from gliner_mt import NER, Extractor, Span

FIELDS = {
    "brand": "maker of the product",
    "product type": "kind of thing that is looked for",
    "color": "color",
    "size": "size",
    "price limit": "the most that it may cost",
}

extractor = Extractor.load()


def parse(query: str) -> tuple[dict[str, str], str]:
    """Return the fields found in a query, and the words that no field took."""
    spans = extractor.extract(query, NER(FIELDS))
    fields = {span.label: span.text for span in spans}
    return fields, remaining(query, spans)


def remaining(query: str, spans: list[Span]) -> str:
    """Return what is left of the query: offsets are exact, so nothing is guessed."""
    kept, at = [], 0
    for span in spans:
        kept.append(query[at : span.start])
        at = span.end
    return " ".join("".join([*kept, query[at:]]).split())


def elasticsearch(fields: dict[str, str], words: str) -> dict[str, object]:
    """Return a bool query: fields filter, the remaining words rank."""
    filters = [{"match": {name.replace(" ", "_"): value}} for name, value in fields.items()]
    return {"query": {"bool": {"filter": filters, "must": [{"match": {"title": words}}] if words else []}}}


def solr(fields: dict[str, str], words: str) -> dict[str, object]:
    """Return the same as parameters of Solr."""
    return {
        "q": words or "*:*",
        "fq": [f'{name.replace(" ", "_")}:"{value}"' for name, value in fields.items()],
    }


for query in (
    "red nike running shoes size 42 under 80 euros",
    "wireless headphones sony black",
    "gift ideas",
):
    found, rest = parse(query)
    print(f"{query!r}\n  fields {found}\n  words  {rest!r}")
    print("  elasticsearch", json.dumps(elasticsearch(found, rest)))
    print("  solr         ", json.dumps(solr(found, rest)))

"""A search query → its intent, its fields and the words that remain → a filter for Elasticsearch or Solr.

Intent and fields are found in one pass over the query.
"""

import json

from gliner_mt import NER, Classification, Extractor, Several, Span

FIELDS = {
    "brand": "maker of the product",
    "product type": "kind of thing that is looked for",
    "color": "color",
    "size": "size",
    "price limit": "the most that it may cost",
}
INTENTS = {
    "buy": "looks for a product to buy",
    "compare": "asks which of several products is better",
    "order status": "asks where a parcel or an order is",
}
QUERY = Several(intent=Classification(INTENTS), fields=NER(FIELDS))

extractor = Extractor.load()


def parse(query: str) -> tuple[str, dict[str, str], str]:
    """Return the intent of a query, the fields found in it, and the words that no field took."""
    found = extractor.extract(query, QUERY)
    fields = {span.label: span.text for span in found["fields"]}
    return found["intent"][0].label, fields, remaining(query, found["fields"])


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
    intent, found, rest = parse(query)
    print(f"{query!r}\n  intent {intent}\n  fields {found}\n  words  {rest!r}")
    print("  elasticsearch", json.dumps(elasticsearch(found, rest)))
    print("  solr         ", json.dumps(solr(found, rest)))

"""Support tickets, each read once: what they name, topic, urgency, key sentence."""

from typing import Any

from gliner_mt import NER, Classification, Extractor, Several, Summary

TICKETS = (
    "Hello, order 48213 arrived yesterday, but the screen of the tablet is broken. Please send a new one "
    "before Friday, I need it for work. Regards, Maria Lopez",
    "Hi! I was charged twice for my subscription in May, 19.99 euros each time. Could you refund one of "
    "them? Thank you, Tom Baker",
    "How do I change the language of the app on my Galaxy S23? There is no hurry. I looked in the settings.",
)
ROUTES = {"damaged delivery": "warehouse", "billing": "accounts", "how to use the product": "help desk"}
TICKET = Several(
    names=NER(
        {
            "customer": "name of the person who writes",
            "order number": "",
            "product": "",
            "amount of money": "",
            "date": "",
        }
    ),
    topic=Classification(tuple(ROUTES)),
    urgency=Classification({"urgent": "needs an answer at once", "can wait": "there is no hurry"}),
    gist=Summary(max_sentences=1),
)


def routed(ticket: dict[str, Any]) -> dict[str, Any]:
    """Return what a help desk stores of a ticket."""
    topic = ticket["topic"][0]
    return {
        "to": ROUTES[topic.label],
        "topic": f"{topic.label} ({topic.score:.2f})",
        "urgency": ticket["urgency"][0].label,
        "fields": {span.label: span.text for span in ticket["names"]},
        "key sentence": " ".join(sentence.text for sentence in ticket["gist"]),
    }


extractor = Extractor.load()
for number, ticket in enumerate(extractor.extract_many(TICKETS, TICKET), start=1):
    print(f"ticket {number}")
    for name, value in routed(ticket).items():
        print(f"  {name:13} {value}")

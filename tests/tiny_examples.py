"""Four annotated texts that a tiny model learns by heart."""

from gliner_mt.types import Entity, Example


def example(text: str, **entities: str) -> Example:
    """Return a text in which each label of `entities` marks the first place of its words; '' marks none."""
    marks = [
        Entity(text.index(words), text.index(words) + len(words), label)
        for label, words in entities.items()
        if words
    ]
    return Example(text, tuple(marks), tuple(entities))


EXAMPLES = (
    example("ada met bob in london", person="ada", city="london", company=""),
    example("apple was born in new york", company="apple", city="new york", person=""),
    example("the green river met the sea of paris", city="paris", person="", company=""),
    example("bob sang for ada", person="bob", city="", company=""),
)

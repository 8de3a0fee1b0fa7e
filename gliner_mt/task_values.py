"""Tasks as plain values, as task files hold them.

`task` names the kind of task ("ner" if it is left out); the other keys are the arguments of its class:

```yaml
task: relations
relations:
  works for: {head: person, tail: [company, school], threshold: 0.4}
  married to: {head: person, tail: person, symmetric: true}
  born in: [person, city]      # head and tail
  near: is close to            # a description
entities: [person, company, school, city]
```

A task of `several` has them under their names: `tasks: {who: {labels: [person]}, gist: {task: summary}}`.
"""

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeAlias

from gliner_mt.errors import ConfigError, InputError
from gliner_mt.tasks import (
    NER,
    QA,
    Classification,
    GivenSpan,
    Label,
    OpenIE,
    RelationLabel,
    Relations,
    Several,
    Summary,
)

AnyTask: TypeAlias = NER | Relations | QA | OpenIE | Summary | Classification | Several

_KINDS: Mapping[str, Callable[..., AnyTask]] = {
    "ner": NER,
    "relations": Relations,
    "qa": QA,
    "openie": OpenIE,
    "summary": Summary,
    "classification": Classification,
    "several": Several,
}
_LABEL_KEYS = ("description", "threshold")
_RELATION_KEYS = ("description", "threshold", "head", "tail", "symmetric")
_NEEDED = ("labels", "questions", "relations", "tasks")


def task_from_dict(data: object, where: str = "the task") -> AnyTask:
    """Build a task from plain values, as a task file holds them; `where` names them in errors.

    Raises:
        ConfigError: a key is unknown, or a value is not what the key expects.
    """
    kind = data.get("task", "ner") if isinstance(data, Mapping) else "ner"
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ConfigError(f"{where}: task is {_kind(kind)}; expected one of {', '.join(_KINDS)}.")
    make = _KINDS[kind]
    known = [field.name for field in fields(make)]  # type: ignore[arg-type]
    values = _checked_keys(data, [*known, "task"], where)
    for key in known:
        if key in _NEEDED and values.get(key) is None:
            raise ConfigError(f"{where}: no {key}; expected {_EXPECTED[key]}.")
    read = {
        key: _READERS[key](value, f"{where}: {key}") if key in _READERS else value
        for key, value in values.items()
        if value is not None and key != "task"
    }
    try:
        return make(**(read["tasks"] if kind == "several" else read))
    except InputError as error:
        raise ConfigError(f"{where}: {error}") from error


def task_to_dict(task: AnyTask) -> dict[str, object]:
    """Return the plain values of a task: `task_from_dict(task_to_dict(task)) == task`."""
    kind = next(name for name, make in _KINDS.items() if type(task) is make)
    values: dict[str, object] = {} if kind == "ner" else {"task": kind}
    for field in fields(task):
        value = getattr(task, field.name)
        if value != field.default:
            values[field.name] = _plain(value)
    return values


def _plain(value: Any) -> object:  # noqa: ANN401 - what a field of any task holds
    match value:
        case Mapping():
            plain: object = {name: task_to_dict(task) for name, task in value.items()}
        case (RelationLabel(), *_):
            plain = _plain_names({one.name: _plain_relation(one) for one in value})
        case (Label(), *_):
            plain = _plain_names({one.name: _plain_label(one.description, one.threshold) for one in value})
        case (GivenSpan(), *_):
            plain = [[one.start, one.end, *([one.label] if one.label else [])] for one in value]
        case _:
            plain = list(value) if isinstance(value, tuple) else value
    return plain


def _plain_names(values: Mapping[str, object]) -> object:
    """Return a list, if there is nothing but names."""
    return values if any(values.values()) else list(values)


def _plain_relation(relation: RelationLabel) -> dict[str, object]:
    values: dict[str, object] = {}
    for key in _RELATION_KEYS:
        value = getattr(relation, key)
        if value is not None and value is not False and value != ():
            values[key] = list(value) if isinstance(value, tuple) else value
    return values


def _plain_label(description: str | None, threshold: float | None) -> object:
    if threshold is None:
        return description
    if description is None:
        return {"threshold": threshold}
    return {"description": description, "threshold": threshold}


def _checked_keys(data: object, known: Sequence[str], where: str) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where} is {_kind(data)}; expected a mapping with the keys {', '.join(known)}.")
    for key in data:
        if key not in known:
            nearest = difflib.get_close_matches(str(key), known, n=1, cutoff=0.0)[0]
            raise ConfigError(
                f"{where}: unknown key {key!r}; did you mean {nearest!r}? Known keys: {', '.join(known)}."
            )
    return data


def _labels(value: object, where: str) -> list[str] | dict[str, str | tuple[str, float]]:
    if isinstance(value, Mapping):
        return {
            name: _label(spec, f"{where.removesuffix(': labels')}: label {name!r}")
            for name, spec in value.items()
        }
    if isinstance(value, list):
        return value
    raise ConfigError(f"{where} is {_kind(value)}; expected a list of names or a mapping.")


def _label(spec: object, where: str) -> str | tuple[str, float]:
    if spec is None or isinstance(spec, str):
        return spec or ""
    values = _checked_keys(spec, _LABEL_KEYS, where)
    description = values.get("description")
    if description is not None and not isinstance(description, str):
        raise ConfigError(f"{where}: description is {_kind(description)}; expected a string.")
    threshold = _number(values.get("threshold"), f"{where}: threshold")
    return description or "" if threshold is None else (description or "", threshold)


def _threshold(value: object, where: str) -> float | str | None:
    return value if isinstance(value, str) and value == "auto" else _number(value, where)


def _number(value: object, where: str) -> float | None:
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    raise ConfigError(f"{where} is {_kind(value)}; expected a number from 0 to 1, for example 0.5.")


def _flag(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"{where} is {_kind(value)}; expected true or false.")
    return value


def _kind(value: object) -> str:
    """Name a value as its writer sees it: `null`, or its JSON form."""
    return json.dumps(value, ensure_ascii=False, default=str)


def _relations(value: object, where: str) -> list[RelationLabel] | dict[str, object]:
    if isinstance(value, list):
        return value
    if isinstance(value, Mapping):
        return {name: _relation(name, spec, f"{where}: {name!r}") for name, spec in value.items()}
    raise ConfigError(f"{where} is {_kind(value)}; expected a list of names or a mapping.")


def _relation(name: object, spec: object, where: str) -> object:
    if not isinstance(spec, Mapping):
        return "" if spec is None else spec
    values = _checked_keys(spec, _RELATION_KEYS, where)
    description = values.get("description")
    if description is not None and not isinstance(description, str):
        raise ConfigError(f"{where}: description is {_kind(description)}; expected a string.")
    try:
        return RelationLabel(
            str(name),
            description=description,
            threshold=_number(values.get("threshold"), f"{where}: threshold"),
            head=values.get("head") or (),
            tail=values.get("tail") or (),
            symmetric=values.get("symmetric", False),
        )
    except InputError as error:
        raise ConfigError(f"{where}: {error}") from error


def _tasks(value: object, where: str) -> dict[str, AnyTask]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ConfigError(f"{where} is {_kind(value)}; expected a mapping from names to tasks.")
    return {name: task_from_dict(task, f"{where}: {name}") for name, task in value.items()}


_READERS: Mapping[str, Callable[[object, str], Any]] = {
    "labels": _labels,
    "entities": _labels,
    "relations": _relations,
    "tasks": _tasks,
    "threshold": _threshold,
    "entity_threshold": _threshold,
    "span_threshold": _threshold,
    "link_threshold": _threshold,
    "nested": _flag,
    "multi_label": _flag,
    "join_adjacent": _flag,
}
_EXPECTED = {
    "labels": 'a list or a mapping, for example "labels: [person]"',
    "questions": 'a question or a list of them, for example "questions: Who signed?"',
    "relations": 'a list or a mapping, for example "relations: [works for]"',
    "tasks": 'a mapping from names to tasks, for example "tasks: {who: {labels: [person]}}"',
}

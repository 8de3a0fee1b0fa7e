"""Tasks from the options of a command, or from a task file and options that override it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import get_args

from gliner_mt.errors import InputError
from gliner_mt.task_files import load_task
from gliner_mt.task_values import AnyTask, task_from_dict, task_to_dict
from gliner_mt.tasks import RelationLabel, own_threshold

ANY = get_args(AnyTask)

_TYPES = "person>company, person|team>company, >city, person<>person"


def names(given: Sequence[str] | None, option: str) -> list[str]:
    """Return the names in lists such as person,city; an option that is not given has none.

    Raises:
        InputError: the option is given, but has no name in it.
    """
    found = [name.strip() for one in given or () for name in one.split(",") if name.strip()]
    if given and not found:
        raise InputError(f"{option} is empty; expected names such as person,city.")
    return found


def relation_labels(given: Sequence[str] | None) -> list[RelationLabel]:
    """Return the relations in lists such as `works for:person>company,near`.

    After a colon stand the types of head and tail, several with `|` between them, each side perhaps none;
    `<>` says that the relation is symmetric.

    Raises:
        InputError: the option is given without a name, or what follows a colon is no types.
    """
    return [_relation(one) for one in names(given, "--relations")]


def _relation(given: str) -> RelationLabel:
    name, colon, types = given.rpartition(":")
    if not colon:
        return RelationLabel(given)
    head, arrow, tail = types.partition("<>" if "<>" in types else ">")
    if not arrow or not name.strip() or ">" in tail:
        raise InputError(
            f"--relations has {given!r}; expected a name, or a name and types, name:head>tail: {_TYPES}. "
            "Names with a colon and descriptions go into a task file."
        )
    return RelationLabel(name.strip(), head=_split(head), tail=_split(tail), symmetric=arrow == "<>")


def _split(types: str) -> list[str]:
    return [one.strip() for one in types.split("|") if one.strip()]


def threshold_given(text: str, option: str) -> float | None:
    """Return the threshold that an option gives; None for "auto", which leaves it to the model.

    Raises:
        InputError: it is neither.
    """
    if text == "auto":
        return None
    try:
        return own_threshold(float(text), option)
    except ValueError as error:  # an InputError is one, too
        raise InputError(f"{option} is {text}; expected a number from 0 to 1, or auto.") from error


def asked_task(
    stated: Callable[[], AnyTask] | None, file: Path | None, kinds: tuple[type[AnyTask], ...], option: str
) -> AnyTask:
    """Return the task that options state, or the one of a task file, which is one of `kinds`.

    `stated` makes it from the options, if they are given; `option` is the one to give, with an example.

    Raises:
        InputError: neither is given, or both are, or the file is of another kind.
        ConfigError: the file does not describe a task.
    """
    if stated is not None and file is not None:
        raise InputError(
            f"{option.split()[0]} and --task are both given; "
            "put all that is asked into the task file, or leave it out."
        )
    if stated is not None:
        return stated()
    if file is None:
        raise InputError(f"nothing to look for; give {option} or --task FILE.")
    task = load_task(file)
    if type(task) not in kinds:
        raise InputError(
            f"{file} is a task of {type(task).__name__}; expected one of {kinds[0].__name__}. "
            "The command extract takes any task file."
        )
    return task


def overridden(task: AnyTask, options: Mapping[str, object]) -> AnyTask:
    """Return the task with those options that are given (not None); they are named as its fields are.

    Raises:
        InputError: the task has no such field, or a threshold is none.
        ConfigError: a value is not what the field expects.
    """
    given = {name: value for name, value in options.items() if value is not None}
    known = {field.name for field in fields(task)}
    for name, value in given.items():
        option = f"--{name.replace('_', '-')}"
        if name not in known:
            raise InputError(f"{option} does not go with a task of {type(task).__name__}; leave it out.")
        if name.endswith("threshold"):
            given[name] = threshold_given(str(value), option)
    return task_from_dict(task_to_dict(task) | given, where="the options") if given else task

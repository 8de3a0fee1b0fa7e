"""Tasks as YAML or JSON files: what to look for, written down once.

```yaml
labels:
  person:                      # a name alone
  company: a business or firm  # a name and a description
  price: {description: an amount of money, threshold: 0.3}
threshold: 0.5
nested: false
multi_label: false
join_adjacent: false
```

`labels` may also be a plain list of names. Everything but `labels` may be left out.
"""

import difflib
import json
import warnings
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import final

import yaml

from gliner_mt.errors import ConfigError, InputError
from gliner_mt.tasks import NER

_FLAGS = ("nested", "multi_label", "join_adjacent")
_TASK_KEYS = ("labels", "threshold", *_FLAGS)
_LABEL_KEYS = ("description", "threshold")


def load_task(path: str | Path) -> NER:
    """Read a task file.

    Raises:
        ConfigError: the file cannot be read, or does not describe a task.
    """
    path = Path(path)
    try:
        content = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"cannot read the task file {path}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"the task file {path} is not UTF-8: offset {error.start}.") from error
    return task_from_dict(_parse(content, path), where=str(path))


def task_from_dict(data: object, where: str = "the task") -> NER:
    """Build a task from plain values, as a task file holds them; `where` names them in errors.

    Raises:
        ConfigError: a key is unknown, or a value is not what the key expects.
    """
    values = _checked_keys(data, _TASK_KEYS, where)
    if "labels" not in values:
        raise ConfigError(
            f'{where}: no labels; expected a list or a mapping, for example "labels: [person]".'
        )
    try:
        return NER(
            _labels(values["labels"], where),
            threshold=_number(values.get("threshold"), f"{where}: threshold"),
            nested=_flag(values, "nested", where),
            multi_label=_flag(values, "multi_label", where),
            join_adjacent=_flag(values, "join_adjacent", where),
        )
    except InputError as error:
        raise ConfigError(f"{where}: {error}") from error


def task_to_dict(task: NER) -> dict[str, object]:
    """Return the plain values of a task: `task_from_dict(task_to_dict(task)) == task`."""
    plain = all(label.description is None and label.threshold is None for label in task.labels)
    labels: object = [label.name for label in task.labels]
    if not plain:
        labels = {label.name: _plain_label(label.description, label.threshold) for label in task.labels}
    values: dict[str, object] = {"labels": labels}
    if task.threshold is not None:
        values["threshold"] = task.threshold
    return values | {flag: True for flag in _FLAGS if getattr(task, flag)}


def _plain_label(description: str | None, threshold: float | None) -> object:
    if threshold is None:
        return description
    if description is None:
        return {"threshold": threshold}
    return {"description": description, "threshold": threshold}


def _parse(content: str, path: Path) -> object:
    if path.suffix.lower() == ".json":
        try:
            return json.loads(content, object_pairs_hook=_unique)
        except json.JSONDecodeError as error:
            raise ConfigError(f"{path}, line {error.lineno}: broken JSON ({error.msg}).") from error
    if path.suffix.lower() in (".yaml", ".yml"):
        try:
            return yaml.load(content, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
            raise ConfigError(f"{path}{line}: broken YAML ({error.problem}).") from error
        except yaml.YAMLError as error:
            raise ConfigError(f"{path}: broken YAML ({error}).") from error
    raise ConfigError(f"the task file is {path}; expected a name that ends in .yaml, .yml or .json.")


def _unique(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    _warn_of_repeats([key for key, _ in pairs])
    return dict(pairs)


def _warn_of_repeats(keys: Sequence[str]) -> None:
    """Say which keys come more than once, where parsers would keep quiet."""
    repeated = dict.fromkeys(key for key in keys if keys.count(key) > 1)
    if repeated:
        names = ", ".join(repeated)
        warnings.warn(f"given more than once in the task file, the last one holds: {names}", stacklevel=2)


@final
class _Loader(yaml.SafeLoader):
    """YAML of plain values, with a warning for keys that come more than once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        _warn_of_repeats([key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)])
        return super().construct_mapping(node, deep)


def _checked_keys(data: object, known: Sequence[str], where: str) -> Mapping[str, object]:
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
        return {name: _label(spec, f"{where}: label {name!r}") for name, spec in value.items()}
    if isinstance(value, list):
        return value
    raise ConfigError(f"{where}: labels is {_kind(value)}; expected a list of names or a mapping.")


def _label(spec: object, where: str) -> str | tuple[str, float]:
    if spec is None or isinstance(spec, str):
        return spec or ""
    values = _checked_keys(spec, _LABEL_KEYS, where)
    description = values.get("description")
    if description is not None and not isinstance(description, str):
        raise ConfigError(f"{where}: description is {_kind(description)}; expected a string.")
    threshold = _number(values.get("threshold"), f"{where}: threshold")
    return description or "" if threshold is None else (description or "", threshold)


def _number(value: object, where: str) -> float | None:
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    raise ConfigError(f"{where} is {_kind(value)}; expected a number from 0 to 1, for example 0.5.")


def _flag(values: Mapping[str, object], key: str, where: str) -> bool:
    value = values.get(key, False)
    if not isinstance(value, bool):
        raise ConfigError(f"{where}: {key} is {_kind(value)}; expected true or false.")
    return value


def _kind(value: object) -> str:
    """Name a value as its writer sees it: `null`, or its JSON form."""
    return json.dumps(value, ensure_ascii=False, default=str)

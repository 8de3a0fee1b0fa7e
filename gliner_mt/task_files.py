"""Tasks as YAML or JSON files: what to look for, written down once.

```yaml
task: ner                      # may be left out
labels:
  person:                      # a name alone
  company: a business or firm  # a name and a description
  price: {description: an amount of money, threshold: 0.3}
threshold: 0.5
nested: false
multi_label: false
join_adjacent: false
```

`labels` may also be a plain list of names. Everything but `labels` may be left out. The other tasks are
`relations`, `qa`, `openie`, `summary`, `classification` and `several`; their keys are the arguments of the
classes of these names (see `task_values`).
"""

import json
import warnings
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import final

import yaml

from gliner_mt.errors import ConfigError
from gliner_mt.task_values import AnyTask, task_from_dict, task_to_dict

__all__ = ["AnyTask", "load_task", "task_from_dict", "task_to_dict"]


def load_task(path: str | Path) -> AnyTask:
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

from dataclasses import dataclass, field
from typing import Any

import pytest

from gliner_mt.config import from_mapping, nearest
from gliner_mt.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    rate: float = 0.1
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    steps: int
    name: str = "run"
    limit: int | None = None
    fast: bool = False
    inner: Inner = field(default_factory=Inner)


def test_plain_values_become_dataclasses() -> None:
    values = {"steps": 3, "limit": None, "fast": True, "inner": {"rate": 1, "names": ["a", "b"]}}
    expected = Outer(steps=3, fast=True, inner=Inner(rate=1.0, names=("a", "b")))
    assert from_mapping(Outer, values, "run.yaml") == expected
    assert isinstance(from_mapping(Inner, {"rate": 1}, "x").rate, float)
    assert from_mapping(Outer, {"steps": 3, "limit": 4}, "x").limit == 4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 1, "stepz": 2}, r"^run.yaml has an unknown key 'stepz'; did you mean 'steps'\?\.$"),
        ({"steps": 1, "zzz": 2}, "unknown key 'zzz'; expected one of fast, inner, limit, name, steps"),
        ({"steps": 1, 5: 2}, "unknown key 5"),
        ({}, "^run.yaml lacks steps"),
        ({"steps": "1"}, r"run.yaml.steps is '1'; expected a value of type int"),
        ({"steps": 1.5}, "expected a value of type int"),
        ({"steps": True}, "steps is True; expected a value of type int"),
        ({"steps": None}, "steps is None"),
        ({"steps": 1, "name": 2}, "expected a value of type str"),
        ({"steps": 1, "fast": 1}, "expected a value of type bool"),
        ({"steps": 1, "limit": "x"}, "limit is 'x'; expected a value of type int"),
        ({"steps": 1, "inner": 3}, "run.yaml.inner is 3; expected a mapping of Inner settings"),
        ({"steps": 1, "inner": None}, "run.yaml.inner is None"),
        ({"steps": 1, "inner": {"rat": 1}}, "run.yaml.inner has an unknown key 'rat'; did you mean 'rate'"),
        (
            {"steps": 1, "inner": {"rate": True}},
            "run.yaml.inner.rate is True; expected a value of type float",
        ),
        (
            {"steps": 1, "inner": {"names": "ab"}},
            "run.yaml.inner.names is 'ab'; expected a list, such as",
        ),
        (None, "run.yaml is None; expected a mapping of Outer settings"),
        (["steps"], "expected a mapping"),
    ],
)
def test_values_that_do_not_fit(values: Any, message: str) -> None:  # noqa: ANN401 - what YAML may hold
    with pytest.raises(ConfigError, match=message):
        from_mapping(Outer, values, "run.yaml")


def test_the_nearest_name() -> None:
    assert nearest("markr", ("marker", "boundary")) == "; did you mean 'marker'?"
    assert nearest("x", {"b": 1, "a": 2}) == "; expected one of a, b"

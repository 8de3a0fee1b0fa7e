from pathlib import Path

import pytest

from gliner_mt.errors import ConfigError
from gliner_mt.task_files import load_task, task_from_dict, task_to_dict
from gliner_mt.tasks import NER

FULL = """\
labels:
  person:
  company: a business or firm
  price: {description: an amount of money, threshold: 0.3}
  date: {threshold: 0.7}
threshold: 0.5
nested: true
multi_label: true
"""


def load(tmp_path: Path, content: str, name: str = "task.yaml") -> NER:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return load_task(path)


def test_every_form_of_a_label(tmp_path: Path) -> None:
    assert load(tmp_path, FULL) == NER(
        {
            "person": "",
            "company": "a business or firm",
            "price": ("an amount of money", 0.3),
            "date": ("", 0.7),
        },
        threshold=0.5,
        nested=True,
        multi_label=True,
    )


def test_a_plain_list_and_json(tmp_path: Path) -> None:
    assert load(tmp_path, "labels: [person, city]") == NER(["person", "city"])
    assert load(tmp_path, '{"labels": ["person"], "threshold": 1}', "t.json") == NER(["person"], threshold=1)


@pytest.mark.parametrize(
    "task",
    [
        NER(["a", "b"]),
        NER({"a": "", "b": "about b"}, threshold=0.2),
        NER({"a": ("", 0.1), "b": ("about b", 0.9)}, nested=True, multi_label=True),
        NER(["a"], join_adjacent=True),
    ],
)
def test_written_and_read_again_a_task_is_the_same(task: NER) -> None:
    assert task_from_dict(task_to_dict(task)) == task


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("labels: [a]\ntreshold: 0.4", "unknown key 'treshold'; did you mean 'threshold'?"),
        ("labels: {a: {desciption: x}}", "label 'a': unknown key 'desciption'; did you mean 'description'?"),
        ("threshold: 0.4", "no labels"),
        ("- a", 'is ["a"]; expected a mapping with the keys labels'),
        ("", "is null; expected a mapping"),
        ("labels: person", 'labels is "person"; expected a list'),
        ("labels: []", "labels is empty"),
        ("labels: [no]", "label False is a bool"),
        ("labels: [2024-01-01]", "is a date"),
        ("labels: {a: 3}", "label 'a' is 3; expected a mapping"),
        ("labels: {a: {description: 3}}", "description is 3; expected a string"),
        ("labels: {a: {threshold: high}}", 'threshold is "high"; expected a number'),
        ("labels: {a: {threshold: 7}}", "expected a number from 0 to 1"),
        ("labels: [a]\nthreshold: .nan", "expected a number from 0 to 1"),
        ("labels: [a]\nthreshold: true", "threshold is true; expected a number"),
        ("labels: [a]\nnested: 1", "nested is 1; expected true or false"),
        ("labels: [a\nx", "line 2: broken YAML"),
        ("labels: !!python/name:os.system", "broken YAML"),
        ("labels: \x07", "broken YAML"),
    ],
)
def test_errors_name_the_file_and_the_fix(tmp_path: Path, content: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, content)
    assert expected in str(caught.value)
    assert str(tmp_path / "task.yaml") in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_task(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="ends in"):
        load(tmp_path, "labels: [a]", "task.toml")
    with pytest.raises(ConfigError, match="line 1: broken JSON"):
        load(tmp_path, "{", "task.json")
    (tmp_path / "bad.yaml").write_bytes(b"labels: [\xff]")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_task(tmp_path / "bad.yaml")


@pytest.mark.parametrize(
    ("name", "content"),
    [("t.yaml", "labels:\n  a: x\n  a: y\n"), ("t.json", '{"labels": {"a": "x", "a": "y"}}')],
)
def test_a_key_given_twice_is_said_so(tmp_path: Path, name: str, content: str) -> None:
    with pytest.warns(UserWarning, match="more than once in the task file, the last one holds: a"):
        assert load(tmp_path, content, name) == NER({"a": "y"})

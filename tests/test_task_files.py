import json
from pathlib import Path

import pytest
import yaml

from gliner_mt.errors import ConfigError
from gliner_mt.task_files import AnyTask, load_task, task_from_dict, task_to_dict
from gliner_mt.tasks import NER, QA, Classification, OpenIE, RelationLabel, Relations, Several, Summary

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


def load(tmp_path: Path, content: str, name: str = "task.yaml") -> AnyTask:
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


@pytest.mark.parametrize(
    "task",
    [
        Relations(["near", "met"], ["person"], threshold=0.3, entity_threshold=0.4, max_spans=9),
        Relations({"works for": ("person", ["company", "school"]), "near": "is close to"}),
        Relations(
            {"met": RelationLabel(head="a", tail="a", symmetric=True, threshold=0.1, description="x y")}
        ),
        Relations(["near"], spans=[(0, 3), (4, 9, "city")]),
        Relations(["near"], spans=[]),
        QA("Who?"),
        QA(["Who?", "Where?", "Who?"], threshold=0.2, top=1),
        OpenIE(threshold=0.1, span_threshold=0.2),
        Summary(),
        Summary(max_sentences=2, max_words=50, threshold=0.1),
        Classification({"a": "about a", "b": ("", 0.2)}, multi_label=True, threshold=0.5),
        Several(who=NER(["a"]), gist=Summary(max_words=9), both=Several(one=OpenIE(), two=QA("Who?"))),
    ],
)
def test_every_task_is_written_and_read(tmp_path: Path, task: AnyTask) -> None:
    values = task_to_dict(task)
    assert task_from_dict(values) == task
    assert load(tmp_path, yaml.safe_dump(values, sort_keys=False)) == task
    assert load(tmp_path, json.dumps(values), "task.json") == task


def test_a_file_of_relations(tmp_path: Path) -> None:
    content = """\
task: relations
relations:
  works for: {head: person, tail: [company, school], threshold: 0.4}
  married to: {head: person, tail: person, symmetric: true}
  born in: [person, city]
  near: is close to
  met:
entities: [person, company, school, city]
"""
    assert load(tmp_path, content) == Relations(
        {
            "works for": RelationLabel(head="person", tail=["company", "school"], threshold=0.4),
            "married to": RelationLabel(head="person", tail="person", symmetric=True),
            "born in": ("person", "city"),
            "near": "is close to",
            "met": "",
        },
        ["person", "company", "school", "city"],
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("task: relation\nrelations: [a]", 'task is "relation"; expected one of ner, relations'),
        ("task: [a]", 'task is ["a"]; expected one of'),
        ("task: qa", "no questions; expected a question or a list"),
        ("task: qa\nquestions: ['']", "question '' is empty"),
        ("task: qa\nquestion: [a]", "unknown key 'question'; did you mean 'questions'?"),
        ("task: summary\nmax_words: many", "max_words is 'many'"),
        ("task: openie\nthreshold: high", 'threshold is "high"; expected a number'),
        ("task: classification\nlabels: [a]", "labels has one class"),
        ("task: classification\nlabels: [a, b]\nmulti_label: 1", "multi_label is 1; expected true or false"),
        ("task: relations\nrelations: near", 'relations is "near"; expected a list'),
        ("task: relations\nrelations: {a: {heads: b}}", "'a': unknown key 'heads'; did you mean 'head'?"),
        ("task: relations\nrelations: {a: {head: 3}}", "head of relation 'a' is 3"),
        ("task: relations\nrelations: {a: {description: 3}}", "description is 3; expected a string"),
        (
            "task: relations\nrelations: {a: [b, c]}\nentities: [b]",
            "names the type 'c', which is not asked for",
        ),
        ("task: relations\nrelations: [a]\nspans: [[3, 1]]", "span [3, 1] is none"),
        ("task: several", "no tasks; expected a mapping"),
        ("task: several\ntasks: [a]", 'tasks is ["a"]; expected a mapping from names'),
        ("task: several\ntasks: {a: {labels: []}}", "tasks: a: labels is empty"),
    ],
)
def test_errors_of_other_tasks(tmp_path: Path, content: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, content)
    assert expected in str(caught.value)

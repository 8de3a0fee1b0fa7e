import gzip
import json
import pickle
import tracemalloc
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from texts import any_text
from tiny_models import tiny_config

from gliner_mt.build import build_labels
from gliner_mt.errors import InputError
from gliner_mt.formats import ExampleFile, read_examples
from gliner_mt.formats.records import entity_record, parse_example
from gliner_mt.tokenization import WordTokenizer
from gliner_mt.train.entities import Source, entity_rows
from gliner_mt.train.sampling import RowSampler, SamplingConfig
from gliner_mt.types import Entity, Example


def line(number: int) -> str:
    text = f"Ada met {number} in London"
    place = {"start": 0, "end": 3, "label": "person"}
    return json.dumps({"text": text, "entities": [place], "labels": ["city", "person"]})


def example(number: int) -> Example:
    return Example(f"Ada met {number} in London", (Entity(0, 3, "person"),), ("city", "person"))


def rows(path: Path, count: int) -> Path:
    content = "\n".join(line(number) for number in range(count)).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(any_text | st.none(), max_size=8), st.booleans(), st.sampled_from(["\n", "\r\n"]), st.booleans()
)
def test_a_file_is_the_list_of_its_examples(
    tmp_path: Path, texts: list[str | None], ascii_only: bool, end: str, marked: bool
) -> None:
    """None is a blank line."""
    lines = [
        "  "
        if text is None
        else json.dumps(entity_record(Example(text, (), ("x",))), ensure_ascii=ascii_only)
        for text in texts
    ]
    path = tmp_path / "some.jsonl"
    content = end.join(lines).encode("utf-8", errors="replace")
    path.write_bytes(b"\xef\xbb\xbf" + content if marked and lines else content)
    expected = list(read_examples(path))
    stored = ExampleFile(path, parse_example)
    assert [stored[number] for number in range(len(stored))] == expected
    assert list(stored) == expected
    assert stored[-2:] == expected[-2:]
    assert stored[::-1] == expected[::-1]
    with pytest.raises(IndexError):
        stored[len(expected)]


@pytest.mark.parametrize("name", ["some.jsonl", "some.jsonl.gz"])
def test_the_sampler_draws_from_disk_as_from_memory(
    tmp_path: Path, tokenizer: WordTokenizer, name: str
) -> None:
    stored = ExampleFile(rows(tmp_path / name, 50), parse_example)
    pools = []
    for examples in (stored, list(stored)):
        labels = build_labels(tiny_config(), tokenizer)
        config = SamplingConfig(rows_per_pool=20)
        sources = entity_rows([Source("set", examples, 1.0)], labels, {}, config, 4)
        sampler = RowSampler(sources, labels, config, seed=0)
        pools.append([batch.batch.ids.tolist() for batch in sampler.pool(0, 256)])
    assert pools[0] == pools[1]


def test_an_unpacked_copy_goes_with_its_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    stored = ExampleFile(rows(tmp_path / "some.jsonl.gz", 5), parse_example)
    assert len(list(scratch.iterdir())) == 1
    copy = pickle.loads(pickle.dumps(stored))
    assert copy[4] == stored[4] == example(4)
    del copy
    assert stored[3] == example(3)
    del stored
    assert not list(scratch.iterdir())
    (tmp_path / "cut.gz").write_bytes(gzip.compress(line(1).encode() * 100)[:-20])
    with pytest.raises(InputError, match="whole if gzipped"):
        ExampleFile(tmp_path / "cut.gz", parse_example)
    assert not list(scratch.iterdir())


def test_memory_does_not_grow_with_the_texts(tmp_path: Path) -> None:
    count = 100_000
    path = rows(tmp_path / "many.jsonl", count)
    random = Random(0)
    tracemalloc.start()
    try:
        stored = ExampleFile(path, parse_example)
        for _ in range(500):
            number = random.randrange(count)
            assert stored[number].text == f"Ada met {number} in London"
        read = sum(1 for one, _ in zip(stored, range(2_000), strict=False) if one.entities)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert read == 2_000
    assert len(stored) == count
    # 8 bytes an example, with room to grow; the texts alone are ten times that.
    assert peak < 16 * count < path.stat().st_size / 5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "a", oops}', r"line 4: broken JSON at column 15 \(Expecting property name"),
        ('{"text": "a", "entities": [{}]}', r"line 4: entities\[0\]: no field 'start'"),
        ("[]", "line 4: a JSON list"),
        ("\udcff", "line 4: byte 0xff at 0 is no UTF-8; save the file as UTF-8"),
    ],
)
def test_a_corrupt_line_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "some.jsonl"
    lines = [line(0), "", line(1), content, line(2)]
    path.write_bytes("\n".join(lines).encode(errors="surrogateescape"))
    stored = ExampleFile(path, parse_example)
    assert (stored[0], stored[3]) == (example(0), example(2))
    with pytest.raises(InputError, match=rf"some\.jsonl, {message}"):
        stored[2]
    with pytest.raises(InputError, match=rf"some\.jsonl, {message}"):
        list(stored)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no file .*none\.jsonl"):
        ExampleFile(tmp_path / "none.jsonl", parse_example)

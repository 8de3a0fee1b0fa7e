import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gliner_mt.errors import InputError
from gliner_mt.sources import Reading, Record, find_sources, read_sources

WriteFile = Callable[[str, str | bytes], Path]


def read(
    *inputs: str | Path, texts: Sequence[str] = (), stdin: bytes | None = None, **reading: object
) -> list[object]:
    stream = io.BytesIO(stdin or b"")
    sources = find_sources([str(name) for name in inputs], texts, stream, piped=stdin is not None)
    return list(read_sources(sources, Reading(**reading)))  # type: ignore[arg-type]


def records(items: Sequence[object]) -> list[tuple[str, int | None]]:
    assert all(isinstance(item, Record) for item in items), items
    return [(item.text, item.row) for item in items if isinstance(item, Record)]


def message(items: Sequence[object]) -> str:
    errors = [item for item in items if isinstance(item, InputError)]
    assert len(errors) == 1, items
    assert "\n" not in str(errors[0])
    return str(errors[0])


@pytest.fixture
def file(tmp_path: Path) -> WriteFile:
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_a_single_input_that_is_no_file_is_a_text() -> None:
    assert read("Ada lives in Paris.") == [Record("Ada lives in Paris.", "text")]


def test_an_empty_or_overlong_text_is_a_text() -> None:
    assert records(read("")) == [("", None)]
    assert records(read("word " * 10_000)) == [("word " * 10_000, None)]


def test_texts_are_texts_whatever_they_look_like(file: WriteFile) -> None:
    path = str(file("a.txt", "content"))
    assert records(read(texts=[path, "-"])) == [(path, 1), ("-", 2)]


@pytest.mark.parametrize("name", ["missing.txt", "my notes.MD", "data/notes", "x.parquet"])
def test_what_looks_like_a_missing_file_is_not_taken_for_a_text(name: str) -> None:
    assert "there is no file" in message(read(name))
    assert "--text" in message(read(name))


def test_of_several_inputs_all_are_files(file: WriteFile) -> None:
    items = read(file("a.txt", "one"), "Ada")
    assert records(items[:1]) == [("one", None)]
    assert "no file 'Ada'" in message(items)


def test_stdin_is_read_when_piped_and_nothing_else_is_given() -> None:
    assert read(stdin=b"a\nb") == [Record("a\nb", "stdin", None, 3)]
    assert records(read("-", stdin=b"a\nb")) == [("a\nb", None)]
    assert records(read("x", stdin=b"a\nb")) == [("x", None)]
    assert records(read(texts=["x"], stdin=b"a\nb")) == [("x", None)]
    assert read() == []


def test_lines_keep_their_numbers_blank_ones_too() -> None:
    assert records(read(stdin=b"a\r\n\nb", lines=True)) == [("a", 1), ("", 2), ("b", 3)]


def test_plain_text_keeps_every_character_but_the_byte_order_mark(file: WriteFile) -> None:
    path = file("a.md", b"\xef\xbb\xbf# \xf0\x9f\x98\x80\r\n\x00end\r")
    assert records(read(path)) == [("# \U0001f600\r\n\x00end\r", None)]


def test_bad_utf8_names_byte_and_offset(file: WriteFile) -> None:
    assert "a.txt is not UTF-8: byte 0xe9 at offset 3" in message(read(file("a.txt", b"caf\xe9")))
    assert "at offset 6" in message(read(file("b.txt", b"\xef\xbb\xbfcaf\xe9")))


def test_bad_utf8_in_one_line_leaves_the_others(file: WriteFile) -> None:
    items = read(file("a.txt", b"one\ntw\xff\nthree"), lines=True)
    assert "0xff at offset 6" in message(items)
    assert [item.text for item in items if isinstance(item, Record)] == ["one", "three"]


def test_a_folder_and_an_unknown_kind_of_file_are_errors(file: WriteFile, tmp_path: Path) -> None:
    assert "is a folder" in message(read(tmp_path))
    assert ".jsonl" in message(read(file("a.docx", b"PK")))


def test_an_unreadable_file_is_an_error(file: WriteFile, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file("a.txt", "x")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", refuse)
    assert "Permission denied" in message(read(path))


def test_jsonl_rows_are_lines(file: WriteFile) -> None:
    path = file("a.jsonl", '\ufeff{"text": "one"}\n\n{"id": 1, "text": "twö \\n"}')
    assert records(read(path)) == [("one", 1), ("twö \n", 3)]
    assert sum(item.size for item in read(path) if isinstance(item, Record)) == path.stat().st_size - 1


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"text": "a"', "line 2: broken JSON at column 13"),
        ('["a"]', "line 2: a JSON list; expected an object"),
        (
            '{"body": "a", "id": 1}',
            "line 2: no column 'text'; it has: body, id. Choose one with --text-column",
        ),
        ('{"text": null}', "line 2: column 'text' holds null"),
        ('{"text": 5}', "line 2: column 'text' holds a int"),
        ("[" * 100_000, "line 2: "),
    ],
)
def test_a_broken_jsonl_line_leaves_the_others(file: WriteFile, line: str, expected: str) -> None:
    items = read(file("a.jsonl", f'{{"text": "one"}}\n{line}\n{{"text": "three"}}\n'))
    assert expected in message(items)
    assert [item.row for item in items if isinstance(item, Record)] == [1, 3]


def test_jsonl_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one"}\nbroken\n')
    items = read_sources(find_sources([str(path)], [], io.BytesIO(), piped=False), Reading())
    assert next(items) == Record("one", str(path), 1, 16)


def test_csv_cells_may_hold_line_breaks_and_long_texts(file: WriteFile) -> None:
    long = "word " * 50_000
    path = file("a.csv", f'id,body\r\n1,"one\r\ntwo, ""three"""\r\n\r\n2,{long}\r\n')
    items = read(path, text_column="body")
    assert records(items) == [('one\r\ntwo, "three"', 1), (long, 2)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "is empty; expected a header row with a column 'text'"),
        ("id;text\n1;a\n", "no column 'text'; it has: id;text."),
        ('id,text\n1,"a\n', "broken CSV"),
        ("id,text\n1\n", "line 2: 1 cells"),
        (b"id,text\n1,caf\xe9\n", "0xe9 at offset 13"),
    ],
)
def test_broken_csv(file: WriteFile, content: str | bytes, expected: str) -> None:
    assert expected in message(read(file("a.csv", content)))


def test_a_short_csv_row_leaves_the_others(file: WriteFile) -> None:
    items = read(file("a.csv", "id,text\n1\n2,b\n"))
    assert [(item.text, item.row) for item in items if isinstance(item, Record)] == [("b", 2)]


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": [1, 2, 3], "text": ["one", None, "three"]}), path)
    items = read(path)
    assert "row 2: column 'text' holds null" in message(items)
    assert [(item.text, item.row) for item in items if isinstance(item, Record)] == [("one", 1), ("three", 3)]
    assert "no column 'body'; it has: id, text" in message(read(path, text_column="body"))


def test_broken_parquet(file: WriteFile) -> None:
    assert "as parquet" in message(read(file("a.parquet", b"PAR1 no")))


def test_parquet_without_pyarrow_says_what_to_install(
    file: WriteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install gliner_mt[parquet]" in message(read(file("a.parquet", b"")))


def test_a_broken_input_leaves_the_others(file: WriteFile) -> None:
    rows = "\n".join(json.dumps({"text": str(number)}) for number in range(3))
    items = read(file("a.txt", b"\xff"), file("b.jsonl", rows), "none.csv")
    assert [item.text for item in items if isinstance(item, Record)] == ["0", "1", "2"]
    assert sum(isinstance(item, InputError) for item in items) == 2

"""Records out of JSONL and CSV files of any size, one at a time.

Readers take an asynchronous iterator of byte blocks and hold one record. What is wrong with one record becomes a
BadRecord and reading goes on; TooLarge and InvalidInput (field `file`) concern the file as a whole and end it.
"""

import asyncio
import csv
import io
import json
import re
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from collections_admin.cpu import compute
from collections_admin.errors import InvalidInput, TooLarge
from collections_admin.limits import (
    MAX_IMPORT_BYTES,
    MAX_META_KEYS,
    MAX_RECORD_BYTES,
    MAX_RECORDS,
    MAX_TEXT_CHARS,
    MAX_TITLE_CHARS,
    MEGABYTE,
)
from collections_admin.services.validation import check_external_id, check_payload, clean_text

ID_FIELDS = ("id", "external_id")
CONTENT_FIELDS = ("content", "text", "body")
META_FIELDS = ("meta", "metadata")
BLOCK_BYTES = 1 << 16
OFFLOADED_BYTES = 200_000  # a record larger than this is parsed away from the event loop
DELIMITERS = ",;\t|"
_SURROGATE = re.compile("[\ud800-\udfff]")
_TOO_LONG = f"It is larger than {MAX_RECORD_BYTES // MEGABYTE} MB."
_NOT_UTF8 = "It is not UTF-8 text. Save the file as UTF-8."

# One setting for the whole process; the default of 131,072 refuses long texts.
csv.field_size_limit(MAX_RECORD_BYTES)


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """`line` is where it begins in the file, counted from 1. Fields without a meaning of their own are in `meta`."""

    line: int
    external_id: str
    title: str
    content: str
    meta: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class BadRecord:
    """A record left out. `field` is empty when the whole record is at fault."""

    line: int
    field: str
    message: str


async def read_records(blocks: AsyncIterable[bytes], *, file_name: str) -> AsyncIterator[Record | BadRecord]:
    """By the ending of the name: `.csv` or `.tsv`, else JSONL (`.jsonl`, `.ndjson`). Others raise InvalidInput."""
    ending = Path(file_name).suffix.lower()
    if ending not in {".csv", ".tsv", ".jsonl", ".ndjson"}:
        raise InvalidInput("file", "Records come in files ending with .jsonl, .ndjson, .csv or .tsv.")
    read = read_csv if ending in {".csv", ".tsv"} else read_jsonl
    async with aclosing(read(blocks)) as records:
        async for record in records:
            yield record


async def read_jsonl(blocks: AsyncIterable[bytes]) -> AsyncIterator[Record | BadRecord]:
    """One JSON object per line; blank lines are skipped."""
    count = 0
    async with aclosing(_lines(blocks)) as lines:
        async for number, line in lines:
            if line is None or line.strip():
                count = _counted(count)
                yield await _parse(len(line or b""), number, _json_fields, line)


async def read_csv(blocks: AsyncIterable[bytes]) -> AsyncIterator[Record | BadRecord]:
    """A header that names the fields, then rows, with comma, semicolon, tab or bar as the header has it."""
    header: list[str] | None = None
    count = 0
    async with aclosing(_rows(blocks)) as rows:
        async for row in rows:
            if header is None:
                header = _header(row)
                continue
            count = _counted(count)
            yield await _parse(row.size, row.line, _csv_fields, row, header)
    if header is None:
        raise InvalidInput("file", "The file is empty; its first line must name the fields.")


async def file_blocks(path: Path) -> AsyncIterator[bytes]:
    """A stored file in blocks, read away from the event loop."""
    file = await compute(path.open, "rb")
    try:
        while block := await compute(file.read, BLOCK_BYTES):
            yield block
    finally:
        file.close()


async def _parse(size: int, line: int, fields_of: Callable[..., dict[str, Any]], *args: object) -> Record | BadRecord:
    if size > OFFLOADED_BYTES:
        return await compute(_record_or_bad, line, fields_of, *args)
    return _record_or_bad(line, fields_of, *args)


def _record_or_bad(line: int, fields_of: Callable[..., dict[str, Any]], *args: object) -> Record | BadRecord:
    try:
        return _record(line, fields_of(*args))
    except InvalidInput as error:
        return BadRecord(line=line, field=error.field, message=error.message)


def _record(line: int, fields: dict[str, Any]) -> Record:
    """The fields with a meaning are taken out; what is left joins the metadata."""
    external_id = check_external_id(_take(fields, ID_FIELDS), "id")
    content = clean_text(_take(fields, CONTENT_FIELDS), "content", MAX_TEXT_CHARS)
    title = clean_text(fields.pop("title", None), "title", MAX_TITLE_CHARS, required=False)
    meta = next((fields.pop(name) for name in META_FIELDS if name in fields), None)
    meta = {} if meta is None else check_payload(meta)
    if twice := meta.keys() & fields.keys():
        raise InvalidInput(f"meta.{min(twice)[:60]}", "It stands in the metadata and beside it.")
    meta = check_payload(meta | fields)
    return Record(line=line, external_id=external_id, title=title, content=content, meta=meta)


def _take(fields: dict[str, Any], names: tuple[str, ...]) -> object:
    for name in names:
        if name in fields:
            return fields.pop(name)
    raise InvalidInput(names[0], f"The record has no {_either(names)}.")


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(f"“{name}”" for name in names)


def _counted(count: int) -> int:
    if count == MAX_RECORDS:
        raise TooLarge("file", f"The file has more than {MAX_RECORDS:,} records. Split it.")
    return count + 1


# Lines


class _LineBuffer:
    """Blocks in, numbered lines out. A line longer than the largest record comes out as None."""

    def __init__(self) -> None:
        self.number = 1
        self.parts: list[bytes] = []
        self.held = 0

    def feed(self, block: bytes) -> Iterator[tuple[int, bytes | None]]:
        for part in io.BytesIO(block).readlines():
            self.held += len(part)
            if self.held > MAX_RECORD_BYTES:
                self.parts.clear()
            else:
                self.parts.append(part)
            if part.endswith(b"\n"):
                yield from self.rest()

    def rest(self) -> Iterator[tuple[int, bytes | None]]:
        if not self.held:
            return
        line = None if self.held > MAX_RECORD_BYTES else b"".join(self.parts)
        if self.number == 1 and line is not None:
            line = _first_line(line)
        yield self.number, line
        self.parts.clear()
        self.number, self.held = self.number + 1, 0


def _first_line(line: bytes) -> bytes:
    if line.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in line:
        raise InvalidInput("file", "The file is not UTF-8 text. Save it as UTF-8.")
    return line.removeprefix(b"\xef\xbb\xbf")


async def _lines(blocks: AsyncIterable[bytes]) -> AsyncIterator[tuple[int, bytes | None]]:
    buffer = _LineBuffer()
    total = 0
    async for block in blocks:
        total += len(block)
        if total > MAX_IMPORT_BYTES:
            raise TooLarge("file", f"The file is larger than {MAX_IMPORT_BYTES // MEGABYTE} MB. Split it.")
        for numbered in buffer.feed(block):
            yield numbered
        await asyncio.sleep(0)  # blocks may come without ever waiting; others want their turn
    for numbered in buffer.rest():
        yield numbered


# JSON


def _json_fields(line: bytes | None) -> dict[str, Any]:
    if line is None:
        raise InvalidInput("", _TOO_LONG)
    try:
        value = json.loads(line.decode(), object_pairs_hook=_object, parse_int=_integer, parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise InvalidInput("", _NOT_UTF8) from error
    except json.JSONDecodeError as error:
        raise InvalidInput("", f"It is not JSON: {error.msg} (column {error.colno:,}).") from error
    except RecursionError as error:
        raise InvalidInput("", "It is nested too deeply.") from error
    if not isinstance(value, dict):
        raise InvalidInput("", "It is not a JSON object ({…}).")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))
        raise InvalidInput(twice[:60], "The name stands twice in one object.")
    return fields


def _integer(digits: str) -> int:
    if len(digits) > 20:  # 64 bits have 19 and a sign; Python itself refuses thousands with another error
        raise InvalidInput("", f"A number has {len(digits):,} digits; whole numbers must fit into 64 bits.")
    return int(digits)


def _no_number(name: str) -> NoReturn:
    raise InvalidInput("", f"{name} is not a number that can be stored.")


# CSV


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    """The lines of one row, not yet taken apart, or why they cannot be."""

    line: int
    size: int
    lines: list[str]
    delimiter: str
    problem: str = ""


class _RowBuffer:
    """Lines in, rows out: a row goes on while a quoted field is open."""

    def __init__(self) -> None:
        self.delimiter = ""
        self.clear()

    def clear(self) -> None:
        self.lines: list[str] = []
        self.size = 0
        self.is_quoted = False
        self.is_skipping = False  # the rest of a row too long to hold, up to the end of its quoted field

    def feed(self, number: int, line: bytes | None) -> Iterator[_Row]:
        if not self.lines:
            self.start = number
        if line is None:
            yield self.row(f"{_TOO_LONG} Is a quote not closed?")
        elif self.lines or self.is_skipping or line.strip():
            yield from self.add(line)

    def add(self, line: bytes) -> Iterator[_Row]:
        text = line.decode(errors="surrogateescape")
        self.delimiter = self.delimiter or _delimiter(text)
        self.is_quoted = is_quoted = _ends_quoted(text, self.delimiter, is_quoted=self.is_quoted)
        self.size += len(line)
        if self.is_skipping:
            self.is_skipping = is_quoted
        elif self.size > MAX_RECORD_BYTES:
            yield self.row(f"{_TOO_LONG} Is a quote not closed?")
            self.is_skipping = self.is_quoted = is_quoted
        else:
            self.lines.append(text)
            if not is_quoted:
                yield self.row()

    def rest(self) -> Iterator[_Row]:
        if self.lines:
            yield self.row("A quote is opened and never closed.")

    def row(self, problem: str = "") -> _Row:
        row = _Row(line=self.start, size=self.size, lines=self.lines, delimiter=self.delimiter, problem=problem)
        self.clear()
        return row


async def _rows(blocks: AsyncIterable[bytes]) -> AsyncIterator[_Row]:
    buffer = _RowBuffer()
    async with aclosing(_lines(blocks)) as lines:
        async for number, line in lines:
            for row in buffer.feed(number, line):
                yield row
    for row in buffer.rest():
        yield row


def _ends_quoted(line: str, delimiter: str, *, is_quoted: bool) -> bool:
    """Whether a quoted field is open after the line, by the rules of the csv module (which cannot be paused)."""
    if '"' not in line:
        return is_quoted
    at, is_start = 0, not is_quoted
    while True:
        if is_quoted:
            quote = line.find('"', at)
            if quote < 0:
                return True
            is_quoted = line.startswith('"', quote + 1)
            at = quote + 2 if is_quoted else quote + 1
        elif is_start and line.startswith('"', at):
            at, is_quoted, is_start = at + 1, True, False
        else:
            end = line.find(delimiter, at)
            if end < 0:
                return False
            at, is_start = end + 1, True


def _delimiter(header: str) -> str:
    unquoted = re.sub(r'"[^"]*"', "", header)
    return max(DELIMITERS, key=unquoted.count)


def _cells(row: _Row) -> list[str]:
    if row.problem:
        raise InvalidInput("", row.problem)
    if any(_SURROGATE.search(line) for line in row.lines):
        raise InvalidInput("", _NOT_UTF8)
    try:
        (cells,) = csv.reader(row.lines, delimiter=row.delimiter)
    except (csv.Error, ValueError) as error:
        raise InvalidInput("", f"It is not a row of CSV: {error}.") from error
    return cells


def _header(row: _Row) -> list[str]:
    try:
        names = [_field_name(cell) for cell in _cells(row)]
    except InvalidInput as error:
        raise InvalidInput("file", f"The first line must name the fields. {error.message}") from error
    given = [name for name in names if name]
    if len(given) > MAX_META_KEYS:
        raise InvalidInput("file", f"The first line names more than {MAX_META_KEYS:,} fields.")
    if len(set(given)) < len(given):
        twice = next(name for name in given if given.count(name) > 1)
        raise InvalidInput("file", f"The first line names “{twice[:60]}” twice.")
    for wanted in (ID_FIELDS, CONTENT_FIELDS):
        if not set(wanted) & set(given):
            raise InvalidInput("file", f"The first line must name the fields; it has no {_either(wanted)}.")
    return names


def _field_name(cell: str) -> str:
    name = cell.strip()
    known = {*ID_FIELDS, *CONTENT_FIELDS, *META_FIELDS, "title"}
    return name.lower() if name.lower() in known else name


def _csv_fields(row: _Row, header: list[str]) -> dict[str, Any]:
    """Empty cells without a meaning of their own are left out; so are columns without a name."""
    cells = _cells(row)
    if len(cells) != len(header):
        raise InvalidInput("", f"It has {len(cells):,} fields; the first line names {len(header):,}.")
    needed = {*ID_FIELDS, *CONTENT_FIELDS}
    fields: dict[str, Any] = {
        name: cell for name, cell in zip(header, cells, strict=True) if name and (cell or name in needed)
    }
    for name in META_FIELDS:
        if name in fields:
            fields[name] = _meta_cell(name, fields[name])
    return fields


def _meta_cell(name: str, cell: str) -> dict[str, Any]:
    try:
        return _json_fields(cell.encode())
    except InvalidInput as error:
        raise InvalidInput(name, f"The column must hold a JSON object. {error.message}") from error

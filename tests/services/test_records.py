import csv
import io
import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collections_admin.errors import InvalidInput, TooLarge
from collections_admin.services import records as reading
from collections_admin.services.records import BadRecord, Record, file_blocks, read_csv, read_jsonl, read_records


async def blocks_of(content, size=7):
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def all_of(read, content, size=1 << 16):
    if isinstance(content, str):
        content = content.encode()
    return [record async for record in read(blocks_of(content, size))]


async def only(read, content):
    (record,) = await all_of(read, content)
    return record


# JSONL


async def test_fields_without_a_meaning_of_their_own_join_the_metadata():
    line = {"id": 7, "title": " T ", "content": "C", "meta": {"a": 1}, "state": "open", "labels": ["x"]}
    assert await only(read_jsonl, json.dumps(line)) == Record(
        line=1, external_id="7", title="T", content="C", meta={"a": 1, "state": "open", "labels": ["x"]}
    )


@pytest.mark.parametrize("name", ["content", "text", "body"])
async def test_content_has_three_names(name):
    assert (await only(read_jsonl, json.dumps({"id": "a", name: "C"}))).content == "C"


async def test_blank_lines_a_byte_order_mark_and_windows_line_ends_do_not_matter():
    content = b'\xef\xbb\xbf{"id": "a", "text": "x"}\r\n\r\n  \n{"id": "b", "text": "y"}'
    for size in (1, 2, 5, 100):
        found = await all_of(read_jsonl, content, size)
        assert [(record.line, record.external_id) for record in found] == [(1, "a"), (4, "b")]


BAD_LINES = {
    "not json": ('{"id": 1,', "", "not JSON"),
    "not an object": ('["a"]', "", "not a JSON object"),
    "no id": ('{"content": "x"}', "id", "no “id”"),
    "null id": ('{"id": null, "content": "x"}', "id", "empty"),
    "object as id": ('{"id": {}, "content": "x"}', "id", "an object"),
    "no content": ('{"id": "a"}', "content", "“content” or “text” or “body”"),
    "blank content": ('{"id": "a", "content": " "}', "content", "empty"),
    "number as content": ('{"id": "a", "content": 1}', "content", "a number"),
    "nul in content": ('{"id": "a", "content": "\\u0000"}', "content", "NUL"),
    "surrogate in content": ('{"id": "a", "content": "\\ud800"}', "content", "surrogate"),
    "list as title": ('{"id": "a", "content": "x", "title": []}', "title", "a list"),
    "long title": (json.dumps({"id": "a", "content": "x", "title": "t" * 501}), "title", "at most 500"),
    "name twice": ('{"id": "a", "content": "x", "id": "b"}', "id", "twice"),
    "NaN": ('{"id": "a", "content": "x", "n": NaN}', "", "NaN"),
    "infinite": ('{"id": "a", "content": "x", "n": 1e999}', "meta.n", "infinite"),
    "5,000 digits": ('{"id": "a", "content": "x", "n": ' + "9" * 5000 + "}", "", "5,000 digits"),
    "65 bits": ('{"id": "a", "content": "x", "n": 18446744073709551616}', "meta.n", "between"),
    "deep": ('{"id": "a", "content": "x", "n": ' + "[" * 20 + "]" * 20 + "}", "meta.n" + "[0]" * 15, "16 levels"),
    "absurdly deep": ("[" * 200_000, "", "nested too deeply"),
    "list as meta": ('{"id": "a", "content": "x", "meta": [1]}', "meta", "a list"),
    "meta twice": ('{"id": "a", "content": "x", "meta": {"k": 1}, "k": 2}', "meta.k", "beside"),
    "not utf-8": (b'{"id": "a", "content": "\xff\xfe"}', "", "UTF-8"),
}


@pytest.mark.parametrize(("line", "field", "words"), BAD_LINES.values(), ids=BAD_LINES)
async def test_a_bad_line_is_reported_and_reading_goes_on(line, field, words):
    line = line.encode() if isinstance(line, str) else line
    good = b'{"id": "good", "content": "x"}\n'
    before, bad, after = await all_of(read_jsonl, good + line + b"\n" + good)
    assert isinstance(bad, BadRecord)
    assert (bad.line, bad.field) == (2, field)
    assert words in bad.message
    assert (before.external_id, after.external_id, after.line) == ("good", "good", 3)


async def test_a_line_too_long_to_hold_is_reported_and_reading_goes_on(monkeypatch):
    monkeypatch.setattr(reading, "MAX_RECORD_BYTES", 1000)
    good = '{"id": "good", "content": "x"}\n'
    bad, after = await all_of(read_jsonl, "x" * 5000 + "\n" + good, size=64)
    assert isinstance(bad, BadRecord)
    assert (after.line, after.external_id) == (2, "good")


@pytest.mark.parametrize("read", [read_jsonl, read_csv])
async def test_too_many_records_end_the_reading(monkeypatch, read):
    monkeypatch.setattr(reading, "MAX_RECORDS", 3)
    header = "id,content\n" if read is read_csv else ""
    line = "a,x\n" if read is read_csv else '{"id": "a", "content": "x"}\n'
    assert len(await all_of(read, header + line * 3)) == 3
    with pytest.raises(TooLarge, match="more than 3 records") as caught:
        await all_of(read, header + line * 4)
    assert caught.value.field == "file"


async def test_a_file_too_large_ends_the_reading(monkeypatch):
    monkeypatch.setattr(reading, "MAX_IMPORT_BYTES", 100)
    with pytest.raises(TooLarge, match="MB"):
        await all_of(read_jsonl, "\n" * 101)


async def test_large_records_are_read_like_small_ones():
    text = "word " * 100_000
    record = await only(read_jsonl, json.dumps({"id": "a", "content": text}))
    assert record.content == text.strip()


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=10)
fields = st.dictionaries(
    names.filter(
        lambda name: name not in {"id", "external_id", "content", "text", "body", "meta", "metadata", "title"}
    ),
    names | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.none(),
    max_size=4,
)


@given(st.lists(fields, max_size=6), st.integers(1, 50))
@settings(deadline=None, max_examples=60)
async def test_jsonl_comes_back_as_written(metas, size):
    lines = [json.dumps({"id": str(n), "content": "x", **meta}, ensure_ascii=False) for n, meta in enumerate(metas)]
    found = await all_of(read_jsonl, "\n".join(lines), size)
    assert [record.meta for record in found] == metas


async def test_memory_does_not_grow_with_the_number_of_records():
    async def peak(count):
        async def blocks():
            line = json.dumps({"id": "a", "content": "x" * 500}).encode() + b"\n"
            for _ in range(count // 100):
                yield line * 100

        tracemalloc.start()
        seen = 0
        async for _ in read_jsonl(blocks()):
            seen += 1
        assert seen == count
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    await peak(100)
    assert await peak(10_000) < 2 * await peak(1_000)


# CSV


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
async def test_the_separator_is_the_one_of_the_header(delimiter):
    rows = [["ID", "Title", "Content", "price, net"], ["1", "T", 'say "hi"; now\nand, then|\there', "2"]]
    written = io.StringIO()
    csv.writer(written, delimiter=delimiter).writerows(rows)
    for size in (1, 3, 1000):
        (record,) = await all_of(read_csv, "\ufeff" + written.getvalue(), size)
        assert (record.line, record.external_id, record.title) == (2, "1", "T")
        assert record.content == rows[1][2]
        assert record.meta == {"price, net": "2"}


async def test_lines_are_counted_through_quoted_line_ends():
    content = 'id,text\na,"one\ntwo\n\nthree"\n\nb,x\n'
    found = await all_of(read_csv, content)
    assert [(record.line, record.external_id) for record in found] == [(2, "a"), (7, "b")]
    assert found[0].content == "one\ntwo\n\nthree"


async def test_quotes_inside_an_unquoted_field_are_just_characters():
    found = await all_of(read_csv, 'id,text\na,5" disk\nb,"5"" disk"\nc,x"y"\n')
    assert [record.content for record in found] == ['5" disk', '5" disk', 'x"y"']


async def test_empty_cells_and_columns_without_a_name_are_left_out():
    record = await only(read_csv, "id,text,state,\na,x,,y\n")
    assert record.meta == {}


async def test_a_meta_column_holds_an_object():
    record = await only(read_csv, 'id,text,meta\na,x,"{""k"": [1]}"\n')
    assert record.meta == {"k": [1]}


@pytest.mark.parametrize(
    ("row", "field", "words"),
    [
        ("a", "", "1 fields"),
        ("a,x,y,z", "", "4 fields"),
        (",x,", "id", "empty"),
        ("a,,", "content", "empty"),
        ("a,x\x00,", "content", "NUL"),
        ("a,x,oops", "meta", "JSON"),
        ("a,x,[1]", "meta", "JSON object"),
        ("a,x\ry,", "", "CSV"),
        (b"a,\xff,", "", "UTF-8"),
    ],
)
async def test_a_bad_row_is_reported_and_reading_goes_on(row, field, words):
    row = row.encode() if isinstance(row, str) else row
    bad, after = await all_of(read_csv, b"id,text,meta\n" + row + b"\ngood,x,\n")
    assert (bad.line, bad.field) == (2, field)
    assert words in bad.message
    assert after.external_id == "good"


async def test_a_quote_never_closed_is_reported_where_it_begins():
    good, bad = await all_of(read_csv, 'id,text\na,x\nb,"y\nc,z\n')
    assert good.external_id == "a"
    assert (bad.line, bad.field) == (3, "")
    assert "never closed" in bad.message


async def test_a_row_too_long_to_hold_is_reported(monkeypatch):
    monkeypatch.setattr(reading, "MAX_RECORD_BYTES", 100)
    found = await all_of(read_csv, 'id,text\na,"' + "line\n" * 30 + '"\nb,x\n')
    assert "quote" in found[0].message
    assert found[-1].external_id == "b"


async def test_a_field_longer_than_the_csv_module_allows_is_read():
    text = "x" * 500_000
    assert (await only(read_csv, f"id,text\na,{text}\n")).content == text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "empty"),
        ("\n\n", "empty"),
        ("title,text\n", "“id”"),
        ("id,title\n", "“content”"),
        ("id,text,a,a\n", "“a” twice"),
        ('id,"text\n', "never closed"),
        ("id,text," + ",".join(f"c{n}" for n in range(1000)), "1,000"),
        (b"\xff\xfei\x00d\x00", "UTF-8"),
        (b"id,te\xff\n", "UTF-8"),
        (b"PK\x03\x04\x00\x00", "UTF-8"),
    ],
)
async def test_a_header_that_names_no_records_is_refused(content, words):
    with pytest.raises(InvalidInput, match=words) as caught:
        await all_of(read_csv, content)
    assert caught.value.field == "file"


cells = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from('",;\t\n|'), max_size=12)


@given(st.lists(cells.map(lambda cell: f"x{cell}x"), max_size=5), st.sampled_from(",;\t"), st.integers(1, 40))
@settings(deadline=None, max_examples=80)
async def test_csv_comes_back_as_the_csv_module_writes_it(contents, delimiter, size):
    written = io.StringIO()
    writer = csv.writer(written, delimiter=delimiter)
    writer.writerows([["id", "content"], *([str(n), content] for n, content in enumerate(contents))])
    found = await all_of(read_csv, written.getvalue(), size)
    assert [record.content for record in found] == contents


# Files


async def test_a_stored_file_is_read_by_its_ending(tmp_path):
    path = tmp_path / "records"
    path.write_text("id;text\na;x\n")
    (record,) = [record async for record in read_records(file_blocks(path), file_name="Export.CSV")]
    assert record.content == "x"


@pytest.mark.parametrize("file_name", ["a.xlsx", "a", "", "a.json"])
async def test_other_files_hold_no_records(file_name):
    with pytest.raises(InvalidInput, match="jsonl"):
        [record async for record in read_records(blocks_of(b"x"), file_name=file_name)]

import asyncio
import io
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import docx
import pypdf
import pytest
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from collections_admin import limits
from collections_admin.errors import TooLarge, UnreadableDocument
from collections_admin.services import parsing
from collections_admin.services.parsing import ParseLimits, detect_media_type, parse


def pdf(*pages, password=None, title=None):
    """A PDF with a line of Helvetica per page; an empty string gives an empty page."""
    writer = pypdf.PdfWriter()
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
        }
    )
    for text in pages:
        page = writer.add_blank_page(300, 300)
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})}
        )
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F1 12 Tf 20 200 Td ({text}) Tj ET".encode() if text else b"")
        page[NameObject("/Contents")] = stream
    if title:
        writer.add_metadata({"/Title": title})
    if password is not None:
        writer.encrypt(password, owner_password="owner", algorithm="RC4-128")
    return written(writer.write)


def written(write):
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def word(build):
    document = docx.Document()
    build(document)
    return written(document.save)


def archive(**parts):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in parts.items():
            file.writestr(name, content)
    return buffer.getvalue()


async def refusal(content, file_name, error=UnreadableDocument, **kwargs):
    with pytest.raises(error) as caught:
        await parse(content, file_name=file_name, **kwargs)
    assert caught.value.field == "file"
    return caught.value.message


# Plain text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"plain", "plain"),
        ("\ufeffwith a mark".encode(), "with a mark"),
        ("größer".encode("utf-16"), "größer"),
        ("größer".encode("utf-16-be").join([b"\xfe\xff", b""]), "größer"),
        ("größer".encode("utf-32"), "größer"),
        ("Ein größerer Satz – auf Windows".encode("cp1252"), "Ein größerer Satz – auf Windows"),
        (b"one\r\ntwo  \r\n\r\n\r\n\r\n\r\n\r\nthree\rfour\n", "one\ntwo\n\n\nthree\nfour"),
    ],
)
async def test_text_files_are_decoded(content, text):
    parsed = await parse(content, file_name="notes.txt")
    assert (parsed.text, parsed.title, parsed.media_type, parsed.pages) == (text, "notes", "text/plain", None)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b" \n\t", "holds no text"),
        (b"a\x00b", "binary"),
        (bytes(range(1, 32)) * 9, "binary"),
        ("Привет, как дела".encode("koi8-r"), "UTF-8"),
        (b"\xff\xfeabc", "UTF-16"),
        (b"caf\x81", "UTF-8"),
    ],
)
async def test_text_that_cannot_be_decoded_is_refused(content, words):
    message = await refusal(content, "notes.txt")
    assert message.startswith("“notes.txt” ")
    assert words in message


async def test_long_runs_of_blanks_do_not_stall_the_reading():
    content = b"a" + b" " * 1_000_000 + b"b" + b"\n" * 900_000
    assert (await parse(content, file_name="a.txt")).text.endswith("b")


async def test_a_stored_file_is_read_from_its_path(tmp_path):
    path = tmp_path / "stored"
    path.write_bytes(b"hello")
    assert (await parse(path, file_name="notes.txt")).text == "hello"
    assert "Upload it again" in await refusal(tmp_path / "gone", "notes.txt")


async def test_too_many_bytes_or_characters_are_refused_with_the_limit(monkeypatch):
    monkeypatch.setattr(limits, "MAX_TEXT_CHARS", 10)
    assert "more than 10 characters" in await refusal(b"x" * 11, "a.txt", TooLarge)
    monkeypatch.setattr(limits, "MAX_UPLOAD_BYTES", 2_000_000)
    assert "larger than 2 MB" in await refusal(b"x" * 2_000_001, "a.txt", TooLarge)


# What a file is


@pytest.mark.parametrize(
    ("head", "file_name", "declared", "expected"),
    [
        (b"%PDF-1.7", "a.PDF", None, parsing.PDF),
        (b"%PDF-1.7", "a", None, parsing.PDF),
        (b"PK\x03\x04", "a.docx", None, parsing.DOCX),
        (b"# Title", "a.md", "application/pdf", parsing.MARKDOWN),
        (b"# Title", "a", "text/markdown; charset=utf-8", parsing.MARKDOWN),
        (b"<!DOCTYPE HTML>", "a", None, parsing.HTML),
        (b"<html>", "a.txt", None, parsing.TEXT),
        (b"text", "a", "application/pdf", parsing.TEXT),
    ],
)
def test_content_and_name_together_say_what_a_file_is(head, file_name, declared, expected):
    assert detect_media_type(head, file_name=file_name, media_type=declared) == expected


@pytest.mark.parametrize(
    ("head", "file_name", "words"),
    [
        (b"text", "a.pdf", "plain text by its content, not PDF"),
        (b"%PDF-1.7", "a.txt", "PDF by its content"),
        (b"PK\x03\x04", "a.pdf", "Word"),
        (b"text", "a.exe", "txt, md, html, pdf, docx"),
        (b"\xd0\xcf\x11\xe0", "a.docx", "password"),
        (b"\x89PNG", "a.txt", "a picture"),
        (b"{\\rtf1", "a.txt", "RTF"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_to_do(head, file_name, words):
    with pytest.raises(UnreadableDocument, match=words):
        detect_media_type(head, file_name=file_name)


async def test_names_are_shown_without_folders_and_shortened():
    assert "/" not in await refusal(b"", "../../etc/passwd.txt")
    assert len(await refusal(b"", "x" * 5000 + ".txt")) < 200


# Markdown and HTML


async def test_markdown_keeps_headings_lists_and_code():
    source = (
        "---\ntitle: 'Front'\nother: 1\n---\n# Head *one*\n\nPara **bold** [link](http://x) `code`\n\n"
        "- a\n- b\n  1. c\n\n| h | i |\n|---|---|\n| 1 | 2 |\n\n```py\ndef f():\n    return 1\n```\n\n<p>raw <b>html</b></p>\n"
    )
    parsed = await parse(source.encode(), file_name="a.md")
    assert parsed.title == "Front"
    assert parsed.text == (
        "# Head one\n\nPara bold link code\n\n- a\n- b\n  1. c\n\nh | i\n1 | 2\n\ndef f():\n    return 1\n\nraw html"
    )


async def test_the_first_heading_of_markdown_is_its_title():
    assert (await parse(b"intro\n\n# The *title*\n\n# Other", file_name="a.md")).title == "The title"


async def test_html_becomes_its_visible_text():
    page = (
        "<html><head><title> A\n title </title><style>x{}</style></head><body><nav>menu</nav><h1>Top</h1>"
        "<p>Hello <b>wo</b>rld,\nnew line</p><ul><li>one</li><li>two</li></ul><script>bad()</script>"
        "<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>"
        "<pre>  def f():\n\n    pass</pre>after<br>break</body></html>"
    )
    parsed = await parse(page.encode(), file_name="a.html")
    assert parsed.title == "A title"
    assert parsed.text == (
        "# Top\n\nHello world, new line\n\n- one\n- two\n\na | b\n1 | 2\n\n  def f():\n\n    pass\n\nafter\nbreak"
    )


async def test_html_may_name_its_own_encoding():
    page = '<meta charset="koi8-r"><p>Привет</p>'.encode("koi8-r")
    assert (await parse(page, file_name="a.htm")).text == "Привет"


@pytest.mark.parametrize("page", [b"<html></html>", b"<script>x</script>", b"<p> &nbsp; </p>"])
async def test_a_page_without_text_is_refused(page):
    assert "holds no text" in await refusal(page, "a.html")


async def test_a_page_of_very_many_line_breaks_is_read():
    assert (await parse(b"<br>" * 300_000 + b"x", file_name="a.html")).text == "x"


async def test_a_page_nested_absurdly_deep_is_refused():
    quick = ParseLimits(cpu_seconds=1)
    message = await refusal(b"<div>" * 300_000 + b"x", "a.html", parse_limits=quick)
    assert "longer than 1 s" in message or "could not be read" in message


# PDF


async def test_a_pdf_gives_its_pages_and_title():
    parsed = await parse(pdf("Hello world", "Second page", title="Report"), file_name="a.pdf")
    assert (parsed.text, parsed.pages) == ("Hello world\n\nSecond page", 2)
    assert (parsed.title, parsed.media_type) == ("Report", "application/pdf")


async def test_an_encrypted_pdf_says_so():
    assert "is encrypted. Remove the password" in await refusal(pdf("Secret", password="x"), "a.pdf")


async def test_a_pdf_that_anybody_may_open_is_read():
    assert (await parse(pdf("Open", password=""), file_name="a.pdf")).text == "Open"


@pytest.mark.parametrize("content", [b"%PDF-1.7\ngarbage", b"%PDF-1.7", pdf("Hello")[:300]], ids=["bad", "bare", "cut"])
async def test_a_broken_pdf_is_refused(content):
    message = await refusal(content, "a.pdf")
    assert "broken" in message or "damaged" in message


async def test_a_pdf_of_pictures_asks_for_text_recognition():
    assert "OCR" in await refusal(pdf("", ""), "a.pdf")


async def test_a_pdf_without_pages_is_refused():
    assert "no pages" in await refusal(pdf(), "a.pdf")


# DOCX


async def test_a_word_document_gives_paragraphs_headings_and_tables_in_order():
    def build(document):
        document.core_properties.title = "Plan"
        document.add_heading("Goals", level=2)
        document.add_paragraph("First\tline")
        table = document.add_table(rows=2, cols=2)
        for cell, text in zip([*table.rows[0].cells, *table.rows[1].cells], ["a", "b", "c", "d"], strict=True):
            cell.text = text
        document.add_paragraph("After")

    parsed = await parse(word(build), file_name="a.docx")
    assert parsed.title == "Plan"
    assert parsed.text == "## Goals\n\nFirst\tline\n\na | b\nc | d\n\nAfter"


async def test_a_word_document_without_properties_is_titled_by_its_heading_or_its_file():
    def bare(build):
        with zipfile.ZipFile(io.BytesIO(word(build))) as file:
            parts = {name: file.read(name).decode("latin-1") for name in file.namelist()}
        del parts["docProps/core.xml"]
        for name in ("_rels/.rels", "[Content_Types].xml"):
            parts[name] = re.sub(r"<(Relationship|Override) [^>]*core[.-]properties[^>]*/>", "", parts[name])
        return archive(**parts)

    headed = await parse(bare(lambda document: document.add_heading("Goals", level=1)), file_name="a.docx")
    assert headed.title == "Goals"
    assert (await parse(bare(lambda document: document.add_paragraph("x")), file_name="a.docx")).title == "a"


async def test_an_empty_word_document_is_refused():
    assert "holds no text" in await refusal(word(lambda document: None), "a.docx")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04garbage", "broken Word document"),
        (archive(**{"a.txt": "x"}), "zip archive, not a Word document"),
        (archive(**{"[Content_Types].xml": "<x/>", "word/document.xml": "<x/>"}), "save it anew"),
        (word(lambda document: document.add_paragraph("x"))[:-200], "broken Word document"),
    ],
    ids=["garbage", "zip", "hollow", "cut"],
)
async def test_what_is_no_whole_word_document_is_refused(content, words):
    assert words in await refusal(content, "a.docx")


async def test_a_zip_bomb_is_refused_before_it_is_unpacked():
    bomb = archive(**{"[Content_Types].xml": "<x/>", "word/document.xml": b" " * (limits.MAX_UNPACKED_BYTES + 1)})
    assert len(bomb) < 1_000_000
    assert "unpacks to more than 100 MB" in await refusal(bomb, "a.docx", TooLarge)


# The child: whatever becomes of it, the parent answers


@pytest.fixture
def child(monkeypatch):
    """Replaces the parser's main by given code, run with the same limits."""

    def replace(code):
        monkeypatch.setattr(
            parsing,
            "_CHILD",
            "import sys, json, os, time, signal; sys.path.append(sys.argv[1])\n"
            "from collections_admin.services import parsing_child\n"
            "parsing_child.limit_this_process(json.loads(sys.argv[-1]))\n"
            f"{code}",
        )

    return replace


@pytest.mark.parametrize(
    "code",
    [
        "os.kill(os.getpid(), signal.SIGKILL)",
        "os.kill(os.getpid(), signal.SIGSEGV)",
        "sys.exit(3)",
        "print('garbage')",
        "print('[1, 2]')",
        "print(json.dumps({'title': 1, 'text': 'x', 'pages': None}))",
        "print(json.dumps({'title': '', 'text': 'x', 'pages': 'many'}))",
        "sys.stdout.buffer.write(b'\\xff' * 100)",
        "sys.stdin.close(); sys.stdout.close(); os._exit(0)",
    ],
)
async def test_a_child_that_fails_is_reported_as_a_file_that_cannot_be_read(child, code):
    child(code)
    assert "could not be read" in await refusal(b"# x" * 100_000, "a.md")


async def test_a_child_that_talks_without_end_is_stopped(child):
    child("while True: sys.stdout.write('x' * 65536)")
    assert "could not be read" in await refusal(b"# x", "a.md")


@pytest.mark.parametrize("code", ["time.sleep(600)", "os.close(1); time.sleep(600)", "signal.pause()"])
async def test_a_child_that_waits_is_stopped_by_the_clock(child, code):
    child(code)
    quick = ParseLimits(seconds=0.5)
    assert "longer than 0.5 seconds" in await refusal(b"# x" * 100_000, "a.md", parse_limits=quick)


async def test_a_child_that_computes_without_end_is_stopped_by_its_limit(child):
    child("while True: pass")
    assert "longer than 1 s" in await refusal(b"# x", "a.md", parse_limits=ParseLimits(cpu_seconds=1))


async def test_a_file_that_needs_too_much_memory_is_reported_with_the_limit(child):
    child(
        "parsing_child.PARSERS['text/markdown'] = lambda content: [b'x' * 2**20 for _ in range(10**6)]\n"
        "parsing_child.main()"
    )
    small = ParseLimits(memory_bytes=300 * 2**20)
    assert "more than 300 MB of memory" in await refusal(b"# x", "a.md", parse_limits=small)


async def test_a_cancelled_reading_leaves_no_child(child, monkeypatch):
    child("time.sleep(600)")
    started = []
    create = asyncio.create_subprocess_exec

    async def remember(*args, **kwargs):
        started.append(await create(*args, **kwargs))
        return started[0]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", remember)
    reading = asyncio.create_task(parse(b"# x", file_name="a.md"))
    while not started:
        await asyncio.sleep(0.01)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert started[0].returncode == -signal.SIGKILL


async def test_the_child_gets_no_secrets_and_cannot_write(child, monkeypatch, tmp_path):
    monkeypatch.setenv("QDRANT_API_KEY", "secret")
    target = tmp_path / "written"
    child(
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"try:\n    file = open({str(target)!r}, 'wb', buffering=0); file.write(b'x')\n"
        "except OSError:\n    pass\n"
        "print(json.dumps({'title': '', 'text': ' '.join(os.environ) + ' end', 'pages': None}))"
    )
    assert "QDRANT" not in (await parse(b"# x", file_name="a.md")).text
    assert target.read_bytes() == b""


async def test_many_files_at_once_are_read_by_few_children():
    files = [parse(f"# Title {number}\n\ntext".encode(), file_name="a.md") for number in range(12)]
    assert [parsed.title for parsed in await asyncio.gather(*files)] == [f"Title {number}" for number in range(12)]


def test_the_child_needs_no_django_and_no_model():
    script = (
        "import sys, collections_admin.services.parsing_child; print('django' in sys.modules, 'numpy' in sys.modules)"
    )
    output = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        capture_output=True,
        timeout=60,
        cwd=Path(parsing.__file__).parents[2],
    )
    assert output.stdout.split() == [b"False", b"False"]

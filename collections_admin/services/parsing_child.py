"""The child process of `parsing`: reads a file from standard input, writes one JSON object to standard output.

Its last argument is a JSON object with the media type and the limits on the process. It answers
{"title", "text", "pages"}, {"unreadable": sentence} or {"too_large": sentence}; a sentence continues "the file …".
It may also just die: the parent copes. It knows neither Django nor any setting.
"""

import io
import json
import re
import resource
import signal
import sys
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from collections_admin.limits import (
    MAX_ARCHIVE_PARTS,
    MAX_PAGES,
    MAX_TEXT_CHARS,
    MAX_UNPACKED_BYTES,
    MAX_UPLOAD_BYTES,
    MEGABYTE,
)
from collections_admin.services.decoding import NotText, decode_html, decode_text, tidy

# Private characters that stand for structure in HTML; the last two keep white space of preformatted text.
LINE, PARAGRAPH, SPACE, NEWLINE = "\ue000", "\ue001", "\ue002", "\ue003"


class Parsed(NamedTuple):
    title: str
    text: str
    pages: int | None = None


class Unreadable(Exception):
    pass


class TooMuch(Exception):
    pass


class TextParts:
    """Parts of a growing text, which stops at the largest text of a document."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.left = MAX_TEXT_CHARS

    def add(self, part: str) -> None:
        self.left -= len(part)
        if self.left < 0:
            raise TooMuch(f"holds more than {MAX_TEXT_CHARS:,} characters of text. Split it.")
        self.parts.append(part)

    def joined(self, between: str) -> str:
        return between.join(self.parts)


def main() -> None:
    settings = json.loads(sys.argv[-1])
    limit_this_process(settings)
    answer = guarded_parse(settings)
    sys.stdout.buffer.write(json.dumps(answer, ensure_ascii=False).encode())


def limit_this_process(settings: dict[str, Any]) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (settings["cpu_seconds"], settings["cpu_seconds"] + 1))
    resource.setrlimit(resource.RLIMIT_AS, (settings["memory_bytes"], settings["memory_bytes"]))
    signal.alarm(settings["alarm_seconds"])  # ends it even if the parent was killed


def guarded_parse(settings: dict[str, Any]) -> dict[str, Any]:
    try:
        content = sys.stdin.buffer.read(MAX_UPLOAD_BYTES)
        return clean(PARSERS[settings["media_type"]](content))
    except Unreadable as error:
        return {"unreadable": str(error)}
    except TooMuch as error:
        return {"too_large": str(error)}
    except MemoryError:
        megabytes = settings["memory_bytes"] // 2**20
        return {"unreadable": f"needs more than {megabytes} MB of memory to read. Save it anew or split it."}
    except RecursionError:
        return {"unreadable": "is nested too deeply to read. Save it anew."}
    except Exception as error:  # noqa: BLE001 - parsers raise anything at all on damaged files
        return {"unreadable": f"could not be read ({type(error).__name__}). It may be damaged; save it anew."}


def clean(parsed: Parsed) -> dict[str, Any]:
    parts = TextParts()
    parts.add(tidy(parsed.text))
    if not parts.joined(""):
        raise Unreadable("holds no text.")
    return {"title": tidy(parsed.title)[:10_000], "text": parts.joined(""), "pages": parsed.pages}


def decoded(decode: Callable[[bytes], str], content: bytes) -> str:
    try:
        return decode(content)
    except NotText as error:
        raise Unreadable(f"{error}.") from error


# PDF


def parse_pdf(content: bytes) -> Parsed:
    from pypdf import PdfReader  # each format's library is loaded only for that format
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(io.BytesIO(content))
        unlock(reader)
        pages = len(reader.pages)
    except PyPdfError as error:
        raise Unreadable("is a broken PDF. Save or print it to PDF anew.") from error
    if pages > MAX_PAGES:
        raise TooMuch(f"has {pages:,} pages; at most {MAX_PAGES:,} can be read. Split it.")
    text = pdf_text(reader)
    if not text.strip():
        raise Unreadable(without_text(reader))
    return Parsed(pdf_title(reader), text, pages)


def unlock(reader: Any) -> None:
    """Many PDFs are encrypted with an empty password: everybody may read them."""
    from pypdf.errors import DependencyError

    if not reader.is_encrypted:
        return
    try:
        is_open = bool(reader.decrypt(""))
    except (DependencyError, NotImplementedError):
        is_open = False
    if not is_open:
        raise Unreadable("is encrypted. Remove the password and upload it again.")


def pdf_text(reader: Any) -> str:
    from pypdf.errors import PyPdfError

    parts = TextParts()
    for number, page in enumerate(reader.pages, start=1):
        try:
            parts.add(page.extract_text())
        except PyPdfError as error:
            raise Unreadable(f"is broken on page {number:,}. Save or print it to PDF anew.") from error
    return parts.joined("\n\n")


def without_text(reader: Any) -> str:
    if not len(reader.pages):
        return "has no pages."
    return "holds no text, only pictures or empty pages. Run text recognition (OCR) on it first."


def pdf_title(reader: Any) -> str:
    try:
        return str((reader.metadata or {}).get("/Title") or "")
    except Exception:  # noqa: BLE001 - a broken title is no reason to refuse the text
        return ""


# DOCX

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
CORE_PROPERTIES = "http://schemas.openxmlformats.org/package/2006/relationships/metadata/core-properties"
SKIPPED_IN_WORD = {f"{W}del", f"{W}moveFrom", f"{W}sectPr"}


def parse_docx(content: bytes) -> Parsed:
    check_archive(content)
    import docx  # each format's library is loaded only for that format

    try:
        document = docx.Document(io.BytesIO(content))
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise Unreadable("is a broken Word document. Open it in Word and save it anew.") from error
    styles = {style.style_id: style.name or "" for style in document.styles}
    parts = TextParts()
    for block in word_blocks(document.element.body, styles):
        parts.add(block)
    return Parsed(word_title(document) or first_heading(parts.parts), parts.joined("\n\n"))


def word_title(document: Any) -> str:
    """A file without properties has no title: python-docx would add some, titled "Word Document"."""
    has_properties = any(relation.reltype == CORE_PROPERTIES for relation in document.part.package.rels.values())
    return document.core_properties.title if has_properties else ""


def check_archive(content: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise Unreadable("is a broken Word document. Open it in Word and save it anew.") from error
    names = {part.filename for part in parts}
    if "[Content_Types].xml" not in names or not any(name.startswith("word/") for name in names):
        raise Unreadable("is a zip archive, not a Word document.")
    if any(part.flag_bits & 1 for part in parts):
        raise Unreadable("is encrypted. Remove the password and upload it again.")
    # The sizes that an archive states bound what its reader unpacks.
    unpacked = sum(part.file_size for part in parts)
    if unpacked > MAX_UNPACKED_BYTES or len(parts) > MAX_ARCHIVE_PARTS:
        limit = f"{MAX_UNPACKED_BYTES // MEGABYTE} MB or {MAX_ARCHIVE_PARTS:,} parts"
        raise TooMuch(f"unpacks to more than {limit}. Remove pictures and upload it again.")


def word_blocks(element: Any, styles: dict[str, str]) -> Iterator[str]:
    """Paragraphs and tables in order, also inside content controls and insertions that wrap them."""
    for child in element:
        if child.tag == f"{W}p":
            if text := word_text(child).strip():
                yield heading_marks(child, styles) + text
        elif child.tag == f"{W}tbl":
            if text := word_table(child):
                yield text
        elif child.tag not in SKIPPED_IN_WORD:
            yield from word_blocks(child, styles)


def word_text(paragraph: Any) -> str:
    runs = []
    for node in paragraph.iter(f"{W}t", f"{W}tab", f"{W}br", f"{W}cr", f"{W}noBreakHyphen"):
        if node.tag == f"{W}t":
            runs.append(node.text or "")
        else:
            runs.append({f"{W}tab": "\t", f"{W}noBreakHyphen": "-"}.get(node.tag, "\n"))
    return "".join(runs)


def heading_marks(paragraph: Any, styles: dict[str, str]) -> str:
    style = paragraph.find(f"{W}pPr/{W}pStyle")
    name = styles.get(style.get(f"{W}val"), "") if style is not None else ""
    if name == "Title":
        return "# "
    found = re.fullmatch(r"[Hh]eading ([1-6])", name)
    return "#" * int(found.group(1)) + " " if found else ""


def word_table(table: Any) -> str:
    """One line per row, cells between bars; a table inside a cell becomes text of that cell."""
    rows = []
    for row in table.iterfind(f".//{W}tr"):
        if next(row.iterancestors(f"{W}tbl")) is table:
            cells = [word_cell(cell) for cell in row.iterfind(f".//{W}tc") if next(cell.iterancestors(f"{W}tr")) is row]
            rows.append(" | ".join(cells))
    return "\n".join(row for row in rows if row.strip(" |"))


def word_cell(cell: Any) -> str:
    return " ".join(" ".join(word_text(paragraph).split()) for paragraph in cell.iter(f"{W}p")).strip()


def first_heading(blocks: list[str]) -> str:
    return next((block.lstrip("# ").strip() for block in blocks if block.startswith("# ")), "")


# HTML

DROPPED_TAGS = ["script", "style", "noscript", "template", "nav", "iframe", "svg", "canvas", "object", "select"]
LINE_TAGS = "br, li, tr, div, dt, dd, figcaption, caption, address, option, summary"
PARAGRAPH_TAGS = "p, table, ul, ol, dl, pre, blockquote, section, article, header, footer, main, aside, figure, hr"
HEADING_TAGS = "h1, h2, h3, h4, h5, h6"


def parse_html(content: bytes) -> Parsed:
    title, text = html_text(decoded(decode_html, content))
    return Parsed(title, text)


def html_text(page: str) -> tuple[str, str]:
    """Title and text of a page: blocks on lines of their own, white space as a browser shows it."""
    from selectolax.lexbor import LexborHTMLParser  # each format's library is loaded only for that format

    # White space loses its meaning here except inside <pre>; the private characters carry it through.
    tree = LexborHTMLParser(re.sub(f"[{LINE}{PARAGRAPH}{SPACE}{NEWLINE}]", "", page))
    tree.strip_tags(DROPPED_TAGS)
    title_node, heading = tree.css_first("title"), tree.css_first("h1")
    title = next((node.text().strip() for node in (title_node, heading) if node and node.text().strip()), "")
    if tree.body is None:
        return title, ""
    mark_structure(tree.body)
    return " ".join(title.split()), unmark(tree.body.text(separator=""))


def mark_structure(body: Any) -> None:
    for pre in body.css("pre"):
        kept = pre.text().strip("\n").replace("\n", NEWLINE).replace("\t", SPACE * 4).replace(" ", SPACE)
        pre.inner_html = ""
        pre.insert_child(kept)
    for node in body.css(LINE_TAGS):
        surround(node, LINE)
    for node in body.css(PARAGRAPH_TAGS):
        surround(node, PARAGRAPH)
    for node in body.css(HEADING_TAGS):
        surround(node, PARAGRAPH)
        node.insert_before("#" * int(node.tag[1]) + SPACE)
    for node in body.css("td + td, td + th, th + td, th + th"):
        node.insert_before(" | ")
    for node in body.css("li"):
        node.insert_before("-" + SPACE)


def surround(node: Any, mark: str) -> None:
    node.insert_before(mark)
    node.insert_after(mark)


def unmark(text: str) -> str:
    text = re.sub(r"\s+", " ", text)
    text = re.sub(f" ?([{LINE}{PARAGRAPH}]) ?", r"\1", text)
    text = re.sub(f"[{LINE}{PARAGRAPH}]+", lambda run: "\n\n" if PARAGRAPH in run.group() else "\n", text)
    return text.replace(NEWLINE, "\n").replace(SPACE, " ").strip("\n")


# Markdown

FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.{0,20000}?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)
FRONT_TITLE = re.compile(r"^title:[ \t]*(.+)$", re.MULTILINE)


def parse_markdown(content: bytes) -> Parsed:
    source = decoded(decode_text, content).replace("\r\n", "\n")
    title = ""
    if front := FRONT_MATTER.match(source):
        found = FRONT_TITLE.search(front.group(1))
        title = found.group(1).strip().strip("\"'") if found else ""
        source = source[front.end() :]
    parts = TextParts()
    for part in markdown_parts(source):
        parts.add(part)
    return Parsed(title or first_heading(parts.parts), parts.joined(""))


def markdown_parts(source: str) -> Iterator[str]:
    """Headings and list items keep their marks and code its lines; emphasis, links and tags leave their text."""
    from markdown_it import MarkdownIt  # each format's library is loaded only for that format

    marks, end, cells = "", "\n\n", None
    for token in MarkdownIt("commonmark").enable("table").parse(source):
        match token.type:
            case "heading_open":
                marks += "#" * int(token.tag[1]) + " "
            case "list_item_open":
                marks = "  " * (token.level // 2) + (f"{token.info}. " if token.info else "- ")
            case "paragraph_open":
                end = "\n" if token.hidden else "\n\n"
            case "tr_open":
                cells = []
            case "tr_close":
                yield " | ".join(cells) + "\n"
                cells = None
            case "inline" if cells is not None:
                cells.append(inline_text(token.children or []))
            case "inline":
                yield marks + inline_text(token.children or []) + end
                marks, end = "", "\n\n"
            case "fence" | "code_block":
                yield marks + token.content.rstrip() + "\n\n"
                marks = ""
            case "html_block":
                yield html_text(token.content)[1] + "\n\n"
            case "bullet_list_close" | "ordered_list_close" | "table_close" if token.level == 0:
                yield "\n"


def inline_text(tokens: list[Any]) -> str:
    parts = []
    for token in tokens:
        if token.type in {"softbreak", "hardbreak"}:
            parts.append("\n")
        elif token.type == "image":
            parts.append(inline_text(token.children or []))
        elif token.type != "html_inline":
            parts.append(token.content)
    return "".join(parts)


PARSERS = {
    "application/pdf": parse_pdf,
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": parse_docx,
    "text/html": parse_html,
    "text/markdown": parse_markdown,
}

if __name__ == "__main__":
    main()

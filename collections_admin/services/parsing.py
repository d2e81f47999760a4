"""Uploaded files to text: txt, md, html, pdf, docx.

Plain text is decoded here; everything else is parsed by a child process (`parsing_child`) with limits on memory and
time, since a file of a few kilobytes can occupy a parser for hours or fill the machine. Whatever becomes of the
child, the caller gets a ParsedText, or UnreadableDocument or TooLarge with a sentence for the person.
"""

import asyncio
import json
import logging
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

from collections_admin import limits
from collections_admin.cpu import compute
from collections_admin.errors import TooLarge, UnreadableDocument
from collections_admin.services.decoding import NotText, decode_text, tidy

logger = logging.getLogger(__name__)

TEXT, MARKDOWN, HTML, PDF = "text/plain", "text/markdown", "text/html", "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"

MEDIA_TYPES = {
    ".txt": TEXT,
    ".text": TEXT,
    ".log": TEXT,
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".html": HTML,
    ".htm": HTML,
    ".xhtml": HTML,
    ".pdf": PDF,
    ".docx": DOCX,
}
ACCEPTED = "txt, md, html, pdf, docx"
_NAMES = {TEXT: "plain text", MARKDOWN: "Markdown", HTML: "HTML", PDF: "PDF", DOCX: "Word (docx)"}
_ROOT = Path(__file__).parents[2]
# Last on the path, so that no module of ours stands in for one that a parser wants.
_CHILD = "import sys; sys.path.append(sys.argv[1]); from collections_admin.services.parsing_child import main; main()"
_HEAD_BYTES = 1024
_PASSED_ON = ("LD_LIBRARY_PATH",)  # some interpreters do not start without it

# How other files begin that people try.
_FOREIGN = (
    (b"\xd0\xcf\x11\xe0", "an old Office file or one with a password; save it as .docx without a password"),
    (b"{\\rtf", "RTF; save it as .docx"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"\x1f\x8b", "compressed (gzip); unpack it"),
    (b"7z\xbc\xaf", "compressed (7z); unpack it"),
    (b"Rar!", "compressed (rar); unpack it"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90", "a program"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedText:
    """`pages` only for formats that have pages. `title` falls back to the file's name without its ending."""

    title: str
    text: str
    media_type: str
    pages: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ParseLimits:
    memory_bytes: int = limits.PARSE_MEMORY_BYTES
    cpu_seconds: int = limits.PARSE_CPU_SECONDS
    seconds: float = limits.PARSE_SECONDS


async def parse(
    content: bytes | Path,
    *,
    file_name: str,
    media_type: str | None = None,
    parse_limits: ParseLimits | None = None,
) -> ParsedText:
    """The text of a file, given as bytes or as the path of a stored copy.

    `media_type` counts only if the name has no ending: browsers guess it from the name. Raises UnreadableDocument;
    TooLarge for too many bytes, pages or characters.
    """
    if isinstance(content, Path):
        content = await compute(_read, content, file_name)
    _check_size(content, file_name)
    kind = detect_media_type(content[:_HEAD_BYTES], file_name=file_name, media_type=media_type)
    if kind == TEXT:
        title, text, pages = "", await compute(_decode, content, file_name), None
    else:
        title, text, pages = await _parse_in_child(content, kind, file_name, parse_limits or ParseLimits())
    return _parsed(kind, file_name, title, text, pages)


def detect_media_type(head: bytes, *, file_name: str, media_type: str | None = None) -> str:
    """What the file is, by its first bytes and its name, which must agree. Raises UnreadableDocument."""
    ending = Path(file_name).suffix.lower()
    named = MEDIA_TYPES.get(ending)
    if ending and named is None:
        raise _unreadable(file_name, f"has an ending the console cannot read. It reads {ACCEPTED}.")
    found = _sniff(head, file_name)
    if named is None:
        return _without_ending(found, media_type)
    if found in {PDF, DOCX} or named in {PDF, DOCX}:
        if named == found:
            return found
        raise _unreadable(file_name, f"is {_NAMES[found]} by its content, not {_NAMES[named]}. Check its ending.")
    return named


def _sniff(head: bytes, file_name: str) -> str:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    for magic, name in _FOREIGN:
        if start.startswith(magic):
            raise _unreadable(file_name, f"is {name}. The console reads {ACCEPTED}.")
    if b"%PDF-" in head:
        return PDF
    if start.startswith(b"PK\x03\x04"):
        return DOCX
    return HTML if start[:14].lower().startswith((b"<!doctype html", b"<html")) else TEXT


def _without_ending(found: str, media_type: str | None) -> str:
    declared = (media_type or "").split(";")[0].strip().lower()
    return declared if found == TEXT and declared in {MARKDOWN, HTML} else found


def _read(path: Path, file_name: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limits.MAX_UPLOAD_BYTES + 1)
    except OSError as error:
        logger.warning("cannot read %s: %s", path, error)
        raise _unreadable(file_name, "is not in the data folder any more. Upload it again.") from error


def _check_size(content: bytes, file_name: str) -> None:
    if not content:
        raise _unreadable(file_name, "is empty.")
    if len(content) > limits.MAX_UPLOAD_BYTES:
        megabytes = limits.MAX_UPLOAD_BYTES // limits.MEGABYTE
        raise TooLarge("file", f"{_quoted(file_name)} is larger than {megabytes} MB.")


def _decode(content: bytes, file_name: str) -> str:
    try:
        return tidy(decode_text(content))
    except NotText as error:
        raise _unreadable(file_name, f"{error}.") from error


def _parsed(kind: str, file_name: str, title: str, text: str, pages: int | None) -> ParsedText:
    if not text:
        raise _unreadable(file_name, "holds no text.")
    if len(text) > limits.MAX_TEXT_CHARS:
        allowed = f"{limits.MAX_TEXT_CHARS:,} characters"
        raise TooLarge("file", f"{_quoted(file_name)} holds more than {allowed} of text. Split it.")
    title = " ".join(title.split()) or Path(file_name).stem
    return ParsedText(title=title[: limits.MAX_TITLE_CHARS], text=text, media_type=kind, pages=pages)


# The child process

_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


async def _parse_in_child(
    content: bytes, kind: str, file_name: str, parse_limits: ParseLimits
) -> tuple[str, str, int | None]:
    slots = _slots.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(limits.PARSE_PROCESSES))
    async with slots:
        output, code = await _run_child(content, kind, file_name, parse_limits)
    answer = _answer(output)
    if answer is None:
        logger.warning("parser ended with code %s on %r", code, file_name)
        raise _unreadable(file_name, "could not be read: it made the parser fail. It may be damaged; save it anew.")
    if "too_large" in answer:
        raise TooLarge("file", f"{_quoted(file_name)} {answer['too_large']}")
    if "unreadable" in answer:
        raise _unreadable(file_name, answer["unreadable"])
    return answer["title"], answer["text"], answer["pages"]


async def _run_child(content: bytes, kind: str, file_name: str, parse_limits: ParseLimits) -> tuple[bytes, int]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",  # neither the folder it starts in nor our environment: a parser needs no keys and no settings
        "-X",
        "utf8",
        "-c",
        _CHILD,
        str(_ROOT),
        json.dumps(_child_settings(kind, parse_limits)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
        start_new_session=True,  # a Ctrl-C meant for us must not look like a broken file
    )
    try:
        async with asyncio.timeout(parse_limits.seconds):
            output, _ = await asyncio.gather(_receive(process), _feed(process, content))
            code = await process.wait()
    except TimeoutError as error:
        raise _too_slow(file_name, parse_limits.seconds) from error
    finally:
        await _end(process)
    if code == -signal.SIGXCPU:
        raise _too_slow(file_name, parse_limits.cpu_seconds)
    return output, code


def _child_settings(kind: str, parse_limits: ParseLimits) -> dict[str, int | str]:
    return {
        "media_type": kind,
        "memory_bytes": parse_limits.memory_bytes,
        "cpu_seconds": parse_limits.cpu_seconds,
        "alarm_seconds": int(parse_limits.seconds) + 5,
    }


async def _feed(process: asyncio.subprocess.Process, content: bytes) -> None:
    try:
        process.stdin.write(content)
        await process.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        pass  # the child died; what it answered, or did not, tells the rest
    finally:
        process.stdin.close()


async def _receive(process: asyncio.subprocess.Process) -> bytes:
    received = bytearray()
    while block := await process.stdout.read(1 << 16):
        received += block
        if len(received) > limits.PARSE_OUTPUT_BYTES:
            process.kill()
            return b""
    return bytes(received)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
    await asyncio.shield(process.wait())


def _answer(output: bytes) -> dict | None:
    """What the child said, or None for anything it cannot have meant."""
    try:
        answer = json.loads(output)
    except ValueError:
        return None
    if not isinstance(answer, dict):
        return None
    if isinstance(answer.get("unreadable") or answer.get("too_large"), str):
        return answer
    is_whole = isinstance(answer.get("title"), str) and isinstance(answer.get("text"), str)
    return answer if is_whole and isinstance(answer.get("pages"), int | None) else None


def _too_slow(file_name: str, seconds: float) -> UnreadableDocument:
    return _unreadable(file_name, f"took longer than {seconds:g} seconds to read. Save it anew or split it.")


def _unreadable(file_name: str, sentence: str) -> UnreadableDocument:
    return UnreadableDocument("file", f"{_quoted(file_name)} {sentence}")


def _quoted(file_name: str) -> str:
    return f"“{Path(file_name).name[:120]}”"

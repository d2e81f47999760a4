"""Bytes of a text file to text, or a refusal: never a silently garbled document."""

import codecs
import re

# UTF-32 ahead of UTF-16: its little-endian mark begins with that of UTF-16.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROL_BYTES = bytes(set(range(32)) - set(b"\t\n\r\f\x1b"))
_HIGH_BYTES = bytes(range(128, 256))
_HTML_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_:.-]{1,40})""", re.IGNORECASE)
MAX_HIGH_SHARE = 0.3  # of bytes above 127 in text of Windows-1252, where they are accented letters


class NotText(ValueError):
    """Its message completes the sentence "the file …"."""


def decode_text(content: bytes) -> str:
    """Unicode by its byte order mark, UTF-8, else Windows-1252 where that is plausible. Raises NotText."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return _decode_as(content[len(mark) :], encoding)
    if b"\x00" in content:
        raise NotText("holds binary data, not text")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return _decode_western(content)
    _refuse_control_characters(content)
    return text


def decode_html(content: bytes) -> str:
    """As a browser would: a byte order mark, then what the page itself says, then `decode_text`."""
    found = _HTML_CHARSET.search(content, 0, 4096)
    has_mark = any(content.startswith(mark) for mark, _ in _BYTE_ORDER_MARKS)
    if found is None or has_mark:
        return decode_text(content)
    try:
        encoding = codecs.lookup(found.group(1).decode()).name
        return content.decode(encoding)
    except (LookupError, ValueError):
        return decode_text(content)


def tidy(text: str) -> str:
    """Unix line ends, no NUL, no halves of surrogate pairs, at most two blank lines in a row."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")
    text = re.sub("[\ud800-\udfff]", "\ufffd", text)
    # From the beginning of a run only: else a long run that ends otherwise is tried from each of its characters.
    text = re.sub(r"(?<![ \t\f\v])[ \t\f\v]++\n", "\n", text)
    return re.sub(r"\n{4,}", "\n\n\n", text).strip()


def _decode_as(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise NotText(f"begins as {encoding.upper()} text but breaks off being it at byte {error.start:,}") from error


def _decode_western(content: bytes) -> str:
    high = len(content) - len(content.translate(None, _HIGH_BYTES))
    if high > MAX_HIGH_SHARE * len(content):
        raise NotText("is not UTF-8 text; save it as UTF-8")
    _refuse_control_characters(content)
    try:
        return content.decode("cp1252")
    except UnicodeDecodeError as error:
        raise NotText("is not UTF-8 text; save it as UTF-8") from error


def _refuse_control_characters(content: bytes) -> None:
    controls = len(content) - len(content.translate(None, _CONTROL_BYTES))
    if controls > len(content) // 100:
        raise NotText("holds binary data, not text")

"""Query words marked in a text, and the part of a text around them. All of the text is escaped."""

import re
from typing import Any

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from collections_admin.templatetags.formats import readable

EXCERPT_LENGTH = 320
_LEAD = 80
_MOST_WORDS = 32
_COMMON = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be by can do does for from has have how i if in is it its of on or that the"
        " this to was what when where which who why will with you",
    )
)


def pattern(query: Any) -> re.Pattern[str] | None:
    """Words of the query at the start of a word; one or two letters only as a whole word. None: no words."""
    words = list(dict.fromkeys(re.findall(r"\w+", str(query or "").casefold())))[:_MOST_WORDS]
    telling = [word for word in words if word not in _COMMON] or words
    if not telling:
        return None
    telling.sort(key=len, reverse=True)
    parts = [re.escape(word) + (r"\b" if len(word) < 3 else "") for word in telling]
    return re.compile(rf"\b(?:{'|'.join(parts)})", re.IGNORECASE)


def marked(text: Any, query: Any) -> SafeString:
    clean = readable("" if text is None else text)
    found = pattern(query)
    if found is None:
        return escape(clean)
    pieces, end = [], 0
    for match in found.finditer(clean):
        pieces += [escape(clean[end : match.start()]), "<mark>", escape(match[0]), "</mark>"]
        end = match.end()
    pieces.append(escape(clean[end:]))
    return mark_safe("".join(pieces))  # noqa: S308 - each piece of the text is escaped above


def excerpt(text: Any, query: Any = "", length: int = EXCERPT_LENGTH) -> SafeString:
    """About `length` characters, from a little before the first marked word, cut at spaces."""
    clean = readable("" if text is None else text)
    if len(clean) <= length:
        return marked(clean, query)
    found = pattern(query)
    match = found.search(clean) if found else None
    start = max(0, match.start() - _LEAD) if match else 0
    start = _after_space(clean, start) if start else 0
    end = min(len(clean), start + length)
    end = _before_space(clean, end, start) if end < len(clean) else end
    head, tail = ("… " if start else ""), (" …" if end < len(clean) else "")
    return marked(head + clean[start:end].strip() + tail, query)


def _after_space(text: str, position: int) -> int:
    space = text.find(" ", position, position + 30)
    return position if space < 0 else space + 1


def _before_space(text: str, position: int, least: int) -> int:
    space = text.rfind(" ", max(least, position - 30), position)
    return position if space < 0 else space

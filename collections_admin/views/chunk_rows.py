"""The rows of a list of chunks.

Fifty rows through Django's template language take longer than all the rest of the page. `chunks/_row.html` is therefore
rendered once, with a gap in the place of each value, and the gaps are filled here with escaped text.
"""

from collections.abc import Iterable
from functools import cache
from html import escape
from urllib.parse import quote

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe

from collections_admin.models import TenantCollection
from collections_admin.services.chunks import ChunkRow
from collections_admin.services.standing import Standing
from collections_admin.templatetags.console import status_pill
from collections_admin.templatetags.marking import excerpt

SHOWN_CHARS = 900
GAPS = ("url", "place", "title", "archived", "pill", "unreadable", "text", "size", "chips", "point_id", "short_id")
ARCHIVED = '<span class="chip">archived</span>'


def rows_html(rows: Iterable[ChunkRow], collection: TenantCollection, words: str, back: str) -> SafeString:
    """All rows, one `<article>` each. `back` is where closing a chunk leads, `words` are marked in the texts."""
    base = reverse("chunk-list", args=[collection.tenant_id, collection.table])
    suffix = f"/?back={quote(back, safe='')}"
    fill = _pattern().format
    html = [fill(**_values(row, f"{base}{row.point_id}{suffix}", words)) for row in rows]
    return mark_safe("".join(html))  # noqa: S308 - `_values` escapes each of them


@cache
def _pattern() -> str:
    return render_to_string("chunks/_row.html", {name: mark_safe(f"{{{name}}}") for name in GAPS})  # noqa: S308 - our own names


def _values(row: ChunkRow, url: str, words: str) -> dict[str, str]:
    chips = "".join(f'<span class="chip">{escape(key)} {escape(value)}</span>' for key, value in row.chips)
    reason = f'<span class="text-warn">{escape(row.unreadable)}</span> ' if row.unreadable else ""
    return {
        "url": escape(url),
        "place": place(row.number, row.count),
        "title": escape(row.title),
        "archived": ARCHIVED if row.is_archived else "",
        "pill": _pill(row.standing),
        "unreadable": reason,
        "text": excerpt(row.text, words, SHOWN_CHARS),
        "size": f"{len(row.text):,} characters" if row.text else "",
        "chips": chips,
        "point_id": escape(row.point_id),
        "short_id": escape(f"{row.point_id[:4]}…{row.point_id[-4:]}"),
    }


def place(number: int | None, count: int | None) -> str:
    """`3 of 16`, as far as it is known."""
    if number is None:
        return "Chunk"
    return f"{number:,} of {count:,}" if count else f"Chunk {number:,}"


@cache
def _pill(standing: Standing) -> SafeString:
    return status_pill(standing.name, word=standing.word, kind=standing.kind, title=standing.meaning)

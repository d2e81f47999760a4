"""Rows of a list of chunks, worked out before the template: fifty of them are most of the time of a page."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from urllib.parse import quote

from django.urls import reverse
from django.utils.safestring import SafeString

from collections_admin.models import TenantCollection
from collections_admin.services.chunks import ChunkRow
from collections_admin.services.standing import Standing
from collections_admin.templatetags.console import copy_id, status_pill
from collections_admin.templatetags.marking import excerpt

SHOWN_CHARS = 900


@dataclass(frozen=True, kw_only=True, slots=True)
class RowView:
    """What `chunks/_rows.html` writes for one chunk; `text` has the looked-for words marked."""

    url: str
    place: str
    title: str
    text: SafeString
    size: str
    chips: tuple[str, ...]
    copy: SafeString
    pill: SafeString
    is_archived: bool
    unreadable: str


def row_views(rows: Iterable[ChunkRow], collection: TenantCollection, words: str, back: str) -> tuple[RowView, ...]:
    base = reverse("chunk-list", args=[collection.tenant_id, collection.table])
    suffix = f"/?back={quote(back, safe='')}"
    return tuple(_view(row, f"{base}{row.point_id}{suffix}", words) for row in rows)


def _view(row: ChunkRow, url: str, words: str) -> RowView:
    return RowView(
        url=url,
        place=place(row.number, row.count),
        title=row.title,
        text=excerpt(row.text, words, SHOWN_CHARS),
        size=f"{len(row.text):,} characters" if row.text else "",
        chips=tuple(f"{key} {value}" for key, value in row.chips),
        copy=copy_id(row.point_id, "Copy point id"),
        pill=standing_pill(row.standing),
        is_archived=row.is_archived,
        unreadable=row.unreadable,
    )


def place(number: int | None, count: int | None) -> str:
    """`3 of 16`, as far as it is known."""
    if number is None:
        return "Chunk"
    return f"{number:,} of {count:,}" if count else f"Chunk {number:,}"


@cache
def standing_pill(standing: Standing) -> SafeString:
    return status_pill(standing.name, word=standing.word, kind=standing.kind, title=standing.meaning)

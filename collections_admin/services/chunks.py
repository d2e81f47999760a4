"""Chunks as Qdrant holds them, page by page, and where they stand against the database."""

import re
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from collections_admin import qdrant
from collections_admin.concurrency import in_thread, together
from collections_admin.errors import InvalidInput, NotFound
from collections_admin.models import Chunk, ChunkState, Document, Tenant, TenantCollection
from collections_admin.qdrant.filters import And, Equals, Filter
from collections_admin.services.payload_filters import FIELDS, PayloadFilters, payload_path
from collections_admin.services.search import NO_FILTERS, within_tenant
from collections_admin.services.standing import Standing, compare

PAGE_SIZE = 50
MAX_GHOSTS = 100
MAX_FACET_VALUES = 20
FACET_SAMPLE = 1_000  # chunks looked at for a field without an index
MAX_FACET_CHARS = 200
FACETS_ASKED = 1000
FACET_TYPES = {"keyword", "integer"}
CHIPS = 3
META_FIELDS = 12
MAX_CHIP_CHARS = 40
MAX_CURSOR_CHARS = 4_000
_PLAIN_KEY = re.compile(r"[\w-]{1,60}\Z")
IN_ORDER = qdrant.OrderBy("chunk_index")
# What a row shows, or is compared by.
ROW_FIELDS = (
    "content",
    "title",
    "document_id",
    "chunk_index",
    "chunk_count",
    "archived_at",
    "embedding_model",
    "rev",
    "meta",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkRow:
    """One chunk of a list. `number` counts from 1; `unreadable` says why there is nothing else."""

    point_id: str
    standing: Standing
    title: str = ""
    text: str = ""
    document_id: str = ""
    number: int | None = None
    count: int | None = None
    chips: tuple[tuple[str, str], ...] = ()
    is_archived: bool = False
    unreadable: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkPage:
    """`total` is exact, None where it was neither asked for nor plain to see; `next_cursor` is None at the end.

    `meta_fields` are keys of metadata that chunks of this page have, for the suggestions of the filter box.
    """

    rows: tuple[ChunkRow, ...]
    total: int | None
    next_cursor: str | None
    server_ms: float
    at: datetime
    meta_fields: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Bridge:
    """What the database knows of a chunk."""

    point_id: str
    index: int
    content: str
    embedding_model: str
    state: str
    rev: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Facet:
    """The most frequent values of a field; `reason` says why there are none.

    `is_sample`: counted over the first chunks only, since the field has no index in Qdrant.
    """

    values: tuple[qdrant.FacetValue, ...] = ()
    reason: str = ""
    is_sample: bool = False


async def open_document(tenant: Tenant, document_id: uuid.UUID) -> Document:
    """Without its text, with its collection. Raises NotFound."""
    rows = Document.objects.filter(tenant=tenant, pk=document_id).select_related("collection")
    found = await rows.defer("content").afirst()
    if found is None:
        raise NotFound
    return found


async def browse(
    collection: TenantCollection,
    *,
    document: Document | None = None,
    filters: PayloadFilters = NO_FILTERS,
    cursor: str = "",
    limit: int = PAGE_SIZE,
    with_total: bool = True,
) -> ChunkPage:
    """One page: of a document in the order of its chunks, of a collection in the order of point ids.

    Without filters a document's page also shows, in their places, chunks that the database has and Qdrant has
    not. Raises InvalidInput (`after`) for a cursor that is none, and what a call to Qdrant may raise.
    """
    condition = _condition(collection, document, filters)
    place, qdrant_cursor = _read_cursor(cursor)
    page = await _scroll(collection, condition, qdrant_cursor, limit, IN_ORDER if document else None)
    is_whole = not cursor and page.next_cursor is None
    last = _last_index(page.points)
    if document is not None and not filters:
        end = None if page.next_cursor is None else last
        read = _bridges_between(document.pk, place, end, limit + MAX_GHOSTS)
    else:
        read = _bridges_of(collection.pk, [str(point.id) for point in page.points])
    if is_whole or not with_total:
        bridges, total = await read, len(page.points) if is_whole else None
    else:
        bridges, total = await together(read, qdrant.count(collection.physical_name, condition))
    rows = [_row(collection, point, bridges.get(str(point.id))) for point in page.points]
    if document is not None and not filters:
        rows = _with_ghosts(document, rows, bridges)
    return ChunkPage(
        rows=tuple(rows),
        total=total,
        next_cursor=page.next_cursor and f"{place if last is None else last}~{page.next_cursor}",
        server_ms=page.server_s * 1000,
        at=datetime.now(tz=UTC),
        meta_fields=_meta_fields(page.points),
    )


async def count(
    collection: TenantCollection, *, document: Document | None = None, filters: PayloadFilters = NO_FILTERS
) -> int:
    """How many chunks there are, exactly."""
    return await qdrant.count(collection.physical_name, _condition(collection, document, filters))


async def facet(
    collection: TenantCollection,
    *,
    field: str,
    prefix: str = "",
    document: Document | None = None,
    filters: PayloadFilters = NO_FILTERS,
) -> Facet:
    """Values of a field with the number of chunks that have them under the other filters. Never raises for a
    field without suggestions: `reason` says why."""
    kind = FIELDS.get(field, "any" if field.startswith("meta.") else "")
    if not kind:
        raise InvalidInput("field", f"There is no field {field[:60]!r}.")
    if kind not in FACET_TYPES | {"any"}:
        return Facet(reason=f"{field} holds a {kind}: type what it is compared with, no values are suggested.")
    condition = _condition(collection, document, filters.without_field(field))
    path, is_sample = payload_path(field), False
    if kind == "any":  # metadata has no index in Qdrant
        found, is_sample = await _sampled_values(collection, path, condition)
    else:
        found = await qdrant.facet(collection.physical_name, path, condition, limit=FACETS_ASKED)
    if not found:
        return Facet(reason=f"No chunk here has a value of {field}.")
    wanted = prefix.casefold().lstrip('"')
    matching = [value for value in found if facet_text(value.value).casefold().startswith(wanted)]
    if not matching and is_sample:
        return Facet(reason=f"No value of {field} stands in the first {FACET_SAMPLE:,} chunks. Type the whole value.")
    return Facet(values=tuple(matching[:MAX_FACET_VALUES]), is_sample=is_sample)


async def _sampled_values(
    collection: TenantCollection, path: str, condition: Filter
) -> tuple[list[qdrant.FacetValue], bool]:
    """Values of a field without an index, counted in the first chunks; and whether there are more chunks."""
    page = await qdrant.scroll(collection.physical_name, condition, limit=FACET_SAMPLE, fields=(path,))
    counts: Counter[str | int | bool] = Counter()
    for point in page.points:
        if isinstance(point, qdrant.Point):
            counts.update(_scalars(point.payload))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], facet_text(item[0])))
    return [qdrant.FacetValue(value=value, count=count) for value, count in ordered], page.next_cursor is not None


def _scalars(value: Any) -> Iterator[str | int | bool]:
    """Texts, whole numbers and truth values anywhere below; only the asked field is in the payload."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _scalars(part)
    elif isinstance(value, str | int) and len(str(value)) <= MAX_FACET_CHARS:
        yield value


def facet_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _condition(collection: TenantCollection, document: Document | None, filters: PayloadFilters) -> Filter:
    of_document = Equals("document_id", str(document.pk)) if document is not None else None
    return within_tenant(collection, And(of_document, *filters.condition().conditions))


async def _scroll(
    collection: TenantCollection,
    condition: Filter,
    cursor: str,
    limit: int,
    order_by: qdrant.OrderBy | None,
) -> qdrant.Page:
    try:
        return await qdrant.scroll(
            collection.physical_name,
            condition,
            limit=limit,
            cursor=cursor or None,
            order_by=order_by,
            fields=ROW_FIELDS,
        )
    except (TypeError, ValueError) as error:  # a cursor that decodes, to something else
        raise _bad_cursor() from error
    except InvalidInput as error:
        raise _bad_cursor() if error.field == "cursor" else error from error


def _read_cursor(cursor: str) -> tuple[int, str]:
    """The index of the last chunk shown (-1 before the first) and Qdrant's own cursor."""
    if not cursor:
        return -1, ""
    place, _, rest = cursor.partition("~")
    if len(cursor) > MAX_CURSOR_CHARS or not rest or not place.removeprefix("-").isdecimal() or len(place) > 12:
        raise _bad_cursor()
    return int(place), rest


def _bad_cursor() -> InvalidInput:
    return InvalidInput("after", "This link to the next chunks is damaged; start from the first ones.")


def _last_index(points: Sequence[qdrant.Point | qdrant.UnreadablePoint]) -> int | None:
    indexes = (point.payload.get("chunk_index") for point in points if isinstance(point, qdrant.Point))
    return max((index for index in indexes if isinstance(index, int)), default=None)


# ---- the database's side

_COLUMNS = ("point_id", "index", "content", "embedding_model", "state", "rev")


@in_thread
def _bridges_of(collection_id: int, ids: Sequence[str]) -> dict[str, Bridge]:
    uuids = [point_id for point_id in ids if len(point_id) == 36]
    found = Chunk.objects.filter(point_id__in=uuids).order_by().values_list(*_COLUMNS, "document__collection_id")
    # Left to the database, the condition on the collection makes SQLite read all chunks of the collection.
    return _by_point(row for row in found if row[-1] == collection_id)


@in_thread
def _bridges_between(document_id: uuid.UUID, after: int, last: int | None, limit: int) -> dict[str, Bridge]:
    found = Chunk.objects.filter(document_id=document_id, index__gt=after)
    if last is not None:
        found = found.filter(index__lte=last)
    return _by_point(found.order_by("index").values_list(*_COLUMNS)[:limit])


def _by_point(rows: Iterable[tuple[Any, ...]]) -> dict[str, Bridge]:
    found = {}
    for point_id, index, content, model, state, rev, *_ in rows:
        key = str(point_id)
        found[key] = Bridge(point_id=key, index=index, content=content, embedding_model=model, state=state, rev=rev)
    return found


# ---- rows


def _row(collection: TenantCollection, point: qdrant.Point | qdrant.UnreadablePoint, bridge: Bridge | None) -> ChunkRow:
    if isinstance(point, qdrant.UnreadablePoint):
        return ChunkRow(
            point_id=str(point.id),
            standing=Standing.UNREADABLE,
            number=bridge.index + 1 if bridge else None,
            text=bridge.content if bridge else "",
            unreadable=point.reason,
        )
    payload = point.payload
    index, count = payload.get("chunk_index"), payload.get("chunk_count")
    return ChunkRow(
        point_id=str(point.id),
        standing=compare(payload, bridge, collection.embedding_model),
        title=as_text(payload.get("title")),
        text=as_text(payload.get("content")),
        document_id=as_text(payload.get("document_id")),
        number=index + 1 if isinstance(index, int) else None,
        count=count if isinstance(count, int) else None,
        chips=_chips(payload.get("meta")),
        is_archived=payload.get("archived_at") is not None,
    )


def _with_ghosts(document: Document, rows: list[ChunkRow], bridges: Mapping[str, Bridge]) -> list[ChunkRow]:
    held = {row.point_id for row in rows}
    ghosts = [
        ChunkRow(
            point_id=bridge.point_id,
            standing=Standing.DELETING if bridge.state == ChunkState.DELETING else Standing.MISSING_IN_QDRANT,
            title=document.title,
            text=bridge.content,
            document_id=str(document.pk),
            number=bridge.index + 1,
            count=document.chunk_count,
        )
        for bridge in bridges.values()
        if bridge.point_id not in held
    ]
    if not ghosts:
        return rows
    return sorted(rows + ghosts, key=lambda row: row.number or 0)


def _meta_fields(points: Iterable[qdrant.Point | qdrant.UnreadablePoint]) -> tuple[str, ...]:
    metas = (point.payload.get("meta") for point in points if isinstance(point, qdrant.Point))
    keys = {key: None for meta in metas if isinstance(meta, dict) for key in meta}
    return tuple(f"meta.{key}" for key in keys if _PLAIN_KEY.match(key))[:META_FIELDS]


def _chips(meta: Any) -> tuple[tuple[str, str], ...]:
    """The first short values of the metadata."""
    if not isinstance(meta, dict):
        return ()
    short = ((key, as_text(value)) for key, value in meta.items() if isinstance(value, str | int | float))
    return tuple((key, text) for key, text in short if 0 < len(text) <= MAX_CHIP_CHARS)[:CHIPS]


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def as_uuid(value: Any) -> uuid.UUID | None:
    try:
        return uuid.UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None

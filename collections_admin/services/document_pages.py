"""Documents as the pages show them: a filtered list by keyset, one document, pieces of its text."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, Q, QuerySet, Value
from django.db.models.functions import Length, Substr

from collections_admin.concurrency import in_thread
from collections_admin.errors import InvalidInput, NotFound
from collections_admin.models import Document, DocumentSource, DocumentStatus, Tenant
from collections_admin.services.document_actions import Standing, refusals
from collections_admin.services.validation import clean_text

PAGE_ROWS = 50
REREAD_ROWS = 200
MAX_FILTERS = 20
MAX_WORDS_CHARS = 200
PREVIEW_CHARS = 4_000
SHOWN_CHARS = 200_000  # "show all" on the page; beyond it the download
TEXT_PIECE = 200_000
SUGGESTIONS = 20
_COLUMNS = {"collection": "collection__table", "status": "status", "source": "source"}
FILTER_FIELDS = tuple(_COLUMNS)
_CHOICES = {"status": DocumentStatus.values, "source": DocumentSource.values}


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldFilter:
    key: str
    value: str
    is_negated: bool = False

    @property
    def text(self) -> str:
        return f"{'-' if self.is_negated else ''}{self.key}:{self.value}"

    @property
    def label(self) -> str:
        return f"{'-' if self.is_negated else ''}{self.key}"


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentFilters:
    """What the list is narrowed by, read from the address and written back into it.

    `f` is `collection:`, `status:` or `source:` with a value, a minus in front negates; several of one key are
    alternatives. `q` are words in title or external id. `after` is the cursor of the row before.
    """

    fields: tuple[FieldFilter, ...] = ()
    words: str = ""
    after: str = ""

    @classmethod
    def parse(cls, *, f: Sequence[str] = (), q: str = "", after: str = "") -> "DocumentFilters":
        """Raises InvalidInput naming `f`, `q` or `after`."""
        if len(f) > MAX_FILTERS:
            raise InvalidInput("f", f"There are {len(f)} filters; at most {MAX_FILTERS} are allowed.")
        words = clean_text(q, "q", MAX_WORDS_CHARS, required=False)
        typed, rest = _typed(words)
        fields = tuple(dict.fromkeys(map(_field, [*f, *typed])))
        if after:
            _read_cursor(after)
        return cls(fields=fields, words=" ".join(rest), after=after)

    @property
    def is_narrowed(self) -> bool:
        return bool(self.fields or self.words)

    def parameters(self) -> list[tuple[str, str]]:
        pairs = [("f", one.text) for one in self.fields]
        return pairs + ([("q", self.words)] if self.words else [])

    def without(self, gone: FieldFilter) -> "DocumentFilters":
        return DocumentFilters(fields=tuple(one for one in self.fields if one != gone), words=self.words)

    def only_status(self, status: str) -> "DocumentFilters":
        kept = tuple(one for one in self.fields if one.key != "status")
        chosen = (FieldFilter(key="status", value=status),) if status else ()
        return DocumentFilters(fields=kept + chosen, words=self.words)

    def narrow(self, rows: QuerySet[Document], *, leave_out: str = "") -> QuerySet[Document]:
        for key, column in _COLUMNS.items():
            wanted = [one.value for one in self.fields if one.key == key and not one.is_negated]
            unwanted = [one.value for one in self.fields if one.key == key and one.is_negated]
            if wanted and key != leave_out:
                rows = rows.filter(**{f"{column}__in": wanted})
            if unwanted:
                rows = rows.exclude(**{f"{column}__in": unwanted})
        for word in self.words.split():
            rows = rows.filter(Q(title__icontains=word) | Q(external_id__icontains=word))
        return rows


def _typed(words: str) -> tuple[list[str], list[str]]:
    """Filters typed into the box as text, and what is left as words."""
    parts = words.split()
    is_filter = [part.lstrip("-").split(":", 1)[0] in _COLUMNS and ":" in part for part in parts]
    typed = [part for part, found in zip(parts, is_filter, strict=True) if found]
    return typed, [part for part, found in zip(parts, is_filter, strict=True) if not found]


def _field(text: str) -> FieldFilter:
    text = clean_text(text, "f", 100)
    key, colon, value = text.removeprefix("-").partition(":")
    if key not in _COLUMNS or not colon or not value:
        raise InvalidInput("f", f"“{text}” is no filter; write collection:, status: or source: and a value.")
    if key in _CHOICES and value not in _CHOICES[key]:
        raise InvalidInput("f", f"{key} is one of {', '.join(_CHOICES[key])}, not “{value}”.")
    return FieldFilter(key=key, value=value, is_negated=text.startswith("-"))


def _read_cursor(text: str) -> tuple[datetime, UUID]:
    at, _, pk = text.partition("_")
    try:
        moment, row = datetime.fromisoformat(at), UUID(pk)
        return moment.astimezone(UTC), row
    except (ValueError, OverflowError) as error:
        raise InvalidInput("after", "The place to go on from cannot be read; start at the first page.") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentRow:
    """A document in the list. `shown` is the word of its pill, `refusals` say why an action is not possible."""

    id: UUID
    title: str
    external_id: str
    table: str
    source: str
    standing: Standing
    error: str
    chunk_count: int
    size_bytes: int
    created_at: datetime
    updated_at: datetime
    refusals: dict[str, str] = field(repr=False)

    @property
    def shown(self) -> str:
        return self.standing.shown

    @property
    def cursor(self) -> str:
        return f"{self.created_at.isoformat()}_{self.id}"


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentPage:
    """`next_after` is the cursor of the next page, empty at the end."""

    rows: list[DocumentRow]
    next_after: str

    @property
    def is_moving(self) -> bool:
        return any(row.standing.is_moving for row in self.rows)


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentDetail:
    """One document without its text; `characters` says how long that is. `timings` are (step, milliseconds)."""

    id: UUID
    title: str
    external_id: str
    collection_id: int
    table: str
    embedding_model: str
    source: str
    file_name: str
    media_type: str
    meta: dict[str, Any]
    standing: Standing
    error: str
    rev: int
    indexed_rev: int
    size_bytes: int
    characters: int
    content_hash: str
    chunk_count: int
    token_count: int
    timings: list[tuple[str, float]]
    created_by: str
    created_at: datetime
    updated_at: datetime
    indexed_at: datetime | None
    refusals: dict[str, str] = field(repr=False)

    @property
    def shown(self) -> str:
        return self.standing.shown


_LIST_FIELDS = (
    "title",
    "external_id",
    "source",
    "error",
    "chunk_count",
    "size_bytes",
    "created_at",
    "updated_at",
)
_STANDING_FIELDS = ("status", "source", "archived_at", "deleted_at")
_DETAIL_FIELDS = (
    *_LIST_FIELDS,
    "collection_id",
    "file_name",
    "media_type",
    "meta",
    "rev",
    "indexed_rev",
    "content_hash",
    "token_count",
    "indexed_at",
)


@in_thread
def list_documents(tenant: Tenant, filters: DocumentFilters, *, until: str = "", rows: int = PAGE_ROWS) -> DocumentPage:
    """Newest first. `until` is the cursor of the last row of a page that is read again, with what has come into it
    since (at most REREAD_ROWS). Raises InvalidInput.
    """
    found = filters.narrow(Document.objects.filter(tenant=tenant))
    if filters.after:
        at, pk = _read_cursor(filters.after)
        found = found.filter(Q(created_at__lt=at) | Q(created_at=at, pk__lt=pk))
    columns = {*_LIST_FIELDS, *_STANDING_FIELDS, "pk", "upload_id", "collection__table"}
    if until:
        at, pk = _read_cursor(until)
        found = found.filter(Q(created_at__gt=at) | Q(created_at=at, pk__gte=pk))
        again = found.order_by("created_at", "id").values(*columns)[:REREAD_ROWS]
        return DocumentPage(rows=[_row(values) for values in again][::-1], next_after="")
    page = [_row(values) for values in found.order_by("-created_at", "-id").values(*columns)[: rows + 1]]
    return DocumentPage(rows=page[:rows], next_after=page[rows - 1].cursor if len(page) > rows else "")


def _row(values: dict[str, Any]) -> DocumentRow:
    standing = _standing(values)
    return DocumentRow(
        id=values["pk"],
        table=values["collection__table"],
        standing=standing,
        refusals=refusals(standing),
        **{name: values[name] for name in _LIST_FIELDS},
    )


def _standing(values: dict[str, Any]) -> Standing:
    return Standing(
        has_unread_file=values["upload_id"] is not None, **{name: values[name] for name in _STANDING_FIELDS}
    )


@in_thread
def count_by_status(tenant: Tenant, filters: DocumentFilters) -> dict[str, int]:
    """Of all documents that the filters choose, the one by status left aside."""
    rows = filters.narrow(Document.objects.filter(tenant=tenant), leave_out="status")
    return dict(rows.order_by().values_list("status").annotate(Count("pk")))


@in_thread
def suggest(tenant: Tenant, filters: DocumentFilters, *, key: str, prefix: str) -> list[tuple[str, int]]:
    """Values of a filter key with their counts, the commonest first. Raises InvalidInput for unknown keys."""
    if key not in _COLUMNS:
        raise InvalidInput("field", f"There are suggestions for {', '.join(_COLUMNS)}.")
    column = _COLUMNS[key]
    rows = filters.narrow(Document.objects.filter(tenant=tenant), leave_out=key)
    if prefix:
        rows = rows.filter(**{f"{column}__istartswith": clean_text(prefix, "prefix", 100)})
    return list(rows.order_by().values_list(column).annotate(n=Count("pk")).order_by("-n", column)[:SUGGESTIONS])


@in_thread
def has_documents(tenant: Tenant) -> bool:
    return Document.objects.filter(tenant=tenant).exists()


async def open_document(tenant: Tenant, document_id: UUID) -> Document:
    """The row with its collection, without its text. Raises NotFound, also for a document of another tenant."""
    rows = Document.objects.select_related("collection__tenant").defer("content")
    document = await rows.filter(tenant=tenant, pk=document_id).afirst()
    if document is None:
        raise NotFound
    return document


@in_thread
def document_detail(tenant: Tenant, document_id: UUID) -> DocumentDetail:
    """Raises NotFound, also for a document of another tenant."""
    columns = {*_DETAIL_FIELDS, *_STANDING_FIELDS, "pk", "upload_id", "timings", "created_by__email"}
    columns |= {"collection__table", "collection__embedding_model"}
    rows = Document.objects.filter(tenant=tenant, pk=document_id).annotate(characters=Length("content"))
    values = rows.values(*columns, "characters").first()
    if values is None:
        raise NotFound
    standing = _standing(values)
    return DocumentDetail(
        id=values["pk"],
        table=values["collection__table"],
        embedding_model=values["collection__embedding_model"],
        standing=standing,
        timings=[(step, float(spent)) for step, spent in values["timings"].items()],
        created_by=values["created_by__email"] or "",
        characters=values["characters"] or 0,
        refusals=refusals(standing),
        **{name: values[name] for name in _DETAIL_FIELDS},
    )


@in_thread
def document_text(document_id: UUID, *, start: int = 0, characters: int = PREVIEW_CHARS) -> str:
    """A piece of the text, cut by the database: nobody needs all of it in memory."""
    piece = Substr("content", Value(start + 1), Value(characters))
    rows = Document.objects.filter(pk=document_id).annotate(piece=piece)
    return rows.values_list("piece", flat=True).first() or ""


async def text_pieces(document_id: UUID) -> AsyncIterator[bytes]:
    start = 0
    while piece := await document_text(document_id, start=start, characters=TEXT_PIECE):
        yield piece.encode()
        start += len(piece)

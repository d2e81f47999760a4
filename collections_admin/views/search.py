"""Search by meaning in one collection of a tenant."""

from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any
from urllib.parse import quote, urlencode

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from collections_admin.access import open_tenant
from collections_admin.errors import InvalidInput, Unavailable
from collections_admin.forms.address import check_address
from collections_admin.forms.search import DEFAULT_LIMIT, SearchForm
from collections_admin.models import TenantCollection
from collections_admin.qdrant import CollectionMissing, PointMissing
from collections_admin.services import chunks
from collections_admin.services import search as searches
from collections_admin.services.payload_filters import SUGGESTED_FIELDS, Archived, PayloadFilters
from collections_admin.templatetags.marking import excerpt
from collections_admin.types import FilterToken, Notice
from collections_admin.views.answers import page_or_fragment
from collections_admin.views.chunk_rows import place
from collections_admin.views.chunks import outage_notice


@dataclass(frozen=True, kw_only=True, slots=True)
class HitView:
    rank: int
    score: float
    url: str
    like_url: str
    document_url: str
    title: str
    place: str
    text: SafeString
    is_archived: bool
    unreadable: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """The state of the page as its address has it."""

    q: str = ""
    like: str = ""
    table: str = ""
    limit: int = DEFAULT_LIMIT
    offset: int = 0
    threshold: float | None = None
    filters: PayloadFilters = searches.NO_FILTERS

    @classmethod
    def of(cls, cleaned: dict[str, Any], filters: PayloadFilters) -> "Query":
        return cls(
            q=cleaned["q"],
            like=str(cleaned["like"] or ""),
            table=cleaned["table"].table if cleaned["table"] else "",
            limit=cleaned["limit"],
            offset=cleaned["offset"],
            threshold=cleaned["threshold"],
            filters=filters,
        )

    def url(self, path: str) -> str:
        given = {
            "q": self.q,
            "like": self.like,
            "table": self.table,
            "limit": "" if self.limit == DEFAULT_LIMIT else self.limit,
            "offset": self.offset or "",
            "threshold": "" if self.threshold is None else f"{self.threshold:g}",
        }
        pairs = [(name, value) for name, value in given.items() if value != ""]
        return f"{path}?{urlencode(pairs + self.filters.parameters(words='where'))}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Results:
    """`hits_html` is rendered ahead of the page, so that its own time can be shown in it."""

    query: Query
    outcome: searches.SearchOutcome | None = None
    hits_html: SafeString | None = None
    rendering_ms: float = 0.0
    notice: Notice | None = None
    gone: bool = False
    next_url: str = ""
    previous_url: str = ""
    drop_threshold_url: str = ""
    drop_filters_url: str = ""

    @property
    def note(self) -> str:
        found = len(self.outcome.hits) if self.outcome else 0
        if self.query.offset and found:
            return f"hits {self.query.offset + 1:,} to {self.query.offset + found:,}"
        return f"{found:,} hit{'' if found == 1 else 's'}"


@require_safe
async def search(request: HttpRequest, tenant_id: int) -> HttpResponse:
    shell = await open_tenant(request, tenant_id, active="search")
    collections = await searches.collections_of(shell.tenant)
    form = SearchForm(request.GET, collections=collections)
    filters, mistake = _filters(request)
    path = reverse("search", args=[tenant_id])
    context = {"form": form, "collections": collections, "mistake": mistake, "path": path}
    if not form.is_valid() or mistake:
        context |= _box(form, filters, Query(filters=filters), path)
        return _answer(request, context, status=400)
    query = Query.of(form.cleaned_data, filters)
    context |= _box(form, filters, query, path)
    collection = form.cleaned_data["table"]
    if collection is None or not (query.q or query.like):
        return _answer(request, context)
    results = await _results(collection, query, path)
    is_failed = results.notice is not None or results.gone
    status = (404 if results.gone else 503) if is_failed and request.htmx else 200
    return _answer(request, context | {"results": results, "collection": collection}, status=status)


def _answer(request: HttpRequest, context: dict[str, Any], status: int = 200) -> HttpResponse:
    return page_or_fragment(request, "search/page.html", "search/_results.html", context, status=status)


def _filters(request: HttpRequest) -> tuple[PayloadFilters, str]:
    """The filters and what is wrong with them."""
    try:
        check_address(request)
        filters = PayloadFilters.parse(
            f=request.GET.getlist("f"),
            q=request.GET.get("where", ""),
            archived=_archived(request.GET.get("archived", "")),
        )
    except InvalidInput as error:
        return searches.NO_FILTERS, error.message
    return filters, ""


def _archived(given: str) -> str:
    """What the form refuses itself, beside the other fields."""
    return given if given in set(Archived) else ""


def _box(form: SearchForm, filters: PayloadFilters, query: Query, path: str) -> dict[str, Any]:
    """The filter box: its tokens, and where its values are suggested from."""
    collection = getattr(form, "cleaned_data", {}).get("table")
    facet_url = reverse("chunk-facet", args=[collection.tenant_id, collection.table]) if collection else ""
    tokens = [
        FilterToken(
            label=f"{'not ' if field.is_negated else ''}{field.key}",
            value=field.value,
            text=field.text,
            remove_url=replace(query, filters=filters.without(field), offset=0).url(path),
        )
        for field in filters.fields
    ]
    return {
        "tokens": tokens,
        "facet_url": facet_url,
        "fields": SUGGESTED_FIELDS,
        "query": query,
        "include_archived": filters.archived is not Archived.LIVE,
    }


async def _results(collection: TenantCollection, query: Query, path: str) -> Results:
    results = Results(query=query)
    try:
        outcome = await searches.search(
            collection,
            text=query.q,
            like=query.like or None,
            filters=query.filters,
            limit=query.limit,
            offset=query.offset,
            threshold=query.threshold,
        )
    except PointMissing:
        return replace(results, gone=True)
    except (Unavailable, CollectionMissing) as error:
        return replace(results, notice=outage_notice(error))
    started = perf_counter()
    hits = _hit_views(outcome.hits, collection, query, path)
    html = render_to_string("search/_hits.html", {"hits": hits, "offset": query.offset})
    return replace(
        results,
        outcome=outcome,
        hits_html=html,
        rendering_ms=(perf_counter() - started) * 1000,
        **_links(query, outcome, path),
    )


def _links(query: Query, outcome: searches.SearchOutcome, path: str) -> dict[str, str]:
    links = {}
    if outcome.next_offset is not None:
        links["next_url"] = replace(query, offset=outcome.next_offset).url(path)
    if query.offset:
        links["previous_url"] = replace(query, offset=max(0, query.offset - query.limit)).url(path)
    if query.threshold is not None:
        links["drop_threshold_url"] = replace(query, threshold=None, offset=0).url(path)
    if query.filters:
        links["drop_filters_url"] = replace(query, filters=searches.NO_FILTERS, offset=0).url(path)
    return links


def _hit_views(
    hits: tuple[searches.SearchHit, ...], collection: TenantCollection, query: Query, path: str
) -> list[HitView]:
    base = reverse("chunk-list", args=[collection.tenant_id, collection.table])
    suffix = f"/?back={quote(query.url(path), safe='')}"
    alike = replace(query, q="", offset=0)
    return [
        HitView(
            rank=hit.rank,
            score=hit.score,
            url=f"{base}{hit.point_id}{suffix}",
            like_url=replace(alike, like=hit.point_id).url(path),
            document_url=_document_url(collection, hit.document_id),
            title=hit.title or "Untitled",
            place=place(hit.number, hit.count),
            text=excerpt(hit.text, query.q),
            is_archived=hit.is_archived,
            unreadable=hit.unreadable,
        )
        for hit in hits
    ]


def _document_url(collection: TenantCollection, document_id: str) -> str:
    parsed = chunks.as_uuid(document_id)
    return reverse("document-detail", args=[collection.tenant_id, parsed]) if parsed else ""

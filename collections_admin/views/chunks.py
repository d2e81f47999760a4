"""Chunks of a collection and of a document, and one chunk."""

import uuid
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from collections_admin.access import Shell, open_collection, open_tenant
from collections_admin.errors import ConsoleError, InvalidInput, Unavailable
from collections_admin.forms.address import check_address
from collections_admin.models import Document, Tenant, TenantCollection
from collections_admin.qdrant import CollectionMissing
from collections_admin.services import chunk_detail as details
from collections_admin.services import chunks
from collections_admin.services.payload_filters import (
    SUGGESTED_FIELDS,
    Archived,
    FieldFilter,
    PayloadFilters,
    literal,
)
from collections_admin.types import FilterToken, Notice
from collections_admin.views.answers import page_or_fragment
from collections_admin.views.chunk_rows import rows_html

MAX_BACK_CHARS = 4_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    name: str
    url: str
    is_current: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Browser:
    """All that `chunks/_browser.html` shows. `page` is None where `notice` or `mistake` says why."""

    list_url: str
    fragment_url: str
    facet_url: str
    filters: PayloadFilters
    fields: tuple[str, ...] = SUGGESTED_FIELDS
    tokens: tuple[FilterToken, ...] = ()
    choices: tuple[Choice, ...] = ()
    rows_html: str = ""
    page: chunks.ChunkPage | None = None
    more_url: str = ""
    more_page_url: str = ""
    is_continued: bool = False
    count_url: str = ""
    typed: str = ""
    mistake: str = ""
    notice: Notice | None = None
    retry_url: str = ""
    lacking: int = 0

    @property
    def status(self) -> int:
        return 400 if self.mistake else 200

    @property
    def fragment_status(self) -> int:
        return 503 if self.notice else self.status

    @property
    def keep(self) -> dict[str, str]:
        """What the form of the filter box must not lose."""
        archived = self.filters.archived
        return {} if archived is self.filters.usual else {"archived": archived.value}


@require_safe
async def chunk_list(request: HttpRequest, tenant_id: int, table: str) -> HttpResponse:
    _, collection = await open_collection(request, tenant_id, table)
    list_url = reverse("chunk-list", args=[tenant_id, table])
    browser = await _browse(request, collection, None, list_url, list_url)
    context = {"collection": collection, "browser": browser}
    return _answer(request, "chunks/list.html", context)


@require_safe
async def chunk_count(request: HttpRequest, tenant_id: int, table: str) -> HttpResponse:
    """The exact number of chunks, asked after the page: a large collection takes its time to count."""
    _, collection = await open_collection(request, tenant_id, table)
    check_address(request)
    total = await chunks.count(collection, filters=_filters(request, None))
    return render(request, "chunks/_total.html", {"total": total})


async def document_browser(request: HttpRequest, shell: Shell, document: Document) -> dict[str, Any]:
    """The context of `chunks/_browser.html` in the page of a document (with its collection loaded)."""
    page_url = reverse("document-detail", args=[shell.tenant.pk, document.pk])
    fragment_url = reverse("document-chunks", args=[shell.tenant.pk, document.pk])
    browser = await _browse(request, document.collection, document, page_url, fragment_url)
    return {"browser": browser, "document": document, "collection": document.collection}


@require_safe
async def document_chunks(request: HttpRequest, tenant_id: int, document_id: uuid.UUID) -> HttpResponse:
    """The chunks in the page of a document, for HTMX; everybody else is sent to that page."""
    shell = await open_tenant(request, tenant_id, active="documents")
    document = await chunks.open_document(shell.tenant, document_id)
    context = await document_browser(request, shell, document)
    if not request.htmx or request.htmx.history_restore_request:
        query = request.META.get("QUERY_STRING", "")
        return redirect(context["browser"].list_url + (f"?{query}" if query else ""))
    response = _answer(request, "chunks/list.html", context)
    if request.htmx.target == "browser":
        browser = context["browser"]
        response["HX-Push-Url"] = browser.list_url + browser.filters.query_string()
    return response


@require_safe
async def chunk_facet(request: HttpRequest, tenant_id: int, table: str) -> HttpResponse:
    """JSON for the filter box: `{"values": [{"value", "count"}]}`, or `{"message"}` where there can be none."""
    shell, collection = await open_collection(request, tenant_id, table)
    try:
        facet = await _facet(request, shell.tenant, collection)
    except ConsoleError as error:
        return JsonResponse({"values": [], "message": error.message}, status=error.status)
    if facet.reason:
        return JsonResponse({"values": [], "message": facet.reason})
    more = "+" if facet.is_sample else ""
    values = [
        {"value": literal(value.value), "count": f"{value.count}{more}" if more else value.count}
        for value in facet.values
    ]
    return JsonResponse({"values": values})


async def _facet(request: HttpRequest, tenant: Tenant, collection: TenantCollection) -> chunks.Facet:
    check_address(request)
    of_document = request.GET.get("document", "")
    document = await chunks.open_document(tenant, _document_id(of_document)) if of_document else None
    return await chunks.facet(
        collection,
        field=request.GET.get("field", ""),
        prefix=request.GET.get("prefix", ""),
        document=document,
        filters=_filters(request, document),
    )


@require_safe
async def chunk_detail(request: HttpRequest, tenant_id: int, table: str, point_id: uuid.UUID) -> HttpResponse:
    shell, collection = await open_collection(request, tenant_id, table)
    check_address(request)
    with_vector = request.GET.get("vector") == "1"
    detail = await details.chunk_detail(collection, point_id, with_vector=with_vector)
    back = _back(request, tenant_id) or reverse("chunk-list", args=[tenant_id, table])
    context = {
        "collection": collection,
        "chunk": detail,
        "back": back,
        "base_url": reverse("chunk-list", args=[tenant_id, table]),
        "suffix": f"?back={quote(back, safe='')}",
        "document_url": await _document_url(shell.tenant, detail.document_id),
    }
    return page_or_fragment(request, "chunks/detail.html", "chunks/_drawer.html", context)


# ---- parts


async def _browse(
    request: HttpRequest,
    collection: TenantCollection,
    document: Document | None,
    list_url: str,
    fragment_url: str,
) -> Browser:
    facet_url = reverse("chunk-facet", args=[collection.tenant_id, collection.table])
    browser = Browser(
        list_url=list_url,
        fragment_url=fragment_url,
        facet_url=f"{facet_url}?document={document.pk}" if document else facet_url,
        filters=PayloadFilters(archived=_usual(document), usual=_usual(document)),
        retry_url=request.get_full_path(),
        is_continued=bool(request.GET.get("after")),
    )
    try:
        check_address(request)
        filters = _filters(request, document)
        browser = replace(browser, filters=filters, **_links(filters, list_url))
        page = await chunks.browse(
            collection,
            document=document,
            filters=filters,
            cursor=request.GET.get("after", ""),
            with_total=document is not None and request.htmx.target != "chunk_more",
        )
    except InvalidInput as error:
        return replace(browser, mistake=error.message, typed=request.GET.get("q", "")[:500])
    except (Unavailable, CollectionMissing) as error:
        return replace(browser, notice=outage_notice(error))
    return _with_page(browser, collection, document, page)


def _with_page(
    browser: Browser, collection: TenantCollection, document: Document | None, page: chunks.ChunkPage
) -> Browser:
    filters = browser.filters
    more = filters.query_string(after=page.next_cursor) if page.next_cursor else ""
    expected = document.chunk_count if document and not filters and page.total is not None else 0
    return replace(
        browser,
        page=page,
        fields=SUGGESTED_FIELDS + page.meta_fields,
        rows_html=rows_html(page.rows, collection, filters.words, browser.list_url + filters.query_string()),
        more_url=browser.fragment_url + more if more else "",
        more_page_url=browser.list_url + more if more else "",
        count_url=_count_url(collection, filters) if page.total is None else "",
        lacking=max(0, expected - (page.total or 0)),
    )


def _count_url(collection: TenantCollection, filters: PayloadFilters) -> str:
    return reverse("chunk-count", args=[collection.tenant_id, collection.table]) + filters.query_string()


def outage_notice(error: ConsoleError) -> Notice:
    if isinstance(error, CollectionMissing):
        text = "The registry has it, Qdrant has not. Open the collection and ensure it to create what is missing."
        return Notice(kind="warn", title="The collection is missing in Qdrant", text=text)
    return Notice(kind="warn", title="Qdrant cannot be read at the moment", text=error.message)


def _usual(document: Document | None) -> Archived:
    """A document's own page shows all of it; a collection's, what searches find."""
    return Archived.LIVE if document is None else Archived.ALL


def _filters(request: HttpRequest, document: Document | None) -> PayloadFilters:
    return PayloadFilters.parse(
        f=request.GET.getlist("f"),
        q=request.GET.get("q", ""),
        archived=request.GET.get("archived", ""),
        usual=_usual(document),
    )


def _links(filters: PayloadFilters, list_url: str) -> dict[str, Any]:
    return {
        "tokens": tuple(_token(field, filters, list_url) for field in filters.fields),
        "choices": tuple(
            Choice(
                name=archived.value.capitalize(),
                url=list_url + replace(filters, archived=archived).query_string(),
                is_current=archived is filters.archived,
            )
            for archived in Archived
        ),
    }


def _token(field: FieldFilter, filters: PayloadFilters, list_url: str) -> FilterToken:
    return FilterToken(
        label=f"{'not ' if field.is_negated else ''}{field.key}",
        value=field.value,
        text=field.text,
        remove_url=list_url + filters.without(field).query_string(),
    )


def _answer(request: HttpRequest, page: str, context: dict[str, Any]) -> HttpResponse:
    browser = context["browser"]
    fragment = "chunks/_rows.html" if request.htmx.target == "chunk_more" else "chunks/_browser.html"
    status = browser.fragment_status if request.htmx else browser.status
    return page_or_fragment(request, page, fragment, context, status=status)


def _back(request: HttpRequest, tenant_id: int) -> str:
    """Where the list is that the chunk was opened from: an address of this tenant, or nothing."""
    back = request.GET.get("back", "")
    is_ours = back.startswith(f"/tenants/{tenant_id}/") and len(back) <= MAX_BACK_CHARS
    return back if is_ours and back.isprintable() and "\\" not in back else ""


async def _document_url(tenant: Tenant, document_id: str) -> str:
    """The page of the document, where the database knows it as one of this tenant."""
    parsed = chunks.as_uuid(document_id)
    if parsed is None or not await Document.objects.filter(tenant=tenant, pk=parsed).aexists():
        return ""
    return reverse("document-detail", args=[tenant.pk, parsed])


def _document_id(text: str) -> uuid.UUID:
    parsed = chunks.as_uuid(text)
    if parsed is None:
        raise InvalidInput("document", "document must be a UUID.")
    return parsed

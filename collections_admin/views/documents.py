"""Documents of a tenant: the list, one document with its tabs, changes of one or many."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import content_disposition_header
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from collections_admin.access import Need, Shell, open_tenant
from collections_admin.concurrency import together
from collections_admin.errors import Conflict, InvalidInput
from collections_admin.forms.documents import EditForm
from collections_admin.jobs.kinds.ingest import start, start_all
from collections_admin.jobs.of_documents import jobs_of_document, open_jobs
from collections_admin.models import DocumentStatus
from collections_admin.services import document_pages as pages
from collections_admin.services import documents
from collections_admin.services.document_actions import DocumentAction
from collections_admin.services.document_pages import DocumentDetail, DocumentFilters, DocumentPage
from collections_admin.services.tenant_collections import find_collection
from collections_admin.types import FilterToken
from collections_admin.views.answers import form_page, form_view, go, page_or_fragment, posted
from collections_admin.views.chunks import document_browser

JOB_KINDS = {DocumentAction.DELETE: "delete_documents"}
PARTS = {"rows": "documents/_rows.html", "page": "documents/_page.html"}
DONE = {
    DocumentAction.INGEST: "is queued for its ingest",
    DocumentAction.ARCHIVE: "is being archived",
    DocumentAction.RESTORE: "is being restored",
    DocumentAction.DELETE: "is being deleted",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class StatusTab:
    label: str
    status: str
    url: str
    is_current: bool
    count: int


# ---- list


@require_safe
@never_cache
async def document_list(request: HttpRequest, tenant_id: int) -> HttpResponse:
    """`?part=` answers with a piece: the rows of one page, those and what goes on behind them, the tabs."""
    shell = await open_tenant(request, tenant_id, active="documents")
    try:
        filters = _filters(request)
        page = await pages.list_documents(shell.tenant, filters, until=request.GET.get("until", ""))
    except InvalidInput as error:
        return _mistaken(request, shell, error)
    context = {"page": page, "filters": filters} | _list_urls(shell, filters, page)
    if part := PARTS.get(request.GET.get("part", "")):
        return render(request, part, context)
    context |= await _around(shell, filters)
    if request.GET.get("part") == "tabs":
        return render(request, "documents/_tabs.html", context)
    return page_or_fragment(request, "documents/list.html", "documents/_table.html", context)


def _filters(request: HttpRequest) -> DocumentFilters:
    """Other pages link here with `?collection=` and `?status=`; the address of this page has `f`."""
    named = [f"{key}:{value}" for key in pages.FILTER_FIELDS for value in request.GET.getlist(key) if value]
    return DocumentFilters.parse(
        f=[*request.GET.getlist("f"), *named],
        q=request.GET.get("q", ""),
        after=request.GET.get("after", ""),
    )


def _mistaken(request: HttpRequest, shell: Shell, error: InvalidInput) -> HttpResponse:
    context = {"mistake": error.message, "filters": DocumentFilters()} | _list_urls(shell, DocumentFilters(), None)
    return page_or_fragment(request, "documents/list.html", "documents/_table.html", context, status=400)


def _list_urls(shell: Shell, filters: DocumentFilters, page: DocumentPage | None) -> dict[str, str]:
    url = reverse("document-list", args=[shell.tenant.pk])
    kept = filters.parameters()
    urls = {"list_url": url, "first_url": _with(url, kept), "tabs_url": _with(url, [*kept, ("part", "tabs")])}
    if page and page.rows:
        here = [("after", filters.after)] if filters.after else []
        urls["rows_url"] = _with(url, [*kept, *here, ("until", page.rows[-1].cursor), ("part", "rows")])
    if page and page.next_after:
        urls["next_url"] = _with(url, [*kept, ("after", page.next_after)])
        urls["more_url"] = _with(url, [*kept, ("after", page.next_after), ("part", "page")])
    return urls


def _with(url: str, parameters: list[tuple[str, str]]) -> str:
    return f"{url}?{urlencode(parameters)}" if parameters else url


async def _around(shell: Shell, filters: DocumentFilters) -> dict[str, Any]:
    url = reverse("document-list", args=[shell.tenant.pk])
    counts = await pages.count_by_status(shell.tenant, filters)
    chosen = [one.value for one in filters.fields if one.key == "status" and not one.is_negated]
    tokens = [
        FilterToken(
            label=one.label, value=one.value, text=one.text, remove_url=_with(url, filters.without(one).parameters())
        )
        for one in filters.fields
    ]
    choices = [("All", ""), *((label, value) for value, label in DocumentStatus.choices)]
    tabs = [
        StatusTab(
            label=label,
            status=status,
            url=_with(url, filters.only_status(status).parameters()),
            is_current=chosen == ([status] if status else []),
            count=counts.get(status, 0) if status else sum(counts.values()),
        )
        for label, status in choices
    ]
    tables = {one.value for one in filters.fields if one.key == "collection" and not one.is_negated}
    return {
        "tokens": tokens,
        "tabs": tabs,
        "counts": counts,
        "work": await open_jobs(shell.tenant.pk),
        "fields": [{"key": key} for key in pages.FILTER_FIELDS],
        "table": next(iter(tables)) if len(tables) == 1 else "",
        "is_empty": not filters.is_narrowed and not counts,
    }


@require_safe
@never_cache
async def document_work(request: HttpRequest, tenant_id: int) -> HttpResponse:
    """The jobs that are at documents now, for the live region of the list."""
    shell = await open_tenant(request, tenant_id, active="documents")
    return render(request, "documents/_work.html", {"work": await open_jobs(shell.tenant.pk)})


@require_safe
async def document_facet(request: HttpRequest, tenant_id: int) -> HttpResponse:
    shell = await open_tenant(request, tenant_id, active="documents")
    try:
        key, prefix = request.GET.get("field", ""), request.GET.get("prefix", "")
        values = await pages.suggest(shell.tenant, _filters(request), key=key, prefix=prefix)
    except InvalidInput as error:
        return JsonResponse({"message": error.message}, status=400)
    return JsonResponse({"values": [{"value": value, "count": count} for value, count in values]})


# ---- one document


@require_safe
@never_cache
async def document_detail(request: HttpRequest, tenant_id: int, document_id: UUID) -> HttpResponse:
    """Its chunks, as Qdrant holds them; `?part=head` answers with the live head alone."""
    shell = await open_tenant(request, tenant_id, active="documents")
    if request.GET.get("part") == "head":
        context = await _document(shell, document_id)
        return render(request, "documents/_head.html", context | {"tab": request.GET.get("tab"), "is_reread": True})
    row = await pages.open_document(shell.tenant, document_id)
    # Qdrant reads the chunks while the database reads the rest.
    browser, facts = await together(document_browser(request, shell, row), _document(shell, document_id))
    context = facts | browser
    return render(request, "documents/detail.html", context | {"tab": "chunks"}, status=context["browser"].status)


async def _document(shell: Shell, document_id: UUID) -> dict[str, Any]:
    detail = await pages.document_detail(shell.tenant, document_id)
    jobs = await jobs_of_document(shell.tenant.pk, detail.collection_id, document_id)
    return {"detail": detail, "jobs": jobs, "job": next((row for row in jobs if row.job.is_open), None)}


@require_safe
@never_cache
async def document_record(request: HttpRequest, tenant_id: int, document_id: UUID) -> HttpResponse:
    shell = await open_tenant(request, tenant_id, active="documents")
    context = await _document(shell, document_id)
    shown = pages.SHOWN_CHARS if request.GET.get("text") == "all" else pages.PREVIEW_CHARS
    text = await pages.document_text(document_id, characters=shown)
    context |= {"tab": "record", "text": text, "is_cut": context["detail"].characters > len(text), "most": shown}
    context["can_show_more"] = context["is_cut"] and shown < pages.SHOWN_CHARS
    return render(request, "documents/record.html", context)


@require_safe
@never_cache
async def document_history(request: HttpRequest, tenant_id: int, document_id: UUID) -> HttpResponse:
    shell = await open_tenant(request, tenant_id, active="documents")
    return render(request, "documents/history.html", await _document(shell, document_id) | {"tab": "history"})


@require_safe
async def document_download(request: HttpRequest, tenant_id: int, document_id: UUID) -> HttpResponse:
    """The whole text, streamed in pieces."""
    shell = await open_tenant(request, tenant_id, active="documents")
    detail = await pages.document_detail(shell.tenant, document_id)
    response = StreamingHttpResponse(pages.text_pieces(document_id), content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = content_disposition_header(
        as_attachment=True, filename=f"{detail.external_id[:120]}.txt"
    )
    response["X-Content-Type-Options"] = "nosniff"
    return response


@form_view
async def document_edit(request: HttpRequest, tenant_id: int, document_id: UUID) -> HttpResponse:
    shell = await open_tenant(request, tenant_id, Need.WRITE, active="documents")
    detail = await pages.document_detail(shell.tenant, document_id)
    if reason := detail.refusals[DocumentAction.EDIT]:
        raise Conflict(f"{detail.title}: {reason}")
    form = EditForm(posted(request), initial=None if request.method == "POST" else await _stored(detail))
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            saved = await documents.update_document(
                shell.tenant,
                document_id,
                data["written"],
                rev=data["rev"],
                by=shell.user,
                enqueue=start("ingest", shell.user),
            )
        except documents.EditConflict as error:
            return await _conflict(request, shell, document_id, form, error)
        unchanged = saved.outcome == "unchanged"
        messages.success(request, "Nothing was changed." if unchanged else "Saved; its ingest is queued.")
        return go(request, "document-detail", tenant_id=tenant_id, document_id=document_id)
    return form_page(request, "documents/edit.html", "documents/_edit.html", {"form": form, "detail": detail})


async def _stored(detail: DocumentDetail) -> dict[str, Any]:
    text = await pages.document_text(detail.id, characters=detail.characters)
    meta = json.dumps(detail.meta, ensure_ascii=False, indent=2) if detail.meta else ""
    return {"title": detail.title, "text": text, "meta": meta, "rev": detail.rev}


async def _conflict(
    request: HttpRequest, shell: Shell, document_id: UUID, form: EditForm, error: Conflict
) -> HttpResponse:
    """Both versions: what stands now, and what was about to be saved."""
    detail = await pages.document_detail(shell.tenant, document_id)
    stored = await _stored(detail)
    mine = EditForm(initial=form.data.dict() | {"rev": detail.rev}, prefix=None)
    context = {"form": mine, "detail": detail, "stored": stored, "message": error.message}
    context["shown_text"] = stored["text"][: pages.PREVIEW_CHARS]
    context["is_cut"] = detail.characters > pages.PREVIEW_CHARS
    return page_or_fragment(request, "documents/conflict.html", "documents/_conflict.html", context, status=409)


# ---- actions


@require_POST
async def document_ingest(request: HttpRequest, tenant_id: int, document_id: UUID) -> HttpResponse:
    return await _change(request, tenant_id, document_id, DocumentAction.INGEST)


@require_POST
async def document_archive(request: HttpRequest, tenant_id: int, document_id: UUID) -> HttpResponse:
    undo = reverse("document-restore", args=[tenant_id, document_id])
    return await _change(request, tenant_id, document_id, DocumentAction.ARCHIVE, undo=undo)


@require_POST
async def document_restore(request: HttpRequest, tenant_id: int, document_id: UUID) -> HttpResponse:
    return await _change(request, tenant_id, document_id, DocumentAction.RESTORE)


async def _change(
    request: HttpRequest, tenant_id: int, document_id: UUID, action: DocumentAction, *, undo: str = ""
) -> HttpResponse:
    shell = await open_tenant(request, tenant_id, Need.WRITE, active="documents")
    document = await documents.change_document(
        shell.tenant, document_id, action, by=shell.user, enqueue=_enqueue(action, shell)
    )
    messages.success(request, f"{document.title} {DONE[action]}.", extra_tags=undo)
    return go(request, "document-detail", tenant_id=tenant_id, document_id=document_id)


def _enqueue(action: DocumentAction, shell: Shell) -> documents.Enqueue:
    return start(JOB_KINDS.get(action, action.value), shell.user)


@form_view
async def document_delete(request: HttpRequest, tenant_id: int, document_id: UUID) -> HttpResponse:
    shell = await open_tenant(request, tenant_id, Need.ADMIN, active="documents")
    if request.method != "POST":
        detail = await pages.document_detail(shell.tenant, document_id)
        context = {"detail": detail, "ids": [document_id], "chunks": detail.chunk_count}
        return page_or_fragment(request, "documents/delete.html", "documents/_delete_dialog.html", context)
    action = DocumentAction.DELETE
    document = await documents.change_document(
        shell.tenant, document_id, action, by=shell.user, enqueue=_enqueue(action, shell)
    )
    messages.success(request, f"{document.title} is being deleted.")
    return go(request, "document-list", tenant_id=tenant_id)


@require_POST
async def document_bulk(request: HttpRequest, tenant_id: int) -> HttpResponse:
    """`action` for all `ids`; deleting asks first."""
    wanted = request.POST.get("action", "")
    need = Need.ADMIN if wanted == DocumentAction.DELETE else Need.WRITE
    shell = await open_tenant(request, tenant_id, need, active="documents")
    action = _action(wanted)
    ids = _ids(request.POST.getlist("ids"))
    if action == DocumentAction.DELETE and "confirmed" not in request.POST:
        return render(request, "documents/delete.html", {"ids": ids})
    changed = await documents.change_documents(
        shell.tenant, ids, action, by=shell.user, enqueue=_enqueue(action, shell)
    )
    if changed.done:
        messages.success(request, f"{_documents(changed.done)} {_plural(DONE[action], changed.done)}.")
    if changed.refused:
        title, reason = changed.refused[0]
        messages.warning(request, f"{_documents(len(changed.refused))} left as before. {title}: {reason}")
    return redirect("document-list", tenant_id=tenant_id)


def _action(text: str) -> DocumentAction:
    if text not in {"ingest", "archive", "restore", "delete"}:
        raise InvalidInput("action", "action is one of ingest, archive, restore, delete.")
    return DocumentAction(text)


def _ids(texts: list[str]) -> list[UUID]:
    if not 0 < len(texts) <= documents.MAX_SELECTED:
        raise InvalidInput("ids", f"Choose 1 to {documents.MAX_SELECTED:,} documents.")
    try:
        return [UUID(text) for text in texts]
    except ValueError as error:
        raise InvalidInput("ids", "The id of a document cannot be read.") from error


def _documents(number: int) -> str:
    return f"{number:,} document{'' if number == 1 else 's'}"


def _plural(done: str, number: int) -> str:
    return done if number == 1 else done.replace("is ", "are ", 1).replace("its ingest", "their ingest")


@require_POST
async def document_ingest_failed(request: HttpRequest, tenant_id: int) -> HttpResponse:
    """All failed documents of the collection named by `collection`."""
    shell = await open_tenant(request, tenant_id, Need.WRITE, active="documents")
    collection = await find_collection(shell.tenant, request.POST.get("collection", ""))
    count = await documents.ingest_failed(collection, by=shell.user, enqueue=lambda: start_all(collection, shell.user))
    if count:
        messages.success(request, f"{_documents(count)} of {collection.table} queued for ingest again.")
    else:
        messages.info(request, f"No document of {collection.table} has failed.")
    return redirect("document-list", tenant_id=tenant_id)

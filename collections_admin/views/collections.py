"""Collections of a tenant: list, create, info, settings, ensure. Removing them: `collection_removal`."""

from dataclasses import asdict, dataclass

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from collections_admin.access import Need, Shell, open_tenant, superuser
from collections_admin.errors import Conflict, InvalidInput, QdrantRejected, Unavailable
from collections_admin.forms.collections import CollectionFilter, CollectionForm, LiveSettingsForm, TableForm
from collections_admin.forms.fields import add_invalid
from collections_admin.jobs.kinds.ensure import latest_ensures, start_ensure, start_ensure_all
from collections_admin.jobs.kinds.ingest import start_all
from collections_admin.limits import MAX_TABLE_NAME_CHARS
from collections_admin.models import TenantCollection
from collections_admin.services import collection_overview as overview
from collections_admin.services import tenant_collections as registry
from collections_admin.services.collection_settings import live_settings_of
from collections_admin.services.documents import ingest_waiting
from collections_admin.services.validation import clean_text
from collections_admin.types import Notice
from collections_admin.views.answers import form_page, form_view, go, page_or_fragment, posted


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Rows that are loaded together. `url` answers with their details; empty when there is nothing to ask."""

    id: str
    rows: list[overview.CollectionRow]
    url: str = ""


# ---- list


@require_safe
async def collection_list(request: HttpRequest, tenant_id: int) -> HttpResponse:
    """Paints from the database and one call of Qdrant; each batch of rows then asks for its details."""
    shell = await open_tenant(request, tenant_id, active="collections")
    found = await overview.list_collections(shell.tenant)
    state, problem = _filter(request.GET)
    rows = state.apply(found.rows)
    context = {
        "found": found,
        "filter": state,
        "problem": problem,
        "shown": len(rows),
        "batches": _batches(shell, rows, ask=found.notice is None),
        "refusal": write_refusal(shell),
    }
    status = 400 if problem else 200
    return page_or_fragment(
        request, "collections/list.html", "collections/_collection_table.html", context, status=status
    )


def _filter(query: QueryDict) -> tuple[CollectionFilter, Notice | None]:
    try:
        return CollectionFilter.parse(query), None
    except InvalidInput as error:
        return CollectionFilter(), Notice(kind="bad", title="The filter cannot be used", text=error.message)


def _batches(shell: Shell, rows: list[overview.CollectionRow], *, ask: bool) -> list[Batch]:
    starts = range(0, len(rows), overview.BATCH)
    return [_batch(shell, start, rows[start : start + overview.BATCH], ask=ask) for start in starts]


def _batch(shell: Shell, start: int, rows: list[overview.CollectionRow], *, ask: bool) -> Batch:
    query = QueryDict(mutable=True)
    query.setlist("table", [row.table for row in rows])
    query["at"] = str(start)
    url = f"{reverse('collection-rows', args=[shell.tenant.pk])}?{query.urlencode()}" if ask else ""
    return Batch(id=f"collection_rows_{start}", rows=rows, url=url)


@require_safe
async def collection_rows(request: HttpRequest, tenant_id: int) -> HttpResponse:
    """Some lines of the list with what Qdrant knows of them: `?table=…&table=…&at=<position>`."""
    shell = await open_tenant(request, tenant_id, active="collections")
    tables, start = request.GET.getlist("table"), request.GET.get("at", "0")
    if len(tables) > overview.BATCH or not (start.isascii() and start.isdigit() and len(start) < 7):
        raise InvalidInput("table", f"At most {overview.BATCH} tables at once, from a position of up to 6 digits.")
    named = [clean_text(table, "table", MAX_TABLE_NAME_CHARS) for table in tables]
    rows = await overview.list_with_details(shell.tenant, named)
    context = {"batch": Batch(id=f"collection_rows_{int(start)}", rows=rows), "refusal": write_refusal(shell)}
    return render(request, "collections/_collection_rows.html", context)


def write_refusal(shell: Shell) -> str:
    """Why the person cannot change collections, empty for those who can."""
    if shell.can_write:
        return ""
    if not shell.tenant.is_active:
        return "The tenant is deactivated: it can be read, not changed."
    return "This needs an operator of the tenant."


def admin_refusal(shell: Shell) -> str:
    if not shell.tenant.is_active:
        return "The tenant is deactivated: it can be read, not changed."
    return "" if shell.can_admin else "This needs an admin of the tenant."


# ---- create


@form_view
async def collection_create(request: HttpRequest, tenant_id: int) -> HttpResponse:
    shell = await open_tenant(request, tenant_id, Need.WRITE, active="collections")
    taken = {row.table async for row in TenantCollection.objects.filter(tenant=shell.tenant)}
    free = [table for table in await registry.tables_of(shell.tenant) if table not in taken]
    form = CollectionForm(posted(request), tables=free, initial={"table": request.GET.get("table", "")})
    if request.method == "POST" and form.is_valid():
        created = await _create(request, shell, form)
        if created is not None:
            return created
    context = {"form": form, "free": free}
    return form_page(request, "collections/create.html", "collections/_collection_form.html", context)


async def _create(request: HttpRequest, shell: Shell, form: CollectionForm) -> HttpResponse | None:
    table = form.cleaned_data["table"]
    try:
        await registry.create_collection(shell.tenant, table=table, settings=form.settings, actor=shell.user)
    except InvalidInput as error:
        add_invalid(form, error)
    except (QdrantRejected, Conflict) as error:
        form.add_error(None, error.message)
    except Unavailable as error:
        messages.warning(request, f"{table} is registered, but not yet in Qdrant: {error.message} Ensure it later.")
        return go(request, "collection-detail", tenant_id=shell.tenant.pk, table=table)
    else:
        messages.success(request, f"{table} was created. Add documents next.")
        return go(request, "collection-detail", tenant_id=shell.tenant.pk, table=table)
    return None


@form_view
async def table_add(request: HttpRequest, tenant_id: int) -> HttpResponse:
    shell = await open_tenant(request, tenant_id, Need.WRITE, active="collections")
    form = TableForm(posted(request))
    if request.method == "POST" and form.is_valid():
        try:
            table = await registry.add_table(shell.user, shell.tenant, name=form.cleaned_data["name"])
        except InvalidInput as error:
            add_invalid(form, error)
        else:
            messages.success(request, f"The table {table.name} was added. Create its collection next.")
            url = f"{reverse('collection-create', args=[tenant_id])}?table={table.name}"
            return go(request, url)
    return form_page(request, "collections/table_add.html", "collections/_table_form.html", {"form": form})


# ---- one collection


@require_safe
async def collection_detail(request: HttpRequest, tenant_id: int, table: str) -> HttpResponse:
    shell = await open_tenant(request, tenant_id, active="collections")
    row = await registry.find_collection(shell.tenant, table)
    facts = await overview.database_facts(row)
    state = await overview.collection_state(row)
    context = {
        "collection": row,
        "facts": facts,
        "state": state,
        "tab": "info",
        "refusal": write_refusal(shell),
        "points": _points(state),
        "drift": None if state.info is None else (_points(state) or 0) - facts.chunks,
    }
    return page_or_fragment(request, "collections/detail.html", "collections/_collection_info.html", context)


def _points(state: overview.CollectionState) -> int | None:
    if state.info is None:
        return None
    return state.info.points if state.info.points_exact is None else state.info.points_exact


@form_view
async def collection_edit(request: HttpRequest, tenant_id: int, table: str) -> HttpResponse:
    """Settings: everybody may look, operators change them; protecting and removing is for admins."""
    need = Need.WRITE if request.method == "POST" else Need.READ
    shell = await open_tenant(request, tenant_id, need, active="collections")
    row = await registry.find_collection(shell.tenant, table)
    form = LiveSettingsForm(posted(request), initial=asdict(live_settings_of(row)))
    if request.method == "POST" and form.is_valid():
        try:
            await registry.change_settings(shell.user, row, form.settings)
        except (QdrantRejected, Conflict) as error:
            form.add_error(None, error.message)
        else:
            messages.success(request, f"The settings of {table} were saved.")
            return go(request, "collection-edit", tenant_id=tenant_id, table=table)
    context = {
        "collection": row,
        "form": form,
        "tab": "settings",
        "refusal": write_refusal(shell) or ("It is being removed." if row.removal else ""),
        "admin_refusal": admin_refusal(shell),
    }
    return form_page(request, "collections/settings.html", "collections/_settings_form.html", context)


@require_POST
async def collection_ensure(request: HttpRequest, tenant_id: int, table: str) -> HttpResponse:
    shell = await open_tenant(request, tenant_id, Need.WRITE, active="collections")
    row = await registry.find_collection(shell.tenant, table)
    ensured = await registry.ensure_collection(row, again=True)
    if ensured.waiting:
        messages.warning(
            request, f"{table} is in Qdrant again, but empty: ingest its documents again to make them searchable."
        )
    elif ensured.changed:
        messages.success(request, f"Qdrant holds all of {table} now.")
    else:
        messages.success(request, f"Nothing was missing: Qdrant holds all of {table}.")
    return go(request, "collection-detail", tenant_id=tenant_id, table=table)


@require_POST
async def collection_ingest(request: HttpRequest, tenant_id: int, table: str) -> HttpResponse:
    """One job over all documents of the collection that are pending."""
    shell = await open_tenant(request, tenant_id, Need.WRITE, active="collections")
    row = await registry.find_collection(shell.tenant, table)
    job = await ingest_waiting(row, by=shell.user, enqueue=lambda: start_all(row, shell.user))
    if job is None:
        messages.info(request, f"No document of {table} is pending.")
        return go(request, "collection-detail", tenant_id=tenant_id, table=table)
    return go(request, "job-detail", tenant_id=tenant_id, job_id=job.pk)


@require_POST
async def collection_protect(request: HttpRequest, tenant_id: int, table: str) -> HttpResponse:
    shell = await open_tenant(request, tenant_id, Need.ADMIN, active="collections")
    wanted = request.POST.get("protected")
    if wanted not in {"0", "1"}:
        raise InvalidInput("protected", "protected must be 1 to protect the collection or 0 to lift the protection.")
    row = await registry.find_collection(shell.tenant, table)
    await registry.set_protected(shell.user, row, protected=wanted == "1")
    done = "is protected: it cannot be cleaned up or deleted" if wanted == "1" else "is not protected any more"
    messages.success(request, f"{table} {done}.")
    return go(request, "collection-edit", tenant_id=tenant_id, table=table)


# ---- ensure all


@form_view
async def collection_ensure_all(request: HttpRequest, tenant_id: int) -> HttpResponse:
    shell = await open_tenant(request, tenant_id, Need.WRITE, active="collections")
    if request.method == "POST":
        job = await start_ensure(shell.tenant, actor=shell.user)
        return go(request, "job-detail", tenant_id=tenant_id, job_id=job.pk)
    tables = await registry.tables_of(shell.tenant)
    context = {"tables": tables}
    return page_or_fragment(request, "collections/ensure_all.html", "collections/_ensure_dialog.html", context)


@form_view
async def tenant_ensure_all(request: HttpRequest) -> HttpResponse:
    """One job for each active tenant, and how the last ones went."""
    shell = await superuser(request, active="tenants")
    if request.method == "POST":
        started = await start_ensure_all(actor=shell.user)
        messages.success(request, f"Jobs for {started:,} tenants wait for a worker.")
        return go(request, "tenant-ensure-all")
    context = {"tenants": await latest_ensures()}
    return page_or_fragment(request, "tenants/ensure.html", "tenants/_ensures.html", context)

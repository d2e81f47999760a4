"""Cleaning up and deleting a collection: impact, confirmation by name, a job."""

from django.http import HttpRequest, HttpResponse

from collections_admin.access import Need, open_tenant
from collections_admin.errors import Unavailable
from collections_admin.jobs.kinds.collection_removal import start_removal
from collections_admin.models import Removal
from collections_admin.services.collection_removal import impact_of, why_not
from collections_admin.services.tenant_collections import find_collection
from collections_admin.views.answers import INVALID, form_view, go, page_or_fragment

CONFLICT = 409


@form_view
async def collection_clean_up(request: HttpRequest, tenant_id: int, table: str) -> HttpResponse:
    return await _remove(request, tenant_id, table, Removal.CLEAN_UP)


@form_view
async def collection_delete(request: HttpRequest, tenant_id: int, table: str) -> HttpResponse:
    return await _remove(request, tenant_id, table, Removal.DELETE)


async def _remove(request: HttpRequest, tenant_id: int, table: str, removal: Removal) -> HttpResponse:
    """Nothing is decided while Qdrant does not say what would go: 503."""
    shell = await open_tenant(request, tenant_id, Need.ADMIN, active="collections")
    row = await find_collection(shell.tenant, table)
    impact = await impact_of(row)
    refusal = why_not(row, removal) or _others(impact.others, removal)
    error, status = "", CONFLICT if refusal and request.method == "POST" else 200
    if request.method == "POST" and not refusal:
        if request.POST.get("confirm") == table:
            if impact.notice:
                raise Unavailable(f"{impact.notice.title}. Nothing was removed; try again in a moment.")
            job = await start_removal(shell.user, row, removal, impact)
            return go(request, "job-detail", tenant_id=tenant_id, job_id=job.pk)
        error, status = f"Type the name of the table, {table}.", INVALID
    context = {
        "collection": row,
        "impact": impact,
        "is_delete": removal == Removal.DELETE,
        "refusal": refusal or (impact.notice.title if impact.notice else ""),
        "error": error,
    }
    return page_or_fragment(
        request, "collections/remove.html", "collections/_remove_dialog.html", context, status=status
    )


def _others(aliases: list[str], removal: Removal) -> str:
    if not aliases or removal != Removal.DELETE:
        return ""
    return f"Qdrant also serves it under the alias {', '.join(aliases)}: point that elsewhere first."

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from collections_admin.access import signed_in
from collections_admin.services.health import check


@require_safe
@never_cache
async def health(request: HttpRequest) -> HttpResponse:
    """For probes, so without signing in: no addresses and no names, 503 when a part does not answer."""
    found = await check()
    parts = {
        "status": "ok" if found.ok else "failing",
        "qdrant": {
            "ok": found.qdrant.ok,
            "version": found.qdrant.version,
            "round_trip_ms": found.qdrant.round_trip_ms,
        },
        "database": {"ok": found.database_ms is not None, "round_trip_ms": found.database_ms},
        "workers": found.workers,
    }
    return JsonResponse(parts, status=200 if found.ok else 503)


@require_safe
@never_cache
async def header(request: HttpRequest) -> HttpResponse:
    await signed_in(request)
    return render(request, "shared/_health.html", {"health": await check()})

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_safe

from collections_admin.access import signed_in


@require_safe
async def home(request: HttpRequest) -> HttpResponse:
    shell = await signed_in(request)
    if len(shell.tenants) == 1:
        return redirect("collection-list", tenant_id=shell.tenants[0].id)
    return redirect("tenant-list")

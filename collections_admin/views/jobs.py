"""Jobs of a tenant: the list, one job while it runs and afterwards, cancel and retry."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from collections_admin.access import Need, open_tenant
from collections_admin.errors import InvalidInput
from collections_admin.jobs import queue
from collections_admin.jobs.listing import JobFilters, job_detail, job_page
from collections_admin.jobs.registry import kind_choices
from collections_admin.models import JobStatus


@require_safe
@never_cache
async def job_list(request: HttpRequest, tenant_id: int) -> HttpResponse:
    shell = await open_tenant(request, tenant_id, active="jobs")
    problem = None
    try:
        filters = JobFilters.parse(request.GET)
    except InvalidInput as error:
        filters, problem = JobFilters(), error
    page = None if problem else await job_page(tenant_id=shell.tenant.pk, filters=filters)
    context = {
        "page": page,
        "filters": filters,
        "problem": problem,
        "statuses": JobStatus.choices,
        "kinds": kind_choices(),
    }
    template = "jobs/_table.html" if request.htmx.target == "job-table" else "jobs/list.html"
    return render(request, template, context, status=400 if problem else 200)


@require_safe
@never_cache
async def job_show(request: HttpRequest, tenant_id: int, job_id: UUID) -> HttpResponse:
    shell = await open_tenant(request, tenant_id, active="jobs")
    detail = await job_detail(job_id, tenant_id=shell.tenant.pk)
    template = "jobs/_job.html" if request.htmx.target == "job" else "jobs/detail.html"
    return render(request, template, {"detail": detail, "row": detail.row, "job": detail.job})


@require_POST
async def job_cancel(request: HttpRequest, tenant_id: int, job_id: UUID) -> HttpResponse:
    shell = await open_tenant(request, tenant_id, Need.WRITE, active="jobs")
    job = await queue.cancel_job(job_id, tenant_id=shell.tenant.pk)
    ended = job.status == JobStatus.CANCELLED
    messages.success(
        request, "The job was cancelled." if ended else "The job is asked to stop; it does within seconds."
    )
    return redirect("job-detail", tenant_id=tenant_id, job_id=job_id)


@require_POST
async def job_retry(request: HttpRequest, tenant_id: int, job_id: UUID) -> HttpResponse:
    shell = await open_tenant(request, tenant_id, Need.WRITE, active="jobs")
    await queue.retry_job(job_id, tenant_id=shell.tenant.pk)
    messages.success(request, "The job waits for a worker again.")
    return redirect("job-detail", tenant_id=tenant_id, job_id=job_id)

"""Ensure all tables of a tenant."""

from typing import Any

from django.db.models import OuterRef, Subquery

from collections_admin.concurrency import in_thread, in_transaction
from collections_admin.errors import Unavailable
from collections_admin.jobs.context import RunningJob
from collections_admin.jobs.errors import PermanentFailure
from collections_admin.jobs.queue import add_job
from collections_admin.jobs.registry import job_kind
from collections_admin.models import Job, Tenant, User
from collections_admin.services.audit import record
from collections_admin.services.tenant_collections import TableOutcome, ensure_all_tables, tables_of

KIND = "ensure"


@job_kind(KIND, label="Ensure", timeout=1800)
async def ensure_tables(job: RunningJob) -> dict[str, Any]:
    """The result counts the tables by outcome and names those that failed."""
    tenant = await Tenant.objects.aget(pk=job.tenant_id)
    actor = await User.objects.filter(pk=job.created_by_id).afirst()
    total = len(await tables_of(tenant))
    done: list[TableOutcome] = []

    async def report(outcome: TableOutcome) -> None:
        done.append(outcome)
        await job.progress(len(done), total, outcome.table, unit="tables")
        level = "error" if outcome.state == "failed" else "info"
        await job.log(level, f"{outcome.table}: {outcome.state}. {outcome.text}".removesuffix(". "))
        await job.checkpoint()

    await job.progress(0, total, unit="tables")
    result = summary(await ensure_all_tables(tenant, actor=actor, on_outcome=report))
    if result["failed"] == total:
        raise Unavailable(result["problems"][0])
    if result["failed"]:
        raise PermanentFailure(f"{result['failed']} of {total} tables could not be ensured; the log says why.")
    return result


def summary(outcomes: list[TableOutcome]) -> dict[str, Any]:
    counts = {
        state: sum(outcome.state == state for outcome in outcomes)
        for state in ("created", "repaired", "unchanged", "failed")
    }
    return counts | {"problems": [f"{found.table}: {found.text}" for found in outcomes if found.state == "failed"]}


@in_transaction
def start_ensure(tenant: Tenant, *, actor: User) -> Job:
    """One job at a time per tenant: while one is open, that one is returned."""
    return _start(tenant, actor)


@in_transaction
def start_ensure_all(*, actor: User) -> int:
    """A job for each active tenant; how many tenants that are."""
    tenants = list(Tenant.objects.filter(is_active=True))
    for tenant in tenants:
        _start(tenant, actor)
    return len(tenants)


def _start(tenant: Tenant, actor: User) -> Job:
    record(actor, tenant, "collection.ensure_all", tenant.name)
    return add_job(KIND, tenant=tenant, subject="all tables", created_by=actor, unique_key=f"{KIND}:{tenant.pk}")


@in_thread
def latest_ensures() -> list[tuple[Tenant, Job | None]]:
    """Each active tenant with its last ensure job."""
    last = Job.objects.filter(tenant=OuterRef("pk"), kind=KIND).order_by("-created_at").values("pk")
    tenants = list(Tenant.objects.filter(is_active=True).annotate(last_job=Subquery(last[:1])))
    jobs = Job.objects.in_bulk([tenant.last_job for tenant in tenants if tenant.last_job])
    return [(tenant, jobs.get(tenant.last_job)) for tenant in tenants]

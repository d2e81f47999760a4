"""The registry of tenant collections, and what makes Qdrant hold what it says (*ensure*)."""

import asyncio
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, fields

from django.conf import settings as django_settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from collections_admin import qdrant
from collections_admin.concurrency import in_thread, in_transaction
from collections_admin.errors import Conflict, ConsoleError, InvalidInput, NotFound, QdrantRejected, Unavailable
from collections_admin.models import DEFAULT_TABLES, DataTable, Document, Tenant, TenantCollection, User
from collections_admin.services.audit import record
from collections_admin.services.collection_settings import (
    CollectionSettings,
    LiveSettings,
    as_facts,
    live_settings_of,
    spec_of,
)
from collections_admin.services.lost_points import expect_nothing
from collections_admin.services.validation import TABLE_NAME, check_table_name

MAX_OWN_TABLES = 100
RESERVED_TABLES = frozenset({"new", "ensure", "rows"})  # pages beside /collections/<table>/
ENSURE_AT_ONCE = 4
# What this process has seen complete in Qdrant, by physical name; the rest is asked again.
_ensured: dict[str, qdrant.CollectionSpec] = {}
_locks: weakref.WeakValueDictionary[tuple[int, str], asyncio.Lock] = weakref.WeakValueDictionary()


@dataclass(frozen=True, kw_only=True, slots=True)
class Ensured:
    """`changed` says whether Qdrant lacked anything; `was_missing` that the whole collection was not there.

    `waiting` are documents that were in it and have to be ingested again.
    """

    collection: TenantCollection
    changed: bool
    was_missing: bool
    waiting: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class TableOutcome:
    """`state` is created, repaired (alias or indexes were missing), unchanged or failed; `text` says why."""

    table: str
    state: str
    text: str = ""


# ---- names


def alias_name(tenant_id: int, table: str) -> str:
    """One way only: which tenant a collection belongs to is asked of the registry, never of its name."""
    return f"{django_settings.QDRANT_COLLECTION_PREFIX}{tenant_id}_{table}"


def physical_name(alias: str, version: int) -> str:
    return f"{alias}__v{version}"


# ---- tables


@in_thread
def tables_of(tenant: Tenant) -> list[str]:
    """The default tables, then the tenant's own."""
    return _tables_of(tenant)


def _tables_of(tenant: Tenant) -> list[str]:
    return [*DEFAULT_TABLES, *tenant.tables.values_list("name", flat=True)]


@in_transaction
def add_table(actor: User, tenant: Tenant, *, name: str) -> DataTable:
    """Raises `InvalidInput` for a name that is malformed, reserved or taken."""
    name = check_table_name(name, "name")
    if name in RESERVED_TABLES:
        raise InvalidInput("name", f"“{name}” is the name of a page; choose another.")
    Tenant.objects.select_for_update().get(pk=tenant.pk)
    own = set(tenant.tables.values_list("name", flat=True))
    if name in own or name in DEFAULT_TABLES:
        raise InvalidInput("name", f"There is a table “{name}” already.")
    if len(own) >= MAX_OWN_TABLES:
        raise InvalidInput("name", f"A tenant may have {MAX_OWN_TABLES} tables of its own; this one has them all.")
    record(actor, tenant, "table.add", name)
    return DataTable.objects.create(tenant=tenant, name=name)


# ---- registry


@in_thread
def find_collection(tenant: Tenant, table: str) -> TenantCollection:
    """Raises `NotFound`, also for a table of another tenant."""
    if not TABLE_NAME.match(table):  # forms may hold what PostgreSQL does not take as text
        raise NotFound
    row = TenantCollection.objects.select_related("tenant").filter(tenant=tenant, table=table).first()
    if row is None:
        raise NotFound
    return row


def lock_for_writing(collection_id: int) -> TenantCollection:
    """Within a transaction that adds documents or jobs: holds off a removal until it commits.

    Raises `NotFound`, or `Conflict` while the collection is being removed.
    """
    row = TenantCollection.objects.select_for_update(no_key=True).filter(pk=collection_id).first()
    if row is None:
        raise NotFound
    if row.removal:
        raise Conflict(f"{row.table} is being {_removed(row)}: nothing can be added until that is done.")
    return row


def _removed(row: TenantCollection) -> str:
    return "deleted" if row.removal == "delete" else "cleaned up"


@in_transaction
def register(
    tenant: Tenant, table: str, settings: CollectionSettings, *, actor: User | None = None
) -> tuple[TenantCollection, bool]:
    """The registry row and whether it is new. An existing one keeps its settings."""
    known = TenantCollection.objects.filter(tenant=tenant, table=table).first()
    if known is not None:
        return known, False
    if table not in _tables_of(tenant):
        raise InvalidInput("table", f"{tenant.name} has no table “{table[:80]}”. Add it first.")
    alias = alias_name(tenant.pk, table)
    row = TenantCollection(
        tenant=tenant,
        table=table,
        alias=alias,
        physical_name=physical_name(alias, 1),
        vector_size=settings.vector_size,
        **{field.name: getattr(settings, field.name) for field in fields(settings)},
    )
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:  # somebody else registered it at this moment
        return TenantCollection.objects.get(tenant=tenant, table=table), False
    record(actor, tenant, "collection.create", table, after=as_facts(settings))
    return row, True


async def create_collection(
    tenant: Tenant, *, table: str, settings: CollectionSettings, actor: User
) -> TenantCollection:
    """Register a table and create it in Qdrant.

    Raises `InvalidInput` when it exists. What Qdrant refuses leaves nothing behind (`QdrantRejected`, `Conflict`);
    when Qdrant does not answer (`Unavailable`) the row stays registered, to be ensured later.
    """
    row, is_new = await register(tenant, table, settings, actor=actor)
    if not is_new:
        raise InvalidInput("table", f"There is a collection for “{table}” already.")
    try:
        await ensure_collection(row)
    except (QdrantRejected, Conflict) as error:
        await _unregister(row, actor, error.message)
        raise
    return row


@in_transaction
def _unregister(row: TenantCollection, actor: User, reason: str) -> None:
    if not Document.objects.filter(collection=row).exists():
        record(actor, row.tenant, "collection.create_refused", row.table, after={"reason": reason})
        TenantCollection.objects.filter(pk=row.pk).delete()


# ---- ensure


async def ensure(
    tenant: Tenant, *, table: str, settings: CollectionSettings | None = None, actor: User | None = None
) -> Ensured:
    """Register the table if need be, and make Qdrant hold its collection. `settings` count for a new row only."""
    row, _ = await register(tenant, table, settings or CollectionSettings(), actor=actor)
    return await ensure_collection(row)


async def ensure_collection(row: TenantCollection, *, again: bool = False) -> Ensured:
    """Create what Qdrant lacks of collection, alias and payload indexes; idempotent, at any number of places at once.

    When the collection itself was not there, all its chunks and documents are pending afterwards.
    What this process has ensured before costs no call, unless `again`. Raises `Conflict` when Qdrant holds something
    else under these names (points of another database, too) or the collection is being deleted, and what Qdrant's
    calls raise.
    """
    if row.removal == "delete":
        raise Conflict(f"{row.table} is being deleted. Wait until that is done.")
    spec = spec_of(row)
    async with _lock(row.physical_name):
        if not again and _ensured.get(row.physical_name) == spec:
            return Ensured(collection=row, changed=False, was_missing=False)
        await _check_not_foreign(row)
        lost: list[int] = []

        async def lose() -> None:
            lost.append(await expect_nothing(row.pk))

        result = await qdrant.ensure_collection(row.physical_name, row.alias, spec, on_missing=lose)
        await _remember(row, spec)
    return Ensured(collection=row, changed=result.changed, was_missing=result.created, waiting=sum(lost))


def forget_ensured(physical: str) -> None:
    """Qdrant was seen without this collection, or it is to change: the next ensure asks again."""
    _ensured.pop(physical, None)


async def _check_not_foreign(row: TenantCollection) -> None:
    """Points are written after an ensure: what a collection holds before its first one is of another database."""
    if row.ensured_at is not None:
        return
    with suppress(qdrant.CollectionMissing):
        points = await qdrant.count(row.physical_name, lane="bulk")
        # In this order: whoever has written points meanwhile had noted its ensure before.
        if points and not await TenantCollection.objects.filter(pk=row.pk, ensured_at__isnull=False).aexists():
            raise Conflict(
                f"Qdrant holds {points:,} points in {row.physical_name} that this database does not know; they are of "
                "another console. Set another QDRANT_COLLECTION_PREFIX, or another DATA_DIR for the embedded node."
            )


async def _remember(row: TenantCollection, spec: qdrant.CollectionSpec) -> None:
    row.ensured_at = timezone.now()
    await TenantCollection.objects.filter(pk=row.pk).aupdate(ensured_at=row.ensured_at)
    _ensured[row.physical_name] = spec


def _lock(name: str) -> asyncio.Lock:
    """One per event loop and collection, gone when nobody holds it."""
    return _locks.setdefault((id(asyncio.get_running_loop()), name), asyncio.Lock())


async def ensure_all_tables(
    tenant: Tenant,
    *,
    actor: User | None = None,
    on_outcome: Callable[[TableOutcome], Awaitable[None]] | None = None,
) -> list[TableOutcome]:
    """Ensure every table of the tenant, a few at a time.

    One table's failure leaves the others going; when Qdrant does not answer, the rest is not tried.
    """
    slots = asyncio.Semaphore(ENSURE_AT_ONCE)
    outage: list[Unavailable] = []

    async def ensure_one(table: str) -> TableOutcome:
        async with slots:
            outcome = await _ensure_one(tenant, table, actor, outage)
        if on_outcome:
            await on_outcome(outcome)
        return outcome

    tasks = [asyncio.create_task(ensure_one(table)) for table in await tables_of(tenant)]
    try:
        return await asyncio.gather(*tasks)
    finally:  # a job that is cancelled raises out of `on_outcome`: the others must not go on without it
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _ensure_one(tenant: Tenant, table: str, actor: User | None, outage: list[Unavailable]) -> TableOutcome:
    if outage:
        return TableOutcome(table=table, state="failed", text=f"Not tried: {outage[0].message}")
    try:
        row, _ = await register(tenant, table, CollectionSettings(), actor=actor)
        ensured = await ensure_collection(row, again=True)
    except ConsoleError as error:
        if isinstance(error, Unavailable) and not isinstance(error, QdrantRejected):
            outage.append(error)
        return TableOutcome(table=table, state="failed", text=error.message)
    if not ensured.changed:
        return TableOutcome(table=table, state="unchanged")
    state = "created" if ensured.was_missing else "repaired"
    text = f"{ensured.waiting:,} documents wait to be ingested again." if ensured.waiting else ""
    return TableOutcome(table=table, state=state, text=text)


# ---- changing


async def change_settings(actor: User, row: TenantCollection, settings: LiveSettings) -> None:
    """Qdrant first: the registry must not say what Qdrant has refused. Saving again is harmless.

    A collection that Qdrant lacks gets the settings when it is ensured.
    """
    for field in fields(settings):
        setattr(row, field.name, getattr(settings, field.name))
    forget_ensured(row.physical_name)
    with suppress(qdrant.CollectionMissing):
        await qdrant.update_collection(row.physical_name, spec=spec_of(row))
    await _save_settings(actor, row.pk, settings)


@in_transaction
def _save_settings(actor: User, collection_id: int, settings: LiveSettings) -> None:
    stored = _locked(collection_id)
    before, after = as_facts(live_settings_of(stored)), as_facts(settings)
    if before == after:
        return
    for name, value in after.items():
        setattr(stored, name, value)
    stored.save(update_fields=[*after, "updated_at"])
    changed = [name for name in after if after[name] != before[name]]
    record(
        actor,
        stored.tenant,
        "collection.edit",
        stored.table,
        before={name: before[name] for name in changed},
        after={name: after[name] for name in changed},
    )


@in_transaction
def set_protected(actor: User, row: TenantCollection, *, protected: bool) -> None:
    stored = _locked(row.pk)
    if stored.is_protected == protected:
        return
    stored.is_protected = protected
    stored.save(update_fields=["is_protected", "updated_at"])
    action = "collection.protect" if protected else "collection.unprotect"
    record(
        actor,
        stored.tenant,
        action,
        stored.table,
        before={"is_protected": not protected},
        after={"is_protected": protected},
    )


def _locked(collection_id: int) -> TenantCollection:
    row = (
        TenantCollection.objects.select_for_update(of=("self",))
        .select_related("tenant")
        .filter(pk=collection_id)
        .first()
    )
    if row is None:
        raise NotFound
    return row

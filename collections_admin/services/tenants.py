"""Tenants and their members."""

import secrets
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, transaction
from django.db.models import Count, IntegerField, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from collections_admin.concurrency import in_thread, in_transaction
from collections_admin.errors import Conflict, InvalidInput, NotFound
from collections_admin.models import Document, Job, Membership, Role, Tenant, TenantCollection, User
from collections_admin.models.jobs import OPEN_STATUSES
from collections_admin.services.audit import record

PAGE_SIZE = 100
PASSWORD_BYTES = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantRow:
    """`role` is the asking person's, "superuser" for those."""

    id: int
    name: str
    slug: str
    is_active: bool
    role: str
    members: int
    collections: int
    documents: int
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantPage:
    """`next_after` is the id that the next page goes on behind, None on the last."""

    rows: list[TenantRow]
    total: int
    next_after: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class MemberRow:
    id: int
    user_id: int
    email: str
    name: str
    role: str
    is_active: bool
    since: datetime
    # Why this person can be neither removed nor given another role; empty when that is possible.
    locked: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AddedMember:
    """`password` is that of an account made for this address: shown once, stored nowhere. Else None."""

    email: str
    role: str
    password: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantImpact:
    """What stands still when a tenant is deactivated."""

    members: int
    collections: int
    documents: int
    open_jobs: int


# ---- reading


@in_thread
def list_tenants(user: User, *, text: str = "", after: int | None = None) -> TenantPage:
    """By name. A superuser sees all tenants, everybody else their own."""
    mine = Tenant.objects.all() if user.is_superuser else Tenant.objects.filter(memberships__user=user)
    found = mine.filter(Q(name__icontains=text) | Q(slug__icontains=text)) if text else mine
    rows = list(_with_counts(_behind(found, after), user)[: PAGE_SIZE + 1])
    more = len(rows) > PAGE_SIZE
    return TenantPage(
        rows=[_row(tenant, user) for tenant in rows[:PAGE_SIZE]],
        total=found.count(),
        next_after=rows[PAGE_SIZE - 1].pk if more else None,
    )


def _behind(tenants: QuerySet[Tenant], after: int | None) -> QuerySet[Tenant]:
    last = tenants.filter(pk=after).first() if after is not None else None
    if last is None:
        return tenants
    return tenants.filter(Q(name__gt=last.name) | Q(name=last.name, pk__gt=last.pk))


def _with_counts(tenants: QuerySet[Tenant], user: User) -> QuerySet[Tenant]:
    role = Membership.objects.filter(tenant=OuterRef("pk"), user=user).values("role")
    return tenants.annotate(
        my_role=Subquery(role[:1]),
        member_count=_count(Membership),
        collection_count=_count(TenantCollection),
        document_count=_count(Document),
    ).order_by("name", "pk")


def _count(model: type[Membership | TenantCollection | Document]) -> Coalesce:
    counted = model.objects.filter(tenant=OuterRef("pk")).order_by().values("tenant").annotate(n=Count("pk"))
    return Coalesce(Subquery(counted.values("n"), output_field=IntegerField()), Value(0))


def _row(tenant: Tenant, user: User) -> TenantRow:
    return TenantRow(
        id=tenant.pk,
        name=tenant.name,
        slug=tenant.slug,
        is_active=tenant.is_active,
        role="superuser" if user.is_superuser else tenant.my_role,
        members=tenant.member_count,
        collections=tenant.collection_count,
        documents=tenant.document_count,
        created_at=tenant.created_at,
    )


@in_thread
def list_members(tenant: Tenant, *, asking: User) -> list[MemberRow]:
    """Admins first, then by address."""
    rows = list(tenant.memberships.select_related("user"))
    order = [Role.ADMIN, Role.OPERATOR, Role.VIEWER]
    rows.sort(key=lambda row: (order.index(row.role), row.user.email))
    admins = sum(_is_acting_admin(row) for row in rows)
    return [_member(row, last=admins == 1 and _is_acting_admin(row), asking=asking) for row in rows]


def _member(row: Membership, *, last: bool, asking: User) -> MemberRow:
    return MemberRow(
        id=row.pk,
        user_id=row.user_id,
        email=row.user.email,
        name=row.user.get_full_name(),
        role=row.role,
        is_active=row.user.is_active,
        since=row.created_at,
        locked="The last admin of a tenant stays its admin." if last and not asking.is_superuser else "",
    )


def _is_acting_admin(row: Membership) -> bool:
    return row.role == Role.ADMIN and row.user.is_active


@in_thread
def find_member(tenant: Tenant, *, member_id: int, asking: User) -> MemberRow:
    """Raises `NotFound`, also for a member of another tenant."""
    row = tenant.memberships.select_related("user").filter(pk=member_id).first()
    if row is None:
        raise NotFound
    return _member(row, last=_is_last_admin(row), asking=asking)


@in_thread
def tenant_impact(tenant: Tenant) -> TenantImpact:
    return TenantImpact(
        members=tenant.memberships.count(),
        collections=tenant.collections.count(),
        documents=tenant.documents.count(),
        open_jobs=Job.objects.filter(tenant=tenant, status__in=OPEN_STATUSES).count(),
    )


# ---- changing tenants


@in_transaction
def create_tenant(actor: User, *, name: str, slug: str) -> Tenant:
    """Raises `InvalidInput` for a slug that is taken."""
    tenant = Tenant(name=name, slug=slug)
    _save(tenant, force_insert=True)
    record(actor, tenant, "tenant.create", name, after=_facts(tenant))
    return tenant


@in_transaction
def update_tenant(actor: User, tenant: Tenant, *, name: str, slug: str | None = None) -> Tenant:
    """`slug` None leaves it. Raises `InvalidInput` for a slug that is taken."""
    stored = _locked(tenant)
    before = _facts(stored)
    stored.name, stored.slug = name, stored.slug if slug is None else slug
    if _facts(stored) != before:
        _save(stored, update_fields=["name", "slug", "updated_at"])
        record(actor, stored, "tenant.edit", name, before=before, after=_facts(stored))
    return stored


@in_transaction
def set_active(actor: User, tenant: Tenant, *, active: bool) -> Tenant:
    stored = _locked(tenant)
    if stored.is_active != active:
        stored.is_active = active
        stored.save(update_fields=["is_active", "updated_at"])
        action = "tenant.activate" if active else "tenant.deactivate"
        record(actor, stored, action, stored.name, before={"is_active": not active}, after={"is_active": active})
    return stored


def _locked(tenant: Tenant) -> Tenant:
    stored = Tenant.objects.select_for_update().filter(pk=tenant.pk).first()
    if stored is None:
        raise NotFound
    return stored


def _facts(tenant: Tenant) -> dict[str, str]:
    return {"name": tenant.name, "slug": tenant.slug}


def _save(tenant: Tenant, **how: object) -> None:
    try:
        with transaction.atomic():
            tenant.save(**how)
    except IntegrityError as error:
        raise InvalidInput(
            "slug", f"Another tenant already uses “{tenant.slug}”. Choose another short name."
        ) from error


# ---- changing members


async def add_member(actor: User, tenant: Tenant, *, email: str, role: Role) -> AddedMember:
    """An address without an account gets one. Raises `InvalidInput` for somebody who is a member already."""
    email = email.strip().lower()
    password = None if await User.objects.filter(email=email).aexists() else secrets.token_urlsafe(PASSWORD_BYTES)
    # Hashing takes a third of a second: not while the transaction keeps others waiting.
    hashed = await in_thread(make_password)(password) if password else ""
    created = await _add_member(actor, tenant, email, role, hashed)
    return AddedMember(email=email, role=role, password=password if created else None)


@in_transaction
def _add_member(actor: User, tenant: Tenant, email: str, role: Role, hashed: str) -> bool:
    _locked(tenant)
    user, created = User.objects.get_or_create(email=email, defaults={"password": hashed})
    membership, added = Membership.objects.get_or_create(tenant=tenant, user=user, defaults={"role": role})
    if not added:
        raise InvalidInput("email", f"{email} is already a member, as {membership.get_role_display().lower()}.")
    record(actor, tenant, "member.add", email, after={"role": role, "new_account": created})
    return created


@in_transaction
def change_role(actor: User, tenant: Tenant, *, member_id: int, role: Role) -> None:
    """Raises `NotFound`, or `Conflict` for the last admin."""
    row = _locked_member(actor, tenant, member_id, keeps_admin=role == Role.ADMIN)
    if row.role == role:
        return
    record(actor, tenant, "member.edit", row.user.email, before={"role": row.role}, after={"role": role})
    row.role = role
    row.save(update_fields=["role"])


@in_transaction
def remove_member(actor: User, tenant: Tenant, *, member_id: int) -> str:
    """The removed address; the account stays. Raises `NotFound`, or `Conflict` for the last admin."""
    row = _locked_member(actor, tenant, member_id, keeps_admin=False)
    record(actor, tenant, "member.remove", row.user.email, before={"role": row.role})
    row.delete()
    return row.user.email


def _locked_member(actor: User, tenant: Tenant, member_id: int, *, keeps_admin: bool) -> Membership:
    _locked(tenant)  # two admins who demote each other at one moment: the second sees the first's change
    row = tenant.memberships.select_related("user").filter(pk=member_id).first()
    if row is None:
        raise NotFound
    if not keeps_admin and not actor.is_superuser and _is_last_admin(row):
        raise Conflict(f"{row.user.email} is the last admin of {tenant.name}. Make somebody else an admin first.")
    return row


def _is_last_admin(row: Membership) -> bool:
    if not _is_acting_admin(row):
        return False
    others = Membership.objects.filter(tenant=row.tenant_id, role=Role.ADMIN, user__is_active=True)
    return not others.exclude(pk=row.pk).exists()

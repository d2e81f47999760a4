"""Who may do what. The first line of every view is one of these helpers.

A stranger gets the same 404 for a foreign tenant as for a missing one; a reader who writes gets 403; a deactivated
tenant can be read but not changed (409).
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest

from collections_admin.concurrency import in_thread
from collections_admin.errors import Conflict, Forbidden, NotFound, SignInNeeded
from collections_admin.models import Membership, Role, Tenant, TenantCollection, User
from collections_admin.services import health
from collections_admin.services.audit import record_refusal
from collections_admin.services.health import Health
from collections_admin.types import TenantChoice

SWITCHER_LIMIT = 30
SUPERUSER = "superuser"
LARGEST_ID = 2**63 - 1  # addresses may hold larger numbers than the database


class Need(Enum):
    READ = "read"
    WRITE = "write"  # operators: change documents, start jobs
    ADMIN = "admin"  # admins: manage members, delete
    READ_ADMIN = "read_admin"  # see what only admins see, also of a deactivated tenant


_ROLES_FOR = {
    Need.READ: {Role.VIEWER, Role.OPERATOR, Role.ADMIN, SUPERUSER},
    Need.WRITE: {Role.OPERATOR, Role.ADMIN, SUPERUSER},
    Need.ADMIN: {Role.ADMIN, SUPERUSER},
    Need.READ_ADMIN: {Role.ADMIN, SUPERUSER},
}


@dataclass(frozen=True, kw_only=True)
class Shell:
    """What the frame around every page shows; `tenant` is None outside a tenant."""

    user: User
    tenants: list[TenantChoice]
    tenant: Tenant | None = None
    role: str = ""
    active: str = ""
    version: str = settings.VERSION

    @property
    def can_write(self) -> bool:
        return self.role in _ROLES_FOR[Need.WRITE] and self.tenant is not None and self.tenant.is_active

    @property
    def can_admin(self) -> bool:
        return self.role in _ROLES_FOR[Need.ADMIN]

    @property
    def health(self) -> Health | None:
        return health.last()


async def signed_in(request: HttpRequest, *, active: str = "") -> Shell:
    """Raises `SignInNeeded`."""
    user, tenants = await _person(request)
    role = SUPERUSER if user.is_superuser else ""
    request.shell = Shell(user=user, tenants=tenants, role=role, active=active)
    return request.shell


async def open_tenant(request: HttpRequest, tenant_id: int, need: Need = Need.READ, *, active: str = "") -> Shell:
    """The tenant, the person and the role. Raises `SignInNeeded`, `NotFound`, `Forbidden` or `Conflict`."""
    return await _let_in(request, await _visitor(request, tenant_id), need, active)


async def open_collection(
    request: HttpRequest, tenant_id: int, table: str, need: Need = Need.READ
) -> tuple[Shell, TenantCollection]:
    """Like `open_tenant`, with the registry's row of one of its collections. `NotFound` also where there is none."""
    visitor = await _visitor(request, tenant_id, table)
    shell = await _let_in(request, visitor, need, "collections")
    if visitor.collection is None:
        raise NotFound
    return shell, visitor.collection


async def _let_in(request: HttpRequest, visitor: "_Visitor", need: Need, active: str) -> Shell:
    user, tenant, role = visitor.user, visitor.tenant, visitor.role
    request.shell = Shell(user=user, tenants=visitor.tenants, tenant=tenant, role=role, active=active)
    if tenant is None:
        request.shell = Shell(user=user, tenants=visitor.tenants, active=active)
        raise NotFound
    try:
        _demand(role, need, tenant)
    except Forbidden:
        match = request.resolver_match
        await record_refusal(user, tenant, match.url_name if match else request.method, request.path)
        raise
    return request.shell


async def superuser(request: HttpRequest, *, active: str = "") -> Shell:
    """Raises `SignInNeeded`, or `NotFound` for everybody but superusers."""
    opened = await signed_in(request, active=active)
    if not opened.user.is_superuser:
        raise NotFound
    return opened


async def role_in(user: User, tenant_id: int) -> str:
    """The role for sockets and jobs; an empty text for strangers."""
    if not user.is_active:
        return ""
    tenant_id = min(tenant_id, LARGEST_ID)
    if user.is_superuser:
        return SUPERUSER if await Tenant.objects.filter(pk=tenant_id).aexists() else ""
    membership = await Membership.objects.filter(user=user, tenant_id=tenant_id).afirst()
    return membership.role if membership else ""


def shell(request: HttpRequest) -> dict[str, Any]:
    """Context processor: never queries."""
    return {"shell": getattr(request, "shell", None)}


def _demand(role: str, need: Need, tenant: Tenant) -> None:
    if role not in _ROLES_FOR[need]:
        wanted = "an admin" if need in {Need.ADMIN, Need.READ_ADMIN} else "an operator"
        raise Forbidden(f"This needs {wanted} of {tenant.name}; you are a {role}.")
    if need in {Need.WRITE, Need.ADMIN} and not tenant.is_active:
        raise Conflict(f"{tenant.name} is deactivated: it can be read, not changed. An admin can activate it again.")


# Each `await` of a query costs a way into the thread and back, so a page asks for all of it in one.


@in_thread
def _person(request: HttpRequest) -> tuple[User, list[TenantChoice]]:
    user = _user(request)
    return user, _choices(user)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Visitor:
    """Who asks for which tenant; a stranger's has neither tenant nor role nor collection."""

    user: User
    tenants: list[TenantChoice]
    tenant: Tenant | None
    role: str
    collection: TenantCollection | None


@in_thread
def _visitor(request: HttpRequest, tenant_id: int, table: str = "") -> _Visitor:
    user = _user(request)
    if user.is_superuser:
        tenant = Tenant.objects.filter(pk=min(tenant_id, LARGEST_ID)).first()
        choices, role = _choices(user), SUPERUSER if tenant else ""
    else:
        memberships = list(_memberships(user))
        mine = next((row for row in memberships if row.tenant_id == tenant_id), None)
        choices = [_choice(row) for row in memberships[:SWITCHER_LIMIT]]
        tenant, role = (mine.tenant, mine.role) if mine else (None, "")
    found = TenantCollection.objects.filter(tenant=tenant, table=table).first() if tenant and table else None
    return _Visitor(user=user, tenants=choices, tenant=tenant, role=role, collection=found)


def _user(request: HttpRequest) -> User:
    user = get_user(request)
    if not user.is_authenticated:
        raise SignInNeeded
    request.user = user
    return user


def _choices(user: User) -> list[TenantChoice]:
    if user.is_superuser:
        rows = Tenant.objects.order_by("name", "id")[:SWITCHER_LIMIT]
        return [TenantChoice(id=row.pk, name=row.name, role=SUPERUSER) for row in rows]
    return [_choice(row) for row in _memberships(user)[:SWITCHER_LIMIT]]


def _memberships(user: User) -> Any:
    return Membership.objects.filter(user=user).select_related("tenant").order_by("tenant__name", "tenant_id")


def _choice(membership: Membership) -> TenantChoice:
    return TenantChoice(id=membership.tenant_id, name=membership.tenant.name, role=membership.role)

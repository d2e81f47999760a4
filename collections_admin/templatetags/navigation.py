"""The left navigation: the same for a person from page to page, so it is rendered once for each state of it."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from collections_admin.types import TenantChoice


@dataclass(frozen=True, kw_only=True, slots=True)
class Navigation:
    """All that the navigation shows: two that are equal look the same to everybody."""

    tenants: tuple[TenantChoice, ...]
    tenant: TenantChoice | None
    active: str
    is_superuser: bool
    version: str
    qdrant_version: str


def navigation_of(shell: Any) -> Navigation:
    """`shell` is the `access.Shell` of a page."""
    current = shell.tenant and TenantChoice(id=shell.tenant.id, name=shell.tenant.name, role=shell.role)
    return Navigation(
        tenants=tuple(shell.tenants),
        tenant=current,
        active=shell.active,
        is_superuser=shell.user.is_superuser,
        version=shell.version,
        qdrant_version=shell.health.qdrant.version if shell.health else "",
    )


@lru_cache(maxsize=500)
def rendered(navigation: Navigation) -> SafeString:
    return render_to_string("shared/_nav.html", {"nav": navigation})

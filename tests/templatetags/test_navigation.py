from dataclasses import replace

import pytest
from django.urls import reverse

from collections_admin.templatetags.navigation import Navigation, rendered
from collections_admin.types import TenantChoice

NORTHWIND = TenantChoice(id=1, name="Northwind", role="viewer")
TAILSPIN = TenantChoice(id=2, name="<b>Tailspin</b>", role="admin")
SHOWN = Navigation(
    tenants=(NORTHWIND, TAILSPIN),
    tenant=NORTHWIND,
    active="documents",
    is_superuser=False,
    version="1.2.3",
    qdrant_version="1.20.0",
)


def test_it_leads_to_the_pages_of_the_tenant_and_marks_the_current_one() -> None:
    text = rendered(SHOWN)
    for name in ("collection-list", "document-list", "search", "job-list", "tenant-detail"):
        assert f'href="{reverse(name, args=[1])}"' in text
    assert f'href="{reverse("document-list", args=[1])}" aria-current="page"' in text
    assert text.count('aria-current="page"') == 1
    assert "tenant 1 · viewer" in text
    assert "Console 1.2.3 · Qdrant 1.20.0" in text


def test_names_are_escaped() -> None:
    assert "&lt;b&gt;Tailspin" in rendered(SHOWN)
    assert "<b>Tailspin" not in rendered(SHOWN)


@pytest.mark.parametrize(
    "other",
    [
        replace(SHOWN, tenants=(NORTHWIND,)),
        replace(SHOWN, tenant=TAILSPIN),
        replace(SHOWN, tenant=TenantChoice(id=1, name="Northwind", role="admin")),
        replace(SHOWN, active="jobs"),
        replace(SHOWN, is_superuser=True),
        replace(SHOWN, qdrant_version="1.19.0"),
        replace(SHOWN, version="2"),
        replace(SHOWN, tenant=None),
    ],
)
def test_each_state_has_its_own_look(other: Navigation) -> None:
    assert rendered(other) != rendered(SHOWN)


def test_only_superusers_see_the_list_of_all_tenants() -> None:
    everything = f'href="{reverse("tenant-list")}"'
    assert everything not in rendered(SHOWN)
    assert everything in rendered(replace(SHOWN, is_superuser=True))

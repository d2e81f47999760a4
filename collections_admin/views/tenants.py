"""Tenants and their members."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from collections_admin.access import SUPERUSER, Need, Shell, open_tenant, signed_in, superuser
from collections_admin.errors import InvalidInput
from collections_admin.forms.fields import add_invalid
from collections_admin.forms.tenants import MemberForm, RoleForm, TenantFilter, TenantForm, TenantNameForm
from collections_admin.models import Role
from collections_admin.services import tenants
from collections_admin.views.answers import form_page, form_view, go, page_or_fragment, posted

ROLE_MEANINGS = {
    Role.VIEWER: "reads",
    Role.OPERATOR: "also changes documents and starts jobs",
    Role.ADMIN: "also manages members and deletes",
}


@require_safe
async def tenant_list(request: HttpRequest) -> HttpResponse:
    shell = await signed_in(request, active="tenants")
    asked = TenantFilter(request.GET)
    text, after = (asked.cleaned_data["q"], asked.cleaned_data["after"]) if asked.is_valid() else ("", None)
    page = await tenants.list_tenants(shell.user, text=text, after=after)
    context = {"page": page, "q": text, "after": after, "errors": asked.errors}
    status = 200 if asked.is_valid() else 400
    return page_or_fragment(request, "tenants/list.html", "tenants/_tenant_rows.html", context, status=status)


@form_view
async def tenant_create(request: HttpRequest) -> HttpResponse:
    shell = await superuser(request, active="tenants")
    form = TenantForm(posted(request))
    if request.method == "POST" and form.is_valid():
        try:
            tenant = await tenants.create_tenant(shell.user, **form.cleaned_data)
        except InvalidInput as error:
            add_invalid(form, error)
        else:
            messages.success(request, f"{tenant.name} was created. Add its members next.")
            return go(request, "tenant-detail", tenant_id=tenant.pk)
    return form_page(request, "tenants/create.html", "tenants/_tenant_form.html", {"form": form})


@require_safe
async def tenant_detail(request: HttpRequest, tenant_id: int) -> HttpResponse:
    shell = await open_tenant(request, tenant_id, active="tenant")
    return render(request, "tenants/detail.html", await _detail(shell))


async def _detail(shell: Shell, *, member_form: MemberForm | None = None) -> dict[str, Any]:
    return {
        "tenant": shell.tenant,
        "members": await tenants.list_members(shell.tenant, asking=shell.user),
        "impact": await tenants.tenant_impact(shell.tenant),
        "roles": [(role.label, meaning) for role, meaning in ROLE_MEANINGS.items()],
        "member_form": member_form or MemberForm(),
        "refusal": _refusal(shell),
    }


def _refusal(shell: Shell) -> str:
    """Why the person cannot change members and settings; empty for those who can."""
    if not shell.can_admin:
        return "Only admins of this tenant change its settings and members."
    return "" if shell.tenant.is_active else "The tenant is deactivated: activate it first."


@form_view
async def tenant_edit(request: HttpRequest, tenant_id: int) -> HttpResponse:
    shell = await open_tenant(request, tenant_id, Need.ADMIN, active="tenant")
    kind = TenantForm if shell.role == SUPERUSER else TenantNameForm
    form = kind(posted(request), initial={"name": shell.tenant.name, "slug": shell.tenant.slug})
    if request.method == "POST" and form.is_valid():
        try:
            tenant = await tenants.update_tenant(shell.user, shell.tenant, **form.cleaned_data)
        except InvalidInput as error:
            add_invalid(form, error)
        else:
            messages.success(request, f"{tenant.name} was saved.")
            return go(request, "tenant-detail", tenant_id=tenant.pk)
    context = {"form": form, "tenant": shell.tenant}
    return form_page(request, "tenants/edit.html", "tenants/_tenant_form.html", context)


@form_view
async def tenant_deactivate(request: HttpRequest, tenant_id: int) -> HttpResponse:
    """Deactivates an active tenant, and activates a deactivated one when asked to (`active=1`)."""
    shell = await open_tenant(request, tenant_id, Need.READ_ADMIN, active="tenant")
    if request.method == "POST":
        active = request.POST.get("active") == "1"
        tenant = await tenants.set_active(shell.user, shell.tenant, active=active)
        done = "active again" if active else "deactivated: it can be read, not changed"
        messages.success(request, f"{tenant.name} is {done}.")
        return go(request, "tenant-detail", tenant_id=tenant.pk)
    context = {"tenant": shell.tenant, "impact": await tenants.tenant_impact(shell.tenant)}
    return page_or_fragment(request, "tenants/deactivate.html", "tenants/_deactivate_dialog.html", context)


# ---- members


@never_cache
@form_view
async def member_add(request: HttpRequest, tenant_id: int) -> HttpResponse:
    """The answer to an unknown address shows the new password: once, in this answer only."""
    shell = await open_tenant(request, tenant_id, Need.ADMIN, active="tenant")
    form = MemberForm(posted(request))
    if request.method == "POST" and form.is_valid():
        try:
            added = await tenants.add_member(shell.user, shell.tenant, **form.cleaned_data)
        except InvalidInput as error:
            add_invalid(form, error)
        else:
            if added.password:
                context = {"tenant": shell.tenant, "added": added}
                return page_or_fragment(request, "tenants/password.html", "tenants/_password.html", context)
            messages.success(request, f"{added.email} is now a member: {Role(added.role).label.lower()}.")
            return go(request, "tenant-detail", tenant_id=tenant_id)
    context = {"form": form, "tenant": shell.tenant, "roles": ROLE_MEANINGS.items()}
    return form_page(request, "tenants/member_add.html", "tenants/_member_form.html", context)


@form_view
async def member_edit(request: HttpRequest, tenant_id: int, member_id: int) -> HttpResponse:
    shell = await open_tenant(request, tenant_id, Need.ADMIN, active="tenant")
    member = await tenants.find_member(shell.tenant, member_id=member_id, asking=shell.user)
    form = RoleForm(posted(request), initial={"role": member.role})
    if request.method == "POST" and form.is_valid():
        role = Role(form.cleaned_data["role"])
        await tenants.change_role(shell.user, shell.tenant, member_id=member_id, role=role)
        messages.success(request, f"{member.email} is now {role.label.lower()}.")
        return go(request, "tenant-detail", tenant_id=tenant_id)
    context = {"form": form, "tenant": shell.tenant, "member": member}
    return form_page(request, "tenants/member_edit.html", "tenants/_member_dialog.html", context)


@form_view
async def member_remove(request: HttpRequest, tenant_id: int, member_id: int) -> HttpResponse:
    shell = await open_tenant(request, tenant_id, Need.ADMIN, active="tenant")
    if request.method == "POST":
        email = await tenants.remove_member(shell.user, shell.tenant, member_id=member_id)
        messages.success(request, f"{email} is no longer a member.")
        if email == shell.user.email and shell.role != SUPERUSER:
            return go(request, "tenant-list")
        return go(request, "tenant-detail", tenant_id=tenant_id)
    member = await tenants.find_member(shell.tenant, member_id=member_id, asking=shell.user)
    context = {"tenant": shell.tenant, "member": member}
    return page_or_fragment(request, "tenants/member_remove.html", "tenants/_remove_dialog.html", context)

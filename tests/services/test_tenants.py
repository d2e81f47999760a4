import asyncio

import pytest

from collections_admin.errors import Conflict, InvalidInput, NotFound
from collections_admin.models import AuditEvent, Membership, Role, Tenant, User
from collections_admin.services import tenants
from tests.factories import (
    CollectionFactory,
    DocumentFactory,
    MembershipFactory,
    SuperuserFactory,
    TenantFactory,
    UserFactory,
    make,
    member,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("_closed_at_the_end")]


async def audit() -> list[tuple[str, str]]:
    return [(event.action, event.target) async for event in AuditEvent.objects.order_by("id")]


async def test_a_superuser_sees_all_tenants_and_a_member_only_their_own():
    mine, other = await make(TenantFactory, name="Mine"), await make(TenantFactory, name="Other")
    person = await make(member, mine, Role.OPERATOR)
    page = await tenants.list_tenants(person)
    assert [(row.name, row.role) for row in page.rows] == [("Mine", "operator")]
    everything = await tenants.list_tenants(await make(SuperuserFactory))
    assert [row.id for row in everything.rows] == [mine.pk, other.pk]
    assert everything.rows[0].role == "superuser"


async def test_the_counts_of_a_tenant_are_its_own():
    first = await make(CollectionFactory)
    await make(DocumentFactory, collection=first)
    await make(DocumentFactory, collection=first)
    await make(MembershipFactory, tenant=first.tenant)
    second = await make(CollectionFactory, table="users")
    rows = {row.id: row for row in (await tenants.list_tenants(await make(SuperuserFactory))).rows}
    assert (rows[first.tenant_id].members, rows[first.tenant_id].collections, rows[first.tenant_id].documents) == (
        1,
        1,
        2,
    )
    assert (rows[second.tenant_id].members, rows[second.tenant_id].documents) == (0, 0)


async def test_pages_of_tenants_follow_each_other_without_gaps(monkeypatch):
    monkeypatch.setattr(tenants, "PAGE_SIZE", 3)
    made = [await make(TenantFactory, name=f"T {number % 4}") for number in range(8)]
    root, after, seen = await make(SuperuserFactory), None, []
    for _ in range(3):
        page = await tenants.list_tenants(root, after=after)
        seen += [row.id for row in page.rows]
        after = page.next_after
    assert after is None
    assert sorted(seen) == sorted(tenant.pk for tenant in made)
    assert len(seen) == len(set(seen))


async def test_a_slug_that_is_taken_is_refused_by_name_and_nothing_is_written():
    await make(TenantFactory, slug="north")
    with pytest.raises(InvalidInput, match="already uses “north”") as caught:
        await tenants.create_tenant(await make(SuperuserFactory), name="North", slug="north")
    assert caught.value.field == "slug"
    assert await Tenant.objects.acount() == 1
    assert await audit() == []


async def test_a_rename_leaves_a_trace_with_before_and_after_and_an_empty_one_none():
    actor, tenant = await make(UserFactory), await make(TenantFactory, name="Old", slug="old")
    await tenants.update_tenant(actor, tenant, name="New")
    await tenants.update_tenant(actor, tenant, name="New")
    event = await AuditEvent.objects.aget()
    assert (event.action, event.before, event.after) == (
        "tenant.edit",
        {"name": "Old", "slug": "old"},
        {"name": "New", "slug": "old"},
    )
    assert event.user_email == actor.email


async def test_deactivating_twice_leaves_one_trace():
    actor, tenant = await make(UserFactory), await make(TenantFactory)
    await tenants.set_active(actor, tenant, active=False)
    await tenants.set_active(actor, tenant, active=False)
    assert not (await Tenant.objects.aget()).is_active
    assert [action for action, _ in await audit()] == ["tenant.deactivate"]


async def test_an_unknown_address_gets_an_account_whose_password_works_and_is_not_in_the_trail():
    actor, tenant = await make(UserFactory), await make(TenantFactory)
    added = await tenants.add_member(actor, tenant, email=" New@Example.com ", role=Role.VIEWER)
    user = await User.objects.aget(email="new@example.com")
    assert len(added.password) >= 12
    assert await user.acheck_password(added.password)
    event = await AuditEvent.objects.aget(action="member.add")
    assert added.password not in str(event.after) + event.target


async def test_a_known_address_is_added_without_touching_its_password():
    actor, tenant = await make(UserFactory), await make(TenantFactory)
    known = await make(UserFactory)
    added = await tenants.add_member(actor, tenant, email=known.email.upper(), role=Role.OPERATOR)
    assert added.password is None
    assert (await User.objects.aget(pk=known.pk)).password == known.password
    with pytest.raises(InvalidInput, match="already a member, as operator"):
        await tenants.add_member(actor, tenant, email=known.email, role=Role.ADMIN)


@pytest.mark.parametrize("change", ["demote", "remove"])
async def test_the_last_admin_stays_unless_a_superuser_says_otherwise(change):
    tenant = await make(TenantFactory)
    admin = await make(member, tenant, Role.ADMIN)
    await make(member, tenant, Role.OPERATOR)
    row = await Membership.objects.aget(user=admin)

    async def act(actor):
        if change == "demote":
            await tenants.change_role(actor, tenant, member_id=row.pk, role=Role.VIEWER)
        else:
            await tenants.remove_member(actor, tenant, member_id=row.pk)

    with pytest.raises(Conflict, match="last admin"):
        await act(admin)
    assert (await Membership.objects.aget(pk=row.pk)).role == Role.ADMIN
    await act(await make(SuperuserFactory))
    assert not await Membership.objects.filter(pk=row.pk, role=Role.ADMIN).aexists()


async def test_an_admin_whose_account_is_deactivated_does_not_count_as_one():
    tenant = await make(TenantFactory)
    admin, gone = await make(member, tenant, Role.ADMIN), await make(member, tenant, Role.ADMIN)
    await User.objects.filter(pk=gone.pk).aupdate(is_active=False)
    row = await Membership.objects.aget(user=admin)
    with pytest.raises(Conflict):
        await tenants.remove_member(admin, tenant, member_id=row.pk)


async def test_two_admins_who_demote_each_other_leave_one():
    tenant = await make(TenantFactory)
    first, second = await make(member, tenant, Role.ADMIN), await make(member, tenant, Role.ADMIN)
    rows = [await Membership.objects.aget(user=person) for person in (first, second)]
    outcomes = await asyncio.gather(
        tenants.change_role(first, tenant, member_id=rows[1].pk, role=Role.VIEWER),
        tenants.change_role(second, tenant, member_id=rows[0].pk, role=Role.VIEWER),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 1
    assert await Membership.objects.filter(tenant=tenant, role=Role.ADMIN).acount() == 1


async def test_a_member_of_another_tenant_is_not_found():
    tenant, other = await make(TenantFactory), await make(MembershipFactory)
    actor = await make(SuperuserFactory)
    with pytest.raises(NotFound):
        await tenants.remove_member(actor, tenant, member_id=other.pk)
    with pytest.raises(NotFound):
        await tenants.find_member(tenant, member_id=10**30, asking=actor)

import re

import pytest
from django.urls import reverse

from collections_admin.models import AuditEvent, Membership, Role, Tenant, User
from tests.factories import MembershipFactory, SuperuserFactory, TenantFactory, UserFactory, make, member

HUGE = 10**30


def url(name: str, *args) -> str:
    return reverse(name, args=args)


@pytest.fixture
async def tenant(transactional_db):
    return await make(TenantFactory, name="Northwind", slug="northwind")


def without_tokens(response) -> str:
    return re.sub(r"[A-Za-z0-9]{64}", "token", response.content.decode())


async def signed_in(client_for, tenant, role):
    return await client_for(await make(member, tenant, role))


# ---- who may

PAGES = [
    ("tenant-detail", {"viewer": 200, "operator": 200, "admin": 200}),
    ("tenant-edit", {"viewer": 403, "operator": 403, "admin": 200}),
    ("tenant-deactivate", {"viewer": 403, "operator": 403, "admin": 200}),
    ("member-add", {"viewer": 403, "operator": 403, "admin": 200}),
]


@pytest.mark.parametrize(("page", "answers"), PAGES)
async def test_each_role_gets_what_it_may_see(client_for, tenant, page, answers):
    for role, status in answers.items():
        browser = await signed_in(client_for, tenant, Role(role))
        assert (await browser.get(url(page, tenant.pk))).status_code == status, role


@pytest.mark.parametrize("page", [page for page, _ in PAGES])
async def test_a_stranger_gets_the_same_404_as_for_a_missing_tenant(client_for, tenant, page):
    browser = await client_for(await make(UserFactory))
    foreign, missing = await browser.get(url(page, tenant.pk)), await browser.get(url(page, HUGE))
    assert foreign.status_code == missing.status_code == 404
    assert without_tokens(foreign) == without_tokens(missing)


@pytest.mark.parametrize("page", ["tenant-list", "tenant-create", "tenant-ensure-all"])
async def test_somebody_signed_out_is_sent_to_the_sign_in_page(client_for, page):
    response = await (await client_for()).get(url(page))
    assert response.status_code == 302
    assert response["Location"].startswith(reverse("login"))


@pytest.mark.parametrize("page", ["tenant-create", "tenant-ensure-all"])
async def test_pages_of_superusers_are_404_for_everybody_else(client_for, tenant, page):
    browser = await signed_in(client_for, tenant, Role.ADMIN)
    assert (await browser.get(url(page))).status_code == 404
    assert (await browser.post(url(page), {"name": "X"})).status_code == 404
    assert (await (await client_for(await make(SuperuserFactory))).get(url(page))).status_code == 200


async def test_a_refused_attempt_is_in_the_trail(client_for, tenant):
    browser = await signed_in(client_for, tenant, Role.VIEWER)
    response = await browser.post(url("tenant-edit", tenant.pk), {"name": "Mine now"})
    assert response.status_code == 403
    event = await AuditEvent.objects.aget()
    assert (event.refused, event.action, event.target) == (True, "tenant-edit", url("tenant-edit", tenant.pk))
    assert (await Tenant.objects.aget()).name == "Northwind"


async def test_huge_numbers_in_the_path_are_404_for_superusers_too(client_for, tenant):
    browser = await client_for(await make(SuperuserFactory))
    for address in (
        url("tenant-detail", HUGE),
        url("member-edit", tenant.pk, HUGE),
        url("member-remove", HUGE, HUGE),
        f"/tenants/{'9' * 5000}/",
    ):
        assert (await browser.get(address)).status_code == 404, address


# ---- list


async def test_a_member_sees_own_tenants_and_a_superuser_all(client_for, tenant):
    await make(TenantFactory, name="Southwind")
    mine = await (await signed_in(client_for, tenant, Role.VIEWER)).get(url("tenant-list"))
    assert "Northwind" in mine.content.decode()
    assert "Southwind" not in mine.content.decode()
    everything = await (await client_for(await make(SuperuserFactory))).get(url("tenant-list"))
    assert "Southwind" in everything.content.decode()


async def test_somebody_without_a_tenant_is_told_what_to_do(client_for):
    response = await (await client_for(await make(UserFactory))).get(url("tenant-list"))
    assert "not a member of any tenant" in response.content.decode()


async def test_the_fragment_of_the_list_is_part_of_the_page(client_for, tenant):
    browser = await client_for(await make(SuperuserFactory))
    page = (await browser.get(url("tenant-list"))).content.decode()
    fragment = (await browser.get(url("tenant-list"), headers={"HX-Request": "true"})).content.decode()
    assert fragment.startswith('<div id="tenant_rows">')
    assert fragment.strip() in page


@pytest.mark.parametrize("query", ["after=x", f"after={HUGE}", "after=-1", "q=a%00b", "q=" + "x" * 101])
async def test_a_parameter_that_cannot_be_read_is_400_and_named(client_for, tenant, query):
    browser = await client_for(await make(SuperuserFactory))
    response = await browser.get(f"{url('tenant-list')}?{query}")
    assert response.status_code == 400
    assert "The filter cannot be used" in response.content.decode()


# ---- create and rename


async def test_a_superuser_creates_a_tenant_and_its_short_name_comes_from_the_name(client_for):
    browser = await client_for(await make(SuperuserFactory))
    response = await browser.post(url("tenant-create"), {"name": "  Über Café GmbH  ", "slug": ""})
    made = await Tenant.objects.aget()
    assert (made.name, made.slug) == ("Über Café GmbH", "uber-cafe-gmbh")
    assert response["Location"] == url("tenant-detail", made.pk)


BAD_TENANTS = [
    ({}, "Give the tenant a name"),
    ({"name": ""}, "Give the tenant a name"),
    ({"name": "   "}, "Give the tenant a name"),
    ({"name": "x" * 101}, "at most 100"),
    ({"name": "a\0b"}, "NUL"),
    ({"name": "a\nb"}, "one line"),
    ({"name": "日本"}, "type one"),
    ({"name": "A", "slug": "Not OK"}, "single hyphens"),
    ({"name": "A", "slug": "x" * 61}, "at most 60"),
    ({"name": "A", "slug": "taken"}, "already uses “taken”"),
]


@pytest.mark.parametrize("htmx", [False, True])
@pytest.mark.parametrize(("data", "message"), BAD_TENANTS)
async def test_a_form_that_cannot_be_used_comes_back_with_the_reason(client_for, data, message, htmx):
    await make(TenantFactory, slug="taken")
    browser = await client_for(await make(SuperuserFactory))
    headers = {"HX-Request": "true"} if htmx else {}
    response = await browser.post(url("tenant-create"), data, headers=headers)
    assert response.status_code == 422
    assert message in response.content.decode()
    assert response.headers.get("X-Fragment") == ("1" if htmx else None)
    assert await Tenant.objects.acount() == 1


async def test_half_a_surrogate_pair_in_a_form_is_not_a_500(client_for):
    browser = await client_for(await make(SuperuserFactory))
    response = await browser.post(
        url("tenant-create"), "name=a%ED%A0%80b&slug=ok", content_type="application/x-www-form-urlencoded"
    )
    assert response.status_code in {302, 422}


async def test_an_admin_renames_but_leaves_the_short_name(client_for, tenant):
    browser = await signed_in(client_for, tenant, Role.ADMIN)
    await browser.post(url("tenant-edit", tenant.pk), {"name": "Westwind", "slug": "westwind"})
    stored = await Tenant.objects.aget()
    assert (stored.name, stored.slug) == ("Westwind", "northwind")


async def test_htmx_is_sent_on_as_a_whole_page(client_for, tenant):
    browser = await signed_in(client_for, tenant, Role.ADMIN)
    response = await browser.post(url("tenant-edit", tenant.pk), {"name": "X"}, headers={"HX-Request": "true"})
    assert (response.status_code, response["HX-Redirect"]) == (204, url("tenant-detail", tenant.pk))


# ---- deactivate


async def test_a_deactivated_tenant_can_be_read_and_activated_but_not_changed(client_for, tenant):
    browser = await signed_in(client_for, tenant, Role.ADMIN)
    await browser.post(url("tenant-deactivate", tenant.pk), {"active": "0"})
    assert (await browser.get(url("tenant-detail", tenant.pk))).status_code == 200
    for page in ("tenant-edit", "member-add"):
        response = await browser.post(url(page, tenant.pk), {"name": "X", "email": "a@b.example", "role": "viewer"})
        assert response.status_code == 409
        assert "deactivated" in response.content.decode()
    await browser.post(url("tenant-deactivate", tenant.pk), {"active": "1"})
    assert (await Tenant.objects.aget()).is_active


async def test_the_page_before_deactivating_shows_what_stands_still(client_for, tenant):
    browser = await signed_in(client_for, tenant, Role.ADMIN)
    page = (await browser.get(url("tenant-deactivate", tenant.pk))).content.decode()
    assert "Deactivate Northwind?" in page
    assert "<dt>Members</dt><dd>1</dd>" in page
    assert (await Tenant.objects.aget()).is_active


# ---- members


async def test_the_password_of_a_new_account_is_shown_in_that_answer_only(client_for, tenant):
    browser = await signed_in(client_for, tenant, Role.ADMIN)
    response = await browser.post(url("member-add", tenant.pk), {"email": "New@Example.com", "role": "operator"})
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    assert "messages" not in response.cookies
    password = response.context["added"].password
    assert password in response.content.decode()
    assert await (await User.objects.aget(email="new@example.com")).acheck_password(password)
    for page in (url("tenant-detail", tenant.pk), url("member-add", tenant.pk)):
        assert password not in (await browser.get(page)).content.decode()


async def test_a_known_person_is_simply_added(client_for, tenant):
    known = await make(UserFactory)
    browser = await signed_in(client_for, tenant, Role.ADMIN)
    response = await browser.post(url("member-add", tenant.pk), {"email": known.email, "role": "viewer"})
    assert response["Location"] == url("tenant-detail", tenant.pk)
    assert (await Membership.objects.aget(user=known)).role == Role.VIEWER


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"email": "", "role": "viewer"},
        {"email": "nobody", "role": "viewer"},
        {"email": "x" * 300 + "@example.com", "role": "viewer"},
        {"email": "a\0@example.com", "role": "viewer"},
        {"email": "a@example.com"},
        {"email": "a@example.com", "role": "root"},
        {"email": "a@example.com", "role": "superuser"},
    ],
)
async def test_a_member_that_cannot_be_added_is_422_and_nothing_is_made(client_for, tenant, data):
    browser = await signed_in(client_for, tenant, Role.ADMIN)
    response = await browser.post(url("member-add", tenant.pk), data)
    assert response.status_code == 422
    assert await User.objects.acount() == await Membership.objects.acount() == 1


async def test_a_role_is_changed_and_a_wrong_one_refused(client_for, tenant):
    browser = await signed_in(client_for, tenant, Role.ADMIN)
    row = await make(MembershipFactory, tenant=tenant)
    bad = await browser.post(url("member-edit", tenant.pk, row.pk), {"role": "king"})
    assert bad.status_code == 422
    await browser.post(url("member-edit", tenant.pk, row.pk), {"role": "operator"})
    assert (await Membership.objects.aget(pk=row.pk)).role == Role.OPERATOR


@pytest.mark.parametrize("page", ["member-edit", "member-remove"])
async def test_the_last_admin_is_kept_with_409_and_the_button_says_so(client_for, tenant, page):
    browser = await signed_in(client_for, tenant, Role.ADMIN)
    row = await Membership.objects.aget()
    shown = await browser.get(url(page, tenant.pk, row.pk))
    assert "The last admin of a tenant stays its admin." in shown.content.decode()
    response = await browser.post(url(page, tenant.pk, row.pk), {"role": "viewer"})
    assert response.status_code == 409
    assert "last admin" in response.content.decode()


async def test_a_member_who_leaves_is_sent_to_the_list(client_for, tenant):
    browser = await signed_in(client_for, tenant, Role.ADMIN)
    mine = await Membership.objects.aget()
    await make(member, tenant, Role.ADMIN)
    response = await browser.post(url("member-remove", tenant.pk, mine.pk))
    assert response["Location"] == url("tenant-list")
    assert (await browser.get(url("tenant-detail", tenant.pk))).status_code == 404


@pytest.mark.parametrize("page", ["member-edit", "member-remove"])
async def test_a_member_of_another_tenant_is_404(client_for, tenant, page):
    foreign = await make(MembershipFactory, role=Role.ADMIN)
    browser = await signed_in(client_for, tenant, Role.ADMIN)
    for method in (browser.get, browser.post):
        assert (await method(url(page, tenant.pk, foreign.pk))).status_code == 404
    assert await Membership.objects.filter(pk=foreign.pk).aexists()


async def test_names_are_escaped_wherever_they_are_shown(client_for, tenant):
    await Tenant.objects.filter(pk=tenant.pk).aupdate(name='<b>"x"</b>')
    browser = await signed_in(client_for, tenant, Role.ADMIN)
    for page in ("tenant-detail", "tenant-edit", "tenant-deactivate", "member-add"):
        text = (await browser.get(url(page, tenant.pk))).content.decode()
        assert "&lt;b&gt;&quot;x&quot;" in text, page
        assert '<b>"x"' not in text, page

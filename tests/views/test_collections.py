import re

import pytest
from django.urls import reverse

from collections_admin import qdrant as package
from collections_admin.jobs.kinds.ingest import start
from collections_admin.models import AuditEvent, DataTable, Document, Job, Role, Tenant, TenantCollection
from collections_admin.services import documents
from collections_admin.services import tenant_collections as registry
from collections_admin.services.documents import DocumentText
from tests.factories import (
    CollectionFactory,
    DataTableFactory,
    DocumentFactory,
    SuperuserFactory,
    TenantFactory,
    UserFactory,
    make,
    member,
)
from tests.filled import filled_collection, filled_document
from tests.outages import outage
from tests.running import registered, run_next

HUGE = 10**30
HTMX = {"HX-Request": "true"}
FORM = {
    "table": "users",
    "embedding_model": "wordllama-256",
    "distance": "cosine",
    "chunk_size": "220",
    "chunk_overlap": "20",
    "hnsw_m": "16",
    "hnsw_ef_construct": "100",
    "quantization": "none",
    "strict_mode": "on",
}


def url(name: str, *args) -> str:
    return reverse(name, args=args)


def text_of(response) -> str:
    return response.content.decode()


@pytest.fixture(autouse=True)
def _nothing_remembered():
    registry._ensured.clear()


@pytest.fixture
async def tenant(transactional_db):
    return await make(TenantFactory, name="Northwind")


@pytest.fixture
async def row(tenant):
    """Registered only; Qdrant holds nothing of it."""
    return await make(CollectionFactory, tenant=tenant, table="users")


@pytest.fixture
async def down(qdrant):
    """Qdrant is stopped for the length of the test."""
    async with outage(qdrant):
        yield


async def pasted(row, number):
    written = DocumentText.checked(title=f"Document {number}", text=f"Number {number}. " * 300, meta={})
    await documents.paste(row, written, external_id=f"d{number}", by=None, enqueue=start("ingest", None))


async def signed_in(client_for, tenant, role):
    return await client_for(await make(member, tenant, role))


# ---- who may

PLAIN = ["collection-list", "collection-create", "collection-ensure-all", "table-add"]
ONE = ["collection-detail", "collection-edit", "collection-clean-up", "collection-delete"]
GET = {
    "collection-list": "viewer",
    "collection-detail": "viewer",
    "collection-edit": "viewer",
    "collection-create": "operator",
    "collection-ensure-all": "operator",
    "table-add": "operator",
    "collection-clean-up": "admin",
    "collection-delete": "admin",
}
POST = {
    "collection-create": "operator",
    "collection-ensure-all": "operator",
    "table-add": "operator",
    "collection-edit": "operator",
    "collection-ensure": "operator",
    "collection-ingest": "operator",
    "collection-protect": "admin",
    "collection-clean-up": "admin",
    "collection-delete": "admin",
}
ROLES = ["viewer", "operator", "admin"]


def address(name: str, tenant_id: int, table: str = "users") -> str:
    return url(name, tenant_id) if name in PLAIN else url(name, tenant_id, table)


@pytest.mark.parametrize(("page", "needed"), GET.items())
async def test_each_role_sees_what_it_may(client_for, qdrant, tenant, row, page, needed):
    for role in ROLES:
        response = await (await signed_in(client_for, tenant, Role(role))).get(address(page, tenant.pk))
        assert response.status_code == (200 if ROLES.index(role) >= ROLES.index(needed) else 403), role


@pytest.mark.parametrize(("page", "needed"), POST.items())
async def test_each_role_changes_what_it_may_and_a_refusal_is_in_the_trail(
    client_for, qdrant, tenant, row, page, needed
):
    for role in ROLES[: ROLES.index(needed)]:
        response = await (await signed_in(client_for, tenant, Role(role))).post(address(page, tenant.pk), FORM)
        assert response.status_code == 403, role
        assert (await AuditEvent.objects.filter(refused=True).alast()).target == address(page, tenant.pk)
    response = await (await signed_in(client_for, tenant, Role(needed))).post(address(page, tenant.pk), {})
    assert response.status_code in {302, 400, 422}


@pytest.mark.parametrize("page", [*GET, *POST])
async def test_a_stranger_gets_the_same_404_for_a_foreign_tenant_as_for_a_missing_one(client_for, tenant, row, page):
    browser = await client_for(await make(UserFactory))
    for method in (browser.get, browser.post):
        foreign, missing = await method(address(page, tenant.pk)), await method(address(page, HUGE))
        if foreign.status_code == 405:
            continue
        assert (foreign.status_code, missing.status_code) == (404, 404)
        pages = [re.sub(r"[A-Za-z0-9]{64}", "token", text_of(answer)) for answer in (foreign, missing)]
        assert pages[0] == pages[1]


@pytest.mark.parametrize("page", ONE)
@pytest.mark.parametrize("table", ["nothing", "x" * 300, "Users", "users__v1"])
async def test_a_table_without_a_collection_is_404(client_for, tenant, row, page, table):
    browser = await signed_in(client_for, tenant, Role.ADMIN)
    assert (await browser.get(url(page, tenant.pk, table))).status_code == 404
    assert (await browser.post(url(page, tenant.pk, table))).status_code in {404, 405}


async def test_the_table_of_another_tenant_is_404(client_for, tenant):
    await make(CollectionFactory, table="projects")
    browser = await signed_in(client_for, tenant, Role.ADMIN)
    for page in (*ONE, "collection-protect", "collection-ensure", "collection-ingest"):
        assert (await browser.post(url(page, tenant.pk, "projects"), {"protected": "1"})).status_code in {404, 405}, (
            page
        )


async def test_a_deactivated_tenant_is_read_only(client_for, qdrant, tenant, row):
    await Tenant.objects.filter(pk=tenant.pk).aupdate(is_active=False)
    browser = await signed_in(client_for, tenant, Role.ADMIN)
    for page in ("collection-list", "collection-detail", "collection-edit"):
        assert (await browser.get(address(page, tenant.pk))).status_code == 200
    for page in POST:
        assert (await browser.post(address(page, tenant.pk), FORM)).status_code == 409, page


# ---- list


async def test_an_empty_list_says_what_to_do_next(client_for, qdrant, tenant):
    page = text_of(await (await signed_in(client_for, tenant, Role.OPERATOR)).get(url("collection-list", tenant.pk)))
    assert "No collections yet" in page
    assert url("collection-create", tenant.pk) in page


async def test_a_viewer_sees_disabled_buttons_with_the_reason(client_for, qdrant, tenant, row):
    page = text_of(await (await signed_in(client_for, tenant, Role.VIEWER)).get(url("collection-list", tenant.pk)))
    assert "This needs an operator of the tenant." in page
    assert url("collection-create", tenant.pk) not in page


async def test_the_list_marks_what_is_missing_and_asks_for_details_in_batches(client_for, qdrant, tenant, row):
    for number in range(22):
        await make(CollectionFactory, tenant=tenant, table=f"t{number:02}")
    await registry.ensure(tenant, table="projects")
    browser = await signed_in(client_for, tenant, Role.VIEWER)
    page = text_of(await browser.get(url("collection-list", tenant.pk)))
    assert "Missing 23" in page
    urls = [found.replace("&amp;", "&") for found in re.findall(r'hx-get="([^"]*/rows/[^"]*)"', page)]
    assert len(urls) == 2
    first = await browser.get(urls[0], headers=HTMX)
    assert first.status_code == 200
    assert text_of(first).startswith('<tbody id="collection_rows_0">')
    assert "Green" in text_of(first)
    assert text_of(first).count("<tr ") == 20


async def test_the_fragment_of_the_list_is_part_of_the_page(client_for, qdrant, tenant, row):
    browser = await signed_in(client_for, tenant, Role.VIEWER)
    page = text_of(await browser.get(url("collection-list", tenant.pk)))
    fragment = text_of(await browser.get(url("collection-list", tenant.pk), headers=HTMX))
    assert fragment.startswith('<div class="stack" id="collection_table">')
    assert fragment.strip() in page


async def test_filter_and_order_are_in_the_url(client_for, qdrant, tenant):
    for table in ("users", "projects", "sprints"):
        await make(CollectionFactory, tenant=tenant, table=table, is_protected=table == "users")
    await make(DocumentFactory, collection=await TenantCollection.objects.aget(table="projects"), status="failed")
    browser = await signed_in(client_for, tenant, Role.VIEWER)

    async def tables(query):
        page = text_of(await browser.get(f"{url('collection-list', tenant.pk)}?{query}"))
        return re.findall(r'<th scope="row"><span class="row"><a href="[^"]*/collections/([a-z_]+)/"', page)

    assert await tables("") == ["projects", "sprints", "users"]
    assert await tables("sort=-table") == ["users", "sprints", "projects"]
    assert await tables("sort=-documents") == ["projects", "users", "sprints"]
    assert await tables("q=PR") == ["projects", "sprints"]
    assert await tables("show=protected") == ["users"]
    assert await tables("show=failed") == ["projects"]
    assert await tables("q=zzz") == []


@pytest.mark.parametrize("query", ["sort=points", "sort=--table", "show=all%00", "q=a%00", "q=" + "x" * 101])
async def test_a_filter_that_cannot_be_read_is_400_and_named(client_for, qdrant, tenant, row, query):
    browser = await signed_in(client_for, tenant, Role.VIEWER)
    for headers in ({}, HTMX):
        response = await browser.get(f"{url('collection-list', tenant.pk)}?{query}", headers=headers)
        assert response.status_code == 400
        assert "The filter cannot be used" in text_of(response)


@pytest.mark.parametrize("query", ["at=-1", "at=x", "at=²", f"at={HUGE}", "&".join(["table=t"] * 21)])
async def test_details_of_too_many_rows_are_refused(client_for, tenant, row, query):
    browser = await signed_in(client_for, tenant, Role.VIEWER)
    assert (await browser.get(f"{url('collection-rows', tenant.pk)}?{query}")).status_code == 400


@pytest.mark.parametrize("table", ["%00", "%ED%A0%80", "x" * 5000, "%F0%9F%98%80"])
async def test_details_of_names_that_do_not_exist_are_empty(client_for, qdrant, tenant, row, table):
    browser = await signed_in(client_for, tenant, Role.VIEWER)
    response = await browser.get(f"{url('collection-rows', tenant.pk)}?table={table}")
    assert response.status_code in {200, 400}
    assert "<tr" not in text_of(response)


# ---- create and tables


async def test_an_operator_creates_a_collection(client_for, qdrant, tenant):
    browser = await signed_in(client_for, tenant, Role.OPERATOR)
    response = await browser.post(url("collection-create", tenant.pk), FORM | {"embedding_model": "wordllama-128"})
    assert response["Location"] == url("collection-detail", tenant.pk, "users")
    info = await package.collection_info(f"client_{tenant.pk}_users")
    assert (info.vectors[0].size, info.strict_mode != ()) == (128, True)


BAD_FORMS = [
    ("table", None),
    ("table", ""),
    ("table", "secrets"),
    ("table", "taken"),
    ("table", "a\0"),
    ("embedding_model", None),
    ("embedding_model", "gpt"),
    ("distance", "far"),
    ("quantization", "x" * 1000),
    ("chunk_size", "15"),
    ("chunk_size", "2049"),
    ("chunk_size", "1e3"),
    ("chunk_size", None),
    ("chunk_overlap", "111"),
    ("chunk_overlap", "-1"),
    ("hnsw_m", "3"),
    ("hnsw_m", str(HUGE)),
    ("hnsw_m", "9" * 5000),
    ("hnsw_ef_construct", "NaN"),
    ("hnsw_ef_construct", "\ud800"),
]


@pytest.mark.parametrize("htmx", [False, True])
@pytest.mark.parametrize(("field", "value"), BAD_FORMS)
async def test_a_wrong_setting_is_422_beside_its_field_and_nothing_is_made(
    client_for, qdrant, tenant, field, value, htmx
):
    await make(CollectionFactory, tenant=tenant, table="taken")
    data = {name: text for name, text in (FORM | {field: value}).items() if text is not None}
    body = "&".join(f"{name}={'%ED%A0%80' if text == chr(0xD800) else text}" for name, text in data.items())
    browser = await signed_in(client_for, tenant, Role.OPERATOR)
    response = await browser.post(
        url("collection-create", tenant.pk),
        body,
        content_type="application/x-www-form-urlencoded",
        headers=HTMX if htmx else {},
    )
    assert response.status_code == 422
    assert f'id="id_{field}_error"' in text_of(response)
    assert response.headers.get("X-Fragment") == ("1" if htmx else None)
    assert await TenantCollection.objects.acount() == 1
    assert await package.list_collections() == []


async def test_an_empty_post_is_422(client_for, qdrant, tenant, row):
    browser = await signed_in(client_for, tenant, Role.ADMIN)
    for page in ("collection-create", "table-add", "collection-edit", "collection-delete"):
        assert (await browser.post(address(page, tenant.pk))).status_code == 422, page


async def test_what_qdrant_refuses_is_said_in_the_form(client_for, qdrant, tenant):
    await package.create_collection(f"client_{tenant.pk}_users__v1", spec=package.CollectionSpec(vector_size=4))
    browser = await signed_in(client_for, tenant, Role.OPERATOR)
    response = await browser.post(url("collection-create", tenant.pk), FORM)
    assert response.status_code == 422
    assert "size 4" in text_of(response)
    assert await TenantCollection.objects.acount() == 0


async def test_while_qdrant_is_down_a_new_collection_is_registered_and_the_page_says_so(client_for, down, tenant):
    browser = await signed_in(client_for, tenant, Role.OPERATOR)
    response = await browser.post(url("collection-create", tenant.pk), FORM, follow=True)
    assert response.status_code == 200
    assert "registered, but not yet in Qdrant" in text_of(response)
    assert await TenantCollection.objects.acount() == 1


async def test_an_own_table_is_added_and_offered_for_a_collection(client_for, qdrant, tenant):
    browser = await signed_in(client_for, tenant, Role.OPERATOR)
    response = await browser.post(url("table-add", tenant.pk), {"name": "invoices"})
    assert response["Location"] == f"{url('collection-create', tenant.pk)}?table=invoices"
    assert '<option value="invoices" selected>' in text_of(await browser.get(response["Location"]))


@pytest.mark.parametrize("name", ["", "users", "new", "taken", "A", "a b", "a__b", "x" * 64, "a\0", "../etc", "é"])
async def test_a_table_name_that_cannot_be_used_is_422(client_for, tenant, name):
    await make(DataTableFactory, tenant=tenant, name="taken")
    browser = await signed_in(client_for, tenant, Role.OPERATOR)
    response = await browser.post(url("table-add", tenant.pk), {"name": name})
    assert response.status_code == 422
    assert 'id="id_name_error"' in text_of(response)
    assert await DataTable.objects.acount() == 1


# ---- info


async def test_the_info_page_shows_both_halves(client_for, qdrant, tenant):
    row = (await registry.ensure(tenant, table="users")).collection
    await filled_document(row, ["one", "two", "three"])
    page = text_of(
        await (await signed_in(client_for, tenant, Role.VIEWER)).get(url("collection-detail", tenant.pk, "users"))
    )
    for expected in (
        "1 document, 3 chunks",
        "Green",
        f"client_{tenant.pk}_users__v1",
        "3 exactly",
        "document_id",
        "m 16, ef_construct 100",
        "max_query_limit 2000",
    ):
        assert expected in page, expected
    assert "+3" not in page


async def test_a_missing_collection_says_so_and_ensure_brings_it_back_empty(client_for, qdrant, tenant, row):
    await make(DocumentFactory, collection=row, status="indexed")
    browser = await signed_in(client_for, tenant, Role.OPERATOR)
    page = text_of(await browser.get(url("collection-detail", tenant.pk, "users")))
    assert "Qdrant does not hold this collection" in page
    assert "ingest all documents again" in page
    assert "Ingest all again" not in page
    response = await browser.post(url("collection-ensure", tenant.pk, "users"), follow=True)
    assert "ingest its documents again" in text_of(response)
    assert "1 document is pending" in text_of(response)
    assert "Ingest all again" in text_of(response)
    assert await package.list_collections() == [row.physical_name]


async def test_one_button_ingests_all_that_a_lost_collection_held(client_for, qdrant, tenant):
    row = await registered(tenant, "users")
    for number in range(3):
        await pasted(row, number)
        await run_next()
    lost = await package.count(row.alias)
    await package.delete_collection(row.physical_name, aliases=(row.alias,))
    browser = await signed_in(client_for, tenant, Role.OPERATOR)
    await browser.post(url("collection-ensure", tenant.pk, "users"))
    assert await package.count(row.alias) == 0
    response = await browser.post(url("collection-ingest", tenant.pk, "users"))
    job = await Job.objects.aget(status="queued")
    assert response.headers["Location"] == url("job-detail", tenant.pk, job.pk)
    assert "Ingest all again" not in text_of(await browser.get(url("collection-detail", tenant.pk, "users")))
    assert (await run_next()).result["indexed"] == 3
    assert await package.count(row.alias) == lost > 0
    response = await browser.post(url("collection-ingest", tenant.pk, "users"), follow=True)
    assert "No document of users is pending" in text_of(response)
    assert not await Job.objects.filter(status="queued").aexists()


async def test_nothing_is_ingested_while_the_collection_is_removed(client_for, qdrant, tenant, row):
    await make(DocumentFactory, collection=row, status="pending")
    await TenantCollection.objects.filter(pk=row.pk).aupdate(removal="clean_up")
    browser = await signed_in(client_for, tenant, Role.OPERATOR)
    assert (await browser.post(url("collection-ingest", tenant.pk, "users"))).status_code == 409
    assert await Job.objects.acount() == 0


async def test_while_qdrant_is_down_every_page_answers_with_a_named_notice(client_for, down, tenant, row):
    await make(DocumentFactory, collection=row)
    browser = await signed_in(client_for, tenant, Role.ADMIN)
    for page in ("collection-list", "collection-detail", "collection-delete", "collection-clean-up"):
        response = await browser.get(address(page, tenant.pk))
        assert response.status_code == 200, page
        assert "Qdrant does not answer at 127.0.0.1" in text_of(response), page
        assert "users" in text_of(response)
    response = await browser.get(f"{url('collection-rows', tenant.pk)}?table=users")
    assert (response.status_code, "Unknown" in text_of(response)) == (200, True)


@pytest.mark.parametrize(
    ("page", "data"),
    [
        ("collection-ensure", {}),
        ("collection-edit", FORM | {"hnsw_m": "32"}),
        ("collection-delete", {"confirm": "users"}),
        ("collection-clean-up", {"confirm": "users"}),
    ],
)
async def test_while_qdrant_is_down_nothing_is_decided(client_for, down, tenant, row, page, data):
    browser = await signed_in(client_for, tenant, Role.ADMIN)
    for headers in ({}, HTMX):
        response = await browser.post(address(page, tenant.pk), data, headers=headers)
        assert response.status_code == 503
        assert "does not answer" in text_of(response)
    stored = await TenantCollection.objects.aget()
    assert (stored.hnsw_m, stored.removal) == (16, "")
    assert await Job.objects.acount() == 0


# ---- settings, protection, removal


async def test_settings_are_saved_by_an_operator_and_shown_to_a_viewer(client_for, qdrant, tenant, row):
    await registry.ensure_collection(row)
    browser = await signed_in(client_for, tenant, Role.OPERATOR)
    response = await browser.post(
        url("collection-edit", tenant.pk, "users"), FORM | {"hnsw_m": "48", "chunk_size": "100"}
    )
    assert response.status_code == 302
    assert (await package.collection_info(row.alias)).hnsw_m == 48
    page = text_of(
        await (await signed_in(client_for, tenant, Role.VIEWER)).get(url("collection-edit", tenant.pk, "users"))
    )
    assert 'value="48"' in page
    assert '<fieldset class="stack" disabled>' in page


async def test_a_protected_collection_refuses_with_409_and_says_how_to_unprotect(client_for, qdrant, tenant, row):
    browser = await signed_in(client_for, tenant, Role.ADMIN)
    await browser.post(url("collection-protect", tenant.pk, "users"), {"protected": "1"})
    for page in ("collection-delete", "collection-clean-up"):
        response = await browser.post(url(page, tenant.pk, "users"), {"confirm": "users"})
        assert response.status_code == 409
        assert "An admin lifts the protection under Settings first." in text_of(response)
    assert await Job.objects.acount() == 0
    await browser.post(url("collection-protect", tenant.pk, "users"), {"protected": "0"})
    response = await browser.post(url("collection-delete", tenant.pk, "users"), {"confirm": "users"})
    assert response["Location"] == url("job-detail", tenant.pk, (await Job.objects.aget()).pk)


@pytest.mark.parametrize("data", [{}, {"protected": ""}, {"protected": "yes"}, {"protected": "a\0"}])
async def test_protect_needs_a_clear_word(client_for, tenant, row, data):
    browser = await signed_in(client_for, tenant, Role.ADMIN)
    assert (await browser.post(url("collection-protect", tenant.pk, "users"), data)).status_code == 400
    assert not (await TenantCollection.objects.aget()).is_protected


@pytest.mark.parametrize("typed", [None, "", "user", "USERS", "users ", "a\0", "x" * 5000])
@pytest.mark.parametrize("page", ["collection-delete", "collection-clean-up"])
async def test_the_name_must_be_typed_exactly(client_for, qdrant, tenant, row, page, typed):
    browser = await signed_in(client_for, tenant, Role.ADMIN)
    response = await browser.post(url(page, tenant.pk, "users"), {} if typed is None else {"confirm": typed})
    assert response.status_code == 422
    assert "Type the name of the table, users." in text_of(response)
    assert await Job.objects.acount() == 0


async def test_the_preview_shows_the_impact_as_page_and_as_dialog(client_for, qdrant, tenant):
    row = await filled_collection(tenant=tenant, table="users")
    await filled_document(row, ["one", "two"])
    browser = await signed_in(client_for, tenant, Role.ADMIN)
    page = text_of(await browser.get(url("collection-delete", tenant.pk, "users")))
    dialog = text_of(await browser.get(url("collection-delete", tenant.pk, "users"), headers=HTMX))
    for numbers in ("<dt>Points</dt><dd>2</dd>", "<dt>Documents</dt><dd>1</dd>", "<dt>Aliases</dt><dd>1</dd>"):
        assert numbers in dialog
    assert re.sub(r"[A-Za-z0-9]{64}", "", dialog).strip() in re.sub(r"[A-Za-z0-9]{64}", "", page)
    assert await Document.objects.acount() == 1


async def test_a_second_delete_while_the_first_waits_is_409(client_for, qdrant, tenant, row):
    browser = await signed_in(client_for, tenant, Role.ADMIN)
    address_ = url("collection-delete", tenant.pk, "users")
    await browser.post(address_, {"confirm": "users"})
    response = await browser.post(address_, {"confirm": "users"}, headers=HTMX)
    assert response.status_code == 409
    assert (await Job.objects.aget()).short_id in text_of(response)
    page = text_of(await browser.get(url("collection-detail", tenant.pk, "users")))
    assert "This collection is being deleted" in page


# ---- ensure all


async def test_ensure_all_starts_one_job_at_a_time(client_for, tenant):
    browser = await signed_in(client_for, tenant, Role.OPERATOR)
    assert "13" in text_of(await browser.get(url("collection-ensure-all", tenant.pk)))
    first = await browser.post(url("collection-ensure-all", tenant.pk))
    second = await browser.post(url("collection-ensure-all", tenant.pk), headers=HTMX)
    job = await Job.objects.aget()
    assert first["Location"] == second["HX-Redirect"] == url("job-detail", tenant.pk, job.pk)


async def test_the_ensure_job_counts_tables_by_outcome(client_for, qdrant, tenant):
    browser = await signed_in(client_for, tenant, Role.OPERATOR)
    await registry.ensure(tenant, table="users")
    await browser.post(url("collection-ensure-all", tenant.pk))
    job = await run_next()
    assert (job.status, job.error) == ("succeeded", "")
    assert job.result == {"created": 12, "repaired": 0, "unchanged": 1, "failed": 0, "problems": []}
    assert len(await package.list_collections()) == 13


async def test_the_ensure_job_names_an_outage_and_is_tried_again(client_for, down, tenant):
    browser = await signed_in(client_for, tenant, Role.OPERATOR)
    await browser.post(url("collection-ensure-all", tenant.pk))
    job = await run_next()
    assert job.status == "queued"
    assert "Qdrant does not answer at" in job.error
    assert "Error" not in job.error


async def test_a_superuser_ensures_all_active_tenants_and_sees_how_it_went(client_for, tenant):
    await make(TenantFactory, is_active=False)
    await make(TenantFactory, name="Southwind")
    browser = await client_for(await make(SuperuserFactory))
    response = await browser.post(url("tenant-ensure-all"), follow=True)
    assert await Job.objects.filter(kind="ensure").acount() == 2
    assert "Southwind" in text_of(response)
    assert "Queued" in text_of(response)

import asyncio
import uuid

import pytest

from collections_admin import qdrant
from collections_admin.errors import Conflict, InvalidInput, NotFound, QdrantUnavailable
from collections_admin.models import DEFAULT_TABLES, AuditEvent, TenantCollection
from collections_admin.services import collection_overview as overview
from collections_admin.services import tenant_collections as registry
from collections_admin.services.collection_settings import CollectionSettings, LiveSettings
from tests.factories import CollectionFactory, DataTableFactory, DocumentFactory, TenantFactory, UserFactory, make
from tests.outages import outage

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("_closed_at_the_end")]


@pytest.fixture(autouse=True)
def _nothing_remembered():
    registry._ensured.clear()


@pytest.fixture
def calls():
    """The operations sent to Qdrant."""
    seen: list[str] = []
    remove = qdrant.add_observer(lambda timing: seen.append(timing.operation))
    yield seen
    remove()


async def actor():
    return await make(UserFactory)


# ---- names and tables


async def test_names_carry_prefix_tenant_table_and_version(settings):
    settings.QDRANT_COLLECTION_PREFIX = "client_"
    assert registry.alias_name(7, "work_items") == "client_7_work_items"
    assert registry.physical_name("client_7_work_items", 3) == "client_7_work_items__v3"


async def test_a_tenant_has_the_default_tables_and_its_own_ones_only():
    tenant = await make(TenantFactory)
    await make(DataTableFactory, tenant=tenant, name="invoices")
    await make(DataTableFactory, name="of_somebody_else")
    assert await registry.tables_of(tenant) == [*DEFAULT_TABLES, "invoices"]
    assert len(DEFAULT_TABLES) == 13


@pytest.mark.parametrize(
    "name", ["work_items", "taken", "new", "rows", "ensure", "", "Upper", "1st", "a__b", "a_", "ä", "a\0b", "x" * 64]
)
async def test_a_table_name_that_cannot_be_used_is_refused_and_nothing_is_written(name):
    tenant = await make(TenantFactory)
    await make(DataTableFactory, tenant=tenant, name="taken")
    with pytest.raises(InvalidInput) as caught:
        await registry.add_table(await actor(), tenant, name=name)
    assert caught.value.field == "name"
    assert await tenant.tables.acount() == 1
    assert await AuditEvent.objects.acount() == 0


async def test_two_tenants_may_have_a_table_of_the_same_name():
    first, second = await make(TenantFactory), await make(TenantFactory)
    for tenant in (first, second):
        await registry.add_table(await actor(), tenant, name="invoices")
    assert await first.tables.acount() == await second.tables.acount() == 1


# ---- registry


async def test_the_vector_size_comes_from_the_model():
    row, _ = await registry.register(
        await make(TenantFactory), "users", CollectionSettings(embedding_model="wordllama-128")
    )
    assert row.vector_size == 128


async def test_only_tables_of_the_tenant_can_be_registered():
    await make(DataTableFactory, name="invoices")
    with pytest.raises(InvalidInput, match="no table “invoices”"):
        await registry.register(await make(TenantFactory), "invoices", CollectionSettings())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hnsw_m", 3),
        ("hnsw_m", 129),
        ("hnsw_ef_construct", 7),
        ("hnsw_ef_construct", 10**30),
        ("chunk_size", 15),
        ("chunk_size", 2049),
        ("chunk_overlap", -1),
        ("chunk_overlap", 111),
        ("quantization", "octal"),
        ("distance", "far"),
        ("embedding_model", "gpt"),
    ],
)
def test_a_setting_out_of_range_is_refused_by_its_name(field, value):
    with pytest.raises(InvalidInput) as caught:
        CollectionSettings(**{field: value})
    assert caught.value.field == field


async def test_a_collection_of_another_tenant_is_not_found():
    foreign = await make(CollectionFactory, table="users")
    with pytest.raises(NotFound):
        await registry.find_collection(await make(TenantFactory), "users")
    assert (await registry.find_collection(foreign.tenant, "users")).pk == foreign.pk


# ---- ensure


async def test_ensure_creates_collection_alias_and_indexes_as_the_registry_says(qdrant):
    tenant = await make(TenantFactory)
    wanted = CollectionSettings(distance="dot", hnsw_m=24, hnsw_ef_construct=150, quantization="scalar", on_disk=True)
    ensured = await registry.ensure(tenant, table="projects", settings=wanted)
    assert ensured.changed
    assert ensured.was_missing
    state = await overview.collection_state(ensured.collection)
    assert state.info.name == f"client_{tenant.pk}_projects__v1"
    assert state.info.aliases == (f"client_{tenant.pk}_projects",)
    assert (state.info.vectors[0].size, state.info.vectors[0].distance) == (256, "Dot")
    assert (state.info.hnsw_m, state.info.hnsw_ef_construct, state.info.quantization) == (24, 150, "scalar")
    assert state.info.vectors[0].on_disk
    assert dict(state.info.strict_mode)["max_query_limit"] == "2000"
    assert [index.name for index in state.indexes if index.points is None] == []
    assert ensured.collection.ensured_at is not None


async def test_a_second_ensure_costs_no_call_and_after_a_loss_everything_is_created_again(qdrant, calls):
    from collections_admin import qdrant as package

    ensured = await registry.ensure(await make(TenantFactory), table="users")
    calls.clear()
    again = await registry.ensure_collection(ensured.collection)
    assert (again.changed, calls) == (False, [])
    await package.delete_collection(ensured.collection.physical_name, aliases=(ensured.collection.alias,))
    assert (await overview.collection_state(ensured.collection)).is_missing
    assert (await registry.ensure_collection(ensured.collection)).was_missing


async def write_point(row):
    point = qdrant.PointToWrite(id=uuid.uuid4(), vector=[0.1] * row.vector_size, payload={"content": "x"})
    await qdrant.upsert_points(row.physical_name, [point])


@pytest.mark.usefixtures("qdrant")
async def test_points_of_another_database_are_not_taken_over():
    row = (await registry.ensure(await make(TenantFactory), table="users")).collection
    await write_point(row)
    await TenantCollection.objects.filter(pk=row.pk).adelete()  # as another database sees it
    registry._ensured.clear()
    with pytest.raises(Conflict, match=r"holds 1 points .* another console"):
        await registry.create_collection(row.tenant, table="users", settings=CollectionSettings(), actor=await actor())
    assert await TenantCollection.objects.acount() == 0
    assert await qdrant.count(row.physical_name) == 1


@pytest.mark.usefixtures("qdrant")
async def test_a_row_read_before_its_first_ensure_is_ensured_when_points_came_meanwhile():
    row, _ = await registry.register(await make(TenantFactory), "users", CollectionSettings())
    early = await TenantCollection.objects.aget(pk=row.pk)
    await registry.ensure_collection(row)
    await write_point(row)
    registry._ensured.clear()
    assert not (await registry.ensure_collection(early)).changed


async def test_fifty_concurrent_ensures_of_one_table_create_exactly_one(qdrant, calls):
    from collections_admin import qdrant as package

    tenant = await make(TenantFactory)
    results = await asyncio.gather(*(registry.ensure(tenant, table="work_items") for _ in range(50)))
    assert sum(result.was_missing for result in results) == 1
    assert calls.count("create_collection") == 1
    assert calls.count("create_index") == len(package.PAYLOAD_INDEXES)
    assert calls.count("switch_alias") == 1
    assert await TenantCollection.objects.acount() == 1
    assert len(await package.list_collections()) == 1


async def test_ensures_that_share_no_memory_still_create_exactly_one(qdrant, calls, monkeypatch):
    """As in several processes: neither lock nor memory in common."""
    from collections_admin import qdrant as package

    async def forget(*_):
        pass

    monkeypatch.setattr(registry, "_lock", lambda _: asyncio.Lock())
    monkeypatch.setattr(registry, "_remember", forget)
    tenant = await make(TenantFactory)
    results = await asyncio.gather(*(registry.ensure(tenant, table="work_items") for _ in range(10)))
    assert sum(result.was_missing for result in results) == 1
    assert len(await package.list_collections()) == 1
    assert len(await package.list_aliases()) == 1


async def test_ensure_refuses_an_alias_that_points_elsewhere(qdrant):
    from collections_admin import qdrant as package

    row = await make(CollectionFactory)
    await package.ensure_collection("somebody_else", row.alias, package.CollectionSpec(vector_size=4))
    with pytest.raises(Conflict, match="somebody_else"):
        await registry.ensure_collection(row)
    assert (await package.list_aliases())[row.alias] == "somebody_else"


async def test_all_tables_of_a_tenant_are_ensured_and_a_second_run_changes_nothing(qdrant):
    tenant = await make(TenantFactory)
    await make(DataTableFactory, tenant=tenant, name="invoices")
    first = await registry.ensure_all_tables(tenant)
    assert [(outcome.table, outcome.state) for outcome in first] == [
        (table, "created") for table in (*DEFAULT_TABLES, "invoices")
    ]
    assert {outcome.state for outcome in await registry.ensure_all_tables(tenant)} == {"unchanged"}


async def test_one_table_that_cannot_be_ensured_leaves_the_others_going(qdrant):
    from collections_admin import qdrant as package

    tenant = await make(TenantFactory)
    alias = registry.alias_name(tenant.pk, "users")
    await package.ensure_collection("foreign", alias, package.CollectionSpec(vector_size=4))
    outcomes = {outcome.table: outcome for outcome in await registry.ensure_all_tables(tenant)}
    assert outcomes["users"].state == "failed"
    assert "foreign" in outcomes["users"].text
    assert sum(outcome.state == "created" for outcome in outcomes.values()) == 12


async def test_an_outage_is_said_for_every_table_without_waiting_for_each(qdrant, calls):

    tenant = await make(TenantFactory)
    async with outage(qdrant):
        outcomes = await registry.ensure_all_tables(tenant)
    assert {outcome.state for outcome in outcomes} == {"failed"}
    assert all("does not answer" in outcome.text for outcome in outcomes)
    assert await TenantCollection.objects.acount() <= 2 * registry.ENSURE_AT_ONCE


# ---- create


async def test_a_table_gets_one_collection_only(qdrant):
    tenant = await make(TenantFactory)
    who = await actor()
    await registry.create_collection(tenant, table="users", settings=CollectionSettings(), actor=who)
    with pytest.raises(InvalidInput, match="already"):
        await registry.create_collection(tenant, table="users", settings=CollectionSettings(), actor=who)
    event = await AuditEvent.objects.aget(action="collection.create")
    assert event.after["embedding_model"] == "wordllama-256"


async def test_what_qdrant_refuses_is_not_left_in_the_registry(qdrant):
    from collections_admin import qdrant as package

    tenant = await make(TenantFactory)
    alias = registry.alias_name(tenant.pk, "users")
    await package.create_collection(f"{alias}__v1", spec=package.CollectionSpec(vector_size=4))
    with pytest.raises(Conflict, match="size 4"):
        await registry.create_collection(tenant, table="users", settings=CollectionSettings(), actor=await actor())
    assert await TenantCollection.objects.acount() == 0


async def test_while_qdrant_is_down_a_new_collection_stays_registered_to_be_ensured_later(qdrant):
    from collections_admin import qdrant as package

    tenant = await make(TenantFactory)
    async with outage(qdrant):
        with pytest.raises(QdrantUnavailable):
            await registry.create_collection(tenant, table="users", settings=CollectionSettings(), actor=await actor())
    row = await TenantCollection.objects.aget()
    await package.close_connections()
    assert (await registry.ensure_collection(row)).was_missing
    await package.delete_collection(row.physical_name, aliases=(row.alias,))
    await package.close_connections()


# ---- settings


async def test_settings_reach_qdrant_and_the_trail_names_what_changed(qdrant):
    row = (await registry.ensure(await make(TenantFactory), table="users")).collection
    await registry.change_settings(await actor(), row, LiveSettings(hnsw_m=32, strict_mode=False, chunk_size=300))
    info = (await overview.collection_state(row)).info
    assert info.hnsw_m == 32
    assert info.strict_mode == ()
    stored = await TenantCollection.objects.aget()
    assert (stored.hnsw_m, stored.strict_mode, stored.chunk_size) == (32, False, 300)
    event = await AuditEvent.objects.aget(action="collection.edit")
    assert event.before == {"hnsw_m": 16, "strict_mode": True, "chunk_size": 220}
    assert event.after == {"hnsw_m": 32, "strict_mode": False, "chunk_size": 300}


async def test_settings_that_did_not_reach_qdrant_are_not_in_the_registry(qdrant):

    row = await make(CollectionFactory)
    async with outage(qdrant):
        with pytest.raises(QdrantUnavailable):
            await registry.change_settings(await actor(), row, LiveSettings(hnsw_m=32))
    assert (await TenantCollection.objects.aget()).hnsw_m == 16
    assert await AuditEvent.objects.acount() == 0


async def test_a_missing_collection_takes_new_settings_when_it_is_ensured(qdrant):
    row = await make(CollectionFactory)
    await registry.change_settings(await actor(), row, LiveSettings(hnsw_m=32))
    await registry.ensure_collection(await TenantCollection.objects.aget())
    assert (await overview.collection_state(row)).info.hnsw_m == 32


# ---- what pages say


async def test_the_list_costs_one_call_and_says_which_collections_are_missing(qdrant, calls):
    tenant = await make(TenantFactory)
    await registry.ensure(tenant, table="users")
    await make(CollectionFactory, tenant=tenant, table="projects")
    calls.clear()
    found = await overview.list_collections(tenant)
    assert calls == ["list_aliases"]
    assert [(row.table, row.status) for row in found.rows] == [("projects", "missing"), ("users", "")]
    assert (found.total, found.missing, found.notice) == (2, 1, None)


async def test_details_are_given_for_the_tenants_own_tables_only(qdrant):
    tenant = await make(TenantFactory)
    await registry.ensure(tenant, table="users")
    await make(CollectionFactory, table="projects")
    rows = await overview.list_with_details(tenant, ["projects", "users", "nothing"])
    assert [(row.table, row.status, row.points) for row in rows] == [("users", "green", 0)]


async def test_while_qdrant_is_down_names_and_documents_are_listed_with_a_named_notice(qdrant):

    document = await make(DocumentFactory, status="failed")
    async with outage(qdrant):
        found = await overview.list_collections(document.tenant)
        state = await overview.collection_state(document.collection)
    assert [(row.table, row.documents, row.failed, row.points) for row in found.rows] == [("work_items", 1, 1, None)]
    assert "does not answer at 127.0.0.1" in found.notice.title
    assert (state.status, state.is_missing) == ("unknown", False)


async def test_documents_that_are_being_deleted_are_not_counted(qdrant):
    from django.utils import timezone

    document = await make(DocumentFactory)
    await make(DocumentFactory, collection=document.collection, deleted_at=timezone.now())
    facts = await overview.database_facts(document.collection)
    assert (facts.documents, facts.by_status) == (1, [("pending", 1)])

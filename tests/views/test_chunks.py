import asyncio
import html
import os
import re
import signal
import uuid
from collections.abc import Awaitable, Callable

import pytest
from django.db import connection as database
from django.test import AsyncClient
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from collections_admin import qdrant
from collections_admin.models import Chunk, Document, Role, TenantCollection
from tests.factories import SuperuserFactory, UserFactory, make, member
from tests.filled import filled_collection, filled_document

Browser = Callable[..., Awaitable[AsyncClient]]
HTMX = {"HX-Request": "true"}
# Session, person, memberships, collection (or document), chunks: a page must not ask once per chunk.
PAGE_QUERIES = 5
BAD_ENDS = ["f=bad", "f=foo:1", "f=rev:x", "f=rev:%3E1e300", "q=a%00b", "q=%ED%A0%80", "f=title:%FF", "archived=maybe"]
BAD_ENDS += ["q=" + "x" * 500, "f=" + "x" * 700, "&".join(["f=rev:1"] * 25), "after=x", "after=3~x", "after=%00"]
BAD_ENDS += ["q=" + "x" * 17_000]


@pytest.fixture
async def collection(qdrant: object, client_for: Browser) -> TenantCollection:
    return await filled_collection()


@pytest.fixture
async def viewer(collection: TenantCollection, client_for: Browser) -> AsyncClient:
    return await client_for(await make(member, collection.tenant, Role.VIEWER))


def texts(count: int) -> list[str]:
    return [f"Chunk number {number} speaks of topic {number % 7}." for number in range(count)]


def urls_of(collection: TenantCollection, document: Document, point_id: uuid.UUID) -> dict[str, str]:
    tenant_id, table = collection.tenant_id, collection.table
    return {
        "chunk-list": reverse("chunk-list", args=[tenant_id, table]),
        "chunk-count": reverse("chunk-count", args=[tenant_id, table]),
        "chunk-facet": reverse("chunk-facet", args=[tenant_id, table]) + "?field=title",
        "chunk-detail": reverse("chunk-detail", args=[tenant_id, table, point_id]),
        "document-chunks": reverse("document-chunks", args=[tenant_id, document.pk]),
    }


async def test_members_of_every_role_read_and_strangers_get_404(
    collection: TenantCollection, client_for: Browser
) -> None:
    document, ids = await filled_document(collection, texts(2))
    people = [await make(member, collection.tenant, role) for role in Role] + [await make(SuperuserFactory)]
    stranger = await make(UserFactory)
    for name, url in urls_of(collection, document, ids[0]).items():
        for person in people:
            assert (await (await client_for(person)).get(url, headers=HTMX)).status_code == 200, (name, person)
        assert (await (await client_for(stranger)).get(url)).status_code == 404, name
        assert (await (await client_for()).get(url)).status_code == 302, name
        assert (await (await client_for(people[0])).post(url)).status_code == 405, name


async def test_foreign_and_missing_ids_are_the_same_404(collection: TenantCollection, viewer: AsyncClient) -> None:
    _, ids = await filled_document(collection, texts(1))
    other = await filled_collection()
    foreign_document, foreign_ids = await filled_document(other, texts(1))
    tenant_id, table = collection.tenant_id, collection.table
    answers = set()
    for url in [
        *urls_of(other, foreign_document, foreign_ids[0]).values(),
        reverse("chunk-detail", args=[tenant_id, table, foreign_ids[0]]),
        reverse("chunk-detail", args=[tenant_id, table, uuid.uuid4()]),
        reverse("chunk-detail", args=[other.tenant_id, table, ids[0]]),
        reverse("document-chunks", args=[tenant_id, foreign_document.pk]),
        reverse("document-chunks", args=[tenant_id, uuid.uuid4()]),
        reverse("chunk-list", args=[tenant_id, "missing"]),
        reverse("chunk-list", args=[2**70, table]),
        reverse("chunk-list", args=[tenant_id, table]) + "not-a-uuid/",
    ]:
        answers.add((await viewer.get(url)).status_code)
    assert answers == {404}


async def test_the_list_shows_chunks_and_leads_on_without_script(
    collection: TenantCollection, viewer: AsyncClient
) -> None:
    await filled_document(collection, texts(120), title="Handbook", meta={"lang": "en"})
    url, seen = reverse("chunk-list", args=[collection.tenant_id, collection.table]), []
    for _ in range(3):
        page = await viewer.get(url)
        assert page.status_code == 200
        seen += [row.point_id for row in page.context["browser"].page.rows]
        assert b"meta.lang" in page.content
        url = page.context["browser"].more_page_url
    assert url == ""
    assert len(set(seen)) == 120
    first = await viewer.get(reverse("chunk-list", args=[collection.tenant_id, collection.table]))
    counted = (await viewer.get(first.context["browser"].count_url, headers=HTMX)).content
    assert b'>120</b> <span class="muted">chunks</span>' in counted


async def test_scrolling_on_brings_rows_alone(collection: TenantCollection, viewer: AsyncClient) -> None:
    document, _ = await filled_document(collection, texts(60))
    url = reverse("document-chunks", args=[collection.tenant_id, document.pk])
    first = await viewer.get(url, headers=HTMX | {"HX-Target": "browser"})
    assert first["HX-Push-Url"] == reverse("document-detail", args=[collection.tenant_id, document.pk])
    more = first.context["browser"].more_url
    rest = await viewer.get(more, headers=HTMX | {"HX-Target": "chunk_more"})
    assert rest.content.count(b"<article") == 10
    assert b"<html" not in rest.content
    assert b'id="browser"' not in rest.content
    assert b"51 of 60" in rest.content
    assert b"End of the document" in rest.content


async def test_the_fragment_is_part_of_the_page(collection: TenantCollection, viewer: AsyncClient) -> None:
    _, ids = await filled_document(collection, texts(3))
    url = reverse("chunk-detail", args=[collection.tenant_id, collection.table, ids[1]])
    page = (await viewer.get(url)).content.decode()
    fragment = (await viewer.get(url, headers=HTMX)).content.decode()
    for line in fragment.splitlines():
        if " ms" not in line:  # the time of a search differs from one answer to the next
            assert line in page


async def test_chunks_of_a_document_belong_to_its_page(collection: TenantCollection, viewer: AsyncClient) -> None:
    document, _ = await filled_document(collection, texts(1))
    url = reverse("document-chunks", args=[collection.tenant_id, document.pk])
    answer = await viewer.get(f"{url}?f=rev:1")
    assert answer.status_code == 302
    assert answer["Location"] == reverse("document-detail", args=[collection.tenant_id, document.pk]) + "?f=rev:1"


async def test_the_address_holds_the_filters(collection: TenantCollection, viewer: AsyncClient) -> None:
    await filled_document(collection, texts(4), title="Handbook <b>")
    await filled_document(collection, texts(3), title="Other", archived_at=timezone.now())
    url = reverse("chunk-list", args=[collection.tenant_id, collection.table])
    page = await viewer.get(url, {"f": ["-title:Other", "chunk_index:1.."], "q": "topic", "archived": "all"})
    assert page.context["browser"].page.total == 3
    assert b"Handbook &lt;b&gt;" in page.content
    assert b"<mark>topic</mark>" in page.content
    assert b"Clear 4 filters" in page.content
    without = await viewer.get(page.context["browser"].tokens[1].remove_url)
    assert without.context["browser"].page.total == 4


async def test_no_match_offers_to_clear_the_filters(collection: TenantCollection, viewer: AsyncClient) -> None:
    await filled_document(collection, texts(1))
    url = reverse("chunk-list", args=[collection.tenant_id, collection.table])
    page = await viewer.get(url, {"f": "title:none"})
    assert page.status_code == 200
    assert b"No chunk matches" in page.content
    assert b"Clear filters" in page.content


@pytest.mark.parametrize("end", BAD_ENDS)
async def test_bad_parameters_are_named_and_can_be_cleared(
    collection: TenantCollection, viewer: AsyncClient, end: str
) -> None:
    document, _ = await filled_document(collection, texts(1))
    url = reverse("chunk-list", args=[collection.tenant_id, collection.table])
    page = await viewer.get(f"{url}?{end}")
    assert page.status_code == 400
    assert b"The filter cannot be used" in page.content
    assert b"Clear filters" in page.content
    fragment = reverse("document-chunks", args=[collection.tenant_id, document.pk])
    answer = await viewer.get(f"{fragment}?{end}", headers=HTMX)
    assert (answer.status_code, answer["X-Fragment"]) == (400, "1")
    count = reverse("chunk-count", args=[collection.tenant_id, collection.table])
    facet = reverse("chunk-facet", args=[collection.tenant_id, collection.table])
    if not end.startswith("after"):
        assert (await viewer.get(f"{count}?{end}")).status_code == 400
    if not end.startswith("after"):
        answer = await viewer.get(f"{facet}?field=title&{end}")
        assert answer.status_code == 400
        assert answer.json()["message"]


@pytest.mark.parametrize("end", ["", "field=", "field=nothing", "field=%00", "field=title&document=x"])
async def test_a_facet_of_nothing_is_refused(collection: TenantCollection, viewer: AsyncClient, end: str) -> None:
    url = reverse("chunk-facet", args=[collection.tenant_id, collection.table])
    assert (await viewer.get(f"{url}?{end}")).status_code == 400


async def test_facets_suggest_values_or_say_why_not(collection: TenantCollection, viewer: AsyncClient) -> None:
    document, _ = await filled_document(collection, texts(3), title="12")
    await filled_document(collection, texts(2), title="Manual")
    url = reverse("chunk-facet", args=[collection.tenant_id, collection.table])
    answer = await viewer.get(url, {"field": "title"})
    assert answer.json() == {"values": [{"value": '"12"', "count": 3}, {"value": "Manual", "count": 2}]}
    answer = await viewer.get(url, {"field": "title", "document": str(document.pk)})
    assert len(answer.json()["values"]) == 1
    answer = await viewer.get(url, {"field": "content"})
    assert answer.json()["values"] == []
    assert "no values are suggested" in answer.json()["message"]


async def test_a_chunk_shows_all_its_sides(collection: TenantCollection, viewer: AsyncClient) -> None:
    document, ids = await filled_document(collection, texts(3), meta={"deep": {"list": [1, "<i>"]}})
    url = reverse("chunk-detail", args=[collection.tenant_id, collection.table, ids[1]])
    page = (await viewer.get(url)).content.decode()
    for part in ("Chunk 2 of 3", "Same", "Payload", "&lt;i&gt;", "Neighbours", "Nearest by meaning", "Show values"):
        assert part in page
    assert "norm" not in page
    assert "norm 1.000" in (await viewer.get(url, {"vector": "1"})).content.decode()
    assert reverse("document-detail", args=[collection.tenant_id, document.pk]) in page
    await Chunk.objects.filter(point_id=ids[1]).aupdate(content="edited")
    assert "Stale text" in (await viewer.get(url)).content.decode()


@pytest.mark.parametrize(
    "back", ["https://evil.example/", "//evil.example/", "/tenants/99999/", "javascript:alert(1)", "/tenants/{0}/\n"]
)
async def test_closing_a_chunk_never_leads_elsewhere(
    collection: TenantCollection, viewer: AsyncClient, back: str
) -> None:
    _, ids = await filled_document(collection, texts(1))
    url = reverse("chunk-detail", args=[collection.tenant_id, collection.table, ids[0]])
    page = await viewer.get(url, {"back": back.format(collection.tenant_id)})
    assert page.context["back"] == reverse("chunk-list", args=[collection.tenant_id, collection.table])


async def test_closing_a_chunk_leads_back_to_the_list_it_came_from(
    collection: TenantCollection, viewer: AsyncClient
) -> None:
    await filled_document(collection, texts(3))
    url = reverse("chunk-list", args=[collection.tenant_id, collection.table])
    page = await viewer.get(url, {"f": "rev:1"})
    link = re.search(r'href="([^"]+/\?back=[^"]+)"', page.content.decode())
    chunk = await viewer.get(html.unescape(link[1]))
    assert chunk.context["back"] == f"{url}?f=rev%3A1"


async def test_a_page_asks_the_database_a_fixed_number_of_times(
    collection: TenantCollection, viewer: AsyncClient
) -> None:
    document, _ = await filled_document(collection, texts(50))
    url = reverse("chunk-list", args=[collection.tenant_id, collection.table])
    fragment = reverse("document-chunks", args=[collection.tenant_id, document.pk])
    for address, headers in ((url, {}), (fragment, HTMX)):
        queries = await counted(viewer, address, headers)
        assert len(queries) <= PAGE_QUERIES, [query["sql"][:80] for query in queries]


async def counted(client: AsyncClient, url: str, headers: dict[str, str]) -> list[dict[str, str]]:
    from asgiref.sync import sync_to_async

    capture = CaptureQueriesContext(database)
    await sync_to_async(capture.__enter__)()
    try:
        assert (await client.get(url, headers=headers)).status_code == 200
    finally:
        await sync_to_async(capture.__exit__)(None, None, None)
    return list(capture.captured_queries)


# ---- faults


async def until_readable(client: AsyncClient, url: str) -> None:
    for _ in range(40):
        page = await client.get(url)
        if page.context["browser"].page is not None:
            return
        await asyncio.sleep(0.25)
    raise AssertionError("The page does not recover.")


async def test_pages_name_a_stopped_node_and_recover(
    collection: TenantCollection, viewer: AsyncClient, qdrant_node: object
) -> None:
    document, ids = await filled_document(collection, texts(2))
    urls = urls_of(collection, document, ids[0])
    qdrant_node.stop()
    page = await viewer.get(urls["chunk-list"])
    assert page.status_code == 200
    assert b"does not answer at" in page.content
    assert page.context["browser"].page is None
    assert (await viewer.get(urls["document-chunks"], headers=HTMX)).status_code == 503
    assert (await viewer.get(urls["chunk-facet"])).status_code == 503
    chunk = await viewer.get(urls["chunk-detail"])
    assert chunk.status_code == 200
    assert texts(2)[0].encode() in chunk.content
    missing = reverse("chunk-detail", args=[collection.tenant_id, collection.table, uuid.uuid4()])
    assert (await viewer.get(missing)).status_code == 503
    qdrant_node.start()
    await until_readable(viewer, urls["chunk-list"])
    assert (await viewer.get(urls["chunk-detail"])).context["chunk"].notice == ""


async def test_pages_name_a_frozen_node_and_recover(
    collection: TenantCollection, viewer: AsyncClient, qdrant_node: object
) -> None:
    document, ids = await filled_document(collection, texts(2))
    urls = urls_of(collection, document, ids[0])
    os.kill(qdrant_node.pid, signal.SIGSTOP)
    try:
        pages = await asyncio.gather(viewer.get(urls["chunk-list"]), viewer.get(urls["chunk-detail"]))
    finally:
        os.kill(qdrant_node.pid, signal.SIGCONT)
    assert [page.status_code for page in pages] == [200, 200]
    assert all(b"did not answer within" in page.content for page in pages)
    await until_readable(viewer, urls["chunk-list"])


async def test_a_collection_that_qdrant_lost_is_named(collection: TenantCollection, viewer: AsyncClient) -> None:
    document, ids = await filled_document(collection, texts(1))
    await qdrant.delete_collection(collection.physical_name, aliases=(collection.alias,))
    for name, url in urls_of(collection, document, ids[0]).items():
        answer = await viewer.get(url, headers=HTMX)
        assert answer.status_code in {200, 404, 503}, name
    page = await viewer.get(urls_of(collection, document, ids[0])["chunk-list"])
    assert page.status_code == 200
    assert b"missing in Qdrant" in page.content

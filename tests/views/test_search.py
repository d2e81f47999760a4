import asyncio
import uuid
from collections.abc import Awaitable, Callable

import pytest
from django.test import AsyncClient
from django.urls import reverse
from django.utils import timezone

from collections_admin.models import Role, TenantCollection
from tests.factories import SuperuserFactory, TenantFactory, UserFactory, make, member
from tests.filled import filled_collection, filled_document

Browser = Callable[..., Awaitable[AsyncClient]]
HTMX = {"HX-Request": "true"}
TEXTS = ["The cat sleeps on a warm sofa.", "Kittens play with wool.", "The stock market fell."]


@pytest.fixture
async def collection(qdrant: object, client_for: Browser) -> TenantCollection:
    return await filled_collection()


@pytest.fixture
async def viewer(collection: TenantCollection, client_for: Browser) -> AsyncClient:
    return await client_for(await make(member, collection.tenant, Role.VIEWER))


@pytest.fixture
def url(collection: TenantCollection) -> str:
    return reverse("search", args=[collection.tenant_id])


async def test_members_search_and_strangers_get_404(
    collection: TenantCollection, client_for: Browser, url: str
) -> None:
    await filled_document(collection, TEXTS)
    for person in [await make(member, collection.tenant, role) for role in Role] + [await make(SuperuserFactory)]:
        page = await (await client_for(person)).get(url, {"q": "cats"})
        assert page.status_code == 200
        assert len(page.context["results"].outcome.hits) == 3
    assert (await (await client_for(await make(UserFactory))).get(url, {"q": "cats"})).status_code == 404
    assert (await (await client_for()).get(url)).status_code == 302


async def test_hits_are_highlighted_and_lead_on(collection: TenantCollection, viewer: AsyncClient, url: str) -> None:
    document, ids = await filled_document(collection, TEXTS, title="Pets & <more>")
    page = await viewer.get(url, {"q": "cat on a sofa", "limit": "2"})
    content = page.content.decode()
    assert "<mark>cat</mark>" in content
    assert "Pets &amp; &lt;more&gt;" in content
    assert "1 of 3" in content
    assert reverse("document-detail", args=[collection.tenant_id, document.pk]) in content
    similar = await viewer.get(url, {"like": str(ids[0]), "table": collection.table})
    assert similar.context["results"].outcome.hits[0].point_id == str(ids[1])
    onwards = await viewer.get(page.context["results"].next_url)
    assert [hit.rank for hit in onwards.context["results"].outcome.hits] == [3]
    back = await viewer.get(onwards.context["results"].previous_url)
    assert [hit.rank for hit in back.context["results"].outcome.hits] == [1, 2]


async def test_the_time_is_shown_split(collection: TenantCollection, viewer: AsyncClient, url: str) -> None:
    await filled_document(collection, TEXTS)
    page = await viewer.get(url, {"q": "cats"})
    for part in (b"Embedding", b"Qdrant", b"Client and network", b"Rendering"):
        assert part in page.content
    assert page.context["results"].rendering_ms > 0


async def test_the_fragment_is_the_results_alone(collection: TenantCollection, viewer: AsyncClient, url: str) -> None:
    await filled_document(collection, TEXTS)
    fragment = (await viewer.get(url, {"q": "cats"}, headers=HTMX)).content.decode()
    assert fragment.lstrip().startswith('<section class="card" id="results"')
    assert "<html" not in fragment


async def test_nothing_asked_shows_hints(viewer: AsyncClient, url: str) -> None:
    page = await viewer.get(url)
    assert page.status_code == 200
    assert b"Ask in words" in page.content


async def test_a_tenant_without_collections_is_told_what_to_do(client_for: Browser) -> None:
    tenant = await make(TenantFactory)
    client = await client_for(await make(member, tenant, Role.VIEWER))
    page = await client.get(reverse("search", args=[tenant.pk]), {"q": "cats"})
    assert page.status_code == 200
    assert b"No collection to search" in page.content


async def test_no_hits_say_why_and_offer_to_drop_it(
    collection: TenantCollection, viewer: AsyncClient, url: str
) -> None:
    await filled_document(collection, TEXTS, archived_at=timezone.now())
    live = await viewer.get(url, {"q": "cats"})
    assert b"include archived" in live.content
    both = await viewer.get(url, {"q": "cats", "threshold": "0.99", "f": "rev:1", "archived": "all"})
    assert b"Any score" in both.content
    assert b"Without filters" in both.content
    dropped = await viewer.get(both.context["results"].drop_threshold_url)
    assert len(dropped.context["results"].outcome.hits) == 3


async def test_the_address_holds_everything(collection: TenantCollection, viewer: AsyncClient, url: str) -> None:
    await filled_document(collection, TEXTS)
    asked = {"q": "cats", "table": collection.table, "limit": "7", "threshold": "0.1", "offset": "1"}
    asked |= {"f": ["rev:1", "-title:x"], "where": "sofa", "archived": "all"}
    page = await viewer.get(url, asked)
    again = await viewer.get(page.context["query"].url(url))
    assert again.context["query"] == page.context["query"]
    assert again.context["query"].filters.words == "sofa"


@pytest.mark.parametrize(
    "end",
    [
        "q=" + "x" * 2001,
        "q=a%00b",
        "q=%ED%A0%80",
        "q=a&table=nope",
        "q=a&table=" + "x" * 500,
        "q=a&limit=0",
        "q=a&limit=101",
        "q=a&limit=ten",
        "q=a&limit=" + "9" * 400,
        "q=a&limit=" + "9" * 5000,
        "q=a&offset=-1",
        "q=a&offset=10001",
        "q=a&offset=x",
        "q=a&threshold=2",
        "q=a&threshold=nan",
        "q=a&threshold=inf",
        "q=a&threshold=1e999",
        "q=a&threshold=x",
        "q=a&like=x",
        "q=a&like=00000000-0000-0000-0000-000000000000",
        "q=a&archived=maybe",
        "q=a&f=bad",
        "q=a&f=foo:1",
        "q=a&where=%00",
        "q=a&where=" + "x" * 500,
        "q=a&" + "&".join(["f=rev:1"] * 30),
    ],
)
async def test_bad_parameters_are_refused_in_place(viewer: AsyncClient, url: str, end: str) -> None:
    for headers in ({}, HTMX):
        page = await viewer.get(f"{url}?{end}", headers=headers)
        assert page.status_code == 400, end[:60]
        assert b'role="alert"' in page.content


async def test_a_collection_of_another_tenant_cannot_be_searched(viewer: AsyncClient, url: str) -> None:
    other = await filled_collection(table="secrets")
    await filled_document(other, TEXTS)
    page = await viewer.get(url, {"q": "cats", "table": "secrets"})
    assert page.status_code == 400
    assert b"secrets" not in page.content.replace(b"table=secrets", b"")


async def test_a_chunk_that_is_gone_cannot_be_compared_with(viewer: AsyncClient, url: str) -> None:
    page = await viewer.get(url, {"like": str(uuid.uuid4())})
    assert page.status_code == 200
    assert b"is gone" in page.content


async def test_a_stopped_node_is_named_and_the_results_are_empty(
    collection: TenantCollection, viewer: AsyncClient, url: str, qdrant_node: object
) -> None:
    await filled_document(collection, TEXTS)
    qdrant_node.stop()
    page = await viewer.get(url, {"q": "cats"})
    assert page.status_code == 200
    assert b"does not answer at" in page.content
    assert page.context["results"].outcome is None
    fragment = await viewer.get(url, {"q": "cats"}, headers=HTMX)
    assert (fragment.status_code, fragment["X-Fragment"]) == (503, "1")
    qdrant_node.start()
    for _ in range(40):
        page = await viewer.get(url, {"q": "cats"})
        if page.context["results"].outcome is not None:
            break
        await asyncio.sleep(0.25)
    assert len(page.context["results"].outcome.hits) == 3

"""Who gets what at every door: a route or socket without a row here fails the tests."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from django.test import AsyncClient
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from collections_admin.access import Need
from collections_admin.models import Job, Role
from collections_admin.routing import websocket_urlpatterns
from tests.factories import (
    ChunkFactory,
    CollectionFactory,
    DocumentFactory,
    MembershipFactory,
    SuperuserFactory,
    TenantFactory,
    UserFactory,
    make,
    member,
)
from tests.jobs.sockets import Socket

PUBLIC, SIGNED_IN, SUPERUSER = "public", "signed in", "superuser"
MISSING_UUID = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Route:
    """`need` is what the route demands; `path` names the objects in its address."""

    need: Need | str
    method: str = "get"
    path: tuple[str, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)


READ, WRITE, ADMIN, READ_ADMIN = Need.READ, Need.WRITE, Need.ADMIN, Need.READ_ADMIN
TENANT, TABLE, DOCUMENT, POINT, JOB, MEMBER = "tenant_id", "table", "document_id", "point_id", "job_id", "member_id"

ROUTES: dict[str, Route] = {
    "home": Route(SIGNED_IN),
    "health": Route(PUBLIC),
    "health-header": Route(SIGNED_IN),
    "login": Route(PUBLIC),
    "logout": Route(PUBLIC, "post"),
    "password-change": Route(SIGNED_IN),
    "password-change-done": Route(SIGNED_IN),
    # Tenants and members
    "tenant-list": Route(SIGNED_IN),
    "tenant-create": Route(SUPERUSER),
    "tenant-ensure-all": Route(SUPERUSER),
    "tenant-detail": Route(READ, path=(TENANT,)),
    "tenant-edit": Route(ADMIN, path=(TENANT,)),
    "tenant-deactivate": Route(READ_ADMIN, path=(TENANT,)),
    "member-add": Route(ADMIN, path=(TENANT,)),
    "member-edit": Route(ADMIN, path=(TENANT, MEMBER)),
    "member-remove": Route(ADMIN, path=(TENANT, MEMBER)),
    # Collections
    "table-add": Route(WRITE, path=(TENANT,)),
    "collection-list": Route(READ, path=(TENANT,)),
    "collection-rows": Route(READ, path=(TENANT,)),
    "collection-create": Route(WRITE, path=(TENANT,)),
    "collection-ensure-all": Route(WRITE, path=(TENANT,)),
    "collection-detail": Route(READ, path=(TENANT, TABLE)),
    "collection-edit": Route(READ, path=(TENANT, TABLE)),
    "collection-ensure": Route(WRITE, "post", path=(TENANT, TABLE)),
    "collection-ingest": Route(WRITE, "post", path=(TENANT, TABLE)),
    "collection-protect": Route(ADMIN, "post", path=(TENANT, TABLE)),
    "collection-clean-up": Route(ADMIN, path=(TENANT, TABLE)),
    "collection-delete": Route(ADMIN, path=(TENANT, TABLE)),
    # Documents
    "document-list": Route(READ, path=(TENANT,)),
    "document-work": Route(READ, path=(TENANT,)),
    "document-facet": Route(READ, path=(TENANT,)),
    "document-bulk": Route(WRITE, "post", path=(TENANT,)),
    "document-ingest-failed": Route(WRITE, "post", path=(TENANT,)),
    "document-create": Route(WRITE, path=(TENANT,)),
    "document-paste": Route(WRITE, path=(TENANT,)),
    "document-import": Route(WRITE, path=(TENANT,)),
    "document-detail": Route(READ, path=(TENANT, DOCUMENT)),
    "document-record": Route(READ, path=(TENANT, DOCUMENT)),
    "document-history": Route(READ, path=(TENANT, DOCUMENT)),
    "document-download": Route(READ, path=(TENANT, DOCUMENT)),
    "document-edit": Route(WRITE, path=(TENANT, DOCUMENT)),
    "document-ingest": Route(WRITE, "post", path=(TENANT, DOCUMENT)),
    "document-archive": Route(WRITE, "post", path=(TENANT, DOCUMENT)),
    "document-restore": Route(WRITE, "post", path=(TENANT, DOCUMENT)),
    "document-delete": Route(ADMIN, path=(TENANT, DOCUMENT)),
    # Chunks and search
    "chunk-list": Route(READ, path=(TENANT, TABLE)),
    "chunk-count": Route(READ, path=(TENANT, TABLE)),
    "chunk-facet": Route(READ, path=(TENANT, TABLE), data={"field": "document_id"}),
    "chunk-detail": Route(READ, path=(TENANT, TABLE, POINT)),
    "document-chunks": Route(READ, path=(TENANT, DOCUMENT)),
    "search": Route(READ, path=(TENANT,)),
    # Jobs
    "job-list": Route(READ, path=(TENANT,)),
    "job-detail": Route(READ, path=(TENANT, JOB)),
    "job-cancel": Route(WRITE, "post", path=(TENANT, JOB)),
    "job-retry": Route(WRITE, "post", path=(TENANT, JOB)),
}
# Pages with a form, which change something when they are posted: who may open one may post it.
FORMS = {
    "tenant-create",
    "tenant-ensure-all",
    "tenant-edit",
    "tenant-deactivate",
    "member-add",
    "member-edit",
    "member-remove",
    "table-add",
    "collection-create",
    "collection-ensure-all",
    "collection-clean-up",
    "collection-delete",
    "document-create",
    "document-paste",
    "document-import",
    "document-edit",
    "document-delete",
}
SOCKETS: dict[str, tuple[str, ...]] = {
    "ws/tenants/<int:tenant_id>/jobs/": (TENANT,),
    "ws/tenants/<int:tenant_id>/jobs/<uuid:job_id>/": (TENANT, JOB),
}


def named_routes(resolver: URLResolver | None = None) -> set[str]:
    names: set[str] = set()
    for pattern in (resolver or get_resolver()).url_patterns:
        if isinstance(pattern, URLResolver):
            names |= named_routes(pattern)
        elif isinstance(pattern, URLPattern):
            assert pattern.name, f"{pattern} has no name"
            names.add(pattern.name)
    return names


def test_every_route_has_a_row() -> None:
    assert named_routes() == set(ROUTES)


def test_every_socket_has_a_row() -> None:
    *doors, nowhere = [str(pattern.pattern) for pattern in websocket_urlpatterns]
    assert set(doors) == set(SOCKETS)
    assert nowhere == "", "any other address is refused by the last pattern"


@pytest.mark.parametrize("address", SOCKETS)
async def test_sockets_open_for_members_alone(
    address: str, client_for: Callable[..., Awaitable[AsyncClient]], transactional_db: None
) -> None:
    world = await make(build_world)
    path = "/" + address.replace("<int:tenant_id>", str(world.objects[TENANT])).replace(
        "<uuid:job_id>", str(world.objects[JOB])
    )
    for person, account in {"anonymous": None, **world.people}.items():
        cookies = (await client_for(account)).cookies
        text = "; ".join(f"{name}={morsel.value}" for name, morsel in cookies.items())
        socket = Socket(AuthMiddlewareStack(URLRouter(websocket_urlpatterns)), path, cookies=text)
        await socket.connect()
        if person == "anonymous":
            assert await socket.close_code() == 4401, person
        elif person in {"stranger", "nobody's"}:
            assert await socket.close_code() == 4404, person
        else:
            await socket.hears("ready")
        await socket.disconnect()


@dataclass(frozen=True)
class World:
    """One tenant with one of everything, people in each role, and a stranger who is admin elsewhere."""

    objects: dict[str, Any]
    people: dict[str, Any]


def build_world() -> World:
    tenant = TenantFactory()
    collection = CollectionFactory(tenant=tenant)
    document = DocumentFactory(collection=collection)
    chunk = ChunkFactory(document=document)
    job = Job.objects.create(tenant=tenant, kind="ingest", collection=collection, document=document)
    other = MembershipFactory(tenant=tenant, role=Role.VIEWER)
    people = {role.value: member(tenant, role) for role in Role}
    people["stranger"] = member(TenantFactory(), Role.ADMIN)
    people["nobody's"] = UserFactory()
    people["superuser"] = SuperuserFactory()
    objects = {
        TENANT: tenant.pk,
        TABLE: collection.table,
        DOCUMENT: document.pk,
        POINT: chunk.point_id,
        JOB: job.pk,
        MEMBER: other.pk,
    }
    return World(objects=objects, people=people)


def refused_status(route: Route, person: str) -> int | None:
    """What this person must be answered, or None where the door is open."""
    if route.need in {PUBLIC, SIGNED_IN} or person == "superuser":
        return None
    if route.need == SUPERUSER or person in {"stranger", "nobody's"}:
        return 404
    ranks = {"viewer": 1, "operator": 2, "admin": 3}
    needed = {READ: 1, WRITE: 2, ADMIN: 3, READ_ADMIN: 3}[route.need]
    return 403 if ranks[person] < needed else None


async def ask(client: AsyncClient, route: Route, url: str) -> Any:
    return await getattr(client, route.method)(url, route.data)


@pytest.mark.parametrize("name", ROUTES)
async def test_each_person_gets_what_the_table_says(
    name: str, client_for: Callable[..., Awaitable[AsyncClient]], qdrant: Any
) -> None:
    route, world = ROUTES[name], await make(build_world)
    url = reverse(name, kwargs={key: world.objects[key] for key in route.path})
    if route.need != PUBLIC:
        answer = await ask(await client_for(), route, url)
        assert answer.status_code == 302, "anonymous"
        assert answer["Location"].startswith(reverse("login"))
    # Those who are refused come first: a permitted deletion would leave the others a 404 for another reason.
    for person, account in sorted(world.people.items(), key=lambda item: refused_status(route, item[0]) is None):
        answer = await ask(await client_for(account), route, url)
        expected = refused_status(route, person)
        if expected is not None:
            assert answer.status_code == expected, person
            continue
        assert answer.status_code not in {401, 403, 405} and answer.status_code < 500, (person, answer.status_code)
        if route.method == "post":
            break  # the first permitted one may have used up what the address names


@pytest.mark.parametrize("name", sorted(FORMS))
async def test_a_form_is_posted_only_by_those_who_may_open_it(
    name: str, client_for: Callable[..., Awaitable[AsyncClient]], qdrant: Any
) -> None:
    route, world = ROUTES[name], await make(build_world)
    url = reverse(name, kwargs={key: world.objects[key] for key in route.path})
    anonymous = await (await client_for()).post(url)
    assert anonymous.status_code == 302
    assert anonymous["Location"].startswith(reverse("login"))
    for person, account in world.people.items():
        expected = refused_status(route, person)
        if expected is not None:
            answer = await (await client_for(account)).post(url)
            assert answer.status_code == expected, person


@pytest.mark.parametrize("name", [name for name, route in ROUTES.items() if route.path])
async def test_a_foreign_object_looks_like_a_missing_one(
    name: str, client_for: Callable[..., Awaitable[AsyncClient]], qdrant: Any
) -> None:
    """An admin asks for each object of another tenant below the own tenant's address, and for one that never was."""
    route, world, own = ROUTES[name], await make(build_world), await make(build_world)
    client = await client_for(own.people["admin"])
    missing = {TABLE: "no_such_table", MEMBER: 2**40, TENANT: 2**40}
    for key in route.path:
        if key == TENANT:
            foreign = own.objects | {TENANT: world.objects[TENANT]}
        elif key == TABLE:
            continue  # tables of two tenants may share a name
        else:
            foreign = own.objects | {key: world.objects[key]}
        absent = own.objects | {key: missing.get(key, MISSING_UUID)}
        answers = [
            await ask(client, route, reverse(name, kwargs={part: objects[part] for part in route.path}))
            for objects in (foreign, absent)
        ]
        assert [answer.status_code for answer in answers] == [404, 404], key
        assert _without_names(answers[0]) == _without_names(answers[1]), key


def _without_names(answer: Any) -> str:
    """The page without what differs between any two answers: the token against forged requests."""
    return re.sub(r"[A-Za-z0-9]{64}", "", answer.content.decode())


@pytest.mark.parametrize("name", [name for name, route in ROUTES.items() if route.method == "post"])
async def test_a_write_needs_post(name: str, client_for: Callable[..., Awaitable[AsyncClient]], qdrant: Any) -> None:
    """A link that somebody is lured to must not change anything."""
    route, world = ROUTES[name], await make(build_world)
    client = await client_for(world.people["superuser"])
    answer = await client.get(reverse(name, kwargs={key: world.objects[key] for key in route.path}))
    assert answer.status_code in {405, 200}
    assert answer.status_code == 405 or b"<form" in answer.content

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from django.db import transaction
from django.test import AsyncClient

from collections_admin import consumers
from collections_admin.jobs.queue import add_job, cancel_job, enqueue
from collections_admin.models import Membership, Role, Tenant, User
from collections_admin.routing import websocket_urlpatterns
from tests.factories import SuperuserFactory, TenantFactory, UserFactory, make, member
from tests.jobs.sockets import Socket

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("_closed_at_the_end")]

OpenSocket = Callable[..., Awaitable[Socket]]
application = AuthMiddlewareStack(URLRouter(websocket_urlpatterns))


@pytest_asyncio.fixture
async def open_socket(client_for: Any) -> AsyncIterator[OpenSocket]:
    """`await open_socket("/ws/…/", user)`; without a user it is nobody's."""
    sockets: list[Socket] = []

    async def connect(path: str, user: User | None = None, client: AsyncClient | None = None):
        client = client or await client_for(user)
        cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
        socket = Socket(application, path, cookies=cookies)
        sockets.append(socket)
        await socket.connect()
        return socket

    yield connect
    for socket in sockets:
        await socket.disconnect()


@pytest_asyncio.fixture
async def tenant(transactional_db: None) -> Tenant:
    return await make(TenantFactory)


@pytest.mark.parametrize("role", list(Role))
async def test_a_member_hears_of_a_new_job(role: Role, tenant: Tenant, open_socket: OpenSocket) -> None:
    socket = await listen(open_socket, tenant, await make(member, tenant, role))
    job = await enqueue("test_quick", tenant=tenant, parameters={"secret": "not for hints"})
    message = await socket.hears("job")
    assert message == {
        "type": "job",
        "id": str(job.pk),
        "tenant": tenant.pk,
        "collection": None,
        "document": None,
        "version": 1,
        "status": "queued",
        "kind": "test_quick",
        "progress": {"done": 0, "total": None, "unit": "", "message": ""},
    }
    await cancel_job(job.pk, tenant_id=tenant.pk)
    assert (await socket.hears("job"))["status"] == "cancelled"


async def test_a_superuser_hears_of_every_tenant(tenant: Tenant, open_socket: OpenSocket) -> None:
    socket = await listen(open_socket, tenant, await make(SuperuserFactory))
    await enqueue("test_quick", tenant=tenant)
    assert (await socket.hears("job"))["status"] == "queued"


async def test_the_socket_of_a_job_hears_of_that_job_alone(tenant: Tenant, open_socket: OpenSocket) -> None:
    job, other = await enqueue("test_quick", tenant=tenant), await enqueue("test_quick", tenant=tenant)
    user = await make(member, tenant, Role.VIEWER)
    of_tenant = await listen(open_socket, tenant, user)
    of_job = await listen(open_socket, tenant, user, f"{job.pk}/")
    await cancel_job(other.pk, tenant_id=tenant.pk)
    while (await of_tenant.hears("job"))["id"] != str(other.pk):
        pass
    await cancel_job(job.pk, tenant_id=tenant.pk)
    heard = [await of_job.hears("job")]
    while heard[-1]["status"] != "cancelled":
        heard.append(await of_job.hears("job"))
    assert {message["id"] for message in heard} == {str(job.pk)}


async def test_nobody_hears_of_another_tenants_jobs(tenant: Tenant, open_socket: OpenSocket) -> None:
    other = await make(TenantFactory)
    mine = await listen(open_socket, tenant, await make(member, tenant, Role.ADMIN))
    theirs = await listen(open_socket, other, await make(member, other, Role.ADMIN))
    foreign = await enqueue("test_quick", tenant=other)
    assert (await theirs.hears("job"))["id"] == str(foreign.pk)
    own = await enqueue("test_quick", tenant=tenant)
    assert (await mine.hears("job"))["id"] == str(own.pk)


async def test_strangers_and_missing_things_are_closed_alike(tenant: Tenant, open_socket: OpenSocket) -> None:
    stranger, insider = await make(UserFactory), await make(member, tenant, Role.ADMIN)
    foreign = await enqueue("test_quick", tenant=await make(TenantFactory))
    job = await enqueue("test_quick", tenant=tenant)
    for user, path in [
        (stranger, f"/ws/tenants/{tenant.pk}/jobs/"),
        (stranger, "/ws/tenants/987654/jobs/"),
        (stranger, f"/ws/tenants/{tenant.pk}/jobs/{job.pk}/"),
        (stranger, f"/ws/tenants/{tenant.pk}/jobs/{uuid4()}/"),
        (insider, f"/ws/tenants/{tenant.pk}/jobs/{foreign.pk}/"),
        (insider, f"/ws/tenants/{tenant.pk}/jobs/{uuid4()}/"),
        (insider, f"/ws/tenants/{10**30}/jobs/"),
        (insider, "/ws/somewhere/else/"),
    ]:
        socket = await open_socket(path, user)
        assert await socket.close_code() == 4404, path


async def test_nobody_signed_in_is_asked_to_sign_in(tenant: Tenant, open_socket: OpenSocket) -> None:
    for path in (f"/ws/tenants/{tenant.pk}/jobs/", "/ws/tenants/987654/jobs/"):
        socket = await open_socket(path)
        assert await socket.close_code() == 4401


async def test_signing_out_closes_the_socket(
    tenant: Tenant, open_socket: OpenSocket, client_for: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "RECHECK_SECONDS", 0.2)
    client = await client_for(await make(member, tenant, Role.VIEWER))
    socket = await open_socket(f"/ws/tenants/{tenant.pk}/jobs/", client=client)
    await socket.hears("ready")
    await client.alogout()
    assert await socket.close_code() == 4401


async def test_losing_the_role_closes_the_socket(
    tenant: Tenant, open_socket: OpenSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "RECHECK_SECONDS", 0.1)
    socket = await listen(open_socket, tenant, await make(member, tenant, Role.VIEWER))
    await asyncio.sleep(0.4)  # a few checks that pass
    await enqueue("test_quick", tenant=tenant)
    await socket.hears("job")
    await Membership.objects.all().adelete()
    assert await socket.close_code() == 4404


async def test_what_a_browser_sends_is_ignored(tenant: Tenant, open_socket: OpenSocket) -> None:
    socket = await listen(open_socket, tenant, await make(member, tenant, Role.VIEWER))
    for frame in ("{broken", "[" * 10_000, "x" * 1_000_000, '{"type": "job.news"}', "", b"\xff\x00" * 1000):
        await socket.say(frame)
    await enqueue("test_quick", tenant=tenant)
    assert (await socket.hears("job"))["kind"] == "test_quick"


async def test_a_flood_of_messages_closes_the_socket(tenant: Tenant, open_socket: OpenSocket) -> None:
    socket = await listen(open_socket, tenant, await make(member, tenant, Role.VIEWER))
    for _ in range(consumers.MESSAGES_ALLOWED + 5):
        await socket.say("hello")
    assert await socket.close_code() == 4400


async def test_many_changes_at_once_become_one_request_to_read_again(tenant: Tenant, open_socket: OpenSocket) -> None:
    def many() -> None:
        with transaction.atomic():
            for _ in range(200):
                add_job("test_quick", tenant=tenant)

    socket = await listen(open_socket, tenant, await make(member, tenant, Role.VIEWER))
    await sync_to_async(many)()
    await socket.hears("resync")


async def test_the_reader_ends_with_the_last_socket(tenant: Tenant, open_socket: OpenSocket) -> None:
    user = await make(member, tenant, Role.VIEWER)
    first, second = await listen(open_socket, tenant, user), await listen(open_socket, tenant, user)
    await first.disconnect()
    assert readers() == 1
    await second.disconnect()
    assert readers() == 0


async def listen(open_socket: OpenSocket, tenant: Tenant, user: User, rest: str = "") -> Socket:
    """A socket whose reader of changes has begun."""
    socket = await open_socket(f"/ws/tenants/{tenant.pk}/jobs/{rest}", user)
    await socket.hears("ready")
    return socket


def readers() -> int:
    return sum(task.get_name() == "job-changes" for task in asyncio.all_tasks())

"""The traps of Qdrant and its client, each with the test that springs it.

one client per process and loop            test_each_event_loop_gets_its_own_connection,
                                           test_a_connection_of_a_closed_loop_is_dropped_without_noise,
                                           test_a_forked_process_may_not_use_its_parents_connection,
                                           test_a_closed_client_is_replaced_within_the_call
time-outs of writes are not sent           test_a_hanging_write_ends_at_the_deadline_and_says_it_may_have_been_applied
hanging for ever despite a time-out        test_a_call_that_never_ends_is_ended_by_the_outer_deadline
`wait_timeout` is no exception             test_an_unfinished_write_is_read_back, …_and_reported_when_it_is_not_there
a cancelled write may be applied           test_a_cancelled_write_is_applied_all_the_same_and_can_be_repeated
reset streams make Qdrant hang up          test_a_cancelled_search_is_left_to_end
too long back-off after an outage          test_the_connection_comes_back_by_itself_after_an_outage
keepalive below 300 s                      test_keepalive_and_message_sizes_are_bounded
too big and too fast have one status       test_too_big_and_too_fast_are_told_apart, test_retry_after_is_honoured
one deep payload hides a page              test_one_point_nested_too_deep_does_not_hide_the_page (scroll, query, retrieve)
pages larger than a message                test_a_page_too_large_is_halved
an alias cannot take a collection's name   test_collections.py: test_an_alias_cannot_take_the_name_of_a_collection
alias actions are saved one by one         test_collections.py: test_an_alias_is_switched_by_one_action_and_read_back
deleting drops aliases                     test_collections.py: test_a_collection_in_use_under_an_alias_is_not_deleted
approximate counts                         test_collections.py: test_info_counts_exactly_beside_the_approximation
offset paging repeats ids                  test_reading.py: test_pages_follow_one_another_without_repeating_under_writes
NUL, surrogates, large ints, NaN           test_values.py
`rev` against lost updates                 test_points.py: test_a_stored_point_of_a_newer_revision_is_left_alone
server time is in every answer             test_search.py: test_the_time_of_the_server_is_told_apart
unbounded concurrency                      test_calls_in_flight_are_bounded
"""

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from qdrant_client import grpc as pb

from collections_admin import qdrant as access
from collections_admin.edge_node.supervisor import EdgeNode
from collections_admin.errors import QdrantRejected, QdrantTimeout, QdrantUnavailable
from collections_admin.qdrant import client as connections
from collections_admin.qdrant import outage
from tests.qdrant.faulty_server import (
    PASS_ON,
    FaultyServer,
    answers,
    fails,
    fails_first,
    hangs,
    nested,
    point_with,
    repeated,
    write_status,
)

CODE = grpc.StatusCode
IDS = [str(uuid.UUID(int=number)) for number in range(1, 11)]
COUNTED = pb.CountResponse(result=pb.CountResult(count=7), time=0.002)
POINT = access.PointToWrite(id=IDS[0], vector=[1.0, 0.0], payload={"text": "a", "rev": 1})


# ---- one connection per process and loop


def test_each_event_loop_gets_its_own_connection() -> None:
    async def connection() -> connections.Connection:
        first = connections.current_connection()
        assert connections.current_connection() is first
        await access.close_connections()
        return first

    access.configure(access.QdrantConfig(host="127.0.0.1", grpc_port=1))
    assert asyncio.run(connection()) is not asyncio.run(connection())
    access.configure(None)


def test_a_connection_of_a_closed_loop_is_dropped_without_noise(capfd: pytest.CaptureFixture[str]) -> None:
    """The loop ends without `close_connections`, as the loops of tests and of management commands do."""

    async def served() -> int:
        server = FaultyServer()
        server.behaviours["Count"] = answers(COUNTED)
        await server.start()
        access.configure(access.QdrantConfig(host="127.0.0.1", grpc_port=server.port))
        counted = await access.count("chunks")
        await server.close()
        return counted

    for _ in range(3):
        assert asyncio.run(served()) == 7
    assert len(connections._connections) == 1, "only the last loop may still be known"
    access.configure(None)
    assert capfd.readouterr().err == ""


def test_a_forked_process_may_not_use_its_parents_connection() -> None:
    script = (
        "import asyncio, os\n"
        "from collections_admin import qdrant\n"
        "qdrant.configure(qdrant.QdrantConfig(host='127.0.0.1', grpc_port=1))\n"
        "asyncio.run(qdrant.check_health())\n"
        "if os.fork() == 0:\n"
        "    try:\n"
        "        asyncio.run(qdrant.check_health())\n"
        "    except RuntimeError as error:\n"
        "        print(error, flush=True)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
    )
    root = Path(__file__).resolve().parents[2]
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=60, check=False
    )
    assert "start processes by spawn" in ran.stdout, ran.stderr


async def test_a_closed_client_is_replaced_within_the_call(faulty: FaultyServer) -> None:
    faulty.behaviours["Count"] = answers(COUNTED)
    await access.count("chunks")
    before = connections.current_connection()
    await before.close()
    assert await access.count("chunks") == 7
    assert connections.current_connection() is not before


async def test_closing_never_raises_nor_warns_when_the_server_went_first(faulty: FaultyServer) -> None:
    faulty.behaviours["Count"] = answers(COUNTED)
    await access.count("chunks")
    await faulty.stop()
    await access.close_connections()
    await access.close_connections()


# ---- deadlines


async def test_a_hanging_write_ends_at_the_deadline_and_says_it_may_have_been_applied(faulty: FaultyServer) -> None:
    faulty.behaviours["Upsert"] = hangs
    with pytest.raises(access.WriteUnknown, match=r"did not answer within 2 s; the upsert may have been applied"):
        await access.upsert_points("chunks", [POINT])
    assert faulty.calls == ["Upsert"], "a write is not repeated by itself"


async def test_a_call_that_never_ends_is_ended_by_the_outer_deadline(
    faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the client forgets the time-out it was given, as `query_points` did within a task group."""
    lane = connections.current_connection().lanes["interactive"]

    async def info_for_ever() -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr(lane.client, "info", info_for_ever)
    async with asyncio.timeout(30):
        found = await access.check_health()
    assert not found.ok
    assert "did not answer within 2 s" in found.message


async def test_waiting_for_a_slot_counts_towards_the_deadline(faulty: FaultyServer) -> None:
    faulty.behaviours["Count"] = hangs
    waiting = [access.count("chunks") for _ in range(3 * connections.INTERACTIVE_SLOTS)]
    async with asyncio.timeout(20):
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {QdrantTimeout}
    assert len(faulty.calls) < 2 * connections.INTERACTIVE_SLOTS, "those that waited too long are not sent any more"


async def test_calls_in_flight_are_bounded(faulty: FaultyServer) -> None:
    running, most = 0, 0

    async def slow(_: object, __: object) -> pb.CountResponse:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        return COUNTED

    faulty.behaviours["Count"] = slow
    await asyncio.gather(*(access.count("chunks") for _ in range(4 * connections.INTERACTIVE_SLOTS)))
    assert 1 < most <= connections.INTERACTIVE_SLOTS


# ---- writes whose end is unknown


@pytest.mark.parametrize("status", [pb.UpdateStatus.WaitTimeout, pb.UpdateStatus.Acknowledged, 99])
async def test_an_unfinished_write_is_read_back(faulty: FaultyServer, status: int) -> None:
    stored = pb.GetResponse()
    row = stored.result.add(id=pb.PointId(uuid=IDS[0]))
    row.payload["text"].string_value = "a"
    row.payload["rev"].integer_value = 1
    faulty.behaviours["Upsert"] = answers(write_status(status))
    faulty.behaviours["Get"] = fails_first(0, CODE.UNAVAILABLE, then=stored)
    written = await access.upsert_points("chunks", [POINT])
    assert (written.points, written.read_back) == (1, 1)


async def test_an_unfinished_write_is_reported_when_it_is_not_there(
    faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collections_admin.qdrant.points.READ_BACK_PAUSES_S", (0.01,))
    faulty.behaviours["Upsert"] = answers(write_status(pb.UpdateStatus.WaitTimeout))
    faulty.behaviours["Get"] = answers(pb.GetResponse())
    with pytest.raises(access.WriteUnknown, match=r"WaitTimeout.*can be repeated"):
        await access.upsert_points("chunks", [POINT])
    assert faulty.calls == ["Upsert", "Get", "Get"]


async def test_an_unfinished_delete_is_read_back(faulty: FaultyServer) -> None:
    faulty.behaviours["Delete"] = answers(write_status(pb.UpdateStatus.WaitTimeout))
    faulty.behaviours["Get"] = answers(pb.GetResponse())
    assert (await access.delete_points("chunks", IDS)).read_back == 1


async def test_a_cancelled_write_is_applied_all_the_same_and_can_be_repeated(proxied: FaultyServer) -> None:
    await access.create_collection("cancelled", spec=access.CollectionSpec(vector_size=2))
    seen = asyncio.Event()

    async def slow(_: object, __: object) -> object:
        seen.set()
        await asyncio.sleep(0.1)
        return PASS_ON

    proxied.behaviours["Upsert"] = slow
    writing = asyncio.create_task(access.upsert_points("cancelled", [POINT]))
    await seen.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    for _ in range(50):
        if await access.count("cancelled"):
            break
        await asyncio.sleep(0.05)
    assert await access.count("cancelled") == 1
    await access.upsert_points("cancelled", [POINT])
    assert await access.count("cancelled") == 1


async def test_a_cancelled_search_is_left_to_end(faulty: FaultyServer) -> None:
    """Many reset streams make Qdrant close the connection, for everybody who uses it."""
    started, ended = asyncio.Event(), asyncio.Event()

    async def slow(_: object, context: grpc.aio.ServicerContext) -> pb.QueryResponse:
        started.set()
        await asyncio.sleep(0.1)
        ended.set()
        return pb.QueryResponse()

    faulty.behaviours["Query"] = slow
    search = asyncio.create_task(access.query("chunks", vector=[1.0]))
    await started.wait()
    search.cancel()
    with pytest.raises(asyncio.CancelledError):
        await search
    async with asyncio.timeout(5):
        await ended.wait()
    faulty.behaviours["Count"] = answers(COUNTED)
    assert await access.count("chunks") == 7


# ---- outages


async def test_nothing_listening_is_named_with_address_and_time(faulty: FaultyServer) -> None:
    await faulty.stop()
    with pytest.raises(QdrantUnavailable, match=rf"does not answer at 127\.0\.0\.1:{faulty.port} since \d\d:\d\d:\d\d"):
        await access.count("chunks")


async def test_the_connection_comes_back_by_itself_after_an_outage(faulty: FaultyServer) -> None:
    faulty.behaviours["Count"] = answers(COUNTED)
    await access.count("chunks")
    connection = connections.current_connection()
    port = faulty.port
    await faulty.stop()
    with pytest.raises(QdrantUnavailable):
        await access.count("chunks")
    await faulty.start(port)
    async with asyncio.timeout(10):
        while True:
            try:
                assert await access.count("chunks") == 7
                break
            except QdrantUnavailable:
                await asyncio.sleep(0.05)
    assert connections.current_connection() is connection
    assert connection.outage.since is None


@pytest.fixture
async def own_node(tmp_path: Path) -> AsyncIterator[EdgeNode]:
    """A node that may be stopped without disturbing other tests, with one point in `chunks`."""
    node = EdgeNode(tmp_path / "node").start()
    outage._outages.clear()
    access.configure(access.QdrantConfig(host="127.0.0.1", grpc_port=node.port, deadline_s=5.0))
    await access.create_collection("chunks", spec=access.CollectionSpec(vector_size=2))
    await access.upsert_points("chunks", [POINT])
    yield node
    await access.close_connections()
    access.configure(None)
    node.stop()


async def test_a_frozen_node_is_named_and_answers_again_when_it_thaws(own_node: EdgeNode) -> None:
    os.kill(own_node.pid, signal.SIGSTOP)
    try:
        with pytest.raises(QdrantTimeout, match="did not answer within 5 s"):
            await access.count("chunks")
        health = await access.check_health()
    finally:
        os.kill(own_node.pid, signal.SIGCONT)
    assert not health.ok
    assert health.since is not None
    assert (await access.check_health()).ok
    assert await access.count("chunks") == 1


async def test_a_killed_node_is_found_again_by_the_same_connection(own_node: EdgeNode) -> None:
    connection = connections.current_connection()
    own_node.kill()
    with pytest.raises(QdrantUnavailable):
        await access.count("chunks")
    own_node.start()
    async with asyncio.timeout(30):
        while not (await access.check_health()).ok:
            await asyncio.sleep(0.05)
    assert await access.count("chunks") == 1
    assert connections.current_connection() is connection


async def test_a_read_is_repeated_twice_when_qdrant_is_unavailable_for_a_moment(faulty: FaultyServer) -> None:
    faulty.behaviours["Count"] = fails_first(2, CODE.UNAVAILABLE, then=COUNTED)
    assert await access.count("chunks") == 7
    assert faulty.calls == ["Count"] * 3


async def test_a_read_is_not_repeated_for_ever(faulty: FaultyServer) -> None:
    faulty.behaviours["Count"] = fails(CODE.UNAVAILABLE, "going down")
    with pytest.raises(QdrantUnavailable):
        await access.count("chunks")
    assert faulty.calls == ["Count"] * 3


async def test_a_write_is_not_repeated_when_qdrant_is_unavailable(faulty: FaultyServer) -> None:
    faulty.behaviours["Upsert"] = fails(CODE.UNAVAILABLE, "going down")
    with pytest.raises(QdrantUnavailable):
        await access.upsert_points("chunks", [POINT])
    assert faulty.calls == ["Upsert"]


async def test_pages_wait_and_try_less_while_qdrant_is_known_to_be_down(
    faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collections_admin.qdrant.outage.ESTABLISHED_S", 0.0)
    monkeypatch.setattr("collections_admin.qdrant.calls.KNOWN_DOWN_DEADLINE_S", 0.2)
    faulty.behaviours["Count"] = hangs
    with pytest.raises(QdrantTimeout, match="within 1 s"):
        await access.count("chunks")
    with pytest.raises(QdrantTimeout, match=r"within 0\.2 s since \d\d:\d\d:\d\d"):
        await access.count("chunks")
    faulty.behaviours["Count"] = fails(CODE.UNAVAILABLE)
    faulty.calls.clear()
    with pytest.raises(QdrantUnavailable):
        await access.count("chunks")
    assert faulty.calls == ["Count"]
    faulty.behaviours["HealthCheck"] = answers(pb.HealthCheckReply(version="1.20.0"))
    assert (await access.check_health()).ok
    faulty.behaviours["Count"] = hangs
    with pytest.raises(QdrantTimeout, match="within 1 s"):
        await access.count("chunks")


async def test_keepalive_and_message_sizes_are_bounded() -> None:
    options = connections.GRPC_OPTIONS
    assert options["grpc.keepalive_time_ms"] >= 300_000
    assert options["grpc.max_reconnect_backoff_ms"] <= 1000
    assert 0 < options["grpc.max_receive_message_length"] <= 64 * 1024 * 1024


async def test_the_api_key_travels_with_raw_calls_too(faulty: FaultyServer) -> None:
    access.configure(access.QdrantConfig(host="127.0.0.1", grpc_port=faulty.port, api_key="secret"))
    faulty.behaviours["Count"] = answers(COUNTED)
    await access.count("chunks")
    assert faulty.metadata[-1]["api-key"] == "secret"
    assert "secret" not in repr(access.current_config())


# ---- too big, too fast


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Received message larger than max (5242880 vs. 4194304)", access.MessageTooLarge),
        ("CLIENT: Sent message larger than max (5 vs. 4)", access.MessageTooLarge),
        ("Rate limiting exceeded: read rate limit", access.QdrantOverloaded),
        ("", access.QdrantOverloaded),
    ],
)
async def test_too_big_and_too_fast_are_told_apart(faulty: FaultyServer, text: str, error: type[Exception]) -> None:
    faulty.behaviours["Count"] = fails(CODE.RESOURCE_EXHAUSTED, text)
    with pytest.raises(error):
        await access.count("chunks")


async def test_retry_after_is_honoured(faulty: FaultyServer) -> None:
    access.configure(access.QdrantConfig(host="127.0.0.1", grpc_port=faulty.port, deadline_s=5.0))
    faulty.behaviours["Count"] = fails_first(1, CODE.RESOURCE_EXHAUSTED, then=COUNTED, retry_after="1")
    assert await access.count("chunks") == 7
    assert faulty.calls == ["Count"] * 2


async def test_a_retry_after_beyond_the_deadline_is_told(faulty: FaultyServer) -> None:
    faulty.behaviours["Count"] = fails(CODE.RESOURCE_EXHAUSTED, "too fast", retry_after="30")
    with pytest.raises(access.QdrantOverloaded, match="asks to wait 30 s") as caught:
        await access.count("chunks")
    assert caught.value.retry_after_s == 30
    assert faulty.calls == ["Count"]


async def test_a_batch_too_large_is_halved(faulty: FaultyServer) -> None:
    async def at_most_two(request: pb.UpsertPoints, context: grpc.aio.ServicerContext) -> pb.PointsOperationResponse:
        if len(request.points) > 2:
            await context.abort(CODE.RESOURCE_EXHAUSTED, "Received message larger than max (9 vs. 4)")
        return write_status(pb.UpdateStatus.Completed)

    faulty.behaviours["Upsert"] = at_most_two
    points = [access.PointToWrite(id=point_id, vector=[1.0]) for point_id in IDS]
    assert (await access.upsert_points("chunks", points)).points == len(IDS)
    accepted = [request for request in faulty.requests["Upsert"] if len(request.points) <= 2]
    assert sorted(point.id.uuid for request in accepted for point in request.points) == IDS


async def test_a_page_too_large_is_halved(faulty: FaultyServer) -> None:
    async def at_most_three(request: pb.ScrollPoints, context: grpc.aio.ServicerContext) -> pb.ScrollResponse:
        if request.limit > 3:
            await context.abort(CODE.RESOURCE_EXHAUSTED, "Received message larger than max (9 vs. 4)")
        rows = [pb.RetrievedPoint(id=pb.PointId(uuid=point_id)) for point_id in IDS[: request.limit]]
        return pb.ScrollResponse(result=rows, next_page_offset=pb.PointId(uuid=IDS[request.limit]))

    faulty.behaviours["Scroll"] = at_most_three
    page = await access.scroll("chunks", limit=8)
    assert [point.id for point in page.points] == IDS[:2]
    assert page.next_cursor == IDS[2]


# ---- answers that cannot be read


def _rows(ids: list[str], deep: str, *, with_payload: bool) -> list[bytes]:
    value = nested(60)
    shallow = pb.Value(string_value="fine").SerializeToString()
    if not with_payload:
        return [pb.RetrievedPoint(id=pb.PointId(uuid=point_id)).SerializeToString() for point_id in ids]
    return [point_with(point_id, value if point_id == deep else shallow) for point_id in ids]


def _serve_deep(faulty: FaultyServer, deep: str) -> None:
    def wants(request: object) -> bool:
        return request.with_payload.enable or bool(request.with_payload.include.fields)

    def get(request: pb.GetPoints, _: object) -> bytes:
        return repeated(1, _rows([point.uuid for point in request.ids], deep, with_payload=wants(request)))

    faulty.behaviours["Get"] = get
    faulty.behaviours["Scroll"] = lambda request, _: repeated(2, _rows(IDS, deep, with_payload=wants(request)))
    faulty.behaviours["Query"] = lambda request, _: repeated(1, _rows(IDS, deep, with_payload=wants(request)))


@pytest.mark.parametrize("deep", [IDS[0], IDS[4], IDS[-1]])
async def test_one_point_nested_too_deep_does_not_hide_the_page(faulty: FaultyServer, deep: str) -> None:
    _serve_deep(faulty, deep)
    page = await access.scroll("chunks", limit=10)
    fetched = await access.retrieve("chunks", IDS)
    found = await access.query("chunks", vector=[1.0])
    for points in (page.points, fetched):
        assert [point.id for point in points] == IDS
        assert [point.id for point in points if isinstance(point, access.UnreadablePoint)] == [deep]
        assert {point.payload["deep"] for point in points if isinstance(point, access.Point)} == {"fine"}
    assert [hit.id for hit in found.hits if hit.unreadable] == [deep]
    assert [hit.id for hit in found.hits] == IDS
    assert faulty.calls.count("Get") < 40, "bisected, not fetched one by one"


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff\xff", b"\x0a\xff\x01", b"<html>502 Bad Gateway</html>"])
async def test_garbage_is_refused_as_such(faulty: FaultyServer, garbage: bytes) -> None:
    for method in ("Count", "Scroll", "Query", "Get", "Facet", "Upsert", "List", "ListAliases", "HealthCheck"):
        faulty.behaviours[method] = answers(garbage)
    for call in (
        access.count("chunks"),
        access.scroll("chunks"),
        access.query("chunks", vector=[1.0]),
        access.retrieve("chunks", IDS),
        access.facet("chunks", "title"),
        access.upsert_points("chunks", [POINT]),
        access.list_collections(),
        access.list_aliases(),
    ):
        with pytest.raises(QdrantRejected, match="cannot be read"):
            await call
    assert not (await access.check_health()).ok


@pytest.mark.parametrize(
    ("code", "error", "sentence"),
    [
        (CODE.INVALID_ARGUMENT, QdrantRejected, "refused the count call: Wrong input"),
        (CODE.UNAUTHENTICATED, QdrantRejected, "refuses the API key"),
        (CODE.UNIMPLEMENTED, QdrantRejected, "cannot do count"),
        (CODE.INTERNAL, QdrantRejected, "failed during count: Wrong input"),
        (CODE.UNKNOWN, QdrantRejected, "failed during count"),
        (CODE.NOT_FOUND, access.CollectionMissing, "no collection or alias named 'chunks'"),
        (CODE.DEADLINE_EXCEEDED, QdrantTimeout, "did not answer within 1 s"),
        (CODE.CANCELLED, QdrantUnavailable, "does not answer at"),
        (CODE.ALREADY_EXISTS, access.AlreadyExists, "Wrong input"),
    ],
)
async def test_each_status_has_an_error_and_a_sentence(
    faulty: FaultyServer, code: grpc.StatusCode, error: type[Exception], sentence: str
) -> None:
    faulty.behaviours["Count"] = fails(code, "Wrong input: of collection")
    with pytest.raises(error, match=sentence) as caught:
        await access.count("chunks")
    assert isinstance(caught.value.__cause__, grpc.aio.AioRpcError)


# ---- timings


async def test_every_call_is_timed_and_a_failing_observer_breaks_nothing(faulty: FaultyServer) -> None:
    seen: list[access.OperationTiming] = []

    def broken(_: access.OperationTiming) -> None:
        raise ValueError

    removers = [access.add_observer(broken), access.add_observer(seen.append)]
    try:
        faulty.behaviours["Count"] = answers(COUNTED)
        await access.count("chunks")
        faulty.behaviours["Count"] = fails(CODE.INVALID_ARGUMENT, "no")
        with pytest.raises(QdrantRejected):
            await access.count("chunks")
    finally:
        for remove in removers:
            remove()
    await asyncio.gather(access.count("chunks"), return_exceptions=True)
    assert [(timing.operation, timing.collection, timing.outcome) for timing in seen] == [
        ("count", "chunks", "ok"),
        ("count", "chunks", "rejected"),
    ]
    assert seen[0].server_s == pytest.approx(0.002)
    assert seen[0].total_s > 0

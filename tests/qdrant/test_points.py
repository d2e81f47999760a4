"""Writing points to the real node."""

import uuid

import numpy as np
import pytest

from collections_admin import qdrant as access
from collections_admin.errors import InvalidInput
from tests.qdrant.faulty_server import FaultyServer

SPEC = access.CollectionSpec(vector_size=4)
IDS = [str(uuid.UUID(int=number)) for number in range(1, 6)]


@pytest.fixture
async def chunks(proxied: FaultyServer) -> str:
    await access.create_collection("chunks", spec=SPEC)
    return "chunks"


def _point(point_id: access.Point | str | int, **payload: object) -> access.PointToWrite:
    return access.PointToWrite(id=point_id, vector=[1.0, 2.0, 3.0, 4.0], payload=payload)


async def _payloads(ids: list[str | int]) -> dict[str | int, dict[str, object]]:
    return {point.id: point.payload for point in await access.retrieve("chunks", ids)}


async def test_what_is_written_is_read_back_exactly(chunks: str) -> None:
    payload = {
        "integer": 2**63 - 1,
        "negative": -(2**63),
        "float": 0.1,
        "text": "Füße 漢字 🙂",
        "flags": [True, False, None],
        "empty": {"list": [], "map": {}, "text": ""},
        "nested": {"a": [{"b": [1, [2]]}]},
    }
    await access.upsert_points(chunks, [_point(IDS[0], **payload), _point(17, **payload)])
    found = await access.retrieve(chunks, [17, IDS[0]], with_vectors=True)
    assert [point.id for point in found] == [17, IDS[0]]
    for point in found:
        assert point.payload == payload
        assert type(point.payload["integer"]) is int
        assert type(point.payload["flags"][0]) is bool
        assert np.linalg.norm(point.vector) == pytest.approx(1)


async def test_lists_and_arrays_give_the_same_vector(chunks: str) -> None:
    numbers = [0.5, -1.25, 3.0, 1e-3]
    points = [
        access.PointToWrite(id=number, vector=vector)
        for number, vector in enumerate([numbers, np.array(numbers), np.array(numbers, dtype="f4")])
    ]
    await access.upsert_points(chunks, points)
    vectors = [point.vector for point in await access.retrieve(chunks, [0, 1, 2], with_vectors=True)]
    assert vectors[0] == vectors[1] == vectors[2]


async def test_what_points_have_in_common_is_part_of_their_payload(chunks: str) -> None:
    first, second = {"title": "One", "rev": 2, "meta": {"a": [1]}}, {"title": "Two", "rev": 2}
    points = [
        access.PointToWrite(id=number, vector=None, payload={"content": f"c{number}"}, common=common)
        for number, common in enumerate([first, first, second, first])
    ]
    points[3] = access.PointToWrite(id=uuid.UUID(IDS[0]), vector=None, payload={"title": "Own"}, common=first)
    await access.upsert_points(chunks, points, only_newer_rev=True)
    assert await _payloads([0, 1, 2, IDS[0]]) == {
        0: first | {"content": "c0"},
        1: first | {"content": "c1"},
        2: second | {"content": "c2"},
        IDS[0]: first | {"title": "Own"},
    }
    older = access.PointToWrite(id=0, vector=None, payload={"content": "older"}, common={"rev": 1})
    await access.upsert_points(chunks, [older], only_newer_rev=True)
    assert (await _payloads([0]))[0]["content"] == "c0"


async def test_nothing_to_write_asks_nothing(chunks: str, proxied: FaultyServer) -> None:
    proxied.calls.clear()
    assert await access.upsert_points(chunks, []) == access.WriteResult()
    assert await access.delete_points(chunks, []) == access.WriteResult()
    assert await access.set_payload(chunks, {"a": 1}, []) == access.WriteResult()
    assert await access.delete_payload(chunks, ["a"], []) == access.WriteResult()
    assert await access.retrieve(chunks, []) == []
    assert proxied.calls == []


async def test_batches_are_cut_by_bytes(chunks: str, proxied: FaultyServer) -> None:
    points = [_point(number, content="x" * 100_000) for number in range(50)]
    result = await access.upsert_points(chunks, points)
    sizes = [request.ByteSize() for request in proxied.requests["Upsert"]]
    assert max(sizes) <= 2.2 * 1024 * 1024
    assert (result.points, result.requests) == (50, len(sizes))
    assert 2 < len(sizes) < 10
    assert await access.count(chunks) == 50


async def test_writing_twice_changes_nothing(chunks: str) -> None:
    points = [_point(point_id, rev=1) for point_id in IDS]
    await access.upsert_points(chunks, points)
    await access.upsert_points(chunks, points)
    assert await access.count(chunks) == len(IDS)


async def test_a_stored_point_of_a_newer_revision_is_left_alone(chunks: str) -> None:
    await access.upsert_points(chunks, [_point(1, rev=5, text="newer"), _point(2, text="without revision")])
    late = [_point(1, rev=4, text="late"), _point(2, rev=4, text="first"), _point(3, rev=4, text="new")]
    await access.upsert_points(chunks, late, only_newer_rev=True)
    found = await _payloads([1, 2, 3])
    assert {number: payload["text"] for number, payload in found.items()} == {1: "newer", 2: "first", 3: "new"}


@pytest.mark.parametrize(("same_rev_too", "text"), [(False, "stored"), (True, "repaired")])
async def test_the_same_revision_is_replaced_only_where_asked(chunks: str, *, same_rev_too: bool, text: str) -> None:
    await access.upsert_points(chunks, [_point(1, rev=5, text="stored")])
    repair = [_point(1, rev=5, text="repaired")]
    await access.upsert_points(chunks, repair, only_newer_rev=True, same_rev_too=same_rev_too)
    assert (await _payloads([1]))[1]["text"] == text


async def test_each_revision_of_a_batch_is_compared_by_itself(chunks: str) -> None:
    await access.upsert_points(chunks, [_point(1, rev=5), _point(2, rev=5)])
    await access.upsert_points(chunks, [_point(1, rev=4, new=1), _point(2, rev=6, new=1)], only_newer_rev=True)
    found = await _payloads([1, 2])
    assert ("new" in found[1], "new" in found[2]) == (False, True)


@pytest.mark.parametrize("rev", [None, "1", True, 1.0])
async def test_a_conditional_write_needs_a_revision(chunks: str, rev: object) -> None:
    with pytest.raises(InvalidInput, match="whole number as rev"):
        await access.upsert_points(chunks, [_point(1, rev=rev)], only_newer_rev=True)


async def test_a_bad_point_keeps_the_whole_batch_out(chunks: str, proxied: FaultyServer) -> None:
    with pytest.raises(InvalidInput) as caught:
        await access.upsert_points(chunks, [_point(1), _point(2, meta={"a": [1, "x\0"]})])
    assert caught.value.field == "meta.a[1]"
    assert "Upsert" not in proxied.calls


async def test_a_point_over_the_limit_is_refused_by_name(chunks: str) -> None:
    with pytest.raises(access.MessageTooLarge, match="Point 1 has"):
        await access.upsert_points(chunks, [_point(1, content="x" * 17_000_000)])


async def test_points_are_deleted_by_ids_and_by_filter(chunks: str) -> None:
    await access.upsert_points(chunks, [_point(number, kind="a" if number < 3 else "b") for number in range(6)])
    assert (await access.delete_points(chunks, [0, 99])).points == 2
    await access.delete_by_filter(chunks, access.Equals("kind", "b"))
    assert sorted(await _payloads(list(range(6)))) == [1, 2]


async def test_payload_is_merged_and_removed(chunks: str) -> None:
    await access.upsert_points(chunks, [_point(1, a=1, b=1), _point(2, a=1)])
    await access.set_payload(chunks, {"b": {"x": [2]}, "c": 3}, [1])
    await access.set_payload(chunks, {"d": 4}, access.Equals("a", 1))
    await access.delete_payload(chunks, ["a"], [1])
    assert await _payloads([1, 2]) == {1: {"b": {"x": [2]}, "c": 3, "d": 4}, 2: {"a": 1, "d": 4}}


async def test_a_vector_of_another_size_is_refused_with_the_servers_words(chunks: str) -> None:
    from collections_admin.errors import QdrantRejected

    with pytest.raises(QdrantRejected, match="expected dim: 4, got 2"):
        await access.upsert_points(chunks, [access.PointToWrite(id=1, vector=[1.0, 2.0])])


async def test_writing_to_a_missing_collection_names_it(proxied: FaultyServer) -> None:
    with pytest.raises(access.CollectionMissing, match="named 'nothing'"):
        await access.upsert_points("nothing", [_point(1)])

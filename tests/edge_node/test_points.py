from uuid import UUID, uuid4

import pytest
from qdrant_client import grpc as pb
from qdrant_client import models

from tests.edge_node.calling import dense, ids, refused


def point(identifier, vector=(1.0, 0.0, 0.0, 0.0), **payload):
    return models.PointStruct(id=identifier, vector=list(vector), payload=payload)


async def payload_of(client, table, identifier):
    (found,) = await client.retrieve(table, [identifier], with_payload=True)
    return found.payload


async def test_points_come_back_as_they_were_written(client, table):
    payload = {
        "text": "naïve 名 \N{GRINNING FACE}",
        "int": -(2**63),
        "big": 2**63 - 1,
        "float": 0.1,
        "yes": True,
        "none": None,
        "list": [1, "two", [3.5, None], {}],
        "dict": {"a": {"b": {"c": []}}},
    }
    identifier = str(uuid4())
    answer = await client.upsert(table, [point(identifier, (0.0, 3.0, 4.0, 0.0), **payload)])
    assert answer.status is models.UpdateStatus.COMPLETED
    (found,) = await client.retrieve(table, [identifier], with_vectors=True)
    assert found.id == identifier
    assert found.payload == payload
    assert found.vector == pytest.approx([0.0, 0.6, 0.8, 0.0])


async def test_who_does_not_wait_is_told_so_and_finds_the_point_all_the_same(client, table):
    answer = await client.upsert(table, [point(50)], wait=False)
    assert answer.status is models.UpdateStatus.ACKNOWLEDGED
    assert ids(await client.retrieve(table, [50])) == [50]


async def test_an_upsert_replaces_vector_and_payload(client, table):
    await client.upsert(table, [point(1, (0.0, 0.0, 1.0, 0.0), fresh=1)])
    (found,) = await client.retrieve(table, [1], with_vectors=True)
    assert found.payload == {"fresh": 1}
    assert found.vector == [0.0, 0.0, 1.0, 0.0]


async def test_a_large_upsert_arrives_whole_and_two_at_once_do_not_mix(client, table):
    batch = [point(n, n=n) for n in range(1000, 3000)]
    await client.upsert(table, batch)
    assert (await client.count(table)).count == 2012


async def test_a_conditional_upsert_changes_only_what_the_filter_allows(client, table):
    condition = models.Filter(must=[models.FieldCondition(key="even", match=models.MatchValue(value=True))])
    await client.upsert(table, [point(2, new=True), point(3, new=True), point(70, new=True)], update_filter=condition)
    assert await payload_of(client, table, 2) == {"new": True}
    assert (await payload_of(client, table, 3))["number"] == 3
    assert await payload_of(client, table, 70) == {"new": True}


async def test_update_modes_insert_only_and_update_only(client, table):
    await client.upsert(table, [point(2, a=1), point(71, a=1)], update_mode=models.UpdateMode.INSERT_ONLY)
    assert (await payload_of(client, table, 2))["number"] == 2
    assert await payload_of(client, table, 71) == {"a": 1}
    await client.upsert(table, [point(2, a=1), point(72, a=1)], update_mode=models.UpdateMode.UPDATE_ONLY)
    assert await payload_of(client, table, 2) == {"a": 1}
    assert await client.retrieve(table, [72]) == []


async def test_points_are_deleted_by_id_and_by_filter(client, table):
    await client.delete(table, [0, 1, 999])
    assert (await client.count(table)).count == 10
    odd = models.Filter(must=[models.FieldCondition(key="even", match=models.MatchValue(value=False))])
    await client.delete(table, models.FilterSelector(filter=odd))
    points, _ = await client.scroll(table)
    assert ids(points) == [2, 4, 6, 8, 10]


async def test_payload_is_set_overwritten_deleted_and_cleared(client, table):
    await client.set_payload(table, {"extra": 1}, points=[4])
    assert (await payload_of(client, table, 4))["number"] == 4
    assert (await payload_of(client, table, 4))["extra"] == 1
    await client.set_payload(table, {"y": 2}, points=[4], key="deep.more")
    assert (await payload_of(client, table, 4))["deep"]["more"] == {"y": 2}
    await client.delete_payload(table, ["extra", "deep.number"], points=[4])
    assert "number" not in (await payload_of(client, table, 4))["deep"]
    await client.overwrite_payload(table, {"only": [1]}, points=[4])
    assert await payload_of(client, table, 4) == {"only": [1]}
    await client.clear_payload(table, models.PointIdsList(points=[4]))
    assert await payload_of(client, table, 4) == {}


async def test_payload_is_set_by_filter(client, table):
    chosen = models.Filter(must=[models.FieldCondition(key="group", match=models.MatchValue(value="g1"))])
    await client.set_payload(table, {"archived": True}, points=chosen)
    archived = models.Filter(must=[models.FieldCondition(key="archived", match=models.MatchValue(value=True))])
    assert (await client.count(table, archived)).count == 4


async def test_setting_payload_of_a_missing_point_is_not_found(client, table):
    with refused("NOT_FOUND", "No point with id 999 found"):
        await client.set_payload(table, {"a": 1}, points=[999])


async def test_vectors_are_updated_and_deleted_by_name(client, name):
    await client.create_collection(
        name,
        vectors_config={"a": dense(2, models.Distance.DOT), "b": dense(2, models.Distance.DOT)},
        sparse_vectors_config={"s": models.SparseVectorParams()},
    )
    sparse = models.SparseVector(indices=[7, 3], values=[0.5, 0.25])
    await client.upsert(name, [models.PointStruct(id=1, vector={"a": [1.0, 2.0], "b": [3.0, 4.0], "s": sparse})])
    await client.update_vectors(name, [models.PointVectors(id=1, vector={"a": [9.0, 9.0]})])
    await client.delete_vectors(name, ["b"], points=[1])
    (found,) = await client.retrieve(name, [1], with_vectors=True)
    assert found.vector["a"] == [9.0, 9.0]
    assert "b" not in found.vector
    assert dict(zip(found.vector["s"].indices, found.vector["s"].values, strict=True)) == {7: 0.5, 3: 0.25}
    (found,) = await client.retrieve(name, [1], with_vectors=["a"])
    assert set(found.vector) == {"a"}
    with refused("INVALID_ARGUMENT", "Not existing vector name"):
        await client.delete_vectors(name, ["zz"], points=[1])
    with refused("INVALID_ARGUMENT", "Not existing vector name"):
        await client.retrieve(name, [1], with_vectors=["zz"])
    with refused("NOT_FOUND", "No point with id 5"):
        await client.update_vectors(name, [models.PointVectors(id=5, vector={"a": [9.0, 9.0]})])


async def test_multi_vectors_come_back_as_rows(client, name):
    config = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    await client.create_collection(name, vectors_config=dense(2, models.Distance.DOT, multivector_config=config))
    await client.upsert(name, [models.PointStruct(id=1, vector=[[1.0, 2.0], [3.0, 4.0]])])
    (found,) = await client.retrieve(name, [1], with_vectors=True)
    assert found.vector == [[1.0, 2.0], [3.0, 4.0]]


async def test_a_batch_of_updates_is_applied_in_order(client, table):
    results = await client.batch_update_points(
        table,
        [
            models.UpsertOperation(upsert=models.PointsList(points=[point(80, a=1), point(81, a=1)])),
            models.SetPayloadOperation(set_payload=models.SetPayload(payload={"b": 2}, points=[80])),
            models.OverwritePayloadOperation(overwrite_payload=models.SetPayload(payload={"c": 3}, points=[81])),
            models.DeletePayloadOperation(delete_payload=models.DeletePayload(keys=["a"], points=[80])),
            models.UpdateVectorsOperation(
                update_vectors=models.UpdateVectors(points=[models.PointVectors(id=80, vector=[0.0, 0.0, 0.0, 1.0])])
            ),
            models.ClearPayloadOperation(clear_payload=models.PointIdsList(points=[3])),
            models.DeleteOperation(delete=models.PointIdsList(points=[5])),
        ],
    )
    assert [r.status for r in results] == [models.UpdateStatus.COMPLETED] * 7
    assert len({r.operation_id for r in results}) == 7
    assert await payload_of(client, table, 80) == {"b": 2}
    assert await payload_of(client, table, 81) == {"c": 3}
    assert await payload_of(client, table, 3) == {}
    assert await client.retrieve(table, [5]) == []


async def test_missing_points_are_left_out_of_get(client, table):
    assert ids(await client.retrieve(table, [3, 999, str(uuid4())])) == [3]


@pytest.mark.parametrize("bad", ["", "not-a-uuid", "1234", "g" * 32])
async def test_an_id_that_is_no_uuid_is_refused(client, table, bad):
    for call in (
        lambda: client.upsert(table, [point(bad)]),
        lambda: client.retrieve(table, [bad]),
        lambda: client.delete(table, [bad]),
        lambda: client.set_payload(table, {"a": 1}, points=[bad]),
        lambda: client.query_points(table, bad),
        lambda: client.scroll(table, offset=bad),
    ):
        with refused("INVALID_ARGUMENT", "Unable to parse UUID"):
            await call()
    assert (await client.count(table)).count == 12


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
async def test_a_vector_that_is_not_finite_is_refused_and_nothing_of_the_call_is_stored(client, table, bad):
    with refused("INVALID_ARGUMENT", "NaN or infinite"):
        await client.upsert(table, [point(90), point(91, (1.0, bad, 0.0, 0.0))])
    with refused("INVALID_ARGUMENT", "NaN or infinite"):
        await client.update_vectors(table, [models.PointVectors(id=1, vector=[bad, 0.0, 0.0, 0.0])])
    assert (await client.count(table)).count == 12


@pytest.mark.parametrize("vector", [[1.0, 2.0], [1.0] * 5, [[1.0, 0.0, 0.0, 0.0]] * 2])
async def test_a_vector_of_another_shape_is_refused_and_nothing_of_the_call_is_stored(client, table, vector):
    with refused("INVALID_ARGUMENT"):
        await client.upsert(table, [point(90), models.PointStruct(id=91, vector=vector)])
    assert (await client.count(table)).count == 12


async def test_an_unknown_vector_name_is_refused(client, table):
    with refused("INVALID_ARGUMENT", "Not existing vector name error: other"):
        await client.upsert(table, [models.PointStruct(id=1, vector={"other": [1.0] * 4})])


async def test_a_sparse_vector_with_wrong_counts_or_doubles_is_refused(client, name):
    await client.create_collection(name, sparse_vectors_config={"s": models.SparseVectorParams()})
    for indices, text in (([1, 2, 3], "3 indices but 2 values"), ([4, 4], "unique")):
        vector = models.SparseVector(indices=indices, values=[1.0, 2.0])
        with refused("INVALID_ARGUMENT", text):
            await client.upsert(name, [models.PointStruct(id=1, vector={"s": vector})])


async def test_a_flat_multi_vector_whose_count_does_not_divide_is_refused(client, table):
    vector = pb.Vectors(vector=pb.Vector(data=[1.0] * 5, vectors_count=2))
    request = pb.UpsertPoints(collection_name=table, points=[pb.PointStruct(id=pb.PointId(num=1), vectors=vector)])
    with refused("INVALID_ARGUMENT", "vectors_count 2 does not divide"):
        await client.grpc_points.Upsert(request)


async def test_a_payload_number_that_json_cannot_hold_is_refused(client, table):
    with refused("INVALID_ARGUMENT", "NaN or infinite"):
        await client.upsert(table, [point(1, bad=float("nan"))])


async def test_the_deepest_payload_that_a_client_can_send_survives_a_restart(client, edge_node, table):
    nested: list = []
    for _ in range(40):
        nested = [nested]
    await client.upsert(table, [point(95, nested=nested)])
    key = ".".join(["a"] * 30)
    await client.set_payload(table, {"nested": nested}, points=[95], key=key)
    edge_node.kill()
    edge_node.start()
    assert (await client.count(table)).count == 13
    (found,) = await client.retrieve(table, [95], with_payload=False)  # the client cannot read what it could send
    assert found.id == 95


async def test_a_payload_key_of_too_many_parts_is_refused(client, table):
    with refused("INVALID_ARGUMENT", "parts"):
        await client.set_payload(table, {"a": 1}, points=[1], key=".".join(["a"] * 50))


async def test_a_filter_nested_too_deep_is_refused_before_it_reaches_the_log(client, edge_node, table):
    nested = models.Filter(must=[models.FieldCondition(key="number", match=models.MatchValue(value=1))])
    for _ in range(30):
        nested = models.Filter(must=[nested])
    with refused("INVALID_ARGUMENT", "nested deeper than 20"):
        await client.delete(table, models.FilterSelector(filter=nested))
    with refused("INVALID_ARGUMENT", "nested deeper than 20"):
        await client.scroll(table, nested)
    edge_node.kill()
    edge_node.start()
    assert (await client.count(table)).count == 12


async def test_a_filter_of_the_deepest_allowed_nesting_survives_a_restart(client, edge_node, table):
    nested = models.Filter(must=[models.FieldCondition(key="x", match=models.MatchValue(value=1))])
    for _ in range(19):
        nested = models.Filter(
            min_should=models.MinShould(
                conditions=[models.NestedCondition(nested=models.Nested(key="deep.list[]", filter=nested))],
                min_count=1,
            )
        )
    await client.set_payload(table, {"a": 1}, points=nested)
    edge_node.kill()
    edge_node.start()
    assert (await client.count(table)).count == 12


async def test_a_write_to_a_missing_collection_is_not_found(client, name):
    for call in (
        lambda: client.upsert(name, [point(1)]),
        lambda: client.delete(name, [1]),
        lambda: client.set_payload(name, {"a": 1}, points=[1]),
        lambda: client.create_payload_index(name, "a", "keyword"),
        lambda: client.scroll(name),
        lambda: client.count(name),
        lambda: client.query_points(name, [1.0]),
        lambda: client.facet(name, "a"),
    ):
        with refused("NOT_FOUND", f"Collection `{name}` doesn't exist!"):
            await call()


async def test_ids_of_both_kinds_live_in_one_collection(client, table):
    identifier = UUID(int=5)
    await client.upsert(table, [point(str(identifier)), point(2**64 - 1)])
    assert ids(await client.retrieve(table, [str(identifier), 2**64 - 1])) == [str(identifier), 2**64 - 1]

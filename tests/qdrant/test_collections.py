"""Collections, aliases and indexes on the real node; what is counted is counted by a server in front of it."""

import asyncio
from threading import Thread

import grpc
import pytest
from qdrant_client import grpc as pb

from collections_admin import qdrant as access
from collections_admin.errors import Conflict, InvalidInput, QdrantRejected
from tests.qdrant.faulty_server import PASS_ON, FaultyServer, answers

SPEC = access.CollectionSpec(vector_size=4)
OK = grpc.StatusCode.OK


async def test_fifty_concurrent_ensures_create_exactly_one(proxied: FaultyServer) -> None:
    results = await asyncio.gather(*(access.ensure_collection("c__v1", "c", SPEC) for _ in range(50)))
    assert proxied.calls.count("Create") == 1
    assert proxied.calls.count("UpdateAliases") == 1
    assert proxied.calls.count("CreateFieldIndex") == len(access.PAYLOAD_INDEXES)
    assert [sum(result.created for result in results), sum(result.changed for result in results)] == [1, 1]
    assert await access.list_aliases() == {"c": "c__v1"}


async def test_two_processes_that_ensure_at_once_create_exactly_one(proxied: FaultyServer) -> None:
    """Event loops stand for processes: they share nothing but the server, which makes both see no collection."""
    waiting, both = 0, asyncio.Event()

    async def together(_: object, __: object) -> object:
        nonlocal waiting
        waiting += 1
        if waiting == 2:
            both.set()
        await both.wait()
        return PASS_ON

    proxied.behaviours["Get"] = together
    results: list[access.EnsureResult] = []

    async def ensure() -> None:
        results.append(await access.ensure_collection("c__v1", "c", SPEC))
        await access.close_connections()

    threads = [Thread(target=asyncio.run, args=(ensure(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        await asyncio.sleep(0.01)
    assert sorted(result.created for result in results) == [False, True]
    assert proxied.codes["Create"].count(OK) == 1
    assert len(proxied.codes["Create"]) == 2
    assert await access.list_aliases() == {"c": "c__v1"}


async def test_ensure_adds_only_what_is_missing(proxied: FaultyServer) -> None:
    first, second = access.PAYLOAD_INDEXES[:2]
    await access.ensure_collection("c__v1", None, SPEC, [first])
    result = await access.ensure_collection("c__v1", "c", SPEC, [first, second])
    assert (result.created, result.alias_created, result.indexes_created) == (False, True, (second.field,))
    unchanged = await access.ensure_collection("c__v1", "c", SPEC, [first, second])
    assert not unchanged.changed


async def test_ensure_leaves_an_index_of_another_type_and_says_so(proxied: FaultyServer) -> None:
    await access.ensure_collection("c__v1", None, SPEC, [access.PayloadIndex(field="rev", type="keyword")])
    result = await access.ensure_collection("c__v1", None, SPEC, [access.PayloadIndex(field="rev", type="integer")])
    assert result.indexes_differing == ("rev",)
    assert not result.changed


@pytest.mark.parametrize(
    "other", [access.CollectionSpec(vector_size=5), access.CollectionSpec(vector_size=4, distance="Dot")]
)
async def test_ensure_refuses_a_collection_with_other_vectors(
    proxied: FaultyServer, other: access.CollectionSpec
) -> None:
    await access.create_collection("c__v1", spec=SPEC)
    with pytest.raises(Conflict, match=r"exists with vectors of size 4 \(Cosine\), but \d \(\w+\) are wanted"):
        await access.ensure_collection("c__v1", "c", other)
    assert await access.list_aliases() == {}


async def test_ensure_never_moves_an_alias(proxied: FaultyServer) -> None:
    await access.ensure_collection("c__v1", "c", SPEC, [])
    with pytest.raises(Conflict, match=r"'c' points to 'c__v1', not to 'c__v2'"):
        await access.ensure_collection("c__v2", "c", SPEC, [])
    assert await access.list_aliases() == {"c": "c__v1"}
    assert await access.list_collections() == ["c__v1"]


async def test_an_alias_cannot_take_the_name_of_a_collection(proxied: FaultyServer) -> None:
    await access.create_collection("c", spec=SPEC)
    with pytest.raises(Conflict, match="A collection is already named 'c'"):
        await access.ensure_collection("c__v1", "c", SPEC, [])


async def test_creating_twice_is_a_conflict(proxied: FaultyServer) -> None:
    await access.create_collection("c", spec=SPEC)
    with pytest.raises(access.AlreadyExists):
        await access.create_collection("c", spec=SPEC)


async def test_an_alias_is_switched_by_one_action_and_read_back(proxied: FaultyServer) -> None:
    await access.ensure_collection("c__v1", "c", SPEC, [])
    await access.create_collection("c__v2", spec=SPEC)
    proxied.calls.clear()
    assert await access.switch_alias("c", "c__v2") == "c__v1"
    assert proxied.calls == ["ListAliases", "UpdateAliases", "ListAliases"]
    actions = proxied.requests["UpdateAliases"][-1].actions
    assert [action.WhichOneof("action") for action in actions] == ["create_alias"]
    assert await access.list_aliases() == {"c": "c__v2"}


async def test_a_switch_that_did_not_take_effect_is_told(faulty: FaultyServer) -> None:
    before = pb.ListAliasesResponse(aliases=[pb.AliasDescription(alias_name="c", collection_name="c__v1")])
    faulty.behaviours["ListAliases"] = answers(before)
    faulty.behaviours["UpdateAliases"] = answers(pb.CollectionOperationResponse(result=True))
    with pytest.raises(QdrantRejected, match="points to 'c__v1' after it was switched to 'c__v2'"):
        await access.switch_alias("c", "c__v2")


async def test_switching_to_a_missing_collection_changes_nothing(proxied: FaultyServer) -> None:
    await access.ensure_collection("c__v1", "c", SPEC, [])
    with pytest.raises(access.CollectionMissing):
        await access.switch_alias("c", "c__v9")
    assert await access.list_aliases() == {"c": "c__v1"}


async def test_a_collection_in_use_under_an_alias_is_not_deleted(proxied: FaultyServer) -> None:
    await access.ensure_collection("c__v1", "c", SPEC, [])
    await access.switch_alias("other", "c__v1")
    with pytest.raises(Conflict, match="in use under the alias other"):
        await access.delete_collection("c__v1", aliases=("c",))
    assert await access.collection_exists("c")
    assert await access.delete_collection("c__v1", aliases=("c", "other"))
    assert (await access.list_collections(), await access.list_aliases()) == ([], {})


async def test_deleting_by_the_name_of_an_alias_is_refused(proxied: FaultyServer) -> None:
    await access.ensure_collection("c__v1", "c", SPEC, [])
    with pytest.raises(Conflict, match="'c' is an alias of 'c__v1'"):
        await access.delete_collection("c")


async def test_deleting_what_is_not_there_says_so(proxied: FaultyServer) -> None:
    assert await access.delete_collection("nothing") is False
    await access.delete_alias("nothing")


async def test_info_counts_exactly_beside_the_approximation(proxied: FaultyServer) -> None:
    async def approximate(request: pb.GetCollectionInfoRequest, context: object) -> bytes:
        raw = await proxied._pass_on("/qdrant.Collections/Get", "Get", request.SerializeToString(), context)
        answer = pb.GetCollectionInfoResponse.FromString(raw)
        answer.result.points_count = 99
        return answer.SerializeToString()

    await access.ensure_collection("c__v1", "c", SPEC)
    await access.upsert_points("c", [access.PointToWrite(id=1, vector=[1, 0, 0, 0], payload={"document_id": "7"})])
    proxied.behaviours["Get"] = approximate
    info = await access.collection_info("c")
    assert (info.points, info.points_exact) == (99, 1)
    assert (await access.collection_info("c", exact_count=False)).points_exact is None


async def test_info_tells_configuration_and_indexes(proxied: FaultyServer) -> None:
    spec = access.CollectionSpec(
        vector_size=4,
        distance="Dot",
        hnsw_m=24,
        hnsw_ef_construct=200,
        on_disk_vectors=True,
        strict_mode=access.StrictMode(max_query_limit=500),
    )
    await access.ensure_collection("c__v1", "c", spec)
    await access.upsert_points("c", [access.PointToWrite(id=1, vector=[1, 0, 0, 0], payload={"document_id": "7"})])
    info = await access.collection_info("c")
    assert (info.name, info.aliases, info.status) == ("c__v1", ("c",), "green")
    assert "searchable" in info.status_meaning
    assert info.vectors == (
        access.VectorConfig(name="", size=4, distance="Dot", on_disk=True, hnsw_m=info.vectors[0].hnsw_m),
    )
    assert (info.hnsw_m, info.hnsw_ef_construct, info.quantization) == (24, 200, "none")
    assert info.strict_mode == (("max_query_limit", "500"),)
    schema = {field.name: (field.type, field.points) for field in info.payload_schema}
    assert schema["document_id"] == ("keyword", 1)
    assert schema["archived_at"] == ("datetime", 0)
    assert {name: kind for name, (kind, _) in schema.items()} == {
        index.field: index.type for index in access.PAYLOAD_INDEXES
    }


async def test_info_of_named_and_unknown_vectors_is_told_too(faulty: FaultyServer) -> None:
    """A newer server may name distances, statuses and index types that this client does not know."""
    info = pb.CollectionInfo(status=77, points_count=3)
    info.config.params.vectors_config.params_map.map["title"].size = 8
    info.config.params.vectors_config.params_map.map["title"].distance = 66
    info.config.params.sparse_vectors_config.map["words"].SetInParent()
    info.payload_schema["place"].data_type = 55
    faulty.behaviours["Get"] = answers(pb.GetCollectionInfoResponse(result=info))
    faulty.behaviours["ListAliases"] = answers(pb.ListAliasesResponse())
    found = await access.collection_info("chunks", exact_count=False)
    assert found.status == "unknown"
    assert [(vector.name, vector.size, vector.distance) for vector in found.vectors] == [
        ("title", 8, "distance 66"),
        ("words", 0, ""),
    ]
    assert found.payload_schema[0].type == "type 55"


async def test_info_of_a_missing_collection_names_it(proxied: FaultyServer) -> None:
    with pytest.raises(access.CollectionMissing, match="named 'nothing'"):
        await access.collection_info("nothing")


async def test_settings_can_be_updated_but_not_the_vectors(proxied: FaultyServer) -> None:
    await access.create_collection("c", spec=SPEC)
    await access.update_collection("c", spec=access.CollectionSpec(vector_size=4, hnsw_m=32))
    assert (await access.collection_info("c")).hnsw_m == 32
    with pytest.raises(Conflict, match="reindex into a new version"):
        await access.update_collection("c", spec=access.CollectionSpec(vector_size=8))


@pytest.mark.parametrize("kind", ["scalar", "product", "binary"])
def test_each_quantisation_is_asked_for(kind: str) -> None:
    from collections_admin.qdrant.collection_spec import create_message, update_message

    spec = access.CollectionSpec(vector_size=4, quantization=kind)
    assert create_message("c", spec).quantization_config.WhichOneof("quantization") == kind
    assert update_message("c", spec).quantization_config.WhichOneof("quantization") == kind
    without = update_message("c", SPEC)
    assert without.quantization_config.WhichOneof("quantization") == "disabled"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("vector_size", 0),
        ("vector_size", 65_537),
        ("vector_size", "384"),
        ("vector_size", True),
        ("distance", "cosine"),
        ("quantization", "none at all"),
        ("hnsw_m", -1),
        ("hnsw_ef_construct", 1),
    ],
)
def test_a_wrong_specification_names_the_field(field: str, value: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        access.CollectionSpec(**({"vector_size": 4} | {field: value}))
    assert caught.value.field == field

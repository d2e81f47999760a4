import pytest
from qdrant_client import grpc as pb
from qdrant_client import models

from tests.edge_node.calling import dense, refused


async def test_a_new_collection_is_listed_described_and_deleted(client, name):
    assert await client.create_collection(name, vectors_config=dense(8), metadata={"tenant": "a"})
    assert await client.collection_exists(name)
    assert name in [c.name for c in (await client.get_collections()).collections]
    info = await client.get_collection(name)
    assert info.status is models.CollectionStatus.GREEN
    assert info.config.params.vectors.size == 8
    assert info.config.metadata == {"tenant": "a"}
    assert (info.points_count, info.indexed_vectors_count) == (0, 0)
    assert await client.delete_collection(name)
    assert not await client.collection_exists(name)
    assert not await client.delete_collection(name)
    with refused("NOT_FOUND", f"Collection `{name}` doesn't exist!"):
        await client.get_collection(name)


async def test_named_dense_sparse_and_multi_vectors_are_described_as_created(client, name):
    await client.create_collection(
        name,
        vectors_config={
            "title": dense(3, models.Distance.DOT),
            "body": dense(
                2,
                multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
                hnsw_config=models.HnswConfigDiff(m=8),
                quantization_config=models.ScalarQuantization(
                    scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8)
                ),
            ),
        },
        sparse_vectors_config={"words": models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )
    params = (await client.get_collection(name)).config.params
    assert params.vectors["title"].distance is models.Distance.DOT
    assert params.vectors["body"].multivector_config is not None
    assert params.vectors["body"].hnsw_config.m == 8
    assert params.sparse_vectors["words"].modifier is models.Modifier.IDF


@pytest.mark.parametrize("kind", ["product", "binary"])
async def test_every_kind_of_quantization_is_taken(client, name, kind):
    config = {
        "product": models.ProductQuantization(
            product=models.ProductQuantizationConfig(compression=models.CompressionRatio.X16)
        ),
        "binary": models.BinaryQuantization(
            binary=models.BinaryQuantizationConfig(encoding=models.BinaryQuantizationEncoding.TWO_BITS)
        ),
    }[kind]
    await client.create_collection(name, vectors_config=dense(8), quantization_config=config)
    assert type((await client.get_collection(name)).config.quantization_config) is type(config)


async def test_a_collection_without_vectors_keeps_payloads_and_shows_no_vector(client, name):
    await client.create_collection(name)
    await client.upsert(name, [models.PointStruct(id=1, vector={}, payload={"a": 1})])
    (point,), _ = await client.scroll(name, with_vectors=True)
    assert point.payload == {"a": 1}
    assert not point.vector
    assert (await client.get_collection(name)).config.params.vectors == {}
    with refused("INVALID_ARGUMENT", "vector name"):
        await client.query_points(name, [1.0, 2.0])


async def test_an_existing_name_is_refused(client, table):
    with refused("ALREADY_EXISTS", f"Collection `{table}` already exists!"):
        await client.create_collection(table, vectors_config=dense())


@pytest.mark.parametrize("bad", ["a/b", "a\\b", "..", ".", "a\0b", "a*b", 'a"b', "a" * 256], ids=lambda v: ascii(v[:8]))
async def test_a_bad_collection_name_is_refused(client, bad):
    with refused("INVALID_ARGUMENT", "collection name"):
        await client.create_collection(bad, vectors_config=dense())
    assert not await client.collection_exists(bad)


async def test_an_empty_collection_name_is_refused(client):
    with refused("INVALID_ARGUMENT", "collection name must have from 1 to 255 characters"):
        await client.grpc_collections.Create(pb.CreateCollection(collection_name=""))


async def test_a_name_of_255_letters_of_any_script_is_taken(client):
    name = "名" * 255
    await client.create_collection(name, vectors_config=dense())
    assert name in [c.name for c in (await client.get_collections()).collections]
    await client.delete_collection(name)


@pytest.mark.parametrize("size", [0, 65_537, 2**40])
async def test_an_impossible_vector_size_is_refused_and_leaves_nothing(client, name, size):
    with refused("INVALID_ARGUMENT", "size of vector"):
        await client.create_collection(name, vectors_config=dense(size))
    assert not await client.collection_exists(name)


@pytest.mark.parametrize("vector", ["a/b", "x" * 300])
async def test_a_bad_vector_name_is_refused(client, name, vector):
    with refused("INVALID_ARGUMENT", "vector name"):
        await client.create_collection(name, vectors_config={vector: dense()})


async def test_an_update_changes_the_configuration_and_keeps_the_points(client, table):
    await client.update_collection(
        table,
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=50_000),
        hnsw_config=models.HnswConfigDiff(m=24),
        vectors_config={"": models.VectorParamsDiff(hnsw_config=models.HnswConfigDiff(ef_construct=200))},
        metadata={"tenant": "b"},
    )
    info = await client.get_collection(table)
    assert info.config.optimizer_config.indexing_threshold == 50_000
    assert info.config.hnsw_config.m == 24
    assert info.config.params.vectors.hnsw_config.ef_construct == 200
    assert info.config.metadata == {"tenant": "b"}
    assert info.points_count == 12


async def test_an_update_of_an_unknown_vector_is_refused_and_changes_nothing(client, table):
    with refused("INVALID_ARGUMENT", "Not existing vector name"):
        await client.update_collection(
            table,
            optimizers_config=models.OptimizersConfigDiff(indexing_threshold=1),
            vectors_config={"x": models.VectorParamsDiff(on_disk=True)},
        )
    assert (await client.get_collection(table)).config.optimizer_config.indexing_threshold == 10_000


async def test_payload_indexes_of_every_kind_are_made_shown_and_dropped(client, table):
    kinds = {
        "text": models.TextIndexParams(
            type="text", tokenizer=models.TokenizerType.WORD, lowercase=True, phrase_matching=True
        ),
        "place": models.PayloadSchemaType.GEO,
        "score": models.PayloadSchemaType.FLOAT,
        "uid": models.UuidIndexParams(type="uuid", is_tenant=True),
        "words": models.KeywordIndexParams(type="keyword", on_disk=True),
        "count": models.IntegerIndexParams(type="integer", lookup=True, range=False),
    }
    for field, schema in kinds.items():
        await client.create_payload_index(table, field, schema)
    shown = (await client.get_collection(table)).payload_schema
    assert {f: shown[f].data_type.value for f in kinds} == {
        "text": "text",
        "place": "geo",
        "score": "float",
        "uid": "uuid",
        "words": "keyword",
        "count": "integer",
    }
    assert shown["text"].params.phrase_matching is True
    assert shown["place"].points == 12
    await client.delete_payload_index(table, "text")
    assert "text" not in (await client.get_collection(table)).payload_schema


async def test_an_index_on_an_impossible_path_is_refused_and_not_shown(client, table):
    with refused("INVALID_ARGUMENT"):
        await client.create_payload_index(table, "a[b", models.PayloadSchemaType.KEYWORD)
    assert "a[b" not in (await client.get_collection(table)).payload_schema


@pytest.mark.parametrize(
    ("request_parts", "text"),
    [
        ({}, "field type of a payload index is missing"),
        ({"field_type": 77}, "field type of a payload index is missing or unknown"),
        (
            {
                "field_index_params": pb.PayloadIndexParams(
                    text_index_params=pb.TextIndexParams(
                        tokenizer=pb.TokenizerType.Word, stopwords=pb.StopwordsSet(languages=["klingon"])
                    )
                )
            },
            "language of stopwords or stemmer, is not known",
        ),
    ],
    ids=["no type", "unknown type", "unknown language"],
)
async def test_an_index_of_an_unknown_kind_is_refused(client, table, request_parts, text):
    request = pb.CreateFieldIndexCollection(collection_name=table, field_name="x", **request_parts)
    with refused("INVALID_ARGUMENT", text):
        await client.grpc_points.CreateFieldIndex(request)


def _create(collection, alias):
    return models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name=collection, alias_name=alias))


def _rename(old, new):
    return models.RenameAliasOperation(rename_alias=models.RenameAlias(old_alias_name=old, new_alias_name=new))


def _drop(alias):
    return models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias))


async def test_an_alias_stands_for_its_collection_in_every_call(client, table):
    alias = f"{table}-alias"
    await client.update_collection_aliases([_create(table, alias)])
    assert await client.collection_exists(alias)
    assert (await client.get_collection(alias)).points_count == 12
    await client.upsert(alias, [models.PointStruct(id=100, vector=[1, 1, 1, 1])])
    assert (await client.count(alias)).count == 13
    assert (await client.query_points(alias, [0.0, 0, 1, 0], limit=1)).points[0].id == 100
    assert len((await client.scroll(alias))[0]) == 10
    await client.delete(alias, [100])
    assert [a.alias_name for a in (await client.get_collection_aliases(table)).aliases] == [alias]
    assert (alias, table) in [(a.alias_name, a.collection_name) for a in (await client.get_aliases()).aliases]
    assert not await client.delete_collection(alias)


async def test_creating_an_alias_again_moves_it_in_one_step(client, table, name):
    other, alias = f"{name}-2", f"{name}-alias"
    await client.create_collection(other, vectors_config=dense())
    await client.update_collection_aliases([_create(table, alias)])
    await client.update_collection_aliases([_create(other, alias)])
    assert (await client.get_collection_aliases(table)).aliases == []
    assert (await client.count(alias)).count == 0


async def test_aliases_are_renamed_and_dropped(client, table):
    await client.update_collection_aliases([_create(table, f"{table}-a")])
    await client.update_collection_aliases([_rename(f"{table}-a", f"{table}-b")])
    assert [a.alias_name for a in (await client.get_collection_aliases(table)).aliases] == [f"{table}-b"]
    await client.update_collection_aliases([_drop(f"{table}-b"), _drop("never-was")])
    assert not await client.collection_exists(f"{table}-b")


async def test_an_alias_cannot_take_the_name_of_a_collection(client, table, name):
    other = f"{name}-2"
    await client.create_collection(other, vectors_config=dense())
    with refused("ALREADY_EXISTS", "already exists"):
        await client.update_collection_aliases([_create(table, other)])


async def test_a_collection_cannot_take_the_name_of_an_alias(client, table):
    await client.update_collection_aliases([_create(table, f"{table}-alias")])
    with refused("INVALID_ARGUMENT", "Alias with the same name already exists"):
        await client.create_collection(f"{table}-alias", vectors_config=dense())


async def test_alias_actions_are_applied_all_or_none(client, table):
    with refused("NOT_FOUND", "Collection `nowhere` doesn't exist!"):
        await client.update_collection_aliases([_create(table, f"{table}-alias"), _create("nowhere", "other")])
    assert not await client.collection_exists(f"{table}-alias")
    with refused("NOT_FOUND", "Alias missing does not exists!"):
        await client.update_collection_aliases([_rename("missing", "new")])
    with refused("INVALID_ARGUMENT", "alias name"):
        await client.update_collection_aliases([_create(table, "a/b")])


async def test_deleting_a_collection_drops_its_aliases(client, name):
    await client.create_collection(name, vectors_config=dense())
    await client.update_collection_aliases([_create(name, f"{name}-alias")])
    await client.delete_collection(name)
    assert not await client.collection_exists(f"{name}-alias")
    await client.create_collection(f"{name}-alias", vectors_config=dense())


async def test_a_collection_can_be_made_again_after_it_was_deleted(client, name):
    for _ in range(3):
        await client.create_collection(name, vectors_config=dense())
        await client.upsert(name, [models.PointStruct(id=1, vector=[1, 0, 0, 0])])
        assert (await client.count(name)).count == 1
        await client.delete_collection(name)

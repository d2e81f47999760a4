import pytest
from qdrant_client import models as m

from tests.edge_node.calling import dense, ids, refused

EAST = [1.0, 0.0, 0.0, 0.0]
NORTH = [0.0, 1.0, 0.0, 0.0]


async def query(client, table, *args, **options):
    return (await client.query_points(table, *args, **options)).points


def equals(key, value):
    return m.Filter(must=[m.FieldCondition(key=key, match=m.MatchValue(value=value))])


async def test_nearest_by_vector_with_limit_offset_threshold_and_params(client, table):
    assert ids(await query(client, table, EAST, limit=3)) == [0, 1, 2]
    assert ids(await query(client, table, EAST, limit=3, offset=2)) == [2, 3, 4]
    found = await query(client, table, EAST, score_threshold=0.9, with_payload=False)
    assert all(p.score >= 0.9 and not p.payload for p in found)
    assert ids(found) == [0, 1, 2, 3]
    exact = m.SearchParams(exact=True, hnsw_ef=64, quantization=m.QuantizationSearchParams(ignore=True))
    assert ids(await query(client, table, EAST, limit=2, search_params=exact)) == [0, 1]


async def test_nearest_by_id_leaves_the_point_out(client, table):
    assert ids(await query(client, table, 0, limit=2)) == [1, 2]
    with refused("NOT_FOUND", "No point with id 999 found"):
        await query(client, table, 999)


async def test_a_query_returns_vectors_only_when_asked(client, table):
    (found,) = await query(client, table, EAST, limit=1)
    assert found.vector is None
    (found,) = await query(client, table, EAST, limit=1, with_vectors=True)
    assert found.vector == EAST


async def test_mmr_diversifies_and_does_not_hand_out_vectors(client, table):
    diverse = m.NearestQuery(nearest=EAST, mmr=m.Mmr(diversity=0.9, candidates_limit=12))
    found = await query(client, table, diverse, limit=3)
    assert ids(found)[0] == 0
    assert ids(found) != [0, 1, 2]
    assert [p.vector for p in found] == [None] * 3
    with refused("INVALID_ARGUMENT", "candidates_limit"):
        await query(client, table, m.NearestQuery(nearest=EAST, mmr=m.Mmr(candidates_limit=20_000)))


@pytest.mark.parametrize("strategy", list(m.RecommendStrategy))
async def test_recommendations_leave_their_examples_out(client, table, strategy):
    wish = m.RecommendInput(positive=[0, EAST], negative=[11], strategy=strategy)
    found = ids(await query(client, table, m.RecommendQuery(recommend=wish), limit=3))
    assert found == [1, 2, 3]


async def test_recommendations_without_examples_are_refused(client, table):
    for strategy in m.RecommendStrategy:
        wish = m.RecommendInput(positive=[], negative=[], strategy=strategy)
        with refused("INVALID_ARGUMENT", "At least one positive"):
            await query(client, table, m.RecommendQuery(recommend=wish))


async def test_discover_and_context(client, table):
    pairs = [m.ContextPair(positive=0, negative=11)]
    found = await query(client, table, m.DiscoverQuery(discover=m.DiscoverInput(target=NORTH, context=pairs)), limit=20)
    assert set(ids(found)) == set(range(1, 11))
    found = await query(client, table, m.ContextQuery(context=pairs), limit=3)
    assert len(found) == 3


async def test_a_vector_is_looked_up_in_another_collection(client, table, name):
    other = f"{name}-other"
    await client.create_collection(other, vectors_config={"v": dense()})
    await client.upsert(other, [m.PointStruct(id=0, vector={"v": NORTH})])
    where = m.LookupLocation(collection=other, vector="v")
    assert ids(await query(client, table, 0, lookup_from=where, limit=2)) == [11, 10]


async def test_order_by_sample_and_no_query_at_all(client, table):
    newest = m.OrderByQuery(order_by=m.OrderBy(key="number", direction=m.Direction.DESC))
    assert ids(await query(client, table, newest, limit=2)) == [11, 10]
    sample = await query(client, table, m.SampleQuery(sample=m.Sample.RANDOM), limit=20, offset=5)
    assert sorted(ids(sample)) == list(range(12))
    assert ids(await query(client, table, limit=3)) == [0, 1, 2]


async def test_prefetches_are_fused(client, table):
    prefetch = [m.Prefetch(query=EAST, limit=3), m.Prefetch(query=NORTH, limit=3, filter=equals("even", value=True))]
    for merge in (
        m.FusionQuery(fusion=m.Fusion.RRF),
        m.FusionQuery(fusion=m.Fusion.DBSF),
        m.RrfQuery(rrf=m.Rrf(k=10, weights=[2.0, 1.0])),
    ):
        found = await query(client, table, merge, prefetch=prefetch, limit=10)
        assert set(ids(found)) == {0, 1, 2, 6, 8, 10}
    with refused("INVALID_ARGUMENT", "without prefetches"):
        await query(client, table, m.FusionQuery(fusion=m.Fusion.RRF))
    with refused("INVALID_ARGUMENT", "query is needed"):
        await query(client, table, prefetch=prefetch)


async def test_a_prefetch_is_rescored_by_another_vector(client, table):
    nested = m.Prefetch(prefetch=[m.Prefetch(query=EAST, limit=6)], query=NORTH, limit=4)
    assert ids(await query(client, table, EAST, prefetch=nested, limit=2)) == [2, 3]


async def test_a_formula_boosts_and_says_when_its_result_is_no_number(client, table):
    boost = m.FormulaQuery(formula=m.SumExpression(sum=["$score", m.MultExpression(mult=[10.0, "number"])]))
    prefetch = m.Prefetch(query=EAST, limit=12)
    assert ids(await query(client, table, boost, prefetch=prefetch, limit=2)) == [11, 10]
    decay = m.FormulaQuery(
        formula=m.GaussDecayExpression(
            gauss_decay=m.DecayParamsExpression(x="number", target=5.0, scale=2.0, midpoint=0.5)
        )
    )
    assert ids(await query(client, table, decay, prefetch=prefetch, limit=1)) == [5]
    wrong = m.FormulaQuery(formula=m.DivExpression(div=m.DivParams(left=1.0, right=0.0)))
    with refused("INVALID_ARGUMENT", "not a finite number"):
        await query(client, table, wrong, prefetch=prefetch)


@pytest.mark.parametrize(
    ("vector", "text"),
    [
        ([1.0, 2.0], "expected dim: 4, got 2"),
        ([float("nan"), 0.0, 0.0, 0.0], "NaN or infinite"),
        ([float("inf"), 0.0, 0.0, 0.0], "NaN or infinite"),
        ([[1.0, 0.0, 0.0, 0.0]], "multi-vector"),
        (m.SparseVector(indices=[1], values=[1.0]), "sparse"),
    ],
)
async def test_a_query_vector_that_does_not_fit_is_refused(client, table, vector, text):
    with refused("INVALID_ARGUMENT", text):
        await query(client, table, vector)


async def test_an_unknown_vector_name_is_refused(client, table):
    with refused("INVALID_ARGUMENT", "Not existing vector name error: zz"):
        await query(client, table, EAST, using="zz")


async def test_sparse_and_multi_vectors_are_searched_by_name(client, name):
    config = m.MultiVectorConfig(comparator=m.MultiVectorComparator.MAX_SIM)
    await client.create_collection(
        name,
        vectors_config={"rows": dense(2, m.Distance.DOT, multivector_config=config)},
        sparse_vectors_config={"words": m.SparseVectorParams(modifier=m.Modifier.IDF)},
    )
    words = [m.SparseVector(indices=[1, n], values=[1.0, 2.0]) for n in (5, 6)]
    await client.upsert(
        name,
        [
            m.PointStruct(id=1, vector={"rows": [[1.0, 0.0], [0.0, 1.0]], "words": words[0]}),
            m.PointStruct(id=2, vector={"rows": [[0.5, 0.5]], "words": words[1]}),
        ],
    )
    found = await query(client, name, m.SparseVector(indices=[6], values=[1.0]), using="words")
    assert ids(found) == [2]
    assert ids(await query(client, name, [[1.0, 0.0], [0.0, 1.0]], using="rows")) == [1, 2]
    assert ids(await query(client, name, [1.0, 0.0], using="rows", limit=1)) == [1]
    mmr = m.NearestQuery(nearest=words[0], mmr=m.Mmr())
    with refused("UNIMPLEMENTED", "MMR over sparse vectors"):
        await query(client, name, mmr, using="words")
    wish = m.RecommendInput(positive=[1], negative=[2])
    assert ids(await query(client, name, m.RecommendQuery(recommend=wish), using="words")) == []


async def test_a_batch_of_queries_answers_each_in_its_place(client, table):
    requests = [m.QueryRequest(query=EAST if i % 2 else NORTH, limit=1 + i % 3) for i in range(150)]
    answers = await client.query_batch_points(table, requests)
    for i, answer in enumerate(answers):
        assert ids(answer.points) == ([0, 1, 2] if i % 2 else [11, 10, 9])[: 1 + i % 3]


async def test_a_batch_with_a_bad_query_is_refused(client, table):
    with refused("INVALID_ARGUMENT", "expected dim"):
        await client.query_batch_points(table, [m.QueryRequest(query=EAST), m.QueryRequest(query=[1.0])])


async def groups(client, table, by, *args, **options):
    answer = await client.query_points_groups(table, by, *args, **options)
    return {group.id: ids(group.hits) for group in answer.groups}


async def test_groups_are_ranked_by_their_best_point_and_filled(client, table):
    assert await groups(client, table, "group", EAST, limit=2, group_size=2) == {"g0": [0, 3], "g1": [1, 4]}
    assert await groups(client, table, "group", 0, limit=3, group_size=9) == {
        "g1": [1, 4, 7, 10],
        "g2": [2, 5, 8, 11],
        "g0": [3, 6, 9],
    }
    assert await groups(client, table, "number", EAST, limit=2, query_filter=equals("even", value=False)) == {
        1: [1],
        3: [3],
    }


async def test_a_point_with_several_values_is_in_several_groups(client, table):
    assert await groups(client, table, "tags", EAST, limit=3, group_size=2) == {
        "all": [0, 1],
        "t0": [0, 4],
        "t1": [1, 5],
    }
    assert await groups(client, table, "deep.list[].x", EAST, limit=3, group_size=1) == {0: [0], 1: [1], -1: [1]}


async def test_groups_far_behind_a_large_one_are_found_and_filled(client, name):
    await client.create_collection(name, vectors_config=dense(4, m.Distance.DOT))
    crowd = [m.PointStruct(id=n, vector=[10 - n / 1000, 0, 0, 0], payload={"g": "crowd"}) for n in range(600)]
    rare = [
        m.PointStruct(id=1000 + n, vector=[1 - n / 100, 0, 0, 0], payload={"g": f"rare-{n % 5}"}) for n in range(20)
    ]
    await client.upsert(name, crowd + rare)
    found = await groups(client, name, "g", EAST, limit=4, group_size=3)
    assert found == {
        "crowd": [0, 1, 2],
        "rare-0": [1000, 1005, 1010],
        "rare-1": [1001, 1006, 1011],
        "rare-2": [1002, 1007, 1012],
    }
    fused = await groups(
        client,
        name,
        "g",
        m.FusionQuery(fusion=m.Fusion.RRF),
        prefetch=[m.Prefetch(query=EAST, limit=700)] * 2,
        limit=2,
        group_size=3,
    )
    assert {len(hits) for hits in fused.values()} == {3}
    assert "crowd" in fused


async def test_groups_bring_payload_vectors_and_looked_up_points(client, table, name):
    other = f"{name}-other"
    await client.create_collection(other)
    await client.upsert(other, [m.PointStruct(id=n, vector={}, payload={"title": f"T{n}"}) for n in range(3)])
    answer = await client.query_points_groups(
        table, "number", EAST, limit=2, group_size=1, with_vectors=True, with_lookup=other
    )
    assert [g.lookup.payload for g in answer.groups] == [{"title": "T0"}, {"title": "T1"}]
    assert answer.groups[0].hits[0].payload["text"] == "chunk number 0 of a long story"
    assert answer.groups[0].hits[0].vector == EAST
    bare = await client.query_points_groups(table, "group", EAST, limit=1, group_size=1, with_payload=False)
    assert not bare.groups[0].hits[0].payload


async def test_points_without_a_usable_group_value_are_left_out(client, table):
    assert await groups(client, table, "none", EAST) == {}
    assert await groups(client, table, "even", EAST) == {}
    assert await groups(client, table, "missing", EAST) == {}

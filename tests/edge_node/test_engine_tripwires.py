"""Faults and habits of the pinned engine that the node works around.

A failing test here after an upgrade means that the engine has changed: read what the node does about it, simplify it or
adapt it, and only then change the test.
"""

import subprocess
import sys

import numpy as np
import pytest
import qdrant_edge as edge

EAST, NORTH = [1.0, 0.0], [0.0, 1.0]
Operation = edge.UpdateOperation


def config(**more):
    params = edge.EdgeVectorParams(size=2, distance=edge.Distance.Dot, memory=edge.Memory.Cold)
    return edge.EdgeConfig(vectors={"": params}, max_search_threads=1, **more)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "shard")


@pytest.fixture
def shard(path):
    shard = edge.EdgeShard.create(path, config())
    points = [edge.Point(n, [1.0, float(n)], {"flag": n % 2 == 0, "tie": f"v{n}", "n": n}) for n in range(20)]
    shard.update(Operation.upsert_points(points))
    yield shard
    shard.close()


def counted(shard, *must):
    return shard.count(edge.CountRequest(exact=True, filter=edge.Filter(must=list(must))))


def test_a_python_bool_in_a_match_is_taken_for_an_integer_and_a_numpy_bool_is_not(shard):
    assert counted(shard, edge.FieldCondition("flag", match=edge.MatchValue(True))) == 0
    assert counted(shard, edge.FieldCondition("flag", match=edge.MatchValue(np.bool_(True)))) == 10


def test_facets_cut_by_the_engine_agree_with_all_of_them_cut_by_value(shard):
    """The node asks for all and cuts itself, as another build of this engine ordered ties anew at each call."""
    shard.update(Operation.create_field_index("tie", edge.PayloadSchemaType.Keyword))
    every = sorted(h.value for h in shard.facet(edge.FacetRequest("tie", 1000, True)).hits)
    assert len(every) == 20
    assert {h.count for h in shard.facet(edge.FacetRequest("tie", 1000, True)).hits} == {1}


def test_mmr_hands_out_vectors_that_nobody_asked_for(shard):
    found = shard.query(edge.QueryRequest(limit=2, query=edge.Mmr(EAST, 0.5, 10, ""), with_vector=False))
    assert all(point.vector is not None for point in found)


def test_a_shard_is_refused_to_a_second_opener_while_it_has_a_log(shard, path):
    with pytest.raises(Exception, match="Can't init WAL: Kind\\(WouldBlock\\)"):
        edge.EdgeShard.load(path, None)
    code = f"import qdrant_edge; qdrant_edge.EdgeShard.load({path!r}, None)"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "WouldBlock" in other.stderr


def test_a_shard_without_a_log_is_not_locked(tmp_path):
    shard = edge.EdgeShard.create(str(tmp_path / "s"), config(wal_enabled=False))
    shard.flush()
    second = edge.EdgeShard.load(str(tmp_path / "s"), None)
    second.close()
    shard.close()


def test_a_payload_too_deep_for_the_log_makes_the_shard_unreadable(shard, path):
    nested: list = []
    for _ in range(126):
        nested = [nested]
    with pytest.raises(Exception, match="recursion limit exceeded"):
        shard.update(Operation.set_payload([1], {"a": nested}))
    shard.close()
    with pytest.raises(Exception, match="RecursionLimitExceeded"):
        edge.EdgeShard.load(path, None)


def test_a_filter_too_deep_for_the_log_makes_the_shard_unreadable(shard, path):
    nested = edge.Filter(must=[edge.FieldCondition("n", match=edge.MatchValue(1))])
    for _ in range(48):
        nested = edge.Filter(must=[edge.NestedCondition("n", nested)])
    shard.update(Operation.set_payload_by_filter(nested, {"a": 1}))
    shard.close()
    with pytest.raises(Exception, match="RecursionLimitExceeded"):
        edge.EdgeShard.load(path, None)


def test_an_upsert_that_fails_leaves_a_part_of_its_points_behind(shard):
    points = [edge.Point(n, EAST, {}) for n in range(100, 150)] + [edge.Point(150, [EAST, NORTH], {})]
    with pytest.raises(Exception, match="Wrong usage of multi vectors"):
        shard.update(Operation.upsert_points(points))
    assert shard.count(edge.CountRequest(exact=True)) > 20


def test_vectors_with_nan_are_stored(shard):
    shard.update(Operation.upsert_points([edge.Point(100, [float("nan"), 1.0], {})]))
    assert shard.count(edge.CountRequest(exact=True)) == 21


def test_a_query_batch_fails_as_a_whole(shard):
    good = edge.QueryRequest(limit=1, query=edge.Query.Nearest(EAST, ""))
    bad = edge.QueryRequest(limit=1, query=edge.Query.Nearest([1.0], ""))
    with pytest.raises(Exception, match="Vector dimension error"):
        shard.query_batch(edge.QueryBatchRequest([good, bad]))


def test_a_query_batch_takes_every_kind_of_query_and_agrees_with_single_ones(shard):
    shard.update(Operation.create_field_index("n", edge.PayloadSchemaType.Integer))
    nearest = edge.Query.Nearest(EAST, "")
    requests = [
        edge.QueryRequest(limit=3, query=nearest),
        edge.QueryRequest(limit=3),
        edge.QueryRequest(limit=3, query=edge.OrderBy("n", edge.Direction.Desc)),
        edge.QueryRequest(limit=3, query=edge.Fusion.Rrf(2), prefetches=[edge.Prefetch(limit=5, query=nearest)]),
    ]
    answers = shard.query_batch(edge.QueryBatchRequest(requests))
    assert [[p.id for p in a] for a in answers] == [[p.id for p in shard.query(r)] for r in requests]


def test_a_configuration_without_vectors_is_refused(tmp_path):
    with pytest.raises(Exception, match="vector"):
        edge.EdgeShard.create(str(tmp_path / "s"), edge.EdgeConfig())


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda s: s.update(Operation.set_payload([999], {"a": 1})), "^No point with id 999$"),
        (lambda s: s.facet(edge.FacetRequest("n", 1)), "^No appropriate index for faceting"),
        (
            lambda s: s.query(
                edge.QueryRequest(
                    limit=1,
                    query=edge.Formula(
                        edge.Expression.Div(edge.Expression.Constant(1.0), edge.Expression.Constant(0.0), None), {}
                    ),
                    prefetches=[edge.Prefetch(limit=1, query=edge.Query.Nearest(EAST, ""))],
                )
            ),
            "^Operation cancelled",
        ),
    ],
    ids=["missing point", "no index", "no number"],
)
def test_errors_are_plain_exceptions_with_these_texts(shard, call, text):
    with pytest.raises(Exception, match=text) as caught:
        call(shard)
    assert type(caught.value) is Exception


def test_info_tells_no_configuration(shard):
    shown = {name for name in dir(shard.info()) if not name.startswith("_")}
    assert shown == {"indexed_vectors_count", "payload_schema", "points_count", "segments_count"}


def test_a_killed_process_loses_no_write_that_was_not_flushed(path):
    code = f"""
import os, qdrant_edge as edge
params = edge.EdgeVectorParams(size=2, distance=edge.Distance.Dot)
shard = edge.EdgeShard.create({path!r}, edge.EdgeConfig(vectors={{"": params}}, max_search_threads=1))
for n in range(500):
    shard.update(edge.UpdateOperation.upsert_points([edge.Point(n, [1.0, 2.0], {{"n": n}})]))
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    shard = edge.EdgeShard.load(path, None)
    assert shard.count(edge.CountRequest(exact=True)) == 500
    shard.close()

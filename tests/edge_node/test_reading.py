"""Scroll, count, facet, and filters of every kind."""

import datetime as dt

import pytest
from qdrant_client import grpc as pb
from qdrant_client import models as m

from tests.edge_node.calling import ids, refused


def only(*conditions, **more):
    return m.Filter(must=list(conditions), **more)


def field(key, **parts):
    return m.FieldCondition(key=key, **parts)


def when(day):
    return dt.datetime(2026, 1, day, tzinfo=dt.UTC)


FILTERS = {
    "keyword": (only(field("group", match=m.MatchValue(value="g1"))), [1, 4, 7, 10]),
    "integer": (only(field("number", match=m.MatchValue(value=5))), [5]),
    "true": (only(field("even", match=m.MatchValue(value=True))), [0, 2, 4, 6, 8, 10]),
    "false": (only(field("even", match=m.MatchValue(value=False))), [1, 3, 5, 7, 9, 11]),
    "any keyword": (only(field("tags", match=m.MatchAny(any=["t1", "t2"]))), [1, 2, 5, 6, 9, 10]),
    "any integer": (only(field("number", match=m.MatchAny(any=[1, 2, 99]))), [1, 2]),
    "except keyword": (only(field("group", match=m.MatchExcept(**{"except": ["g0", "g1"]}))), [2, 5, 8, 11]),
    "except integer": (
        only(field("number", match=m.MatchExcept(**{"except": list(range(10))}))),
        [10, 11],
    ),
    "text": (only(field("text", match=m.MatchText(text="number 7"))), [7]),
    "range": (only(field("number", range=m.Range(gt=1, lte=3))), [2, 3]),
    "dates": (only(field("day", range=m.DatetimeRange(gte=when(3), lt=when(5)))), [2, 3]),
    "values count": (only(field("tags", values_count=m.ValuesCount(gte=3))), []),
    "geo radius": (
        only(field("place", geo_radius=m.GeoRadius(center=m.GeoPoint(lat=51, lon=10), radius=1000))),
        [1],
    ),
    "geo box": (
        only(
            field(
                "place",
                geo_bounding_box=m.GeoBoundingBox(
                    top_left=m.GeoPoint(lat=52.5, lon=9), bottom_right=m.GeoPoint(lat=50.5, lon=11)
                ),
            )
        ),
        [1, 2],
    ),
    "geo polygon": (
        only(
            field(
                "place",
                geo_polygon=m.GeoPolygon(
                    exterior=m.GeoLineString(
                        points=[
                            m.GeoPoint(lat=lat, lon=lon)
                            for lat, lon in ((49, 9), (49, 11), (50.5, 11), (50.5, 9), (49, 9))
                        ]
                    )
                ),
            )
        ),
        [0],
    ),
    "is empty": (only(m.IsEmptyCondition(is_empty=m.PayloadField(key="none"))), list(range(12))),
    "is null": (only(m.IsNullCondition(is_null=m.PayloadField(key="none"))), list(range(12))),
    "not empty": (m.Filter(must_not=[m.IsEmptyCondition(is_empty=m.PayloadField(key="none"))]), []),
    "field is empty": (only(field("missing", is_empty=True)), list(range(12))),
    "field is not empty": (only(field("missing", is_empty=False)), []),
    "has id": (only(m.HasIdCondition(has_id=[3, 5, 77])), [3, 5]),
    "has vector": (only(m.HasVectorCondition(has_vector="")), list(range(12))),
    "nested path": (only(field("deep.number", match=m.MatchValue(value=4))), [4]),
    "nested": (
        only(
            m.NestedCondition(nested=m.Nested(key="deep.list", filter=only(field("x", match=m.MatchValue(value=-6)))))
        ),
        [6],
    ),
    "should": (
        m.Filter(
            should=[
                field("number", match=m.MatchValue(value=1)),
                field("number", match=m.MatchValue(value=2)),
            ]
        ),
        [1, 2],
    ),
    "must not": (m.Filter(must_not=[field("number", range=m.Range(gte=2))]), [0, 1]),
    "min should": (
        m.Filter(
            min_should=m.MinShould(
                conditions=[
                    field("even", match=m.MatchValue(value=True)),
                    field("group", match=m.MatchValue(value="g0")),
                    field("number", range=m.Range(lt=7)),
                ],
                min_count=3,
            )
        ),
        [0, 6],
    ),
    "filter in filter": (
        only(m.Filter(should=[m.HasIdCondition(has_id=[8]), m.HasIdCondition(has_id=[9])])),
        [8, 9],
    ),
}


@pytest.mark.parametrize("case", FILTERS)
async def test_a_filter_finds_the_same_points_in_scroll_count_and_query(client, table, case):
    condition, expected = FILTERS[case]
    points, _ = await client.scroll(table, condition, limit=100)
    assert ids(points) == expected
    assert (await client.count(table, condition)).count == len(expected)
    found = (await client.query_points(table, [1.0, 0, 0, 0], query_filter=condition, limit=100)).points
    assert ids(found) == expected


async def test_an_empty_condition_is_refused(client, table):
    request = pb.CountPoints(collection_name=table, filter=pb.Filter(must=[pb.Condition()]))
    with refused("INVALID_ARGUMENT", "condition of a filter is empty"):
        await client.grpc_points.Count(request)
    request.filter.must[0].field.key = "a"
    with refused("INVALID_ARGUMENT", "says nothing to compare with"):
        await client.grpc_points.Count(request)
    request.filter.must[0].field.match.SetInParent()
    with refused("INVALID_ARGUMENT", "match of a condition is empty"):
        await client.grpc_points.Count(request)


@pytest.mark.parametrize(
    "condition",
    [
        field("a[", match=m.MatchValue(value=1)),
        field("", match=m.MatchValue(value=1)),
        field("place", geo_radius=m.GeoRadius(center=m.GeoPoint(lat=500, lon=10), radius=1)),
    ],
    ids=["broken path", "empty path", "no place on earth"],
)
async def test_a_filter_that_makes_no_sense_is_refused(client, table, condition):
    with refused("INVALID_ARGUMENT"):
        await client.scroll(table, only(condition))


async def test_scroll_goes_on_with_the_cursor_until_the_end(client, table):
    seen, cursor = [], None
    while True:
        points, cursor = await client.scroll(table, limit=5, offset=cursor)
        seen.append(ids(points))
        if cursor is None:
            break
    assert seen == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11]]


async def test_scroll_orders_by_a_field_and_starts_from_a_value(client, table):
    newest = m.OrderBy(key="number", direction=m.Direction.DESC, start_from=9)
    points, cursor = await client.scroll(table, order_by=newest, limit=3)
    assert ids(points) == [9, 8, 7]
    assert points[0].order_value == 9
    assert cursor is None
    by_day = m.OrderBy(key="day", start_from=when(11))
    assert ids((await client.scroll(table, order_by=by_day))[0]) == [10, 11]


async def test_ordering_without_an_index_or_with_an_offset_is_refused(client, table):
    with refused("INVALID_ARGUMENT", "No range index for `order_by` key: `text`"):
        await client.scroll(table, order_by="text")
    with refused("INVALID_ARGUMENT", "Offset is not supported"):
        await client.scroll(table, order_by="number", offset=3)


async def test_payload_and_vectors_are_sent_as_asked(client, table):
    (plain,), _ = await client.scroll(table, limit=1, with_payload=False)
    assert plain.payload == {}
    (some,), _ = await client.scroll(table, limit=1, with_payload=["number", "deep.list[].x"])
    assert some.payload == {"number": 0, "deep": {"list": [{"x": 0}, {"x": 0}]}}
    (rest,), _ = await client.scroll(
        table, limit=1, with_payload=m.PayloadSelectorExclude(exclude=["text", "deep", "place", "tags"])
    )
    assert set(rest.payload) == {"number", "even", "group", "day", "none"}
    (vector,), _ = await client.scroll(table, limit=1, with_vectors=True)
    assert vector.vector == [1.0, 0.0, 0.0, 0.0]


async def test_facets_are_sorted_by_count_and_ties_by_value(client, table):
    hits = (await client.facet(table, "group")).hits
    assert [(h.value, h.count) for h in hits] == [("g0", 4), ("g1", 4), ("g2", 4)]
    for _ in range(5):
        hits = (await client.facet(table, "number", limit=4)).hits
        assert [h.value for h in hits] == [0, 1, 2, 3]
    hits = (await client.facet(table, "even", exact=True)).hits
    assert [(h.value, h.count) for h in hits] == [(False, 6), (True, 6)]
    hits = (await client.facet(table, "group", only(field("number", range=m.Range(lt=4))))).hits
    assert [(h.value, h.count) for h in hits] == [("g0", 2), ("g1", 1), ("g2", 1)]


async def test_a_facet_without_an_index_is_refused(client, table):
    with refused("INVALID_ARGUMENT", "No appropriate index for faceting: `text`"):
        await client.facet(table, "text")


async def test_a_limit_of_zero_is_refused(client, table):
    for call in (
        lambda: client.scroll(table, limit=0),
        lambda: client.facet(table, "group", limit=0),
        lambda: client.query_points(table, [1.0, 0, 0, 0], limit=0),
        lambda: client.query_points_groups(table, "group", [1.0, 0, 0, 0], limit=0),
        lambda: client.query_points_groups(table, "group", [1.0, 0, 0, 0], group_size=0),
    ):
        with refused("INVALID_ARGUMENT", "must be 1 or larger"):
            await call()


async def test_the_largest_limits_return_everything_there_is(client, table):
    most, vector = 2**64 - 1, [1.0, 0, 0, 0]
    assert len((await client.scroll(table, limit=2**32 - 1))[0]) == 12
    assert len((await client.facet(table, "number", limit=most)).hits) == 12
    assert len((await client.query_points(table, vector, limit=most)).points) == 12
    assert (await client.query_points(table, vector, limit=most, offset=most)).points == []
    assert len((await client.query_points(table, query=m.OrderByQuery(order_by="number"), limit=most)).points) == 12
    assert len((await client.query_points(table, query=m.SampleQuery(sample="random"), limit=most)).points) == 12
    prefetch = m.Prefetch(query=vector, limit=most)
    for fusion in m.Fusion:
        found = await client.query_points(
            table, prefetch=[prefetch] * 2, query=m.FusionQuery(fusion=fusion), limit=most
        )
        assert len(found.points) == 12
    groups = await client.query_points_groups(table, "group", vector, limit=2**32, group_size=most)
    assert [len(g.hits) for g in groups.groups] == [4, 4, 4]
    groups = await client.query_points_groups(table, "group", vector, prefetch=prefetch, limit=most, group_size=most)
    assert [len(g.hits) for g in groups.groups] == [4, 4, 4]
    mmr = m.NearestQuery(nearest=vector, mmr=m.Mmr(candidates_limit=16_384))
    assert len((await client.query_points(table, mmr, limit=most)).points) == 12


async def test_an_answer_of_many_rows_is_whole_and_in_order(client, name):
    await client.create_collection(name)
    await client.upsert(name, [m.PointStruct(id=n, vector={}, payload={"n": n}) for n in range(3000)])
    assert [p.payload["n"] for p in (await client.scroll(name, limit=3000))[0]] == list(range(3000))
    assert ids(await client.retrieve(name, list(range(1100)))) == list(range(1100))
    assert len((await client.query_points(name, limit=3000)).points) == 3000


async def test_every_answer_tells_the_time_the_node_took(client, table):
    answer = await client.grpc_points.Scroll(pb.ScrollPoints(collection_name=table))
    assert 0 < answer.time < 20

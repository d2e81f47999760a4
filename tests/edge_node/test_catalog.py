"""The data folder: what a crash leaves behind, and how few shards stay open."""

import json
import time

import pytest
from qdrant_client import grpc as pb
from qdrant_edge import CountRequest, Point, UpdateOperation

from collections_admin.edge_node.catalog import Catalog
from collections_admin.edge_node.collection import META, Collection
from collections_admin.edge_node.errors import NodeError


def message(name):
    params = pb.VectorParams(size=2, distance=pb.Distance.Dot)
    return pb.CreateCollection(collection_name=name, vectors_config=pb.VectorsConfig(params=params))


def fill(collection, count=1):
    points = [Point(n, [1.0, 2.0], {}) for n in range(count)]
    collection.update(UpdateOperation.upsert_points(points))


def count(collection):
    return collection.shard().count(CountRequest(exact=True))


def alias(collection, name):
    action = pb.CreateAlias(collection_name=collection, alias_name=name)
    return pb.AliasOperations(create_alias=action)


@pytest.fixture
def catalog(tmp_path):
    catalog = Catalog(tmp_path)
    yield catalog
    catalog.close()


def test_collections_and_aliases_are_found_again(catalog, tmp_path):
    catalog.create(message("a"))
    catalog.change_aliases([alias("a", "b")])
    fill(catalog.get("b"), 3)
    catalog.close()
    again = Catalog(tmp_path)
    assert not again.get("a").is_open
    assert count(again.get("b")) == 3
    again.close()


def test_what_a_crash_left_half_created_is_swept(catalog, tmp_path):
    catalog.create(message("whole"))
    catalog.close()
    Collection.create(catalog.root, message("half")).close()
    (half,) = [
        p for p in catalog.root.iterdir() if json.loads((p / META).read_text())["create"]["collection_name"] == "half"
    ]
    (half / META).rename(half / f"{META}.new")
    (catalog.root / "empty").mkdir()
    again = Catalog(tmp_path)
    assert list(again.collections) == ["whole"]
    assert len(list(again.root.iterdir())) == 1
    again.create(message("half"))
    again.close()


def test_what_a_crash_left_half_deleted_is_swept_with_its_aliases(catalog, tmp_path):
    catalog.create(message("a"))
    catalog.change_aliases([alias("a", "b")])
    catalog.close()
    (path,) = catalog.root.iterdir()
    path.rename(catalog.root / "trash-1")
    again = Catalog(tmp_path)
    assert again.collections == {}
    assert again.aliases == {}
    assert list(again.root.iterdir()) == []


def test_a_failed_creation_leaves_no_collection(catalog):
    bad = message("a")
    bad.vectors_config.params.size = 0
    with pytest.raises(NodeError, match="size of vector"):
        catalog.create(bad)
    assert catalog.collections == {}
    assert list(catalog.root.iterdir()) == []


def test_only_so_many_shards_stay_open_and_closed_ones_lose_nothing(tmp_path):
    catalog = Catalog(tmp_path, max_open=3)
    for number in range(8):
        catalog.create(message(f"c{number}"))
        fill(catalog.get(f"c{number}"), number + 1)
    assert sum(c.is_open for c in catalog.collections.values()) == 3
    assert [count(catalog.get(f"c{n}")) for n in range(8)] == list(range(1, 9))
    assert [c.name for c in catalog.collections.values() if c.is_open] == ["c5", "c6", "c7"]
    catalog.close()


def test_idle_shards_are_closed_and_changed_ones_flushed(tmp_path):
    catalog = Catalog(tmp_path, idle_seconds=10.0)
    for name in ("idle", "busy"):
        catalog.create(message(name))
        fill(catalog.get(name))
    catalog.get("idle").last_used = time.monotonic() - 11
    for collection in list(catalog.collections.values()):
        catalog._maintain_one(collection)
    assert not catalog.get("idle").is_open
    assert catalog.get("busy").is_open
    assert not catalog.get("busy").dirty
    assert count(catalog.get("idle")) == 1
    catalog.close()


async def test_a_deleted_collection_is_not_brought_back_by_who_still_holds_it(catalog):
    catalog.create(message("a"))
    held = catalog.get("a")
    assert await catalog.delete("a")
    with pytest.raises(NodeError, match="doesn't exist"):
        fill(held)
    assert list(catalog.root.iterdir()) == []


def test_meta_files_are_replaced_whole(catalog):
    catalog.create(message("a"))
    collection = catalog.get("a")
    collection.save()
    assert {p.name for p in collection.path.iterdir()} == {"shard-0", META}
    assert json.loads((collection.path / META).read_text())["shard"] == "shard-0"


def test_an_open_shard_costs_few_threads_and_little_memory(catalog):
    before = _status()
    for number in range(30):
        catalog.create(message(f"c{number}"))
        fill(catalog.get(f"c{number}"), 10)
        catalog.get(f"c{number}").close()
        count(catalog.get(f"c{number}"))
    after = _status()
    assert after["Threads"] - before["Threads"] <= 2 * 30
    assert after["VmRSS"] - before["VmRSS"] < 4_000 * 30


def _status():
    with open("/proc/self/status", encoding="ascii") as file:
        lines = dict(line.split(":", 1) for line in file)
    return {key: int(lines[key].split()[0]) for key in ("Threads", "VmRSS")}

"""One collection: a directory with one shard and its meta file, opened when needed."""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import qdrant_edge as edge
from google.protobuf.json_format import MessageToDict, ParseDict
from qdrant_client import grpc as pb

from collections_admin.edge_node.config import engine_config
from collections_admin.edge_node.errors import invalid, not_found
from collections_admin.edge_node.shapes import VectorShape, vector_shapes
from collections_admin.edge_node.storage import read_json, remove_tree, sync_directory, write_json

logger = logging.getLogger(__name__)

META = "meta.json"


class Collection:
    """The shard of a collection and what the engine does not remember about it.

    `on_open` is called with the collection each time its shard was opened, so that the catalog can close others.
    """

    def __init__(self, path: Path, meta: dict[str, Any]) -> None:
        self.path = path
        self.meta = meta
        self.on_open: Callable[[Collection], None] = lambda _: None
        self.last_used = time.monotonic()
        self.dirty = False
        self.removed = False
        self._shard: edge.EdgeShard | None = None
        self._operations = 0
        self._take(ParseDict(meta["create"], pb.CreateCollection()))

    @classmethod
    def create(cls, parent: Path, message: pb.CreateCollection) -> "Collection":
        """A new collection. It exists once its meta file does: before that, the next start sweeps it away."""
        config = engine_config(message)
        meta = {
            "format": 1,
            "created_at": datetime.now(UTC).isoformat(),
            "create": MessageToDict(message, preserving_proto_field_name=True),
            "indexes": {},
            "shard": "shard-0",
        }
        path = parent / uuid4().hex
        path.mkdir()
        collection = cls(path, meta)
        try:
            collection._shard = edge.EdgeShard.create(str(collection.shard_path), config)
            collection.save()
        except BaseException:
            remove_tree(path)
            raise
        sync_directory(parent)
        return collection

    @classmethod
    def read(cls, path: Path) -> "Collection":
        return cls(path, read_json(path / META, None))

    def _take(self, message: pb.CreateCollection) -> None:
        self.message = message
        self._shapes = vector_shapes(message)

    @property
    def name(self) -> str:
        return self.message.collection_name

    @property
    def shard_path(self) -> Path:
        return self.path / self.meta["shard"]

    @property
    def is_open(self) -> bool:
        return self._shard is not None

    def save(self) -> None:
        write_json(self.path / META, self.meta)

    def shard(self) -> edge.EdgeShard:
        """The open shard. Raises NOT_FOUND when the collection was deleted meanwhile."""
        self.last_used = time.monotonic()
        if self._shard is None:
            if self.removed:
                raise not_found(f"Collection `{self.name}` doesn't exist!")
            self._shard = edge.EdgeShard.load(str(self.shard_path), engine_config(self.message))
            self.on_open(self)
        return self._shard

    def update(self, operation: edge.UpdateOperation) -> int:
        """Apply a write and return its number; it is in the write-ahead log when this returns."""
        shard = self.shard()
        self.dirty = True
        shard.update(operation)
        self._operations += 1
        return self._operations

    def flush(self) -> None:
        """Write to disk what the write-ahead log holds, which cuts the log."""
        if self.dirty and self._shard is not None:
            self.dirty = False
            try:
                self._shard.flush()
            except Exception:
                self.dirty = True
                raise

    def close(self) -> None:
        if self._shard is None:
            return
        try:
            self.flush()
        except Exception:  # the log keeps the writes, the next open replays them
            logger.exception("collection %s could not be flushed", self.name)
        self._shard.close()
        self._shard = None
        self.dirty = False

    def reconfigure(self, message: pb.CreateCollection) -> None:
        """Take a changed configuration, which the engine does only while it loads; the old one stays on failure."""
        config = engine_config(message)
        self.close()
        self._shard = edge.EdgeShard.load(str(self.shard_path), config)
        self._take(message)
        self.meta["create"] = MessageToDict(message, preserving_proto_field_name=True)
        self.save()

    def create_index(self, field: str, schema: Any, info: pb.PayloadSchemaInfo) -> int:
        """Index a payload field. The description is saved first: without an index it is not shown."""
        before = self.meta["indexes"].get(field)
        self._save_index(field, MessageToDict(info, preserving_proto_field_name=True))
        try:
            return self.update(edge.UpdateOperation.create_field_index(field, schema))
        except BaseException:
            self._save_index(field, before)
            raise

    def delete_index(self, field: str) -> int:
        number = self.update(edge.UpdateOperation.delete_field_index(field))
        self._save_index(field, None)
        return number

    def _save_index(self, field: str, info: dict[str, Any] | None) -> None:
        if info is None:
            self.meta["indexes"].pop(field, None)
        else:
            self.meta["indexes"][field] = info
        self.save()

    def shape(self, name: str) -> VectorShape:
        """What a vector of this name looks like. Raises INVALID_ARGUMENT when there is none."""
        try:
            return self._shapes[name]
        except KeyError:
            raise invalid(f"Not existing vector name error: {name}") from None

    def visible_vectors(self, wanted: bool | list[str]) -> bool | list[str]:  # noqa: FBT001 - the API's own type
        """`with_vectors` without the hidden vector of a payload-only collection."""
        if isinstance(wanted, list):
            for name in wanted:
                self.shape(name)
            return wanted
        return wanted and bool(self._shapes)  # else only the hidden vector is there

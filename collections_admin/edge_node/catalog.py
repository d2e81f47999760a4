"""The collections and aliases of one data folder."""

import asyncio
import logging
import time
from pathlib import Path

from qdrant_client import grpc as pb

from collections_admin.edge_node.collection import META, Collection
from collections_admin.edge_node.errors import exists, from_engine, invalid, not_found
from collections_admin.edge_node.storage import TRASH, discard, read_json, remove_tree, write_json

logger = logging.getLogger(__name__)

FORBIDDEN = '<>:"/\\|?*\0\x1f'
MAX_NAME = 255
FLUSH_SECONDS = 5.0
IDLE_SECONDS = 300.0
MAX_OPEN = 64


def check_name(name: str, what: str) -> None:
    """The rules of Qdrant for names of collections and aliases. Raises INVALID_ARGUMENT."""
    if not 1 <= len(name) <= MAX_NAME:
        raise invalid(f"{what} must have from 1 to {MAX_NAME} characters, not {len(name)}")
    for character in name:
        if character in FORBIDDEN:
            raise invalid(f"{what} cannot contain {character!r}")
    if name in {".", ".."}:
        raise invalid(f"{what} cannot be {name!r}")


class Catalog:
    """Finds collections by name or alias; keeps few shards open and writes changed ones to disk."""

    def __init__(self, folder: Path, *, max_open: int = MAX_OPEN, idle_seconds: float = IDLE_SECONDS) -> None:
        self.max_open = max_open
        self.idle_seconds = idle_seconds
        self.root = folder / "collections"
        self.root.mkdir(parents=True, exist_ok=True)
        self._alias_file = folder / "aliases.json"
        self.collections: dict[str, Collection] = {}
        self._sweep()
        saved = read_json(self._alias_file, {})
        self.aliases: dict[str, str] = {a: c for a, c in saved.items() if c in self.collections}

    def _sweep(self) -> None:
        """Read what is whole, remove what a crash left half created or half deleted."""
        for path in sorted(self.root.iterdir()):
            if path.name.startswith(TRASH):
                remove_tree(path)
            elif not (path / META).exists():
                remove_tree(discard(path))
            else:
                self._register(Collection.read(path))

    def _register(self, collection: Collection) -> None:
        collection.on_open = self._close_oldest
        self.collections[collection.name] = collection

    def get(self, name: str) -> Collection:
        """The collection of a name or alias. Raises NOT_FOUND."""
        found = self.collections.get(name) or self.collections.get(self.aliases.get(name, ""))
        if found is None:
            raise not_found(f"Collection `{name}` doesn't exist!")
        return found

    def has(self, name: str) -> bool:
        return name in self.collections or name in self.aliases

    def create(self, message: pb.CreateCollection) -> None:
        name = message.collection_name
        check_name(name, "collection name")
        if name in self.collections:
            raise exists(f"Collection `{name}` already exists!")
        if name in self.aliases:
            raise invalid(f"Can't create collection with name {name}. Alias with the same name already exists")
        collection = Collection.create(self.root, message)
        self._register(collection)
        self._close_oldest(collection)

    async def delete(self, name: str) -> bool:
        """Delete a collection and its aliases; False if there is none of this name."""
        collection = self.collections.pop(name, None)
        if collection is None:
            return False
        collection.removed = True
        collection.close()
        trash = discard(collection.path)
        if name in self.aliases.values():
            self._save_aliases({a: c for a, c in self.aliases.items() if c != name})
        await asyncio.to_thread(remove_tree, trash)
        return True

    def change_aliases(self, actions: list[pb.AliasOperations]) -> None:
        """Apply the actions in order, all or none."""
        changed = dict(self.aliases)
        for action in actions:
            kind = action.WhichOneof("action")
            if kind is None:
                raise invalid("alias action is empty")
            getattr(self, f"_{kind}")(changed, getattr(action, kind))
        self._save_aliases(changed)

    def _create_alias(self, aliases: dict[str, str], action: pb.CreateAlias) -> None:
        check_name(action.alias_name, "alias name")
        if action.collection_name not in self.collections:
            raise not_found(f"Collection `{action.collection_name}` doesn't exist!")
        self._refuse_collection_name(action.alias_name)
        aliases[action.alias_name] = action.collection_name

    def _rename_alias(self, aliases: dict[str, str], action: pb.RenameAlias) -> None:
        check_name(action.new_alias_name, "alias name")
        if action.old_alias_name not in aliases:
            raise not_found(f"Alias {action.old_alias_name} does not exists!")
        self._refuse_collection_name(action.new_alias_name)
        aliases[action.new_alias_name] = aliases.pop(action.old_alias_name)

    def _delete_alias(self, aliases: dict[str, str], action: pb.DeleteAlias) -> None:
        aliases.pop(action.alias_name, None)

    def _refuse_collection_name(self, alias: str) -> None:
        if alias in self.collections:
            raise exists(f"Collection `{alias}` already exists!")

    def _save_aliases(self, aliases: dict[str, str]) -> None:
        write_json(self._alias_file, aliases)
        self.aliases = aliases

    def _open(self) -> list[Collection]:
        """Open collections, the longest unused first."""
        return sorted((c for c in self.collections.values() if c.is_open), key=lambda c: c.last_used)

    def _close_oldest(self, kept: Collection) -> None:
        surplus = [c for c in self._open() if c is not kept]
        for collection in surplus[: max(0, len(surplus) + 1 - self.max_open)]:
            collection.close()

    async def maintain(self) -> None:
        """Flush changed shards and close idle ones, for ever."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            for collection in self._open():
                self._maintain_one(collection)
                await asyncio.sleep(0)

    def _maintain_one(self, collection: Collection) -> None:
        try:
            if time.monotonic() - collection.last_used > self.idle_seconds:
                collection.close()
            else:
                collection.flush()
        except BaseException as error:  # an engine panic must not end the rounds
            if isinstance(error, asyncio.CancelledError | KeyboardInterrupt | SystemExit):
                raise
            logger.error("collection %s: %s", collection.name, from_engine(error).message)  # noqa: TRY400 - one line

    def close(self) -> None:
        for collection in self._open():
            collection.close()

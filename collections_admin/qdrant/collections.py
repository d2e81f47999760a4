"""Collections, aliases and payload indexes.

Traps behind the code: `CreateAlias` moves an existing alias without a word; alias actions are saved one by
one, so a switch is one action; deleting a collection drops its aliases; `points_count` is approximate.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from qdrant_client import grpc as pb

from collections_admin.errors import Conflict, InvalidInput, QdrantRejected
from collections_admin.qdrant.calls import Answer, call
from collections_admin.qdrant.client import LaneName, current_connection
from collections_admin.qdrant.collection_info import CollectionInfo, VectorConfig, read_info
from collections_admin.qdrant.collection_spec import (
    PAYLOAD_INDEXES,
    CollectionSpec,
    PayloadIndex,
    create_message,
    index_message,
    update_message,
)
from collections_admin.qdrant.errors import AlreadyExists, CollectionMissing
from collections_admin.qdrant.reading import count

ADMIN_DEADLINE_S = 60.0  # a server with hundreds of collections takes long to create one more


@dataclass(frozen=True, kw_only=True, slots=True)
class EnsureResult:
    """What was missing and is there now. `indexes_differing` exist with another type and were left alone."""

    created: bool
    alias_created: bool
    indexes_created: tuple[str, ...] = ()
    indexes_differing: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        return self.created or self.alias_created or bool(self.indexes_created)


async def list_collections(*, lane: LaneName = "interactive") -> list[str]:
    """Physical names in alphabetical order."""
    answer = await _admin("list_collections", "", "List", pb.ListCollectionsRequest(), lane=lane)
    return sorted(collection.name for collection in answer.message.collections)


async def list_aliases(*, lane: LaneName = "interactive") -> dict[str, str]:
    """Alias → physical name, of all collections."""
    answer = await _admin("list_aliases", "", "ListAliases", pb.ListAliasesRequest(), lane=lane)
    return {alias.alias_name: alias.collection_name for alias in answer.message.aliases}


async def collection_exists(name: str) -> bool:
    """True for the name of a collection or of an alias."""
    request = pb.CollectionExistsRequest(collection_name=name)
    answer = await _admin("collection_exists", name, "CollectionExists", request)
    return answer.message.result.exists


async def create_collection(name: str, *, spec: CollectionSpec) -> None:
    """Raises AlreadyExists (a Conflict) when a collection or alias has that name."""
    await _change("create_collection", name, "Create", create_message(name, spec))


async def update_collection(name: str, *, spec: CollectionSpec) -> None:
    """Bring index, quantisation, on-disk and strict-mode settings of a collection to those of `spec`.

    Vector size and distance cannot change: raises Conflict when they differ.
    """
    _check_same_vectors(name, (await collection_info(name, exact_count=False)).vectors, spec)
    await _change("update_collection", name, "Update", update_message(name, spec))


async def delete_collection(name: str, *, aliases: Collection[str] = ()) -> bool:
    """Delete a physical collection together with `aliases`. False when there was none.

    Raises Conflict when the name is an alias, or when another alias points to the collection: Qdrant would
    drop that alias without a word.
    """
    pointing = await list_aliases(lane="bulk")
    if name in pointing:
        raise Conflict(f"{name!r} is an alias of {pointing[name]!r}; name the collection itself.")
    others = sorted(alias for alias, target in pointing.items() if target == name and alias not in aliases)
    if others:
        raise Conflict(f"{name!r} is in use under the alias {', '.join(others)}; switch that away first.")
    request = pb.DeleteCollection(collection_name=name, timeout=int(ADMIN_DEADLINE_S))
    try:
        answer = await _admin("delete_collection", name, "Delete", request, lane="bulk", is_write=True)
    except CollectionMissing:
        return False
    return answer.message.result


# ---- aliases


async def switch_alias(alias: str, to: str) -> str | None:
    """Point an alias at a collection, in one step for readers. Returns where it pointed before.

    Raises CollectionMissing, Conflict (a collection has the alias's name), QdrantRejected when reading back
    shows another target.
    """
    before = (await list_aliases(lane="bulk")).get(alias)
    if before == to:
        return before
    await _create_alias(alias, to)
    after = (await list_aliases(lane="bulk")).get(alias)
    if after != to:
        raise QdrantRejected(f"The alias {alias!r} points to {after!r} after it was switched to {to!r}.")
    return before


async def delete_alias(alias: str) -> None:
    """An alias that is not there is no error."""
    action = pb.AliasOperations(delete_alias=pb.DeleteAlias(alias_name=alias))
    try:
        await _change("delete_alias", alias, "UpdateAliases", pb.ChangeAliases(actions=[action]))
    except CollectionMissing:
        return


async def _create_alias(alias: str, to: str) -> None:
    action = pb.AliasOperations(create_alias=pb.CreateAlias(collection_name=to, alias_name=alias))
    try:
        await _change("switch_alias", to, "UpdateAliases", pb.ChangeAliases(actions=[action]))
    except AlreadyExists as error:
        raise Conflict(f"A collection is already named {alias!r}, so no alias can take that name.") from error


# ---- ensure


async def ensure_collection(
    physical: str,
    alias: str | None,
    spec: CollectionSpec,
    payload_indexes: Sequence[PayloadIndex] = PAYLOAD_INDEXES,
    *,
    on_missing: Callable[[], Awaitable[object]] | None = None,
) -> EnsureResult:
    """Create what is missing of collection, alias and indexes. May run any number of times at once, anywhere.

    `on_missing` is awaited before a collection is created that was not there.

    Raises Conflict when the collection has other vectors, or the alias points elsewhere or is a collection's
    name; an alias is never moved here. Two processes that ensure one alias for two collections at the same
    moment are not told apart by Qdrant: the registry must see to that.
    """
    async with current_connection().lock(f"ensure {physical}"):
        alias_missing = alias is not None and not await _points_to(alias, physical)
        created, info = await _create_if_missing(physical, spec, on_missing)
        _check_same_vectors(physical, info.vectors, spec)
        indexes, differing = await _ensure_indexes(physical, info, payload_indexes)
        if alias_missing:
            await switch_alias(alias, physical)
    return EnsureResult(
        created=created, alias_created=alias_missing, indexes_created=indexes, indexes_differing=differing
    )


async def _create_if_missing(
    physical: str, spec: CollectionSpec, on_missing: Callable[[], Awaitable[object]] | None
) -> tuple[bool, CollectionInfo]:
    try:
        return False, await _info(physical, "bulk")
    except CollectionMissing:
        if on_missing is not None:
            await on_missing()
        created = await _create_or_find(physical, spec)
    return created, await _info(physical, "bulk")


async def _create_or_find(physical: str, spec: CollectionSpec) -> bool:
    """False when another process was first."""
    try:
        await create_collection(physical, spec=spec)
    except AlreadyExists:
        return False
    return True


async def _ensure_indexes(
    physical: str, info: CollectionInfo, wanted: Sequence[PayloadIndex]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    present = {field.name: field.type for field in info.payload_schema}
    missing = [index for index in wanted if index.field not in present]
    differing = [index.field for index in wanted if present.get(index.field, index.type) != index.type]
    for index in missing:
        await create_payload_index(physical, index)
    return tuple(index.field for index in missing), tuple(differing)


async def create_payload_index(collection: str, index: PayloadIndex) -> None:
    """Idempotent; over existing points it takes seconds per 100,000."""
    await call(
        "create_index",
        collection,
        lambda client, timeout: client.grpc_points.CreateFieldIndex(index_message(collection, index), timeout=timeout),
        lane="bulk",
        is_write=True,
    )


async def _points_to(alias: str, physical: str) -> bool:
    """False when the alias is free; Conflict when it points elsewhere."""
    target = (await list_aliases(lane="bulk")).get(alias)
    if target is not None and target != physical:
        raise Conflict(f"The alias {alias!r} points to {target!r}, not to {physical!r}; it was left as it is.")
    return target == physical


def _check_same_vectors(name: str, vectors: Sequence[VectorConfig], spec: CollectionSpec) -> None:
    unnamed = next((vector for vector in vectors if vector.name == ""), None)
    if unnamed is None:
        raise Conflict(f"{name!r} exists without a default vector; the console would search that one.")
    if (unnamed.size, unnamed.distance) != (spec.vector_size, spec.distance):
        raise Conflict(
            f"{name!r} exists with vectors of size {unnamed.size} ({unnamed.distance}), "
            f"but {spec.vector_size} ({spec.distance}) are wanted; reindex into a new version instead."
        )


# ---- info


async def collection_info(name: str, *, exact_count: bool = True) -> CollectionInfo:
    """What Qdrant knows of a collection; `name` may be an alias. Raises CollectionMissing.

    `exact_count` costs a call that reads the whole id index; without it `points_exact` is None.
    """
    tasks = [_info(name, "interactive"), list_aliases()] + ([count(name)] if exact_count else [])
    gathered = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in gathered:
        if isinstance(outcome, BaseException):
            raise outcome
    info, aliases, *counted = gathered
    physical = aliases.get(name, name)
    return info.with_names(
        name=physical,
        aliases=tuple(sorted(alias for alias, target in aliases.items() if target == physical)),
        points_exact=counted[0] if counted else None,
    )


async def _info(name: str, lane: LaneName) -> CollectionInfo:
    answer = await _admin("collection_info", name, "Get", pb.GetCollectionInfoRequest(collection_name=name), lane=lane)
    return read_info(name, answer.message.result)


# ---- sending


async def _change(operation: str, name: str, method: str, request: Any) -> None:
    """A change of the cluster's metadata. Qdrant answers false where it did nothing."""
    if not name or "\0" in name:
        raise InvalidInput("collection", "A collection or alias needs a name without NUL characters.")
    request.timeout = int(ADMIN_DEADLINE_S)
    answer = await _admin(operation, name, method, request, lane="bulk", is_write=True)
    if not answer.message.result:
        raise QdrantRejected(f"Qdrant did not carry out {operation} on {name!r} and gave no reason.")


async def _admin(
    operation: str,
    name: str,
    method: str,
    request: Any,
    *,
    lane: LaneName = "interactive",
    is_write: bool = False,
) -> Answer:
    return await call(
        operation,
        name,
        lambda client, timeout: getattr(client.grpc_collections, method)(request, timeout=timeout),
        lane=lane,
        deadline_s=ADMIN_DEADLINE_S if lane == "bulk" else None,
        is_write=is_write,
    )

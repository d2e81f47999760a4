"""The embedded node: Qdrant's gRPC services over local `qdrant-edge-py` shards, in a process of its own.

    python -m collections_admin.edge_node --data DIR --port N

A collection is one directory with one shard and a `meta.json` that keeps the CreateCollection message, for the engine
does not give its configuration back. `AsyncQdrantClient(prefer_grpc=True, check_compatibility=False)` works against the
node as against a server; what the node cannot do it answers with UNIMPLEMENTED and a sentence.

How it hangs together, from the outside in:

    process       arguments, folder lock, signals, ready line          supervisor   starts and stops the process
    server        grpc.aio server; guard(): `time` field and status codes
    services_*    one method per RPC
    coalescing    searches that wait at one moment become one engine call
    queries, groups, filters, values, config    protobuf to engine types, and back
    catalog       collections and aliases of a data folder             collection   one shard: lazy open, flush, close

The engine keeps the GIL during every call, so threads would gain nothing and everything runs on the event loop: each
handler makes one engine call at a time and gives way between them. Nothing here imports Django.
"""

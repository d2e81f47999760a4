"""The node as a process: command line, folder lock, signals, ready line.

Exit code 1 with one line on stderr when it cannot start.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

import grpc

from collections_admin.edge_node.catalog import Catalog
from collections_admin.edge_node.coalescing import MAX_BATCH
from collections_admin.edge_node.server import build_server
from collections_admin.edge_node.storage import FolderInUseError, FolderLock

logger = logging.getLogger("edge_node")

GRACE_SECONDS = 2.0  # for running calls; what starts the node waits a little longer before it kills
PARENT_POLL_SECONDS = 1.0


class StartError(Exception):
    """The node cannot start; the text says why in one line."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="edge_node", description="Qdrant's gRPC API over a local data folder.")
    parser.add_argument("--data", type=Path, required=True, help="data folder, created when missing")
    parser.add_argument("--port", type=int, default=6334, help="0 picks a free port")
    parser.add_argument("--host", default="127.0.0.1", help="there is no sign-in: keep it on the loopback")
    parser.add_argument("--parent-pid", type=int, help="end when this process is no longer the parent")
    parser.add_argument("--max-batch", type=int, default=MAX_BATCH, help="searches per engine call, 1 to %(default)s")
    return parser.parse_args()


def lock_folder(folder: Path) -> FolderLock:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return FolderLock(folder)
    except FolderInUseError as error:
        raise StartError(str(error)) from error
    except OSError as error:
        raise StartError(f"data folder {folder} cannot be used: {error.strerror}") from error


def bind(server: grpc.aio.Server, host: str, port: int) -> int:
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        return server.add_insecure_port(address)
    except RuntimeError as error:
        raise StartError(f"port {port} on {host} cannot be used, another program may be listening on it") from error


async def watch_parent(parent: int, stop: asyncio.Event) -> None:
    """Ask the process to stop when it has lost its parent."""
    while os.getppid() == parent:
        await asyncio.sleep(PARENT_POLL_SECONDS)
    logger.warning("parent process %d is gone, stopping", parent)
    stop.set()


async def serve(options: argparse.Namespace) -> None:
    catalog = Catalog(options.data)
    server = build_server(catalog, max_batch=options.max_batch)
    port = bind(server, options.host, options.port)
    await server.start()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    tasks = [asyncio.create_task(catalog.maintain())]
    if options.parent_pid:
        tasks.append(asyncio.create_task(watch_parent(options.parent_pid, stop)))
    print(f"ready port={port} pid={os.getpid()}", flush=True)  # noqa: T201 - what starts the node waits for this line
    logger.info("serving %d collections on %s:%d", len(catalog.collections), options.host, port)
    await stop.wait()
    for task in tasks:
        task.cancel()
    await server.stop(GRACE_SECONDS)
    catalog.close()
    logger.info("stopped")


def main() -> int:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(message)s")
    options = arguments()
    try:
        lock = lock_folder(options.data)
        asyncio.run(serve(options))
        lock.release()
    except StartError as error:
        sys.stderr.write(f"edge node: {error}\n")
        return 1
    return 0

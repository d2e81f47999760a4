"""A page of 50 chunks, signed in, over HTTP: `python -m tests.benchmarks.bench_chunk_page`.

The whole answer of granian (one worker process) against the bare client's scroll of the same 50 rows, asked in turns by
one person; then 100 requests at once. Aims: at most 4 times the scroll, and no failure.
"""

import argparse
import asyncio
import http.client
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from tests.consoles import free_port

FOLDER = Path(tempfile.mkdtemp(prefix="bench-chunks-"))
WEB_PORT, NODE_PORT = free_port(), free_port()
os.environ |= {
    "DJANGO_SETTINGS_MODULE": "dashboard.settings",
    "DATA_DIR": str(FOLDER),
    "EMBEDDED_NODE_PORT": str(NODE_PORT),
    "LOG_LEVEL": "ERROR",
}

# ruff: noqa: E402 - settings are read when Django is set up, and need their environment before that
import django

django.setup()

from asgiref.sync import sync_to_async
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command
from django.urls import reverse
from qdrant_client import AsyncQdrantClient, models

from collections_admin import qdrant
from collections_admin.edge_node.supervisor import EdgeNode
from collections_admin.models import Document, Role
from tests.factories import make, member
from tests.filled import filled_collection, filled_document

ROWS, DOCUMENTS, CHUNKS, AT_ONCE, AIM = 50, 50, 200, 100, 4.0


async def fill() -> tuple[Document, str]:
    collection = await filled_collection()
    for number in range(DOCUMENTS):
        texts = [f"Passage {place} of text {number}. " + "Words follow words in it. " * 25 for place in range(CHUNKS)]
        document, _ = await filled_document(collection, texts, meta={"section": "Policy", "page": 3, "lang": "en"})
    user = await make(member, collection.tenant, Role.VIEWER)
    await qdrant.close_connections()
    return document, await sync_to_async(_session)(user)


def _session(user: object) -> str:
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return session.session_key


@contextmanager
def web() -> Iterator[None]:
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--no-access-log", "--log-level", "error"]
    process = subprocess.Popen([*command, "--port", str(WEB_PORT), "dashboard.asgi:application"])
    try:
        _await_web()
        yield
    finally:
        process.terminate()
        process.wait(10)


def _await_web() -> None:
    for _ in range(200):
        try:
            http.client.HTTPConnection("127.0.0.1", WEB_PORT, timeout=5).request("GET", "/health/")
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("The web process does not start.")


def timed_pages(path: str, cookie: str, times: int) -> list[float]:
    """Milliseconds of each answer on one kept connection, without a client's own work: `http.client` takes 0.5 ms."""
    lines = (f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{WEB_PORT}", f"Cookie: sessionid={cookie}", "", "")
    request = "\r\n".join(lines).encode()
    found = []
    with socket.create_connection(("127.0.0.1", WEB_PORT), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(times):
            started = time.perf_counter()
            connection.sendall(request)
            answer = _whole_answer(connection)
            found.append((time.perf_counter() - started) * 1000)
            assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
            assert answer.count(b'<article class="chunk"') == ROWS
    return found


def _whole_answer(connection: socket.socket) -> bytes:
    answer = bytearray()
    length = None
    while length is None or len(answer) < length:
        part = connection.recv(256 * 1024)
        assert part, "the server closed the connection"
        answer += part
        if length is None and (end := answer.find(b"\r\n\r\n")) >= 0:
            stated = re.search(rb"content-length: (\d+)", answer[:end], re.IGNORECASE)
            assert stated, "the answer does not say how long it is"
            length = end + 4 + int(stated[1])
    return bytes(answer)


def _equals(key: str, value: str | int) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


async def timed_scrolls(client: AsyncQdrantClient, document: Document, *, ordered: bool, times: int) -> list[float]:
    narrowed: list[models.Condition] = [_equals("tenant_id", document.tenant_id)]
    if ordered:
        narrowed.append(_equals("document_id", str(document.pk)))
    else:
        narrowed.append(models.IsEmptyCondition(is_empty=models.PayloadField(key="archived_at")))
    condition = models.Filter(must=narrowed)
    name = document.collection.physical_name
    found = []
    for _ in range(times):
        started = time.perf_counter()
        order_by = "chunk_index" if ordered else None
        rows, _ = await client.scroll(name, scroll_filter=condition, limit=ROWS, order_by=order_by, with_payload=True)
        found.append((time.perf_counter() - started) * 1000)
        assert len(rows) == ROWS
    return found


async def compare(document: Document, cookie: str, rounds: int) -> bool:
    client = AsyncQdrantClient(
        host="127.0.0.1", grpc_port=NODE_PORT, prefer_grpc=True, check_compatibility=False, timeout=30
    )
    collection = document.collection
    paths = {
        "collection": reverse("chunk-list", args=[collection.tenant_id, collection.table]),
        "document": reverse("document-detail", args=[collection.tenant_id, document.pk]),
    }
    is_met = True
    for name, path in paths.items():
        timed_pages(path, cookie, 20)
        pages, scrolls = [], []
        for _ in range(rounds):
            pages.append(median(timed_pages(path, cookie, 20)))
            scrolls.append(median(await timed_scrolls(client, document, ordered=name == "document", times=20)))
        ratio = median(page / scroll for page, scroll in zip(pages, scrolls, strict=True))
        is_met = is_met and ratio <= AIM
        print(f"  {name:10} page {median(pages):5.1f} ms  bare scroll {median(scrolls):5.1f} ms", end="  ")
        print(f"× {ratio:.2f} (aim ≤ {AIM:g})")
        is_met = await many(path, cookie) and is_met
    await client.close()
    return is_met


async def many(path: str, cookie: str) -> bool:
    request = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{WEB_PORT}\r\nCookie: sessionid={cookie}\r\nConnection: close\r\n\r\n"
    )

    async def ask() -> tuple[bool, float]:
        started = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", WEB_PORT)
        writer.write(request.encode())
        answer = await reader.read()
        writer.close()
        return answer.startswith(b"HTTP/1.1 200"), (time.perf_counter() - started) * 1000

    started = time.perf_counter()
    answers = await asyncio.gather(*(ask() for _ in range(AT_ONCE)), return_exceptions=True)
    lasted = time.perf_counter() - started
    good = [answer for answer in answers if not isinstance(answer, BaseException) and answer[0]]
    slowest = max((ms for _, ms in good), default=0)
    print(f"  {AT_ONCE} at once: {AT_ONCE - len(good)} failures, {AT_ONCE / lasted:.0f}/s, slowest {slowest:.0f} ms")
    return len(good) == AT_ONCE


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    node = EdgeNode(FOLDER / "node", port=NODE_PORT)
    node.start()
    try:
        call_command("migrate", verbosity=0)
        call_command("collectstatic", verbosity=0, interactive=False)
        document, cookie = asyncio.run(fill())
        print(f"{DOCUMENTS * CHUNKS:,} chunks, pages of {ROWS}, one web process")
        with web():
            return 0 if asyncio.run(compare(document, cookie, options.rounds)) else 1
    finally:
        node.stop()


if __name__ == "__main__":
    raise SystemExit(main())

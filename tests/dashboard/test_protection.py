import re

import pytest
from django.test import override_settings

from collections_admin import limits
from dashboard.protection import PLAIN_BODY_BYTES, UPLOAD_BODY_BYTES, BodyLimit, SameOrigin


class Recorder:
    """An application that reads its whole body, and the ends of the line to call it with."""

    def __init__(self, parts: list[bytes] = ()) -> None:
        self.parts = list(parts)
        self.sent: list[dict] = []
        self.read = 0
        self.was_called = False

    async def application(self, scope, receive, send) -> None:
        self.was_called = True
        if scope["type"] == "websocket":
            return
        more = True
        while more:
            message = await receive()
            self.read += len(message["body"])
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive(self) -> dict:
        body = self.parts.pop(0) if self.parts else b""
        return {"type": "http.request", "body": body, "more_body": bool(self.parts)}

    async def send(self, message: dict) -> None:
        self.sent.append(message)

    async def ask(self, guard, scope: dict) -> "Recorder":
        await guard(self.application)(scope, self.receive, self.send)
        return self


def http(path: str = "/", **headers: str) -> dict:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "path": path, "headers": pairs}


async def test_a_declared_length_beyond_the_limit_is_refused_unread() -> None:
    asked = await Recorder([b"x"]).ask(BodyLimit, http(content_length=str(PLAIN_BODY_BYTES + 1)))
    assert asked.sent[0]["status"] == 413
    assert not asked.was_called


async def test_the_refusal_of_a_large_import_names_no_less_than_what_the_page_promises() -> None:
    path, length = "/tenants/1/documents/new/import/", str(UPLOAD_BODY_BYTES + 1)
    asked = await Recorder().ask(BodyLimit, http(path, content_length=length, cookie="sessionid=a"))
    megabytes = int(re.search(rb"at most (\d+) MB", asked.sent[1]["body"])[1])
    assert megabytes * limits.MEGABYTE >= limits.MAX_IMPORT_BYTES


async def test_a_body_longer_than_it_claims_is_cut_off() -> None:
    megabyte = b"x" * 1024 * 1024
    parts = [megabyte] * (PLAIN_BODY_BYTES // len(megabyte) + 2)
    asked = await Recorder(parts).ask(BodyLimit, http(content_length="10"))
    assert asked.sent[0]["status"] == 413
    assert asked.read <= PLAIN_BODY_BYTES


async def test_a_body_within_the_limit_passes() -> None:
    asked = await Recorder([b"a" * 10, b"b" * 10]).ask(BodyLimit, http(content_length="20"))
    assert asked.sent[0]["status"] == 200
    assert asked.read == 20


async def test_only_somebody_with_a_session_may_send_a_large_file() -> None:
    length = str(limits.MAX_IMPORT_BYTES)
    path = "/tenants/1/documents/new/"
    stranger = await Recorder([b"x"]).ask(BodyLimit, http(path, content_length=length))
    member = await Recorder([b"x"]).ask(BodyLimit, http(path, content_length=length, cookie="sessionid=abc"))
    elsewhere = await Recorder([b"x"]).ask(
        BodyLimit, http("/tenants/1/search/", content_length=length, cookie="sessionid=a")
    )
    assert [asked.sent[0]["status"] for asked in (stranger, member, elsewhere)] == [413, 200, 413]
    assert UPLOAD_BODY_BYTES > limits.MAX_IMPORT_BYTES


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://console.test:8000", True),
        ("https://console.example.org", True),
        ("http://console.test", False),
        ("http://console.test:9000", False),
        ("https://console.test:8000", False),
        ("http://sub.console.test:8000", False),
        ("null", False),
        ("", False),
        ("http://[", False),
    ],
)
@override_settings(ALLOWED_HOSTS=["console.test"], CSRF_TRUSTED_ORIGINS=["https://console.example.org"], HTTPS=False)
async def test_sockets_need_the_exact_origin(origin: str, allowed: bool) -> None:
    headers = [(b"host", b"console.test:8000"), (b"origin", origin.encode())]
    asked = await Recorder().ask(SameOrigin, {"type": "websocket", "path": "/", "headers": headers})
    assert asked.was_called is allowed
    if not allowed:
        assert asked.sent == [{"type": "websocket.close", "code": 4403}]


@override_settings(ALLOWED_HOSTS=["console.test"])
async def test_a_socket_of_a_host_that_is_not_ours_is_refused() -> None:
    headers = [(b"host", b"evil.test"), (b"origin", b"http://evil.test")]
    asked = await Recorder().ask(SameOrigin, {"type": "websocket", "path": "/", "headers": headers})
    assert asked.sent == [{"type": "websocket.close", "code": 4403}]

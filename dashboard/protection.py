"""Guards in front of Django: it would read a whole request body before any middleware or view is asked."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from collections_admin import limits

Application = Callable[..., Awaitable[None]]

# Forms and everything else; generous for a pasted document at four bytes a character.
PLAIN_BODY_BYTES = 4 * limits.MAX_TEXT_CHARS + 256 * 1024
UPLOAD_BODY_BYTES = limits.MAX_IMPORT_BYTES + 1024 * 1024
UPLOAD_SUFFIXES = ("/documents/new/", "/documents/new/import/")


class _BodyTooLarge(Exception):
    pass


class BodyLimit:
    """Answers 413 once a body is longer than its path allows, whatever its Content-Length claims."""

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        limit = _limit(scope)
        if _declared_length(scope) > limit:
            await _refuse(send, limit)
            return
        received = 0
        started = False

        async def counted_receive() -> dict:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise _BodyTooLarge
            return message

        async def noted_send(message: dict) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.application(scope, counted_receive, noted_send)
        except _BodyTooLarge:
            if not started:
                await _refuse(send, limit)


def _limit(scope: dict) -> int:
    """Only somebody with a session may send a large body, and only where files are handed in."""
    has_session = f"{settings.SESSION_COOKIE_NAME}=".encode() in dict(scope["headers"]).get(b"cookie", b"")
    return UPLOAD_BODY_BYTES if has_session and scope["path"].endswith(UPLOAD_SUFFIXES) else PLAIN_BODY_BYTES


def _declared_length(scope: dict) -> int:
    raw = dict(scope["headers"]).get(b"content-length", b"0")
    return int(raw) if raw.isdigit() and len(raw) < 20 else 0


async def _refuse(send: Any, limit: int) -> None:
    text = f"The request is too large: at most {limit // limits.MEGABYTE} MB are taken here.\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": text})


class SameOrigin:
    """Lets a socket through when its Origin is this very host and port (one of `ALLOWED_HOSTS`), or one of
    `TRUSTED_ORIGINS`.

    Browsers send cookies with sockets of any page; Channels' own validator compares host names alone.
    """

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        origin = headers.get(b"origin", b"").decode("latin-1")
        host = headers.get(b"host", b"").decode("latin-1")
        if _same_origin(origin, host) or origin in settings.CSRF_TRUSTED_ORIGINS:
            await self.application(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.close", "code": 4403})


def _same_origin(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    scheme = "https" if settings.HTTPS else "http"
    known = validate_host(split_domain_port(host)[0], settings.ALLOWED_HOSTS)
    return known and parts.scheme == scheme and parts.netloc.lower() == host.lower()

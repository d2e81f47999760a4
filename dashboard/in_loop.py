"""Django's middlewares that only read and write headers and cookies, called in the event loop.

Django takes each half of them into the thread of the request and back: thirteen crossings a page.
What may ask the database or read a long body still crosses over.
"""

from collections.abc import Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.common import CommonMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.middleware.security import SecurityMiddleware
from django.utils.deprecation import MiddlewareMixin

SAFE_METHODS = {"GET", "HEAD", "OPTIONS", "TRACE"}


class InLoop(MiddlewareMixin):
    """`process_request` and `process_response` of the class behind it, without a thread."""

    async def __acall__(self, request: HttpRequest) -> HttpResponse:
        before = getattr(self, "process_request", None)
        response = (before and before(request)) or await self.get_response(request)
        after = getattr(self, "process_response", None)
        return after(request, response) if after else response


class Security(InLoop, SecurityMiddleware):
    pass


class Common(InLoop, CommonMiddleware):
    pass


class Authentication(InLoop, AuthenticationMiddleware):
    """Only promises the user; who asks for it does so in a thread."""


class Messages(InLoop, MessageMiddleware):
    """Kept in a cookie (`MESSAGE_STORAGE`)."""


class FrameOptions(InLoop, XFrameOptionsMiddleware):
    pass


class Session(InLoop, SessionMiddleware):
    """Loaded by who reads it; saving one that was changed is the database's."""

    async def __acall__(self, request: HttpRequest) -> HttpResponse:
        self.process_request(request)
        response = await self.get_response(request)
        if request.session.modified:
            return await sync_to_async(self.process_response)(request, response)
        return self.process_response(request, response)


class Csrf(InLoop, CsrfViewMiddleware):
    """Reads the token from the form, so from a body that may be an upload."""

    async def process_view(self, request: HttpRequest, *view: Any) -> HttpResponse | None:
        check: Callable = super().process_view
        if request.method in SAFE_METHODS:
            return check(request, *view)
        return await sync_to_async(check)(request, *view)

"""Headers and error pages around every view."""

import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import SuspiciousOperation
from django.db import DataError
from django.db import Error as DatabaseFault
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware
from psycopg_pool import PoolTimeout

from collections_admin.errors import ConsoleError, SignInNeeded, Unavailable
from dashboard.views.errors import error_response

logger = logging.getLogger("console.errors")

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


@sync_and_async_middleware
def content_security_policy(get_response: Callable) -> Callable:
    def mark(response: HttpResponse) -> HttpResponse:
        response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        response.headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
        return response

    if iscoroutinefunction(get_response):

        async def middleware(request: HttpRequest) -> HttpResponse:
            return mark(await get_response(request))
    else:

        def middleware(request: HttpRequest) -> HttpResponse:
            return mark(get_response(request))

    return middleware


class ErrorPages:
    """Turns the console's own errors, and a database that does not answer, into pages with the right status."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, SignInNeeded):
            return _to_login(request)
        if isinstance(error, DataError):
            logger.error("The database refused a value at %s: %s", request.path, error)
            return error_response(request, 400, "The request holds a value that cannot be stored. Nothing was changed.")
        if isinstance(error, DatabaseFault | PoolTimeout):
            logger.error("The database failed at %s: %s", request.path, error)
            error = Unavailable("The database does not answer. Nothing was changed; try again in a moment.")
        if isinstance(error, ConsoleError):
            if error.status >= 500:
                logger.warning("%s at %s", error.message, request.path)
            return error_response(request, error.status, error.message)
        if isinstance(error, UnicodeEncodeError | SuspiciousOperation):
            return error_response(request, 400, "The request holds characters that cannot be read.")
        return None


def _to_login(request: HttpRequest) -> HttpResponse:
    if not getattr(request, "htmx", False):
        return redirect_to_login(request.get_full_path(), str(settings.LOGIN_URL))
    # A fragment must not hold the sign-in page: the whole page goes there, and afterwards back to where it was.
    target = redirect_to_login(_page_of(request.htmx.current_url or "/"), str(settings.LOGIN_URL))
    return HttpResponse(status=204, headers={"HX-Redirect": target.url})


def _page_of(address: str) -> str:
    """Path and query of what the browser says is its page, which may be anything."""
    try:
        page = urlsplit(address)
    except ValueError:
        return "/"
    return page.path + (f"?{page.query}" if page.query else "")

"""Pages for errors, also when the database is gone: nothing here asks it anything."""

import sys
from typing import Any

from django.db import Error as DatabaseFault
from django.http import HttpRequest, HttpResponse
from django.template import loader
from psycopg_pool import PoolTimeout

TITLES = {
    400: "That cannot be read",
    403: "Not allowed",
    404: "Not found",
    405: "Not this way",
    409: "Not possible now",
    413: "Too large",
    429: "Too many attempts",
    500: "Something went wrong",
    503: "Not available at the moment",
}


def error_response(request: HttpRequest, status: int, message: str) -> HttpResponse:
    """A whole page, or for HTMX a notice that is swapped in place (`X-Fragment`)."""
    context = {"status": status, "title": TITLES.get(status, "Error"), "message": message}
    if getattr(request, "htmx", False) and not request.htmx.boosted:
        body = loader.render_to_string("shared/_error.html", context)
        return HttpResponse(body, status=status, headers={"X-Fragment": "1"})
    context["shell"] = getattr(request, "shell", None)
    return HttpResponse(loader.render_to_string("error.html", context, request), status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_response(request, 400, "The request cannot be read. Go back and try again.")


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_response(request, 403, str(exception) or "You may not do this.")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    message = "The form was open for too long or came from elsewhere. Reload the page and send it again."
    return error_response(request, 403, message)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_response(request, 404, "There is no such page, or it is not yours to see.")


def server_error(request: HttpRequest, *_: Any) -> HttpResponse:
    """Also reached when a middleware fails, above all the session's when the database is gone."""
    if isinstance(sys.exc_info()[1], DatabaseFault | PoolTimeout):
        return error_response(request, 503, "The database does not answer. Try again in a moment.")
    message = "The error was logged. Try again; if it stays, tell your administrator the time."
    return error_response(request, 500, message)

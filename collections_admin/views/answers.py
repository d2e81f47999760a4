"""How views answer: a whole page, or for HTMX the fragment that the page holds."""

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import render, resolve_url
from django.views.decorators.http import require_http_methods

form_view = require_http_methods(["GET", "HEAD", "POST"])
INVALID = 422  # a form that is shown again with what is wrong


def page_or_fragment(
    request: HttpRequest, page: str, fragment: str, context: dict[str, Any], *, status: int = 200
) -> HttpResponse:
    """HTMX swaps the fragment in whatever its status is (`X-Fragment`)."""
    if not _wants_fragment(request):
        return render(request, page, context, status=status)
    response = render(request, fragment, context, status=status)
    response["X-Fragment"] = "1"
    return response


def form_page(request: HttpRequest, page: str, fragment: str, context: dict[str, Any]) -> HttpResponse:
    """`context["form"]` with its errors, if it has any."""
    status = INVALID if context["form"].errors else 200
    return page_or_fragment(request, page, fragment, context, status=status)


def posted(request: HttpRequest) -> QueryDict | None:
    """What to bind a form to: None leaves it unbound, an empty post does not."""
    return request.POST if request.method == "POST" else None


def go(request: HttpRequest, to: str, **kwargs: Any) -> HttpResponse:
    """A redirect that HTMX follows as a whole page."""
    url = resolve_url(to, **kwargs)
    if _wants_fragment(request):
        return HttpResponse(status=204, headers={"HX-Redirect": url})
    return HttpResponseRedirect(url)


def _wants_fragment(request: HttpRequest) -> bool:
    return bool(request.htmx) and not request.htmx.boosted and not request.htmx.history_restore_request

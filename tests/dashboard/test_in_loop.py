"""Django's middlewares do in the event loop what they did in a thread."""

from collections.abc import Awaitable, Callable
from typing import Any

from django.test import AsyncClient
from django.urls import reverse

from tests.factories import UserFactory, make

PASSWORD = "a long enough password"


def _token(client: AsyncClient) -> str:
    return client.cookies["csrftoken"].value


async def test_every_answer_carries_the_headers_that_protect_it(
    client_for: Callable[..., Awaitable[AsyncClient]],
) -> None:
    answer = await (await client_for()).get(reverse("login"))
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "Cookie" in answer["Vary"]


async def test_an_address_without_its_slash_leads_to_the_one_with_it(
    client_for: Callable[..., Awaitable[AsyncClient]],
) -> None:
    answer = await (await client_for()).get(reverse("login").rstrip("/"))
    assert answer.status_code == 301
    assert answer["Location"] == reverse("login")


async def test_a_form_without_the_token_of_its_browser_is_refused(transactional_db: None) -> None:
    client = AsyncClient(enforce_csrf_checks=True)
    await client.get(reverse("login"))
    form = {"username": "somebody@example.org", "password": PASSWORD}
    assert (await client.post(reverse("login"), form)).status_code == 403
    foreign = form | {"csrfmiddlewaretoken": "x" * 64}
    assert (await client.post(reverse("login"), foreign)).status_code == 403
    assert (await client.post(reverse("login"), form | {"csrfmiddlewaretoken": _token(client)})).status_code == 200


async def test_signing_in_and_out_is_remembered_by_the_next_request(transactional_db: None) -> None:
    user = await make(_with_password)
    client = AsyncClient(enforce_csrf_checks=True)
    await client.get(reverse("login"))
    form = {"username": user.email, "password": PASSWORD, "csrfmiddlewaretoken": _token(client)}
    assert (await client.post(reverse("login"), form)).status_code == 302
    assert (await client.get(reverse("password-change"))).status_code == 200
    token = {"csrfmiddlewaretoken": _token(client)}
    assert (await client.post(reverse("logout"), token)).status_code == 302
    assert (await client.get(reverse("password-change"))).status_code == 302


def _with_password() -> Any:
    user = UserFactory()
    user.set_password(PASSWORD)
    user.save()
    return user

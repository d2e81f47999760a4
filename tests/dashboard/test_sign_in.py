"""Signing in, and what stands in front of it."""

import pytest
from django.test import AsyncClient
from django.urls import reverse

from tests.factories import UserFactory, make

PASSWORD = "right horse battery"


async def try_to_sign_in(client: AsyncClient, email: str, password: str) -> int:
    answer = await client.post(reverse("login"), {"username": email, "password": password})
    return answer.status_code


async def account(email: str) -> None:
    user = await make(UserFactory, email=email)
    user.set_password(PASSWORD)
    await user.asave()


async def test_ten_wrong_passwords_lock_that_account_also_for_the_right_one(client_for) -> None:
    await account("guessed@console.test")
    client = await client_for()
    variants = ["guessed@console.test", "Guessed@Console.test"] * 5
    answers = [await try_to_sign_in(client, variant, "wrong") for variant in variants]
    assert answers == [200] * 9 + [429]
    assert await try_to_sign_in(client, "guessed@console.test", PASSWORD) == 429


async def test_wrong_passwords_of_one_account_leave_the_others_alone(client_for) -> None:
    await account("somebody@console.test")
    client = await client_for()
    for number in range(12):
        assert await try_to_sign_in(client, f"person{number}@console.test", "wrong") == 200
    assert await try_to_sign_in(client, "somebody@console.test", PASSWORD) == 302


@pytest.mark.parametrize(
    ("page", "back"),
    [("http://testserver/tenants/?q=a", "/tenants/%3Fq%3Da"), ("http://[", "/"), ("", "/")],
)
async def test_a_fragment_after_the_session_ended_leads_to_sign_in_and_back(client_for, page: str, back: str) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": page}
    answer = await (await client_for()).get(reverse("tenant-list"), headers=headers)
    assert answer.status_code == 204
    assert answer["HX-Redirect"] == f"{reverse('login')}?next={back}"

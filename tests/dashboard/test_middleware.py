import pytest
from django.db import DataError, OperationalError
from django.test import RequestFactory

from dashboard.middleware import ErrorPages


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [(DataError("NUL"), 400, "cannot be stored"), (OperationalError("gone"), 503, "does not answer")],
)
def test_a_value_the_database_refuses_is_not_called_an_outage(error, status, said) -> None:
    answer = ErrorPages(lambda _: None).process_exception(RequestFactory().get("/"), error)
    assert answer.status_code == status
    assert said in answer.content.decode()

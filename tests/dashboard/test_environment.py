import stat
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from dashboard import environment

NAME = "CONSOLE_TEST_VARIABLE"


@pytest.mark.parametrize(
    ("reader", "value", "said"),
    [
        (lambda: environment.integer(NAME, 1, least=1, most=9), "many", "whole number"),
        (lambda: environment.integer(NAME, 1, least=1, most=9), "10", "between 1 and 9"),
        (lambda: environment.number(NAME, 1, least=1, most=9), "1,5", "number"),
        (lambda: environment.number(NAME, 1, least=1, most=9), "nan", "between 1 and 9"),
        (lambda: environment.boolean(NAME, default=False), "perhaps", "true or false"),
        (lambda: environment.http_url(NAME), "localhost:6333", "http://host:port"),
        (lambda: environment.http_url(NAME), "http://host:port", "http://host:port"),
        (lambda: environment.origins(NAME), "console.example.org", "origins"),
        (lambda: environment.address(NAME, ""), "http://x/", "host name"),
        (lambda: environment.secret(NAME, Path("unused")), "short", "32 characters"),
        (lambda: environment.database(NAME, Path("unused")), "mysql://u@h/d", "postgres://"),
        (lambda: environment.database(NAME, Path("unused")), "postgres://u:p@h:5432", "names no database"),
        (lambda: environment.database(NAME, Path("unused")), "postgres://u:p@h:port/d", "cannot be read"),
    ],
)
def test_a_bad_value_names_its_variable(monkeypatch, reader, value, said) -> None:
    monkeypatch.setenv(NAME, value)
    with pytest.raises(ImproperlyConfigured) as caught:
        reader()
    assert NAME in str(caught.value)
    assert said in str(caught.value)


def test_unset_and_blank_mean_the_default(monkeypatch) -> None:
    monkeypatch.delenv(NAME, raising=False)
    assert environment.integer(NAME, 7, least=1, most=9) == 7
    monkeypatch.setenv(NAME, "  ")
    assert environment.integer(NAME, 7, least=1, most=9) == 7
    assert environment.names(NAME, ["a"]) == ["a"]


def test_values_are_read(monkeypatch) -> None:
    monkeypatch.setenv(NAME, " Yes ")
    assert environment.boolean(NAME, default=False) is True
    monkeypatch.setenv(NAME, "a, b,,c ")
    assert environment.names(NAME, []) == ["a", "b", "c"]
    monkeypatch.setenv(NAME, "https://console.example.org/")
    assert environment.origins(NAME) == ["https://console.example.org"]
    monkeypatch.setenv(NAME, "postgres://u:p%40ss@db:5433/console")
    assert environment.database(NAME, Path("unused"))["PASSWORD"] == "p@ss"


def test_a_secret_key_is_made_once_and_kept_private(monkeypatch, tmp_path) -> None:
    monkeypatch.delenv(NAME, raising=False)
    file = tmp_path / "secret_key"
    key = environment.secret(NAME, file)
    assert len(key) >= 32
    assert environment.secret(NAME, file) == key
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]


def test_a_folder_below_a_file_is_refused(monkeypatch, tmp_path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(NAME, str(tmp_path / "file" / "data"))
    with pytest.raises(ImproperlyConfigured, match="cannot be written"):
        environment.writable_folder(NAME, tmp_path)

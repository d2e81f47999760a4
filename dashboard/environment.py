"""Typed readers of the environment: a bad value stops the start and names its variable.

Values come from the process environment, then from a file `.env` beside `manage.py`.
"""

import ipaddress
import os
import secrets
from pathlib import Path
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured


def load_env_file(path: Path) -> None:
    if path.is_file():
        environ.Env.read_env(path, overwrite=False)


def text(name: str, default: str = "") -> str:
    return os.environ.get(name, "").strip() or default


def integer(name: str, default: int, *, least: int, most: int) -> int:
    raw = text(name)
    if not raw:
        return default
    try:
        value = int(raw)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a whole number, not {raw!r}.") from None
    if not least <= value <= most:
        raise ImproperlyConfigured(f"{name} must be between {least} and {most}, not {value}.")
    return value


def number(name: str, default: float, *, least: float, most: float) -> float:
    raw = text(name)
    if not raw:
        return default
    try:
        value = float(raw)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a number, not {raw!r}.") from None
    if not least <= value <= most:
        raise ImproperlyConfigured(f"{name} must be between {least:g} and {most:g}, not {value:g}.")
    return value


def boolean(name: str, default: bool) -> bool:  # noqa: FBT001 - reads like the other readers
    raw = text(name).lower()
    if not raw:
        return default
    if raw in {"1", "true", "yes", "on"}:
        return True
    if raw in {"0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name} must be true or false, not {raw!r}.")


def names(name: str, default: list[str]) -> list[str]:
    """A comma-separated list."""
    values = [part.strip() for part in text(name).split(",") if part.strip()]
    return values or default


def address(name: str, default: str) -> str:
    """An IP address or a host name, without scheme and port."""
    value = text(name, default)
    try:
        ipaddress.ip_address(value)
    except ValueError:
        if not all(part and part.replace("-", "").isalnum() for part in value.split(".")):
            raise ImproperlyConfigured(f"{name} must be a host name or an IP address, not {value!r}.") from None
    return value


def http_url(name: str) -> str:
    value = text(name)
    if not value:
        return ""
    parts = urlsplit(value)
    try:
        fits = parts.scheme in {"http", "https"} and parts.hostname and (parts.port or 1)
    except ValueError:
        fits = False
    if not fits:
        raise ImproperlyConfigured(f"{name} must look like http://host:port or https://host:port, not {value!r}.")
    return value.rstrip("/")


def origins(name: str) -> list[str]:
    """A comma-separated list of exact origins such as https://console.example.org."""
    values = names(name, [])
    for value in values:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path not in {"", "/"}:
            raise ImproperlyConfigured(f"{name} must hold origins like https://console.example.org, not {value!r}.")
    return [value.rstrip("/") for value in values]


def writable_folder(name: str, default: Path) -> Path:
    """A folder that exists afterwards and can be written."""
    folder = Path(text(name) or default).expanduser().resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".write-{os.getpid()}-{secrets.token_hex(4)}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ImproperlyConfigured(f"{name}: the folder {folder} cannot be written ({error.strerror}).") from None
    return folder


def secret(name: str, file: Path) -> str:
    """The variable, or else a key generated once into `file`, readable by its owner alone."""
    value = text(name)
    if value:
        if len(value) < 32:
            raise ImproperlyConfigured(f"{name} must have at least 32 characters.")
        return value
    if not file.exists():
        # Written aside and linked into place: of several processes that start at once, all read one whole key.
        draft = file.with_name(f"{file.name}.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(48))
        try:
            os.link(draft, file)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return file.read_text().strip()


def database(name: str, default: Path) -> dict:
    """`postgres://user:password@host:port/name` or `sqlite:///path`, as a Django database dictionary."""
    value = text(name)
    if not value:
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(default)}
    if value.split(":", 1)[0] not in {"postgres", "postgresql", "sqlite"}:
        raise ImproperlyConfigured(f"{name} must start with postgres:// or sqlite:///.")
    try:
        config = environ.Env.db_url_config(value)
    except (ValueError, KeyError, environ.ImproperlyConfigured) as error:
        raise ImproperlyConfigured(f"{name} cannot be read: {error}.") from None
    if not config.get("NAME"):
        raise ImproperlyConfigured(f"{name} names no database.")
    return dict(config)

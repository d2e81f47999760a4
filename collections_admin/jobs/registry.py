"""The kinds of jobs and their handlers. A module registers its kinds when it is imported (`kinds.py`)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from collections_admin.jobs.context import RunningJob

Handler = Callable[[RunningJob], Awaitable[dict[str, Any] | None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class JobKind:
    name: str
    label: str
    handler: Handler
    max_attempts: int
    timeout: float | None  # seconds of one attempt
    retry_backoff: float  # seconds before the second attempt, doubled before each further one


_kinds: dict[str, JobKind] = {}


def job_kind(
    name: str,
    *,
    label: str,
    max_attempts: int = 3,
    timeout: float | None = None,
    retry_backoff: float = 5,
) -> Callable[[Handler], Handler]:
    """Register `async def handler(job: RunningJob) -> dict | None`; the dictionary becomes the job's result.

    A handler may run more than once for the same job: its effects must be repeatable.
    """

    def register(handler: Handler) -> Handler:
        known = _kinds.get(name)
        if known and known.handler.__qualname__ != handler.__qualname__:
            raise ValueError(f"The job kind {name!r} is registered twice.")
        _kinds[name] = JobKind(
            name=name,
            label=label,
            handler=handler,
            max_attempts=max_attempts,
            timeout=timeout,
            retry_backoff=retry_backoff,
        )
        return handler

    return register


def find_kind(name: str) -> JobKind | None:
    return _kinds.get(name)


def kind_label(name: str) -> str:
    known = _kinds.get(name)
    return known.label if known else name.replace("_", " ").capitalize()


def kind_choices() -> list[tuple[str, str]]:
    """Names and labels of all kinds, ordered by label."""
    return sorted(((kind.name, kind.label) for kind in _kinds.values()), key=lambda choice: choice[1])

"""Plain values handed between layers."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantChoice:
    """A tenant in the switcher, and what the signed-in person may do there."""

    id: int
    name: str
    role: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """A sentence shown in place: what happened and what to do."""

    kind: str  # ok, warn, bad, run
    title: str
    text: str = ""
    since: str = ""

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


@dataclass(frozen=True, kw_only=True, slots=True)
class FilterToken:
    """A filter in the filter box, and the address without it."""

    label: str
    value: str
    text: str
    remove_url: str

"""Numbers, sizes, durations and times as people read them. Nothing here raises on odd input."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone

NOTHING = "–"  # the dash of an empty cell
_MINUS = "−"  # as wide as a digit
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def readable(value: Any) -> str:
    """The text without what HTML and UTF-8 cannot carry: NUL and lone surrogates are replaced."""
    return str(value).encode("utf-8", "replace").decode("utf-8").replace("\0", "\N{REPLACEMENT CHARACTER}")


def number(value: Any) -> float | int | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, timedelta):
        return value.total_seconds() * 1000
    if isinstance(value, int):
        return value
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def grouped(value: Any) -> str:
    """`86,214`; whole numbers stay exact at any size, fractions keep two digits."""
    if value is None or value == "":
        return NOTHING
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal() and len(value) < 4000:
        value = int(value)
    found = number(value)
    if found is None:
        return NOTHING if isinstance(value, float) else readable(value)
    if isinstance(found, int) and found.bit_length() > 10_000:
        return f"{found.bit_length()} bits"
    text = f"{found:,}" if isinstance(found, int) else f"{found:,.2f}".rstrip("0").rstrip(".")
    return text.replace("-", _MINUS)


def duration(milliseconds: Any) -> str:
    """`0.4 ms`, `45 ms`, `3.2 s`, `4 m 10 s`, `2 h 5 m`, `3 d 4 h`."""
    found = number(milliseconds)
    if found is None or found < 0 or found > 1e15:
        return NOTHING
    if found < 9.95:
        return f"{found:.1f}".removesuffix(".0") + " ms"
    if found < 999.5:
        return f"{found:.0f} ms"
    seconds = found / 1000
    if seconds < 59.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    return _long(round(seconds))


def _long(seconds: int) -> str:
    if seconds < _HOUR:
        return _pair(seconds, _MINUTE, "m", 1, "s")
    if seconds < _DAY:
        return _pair(seconds, _HOUR, "h", _MINUTE, "m")
    return _pair(seconds, _DAY, "d", _HOUR, "h")


def _pair(seconds: int, large: int, large_unit: str, small: int, small_unit: str) -> str:
    rest = seconds % large // small
    return f"{seconds // large} {large_unit}" + (f" {rest} {small_unit}" if rest else "")


def size(octets: Any) -> str:
    """Decimal units, as disks and networks count: `184 kB`."""
    found = number(octets)
    if found is None or found < 0 or found > 1e30:
        return NOTHING
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if found < 999.5 or unit == "PB":
            break
        found /= 1000
    precise = unit != "B" and found < 9.95
    return (f"{found:.1f}".removesuffix(".0") if precise else f"{found:.0f}") + f" {unit}"


def moment(value: Any) -> datetime | None:
    """A time with its zone; naive ones and ISO texts are read as UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def relative(when: datetime) -> str:
    """`41 s ago`, `3 min ago`, `in 2 h`; beyond a month the date."""
    now = timezone.now()
    seconds = (now - when).total_seconds()
    if abs(seconds) < 1:
        return "now"
    if abs(seconds) >= 30 * _DAY:
        return f"{when:%-d %b}" if when.year == now.year else f"{when:%-d %b %Y}"
    text = _coarse(abs(seconds))
    return f"{text} ago" if seconds > 0 else f"in {text}"


def elapsed(when: datetime) -> str:
    return _coarse(max(0.0, (timezone.now() - when).total_seconds()))


def _coarse(seconds: float) -> str:
    for length, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds)} s"

"""A payload as nested HTML lists. Keys and values are escaped; depth and number of nodes are bounded."""

import json
from collections.abc import Iterator
from typing import Any

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from collections_admin.templatetags.formats import readable

DEEPEST = 12
MOST_NODES = 3000
MOST_CHILDREN = 200
LONG_TEXT = 200


class _Tree:
    def __init__(self, open_levels: int) -> None:
        self.open_levels = open_levels
        self.left = MOST_NODES

    def items(self, pairs: list[tuple[Any, Any]], depth: int) -> Iterator[str]:
        for key, value in pairs[:MOST_CHILDREN]:
            if self.left <= 0:
                break
            self.left -= 1
            yield f"<li>{self.node(readable(key), value, depth)}</li>"
        if self.left <= 0 or len(pairs) > MOST_CHILDREN:
            yield '<li class="null">… more, copy the JSON to see all</li>'

    def node(self, key: str, value: Any, depth: int) -> str:
        if not isinstance(value, dict | list | tuple):
            return f"<b>{escape(key)}</b> {leaf(value)}"
        pairs = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
        brackets = "{%d}" if isinstance(value, dict) else "[%d]"
        label = f"{escape(key)} {brackets % len(pairs)}"
        if not pairs:
            return f'<b>{escape(key)}</b> <span class="null">{brackets[0] + brackets[-1]}</span>'
        if depth >= DEEPEST:
            return f'<b>{label}</b> <span class="null">… deeper than {DEEPEST} levels</span>'
        opened = " open" if depth < self.open_levels else ""
        inner = "".join(self.items(pairs, depth + 1))
        return f'<details{opened}><summary>{label}</summary><ul role="list">{inner}</ul></details>'


def leaf(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return f'<span class="null">{json.dumps(value)}</span>'
    if isinstance(value, int | float):
        return f'<span class="numb">{exact(value)}</span>'
    return _text(readable(value))


def exact(value: float) -> str:
    """All digits: browsers would round integers above 2^53. Python refuses to print beyond 4,300 digits."""
    if isinstance(value, int) and value.bit_length() > 10_000:
        return f"an integer of {value.bit_length()} bits"
    return repr(value)


def _text(text: str) -> str:
    if len(text) <= LONG_TEXT:
        return f'<span class="str">"{escape(text)}"</span>'
    return (
        f'<details class="long-text"><summary><span class="str">"{escape(text[:LONG_TEXT])}…"</span> '
        f'<span class="more">all {len(text):,} characters</span></summary>'
        f'<pre class="str">{escape(text)}</pre></details>'
    )


def tree(payload: Any, open_levels: int = 1) -> SafeString:
    if not isinstance(payload, dict | list | tuple):
        return mark_safe(f'<p class="tree">{leaf(payload)}</p>')  # noqa: S308 - leaf escapes
    pairs = list(payload.items()) if isinstance(payload, dict) else list(enumerate(payload))
    if not pairs:
        return mark_safe('<p class="tree null">empty</p>')
    inner = "".join(_Tree(open_levels).items(pairs, 0))
    return mark_safe(f'<ul class="tree" role="list">{inner}</ul>')  # noqa: S308 - node and leaf escape


def json_text(value: Any, indent: int | None = None) -> str:
    """JSON for copying and for data attributes; the template escapes it. Other values become texts."""
    try:
        return readable(json.dumps(value, ensure_ascii=False, indent=indent, default=str))
    except (ValueError, RecursionError, TypeError):
        return json.dumps("cannot be shown as JSON")

"""Text and JSON that both databases accept, from handlers and exceptions that may carry anything."""

import json
import math
from typing import Any


def plain_text(value: object, limit: int) -> str:
    """Without NUL and lone surrogates, cut to `limit` characters."""
    text = str(value).replace("\x00", "\N{REPLACEMENT CHARACTER}")
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= limit else text[: limit - 1] + "…"


def plain_json(value: Any) -> Any:
    """A copy made of JSON types. Raises TypeError when `value` holds anything else."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return plain_text(value, len(value))
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {plain_text(key, 1000): plain_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(item) for item in value]
    return json.loads(json.dumps(value))

"""What stands in the address of a page."""

from urllib.parse import unquote_to_bytes

from django.http import HttpRequest

from collections_admin.errors import InvalidInput

MAX_QUERY_STRING_CHARS = 16_000


def check_address(request: HttpRequest) -> None:
    """Django replaces bytes that are not UTF-8 without a word; a filter by them would match nothing.

    Raises InvalidInput (`address`).
    """
    query = request.META.get("QUERY_STRING", "")
    if len(query) > MAX_QUERY_STRING_CHARS:
        raise InvalidInput(
            "address",
            f"The address has {len(query):,} characters after the question mark; "
            f"at most {MAX_QUERY_STRING_CHARS:,} are read.",
        )
    try:
        unquote_to_bytes(query.replace("+", " ")).decode()
    except UnicodeDecodeError as error:
        raise InvalidInput("address", "The address holds characters that are not UTF-8.") from error

"""Documents into pieces to embed: along the text's own structure, of bounded size, the same on every run.

A text is cut at its strongest breaks (blank lines, lines, gaps, ends of sentences, of clauses, words), what is still
too long at the next weaker ones, and neighbours that fit together are joined. Tokens are counted once for the whole
text: whether a span fits is then a matter of two look-ups.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from collections_admin.cpu import compute
from collections_admin.errors import InvalidInput
from collections_admin.limits import CHUNK_OVERLAP, CHUNK_SIZE, MAX_CHUNK_SIZE, MIN_CHUNK_SIZE

# About one token of a language model each: 7 % over WordLlama's tokenizer on English, and five times as fast.
_TOKEN_CHARS = 6
_TOKEN = re.compile(rf"[A-Za-z0-9_]{{1,{_TOKEN_CHARS}}}|\w{{1,2}}|[^\w\s]")
_CHARS_PER_TOKEN = 8  # at most: bounds the length of pieces that are mostly white space
# A regular expression holds the interpreter while it runs; a text this long is over every chunk size anyway.
_UNCOUNTED_CHARS = 2 * _CHARS_PER_TOKEN * MAX_CHUNK_SIZE
_ASCII = [chr(code) for code in range(128)]
_IS_WORD = np.array([bool(re.match(r"\w", char)) for char in _ASCII])
_IS_MARK = np.array([bool(re.match(r"[^\w\s]", char)) for char in _ASCII])

# Strongest first. Those in white space take it out; the last two cut behind a mark within a word.
_BREAKS = tuple(
    re.compile(pattern)
    for pattern in (
        r"[\r\n]+",
        r"\t+",
        r"\s{2,}",
        r"(?<=[.?!…。！？])\s",
        r"(?<=[,;:、，；：])\s",
        r"(?<=[)\]}”’»\"'`*])\s",
        r"\s",
        r"(?<=[.?!…。！？,;:、，；：])(?=.)",
        r"(?<=[)\]}”’»\"'`*/\\–—&-])(?=.)",
    )
)
_WIDEST = 8  # characters: of breaks of one kind, wider ones count as stronger up to here


@dataclass(frozen=True, kw_only=True, slots=True)
class TextPiece:
    """`text` is `document[start:end]`; consecutive pieces overlap. `tokens` is an estimate."""

    index: int
    text: str
    start: int
    end: int
    tokens: int


def count_tokens(text: str) -> int:
    """An estimate, never below an eighth of the characters; for very long texts it is just that."""
    at_least = -(-len(text) // _CHARS_PER_TOKEN)
    if len(text) > _UNCOUNTED_CHARS:
        return at_least
    return max(at_least, len(_TOKEN.findall(text)))


async def split(text: str, *, chunk_size: int = CHUNK_SIZE, overlap: int = CHUNK_OVERLAP) -> list[TextPiece]:
    """`split_text` away from the event loop."""
    return await compute(split_text, text, chunk_size=chunk_size, overlap=overlap)


def split_text(text: str, *, chunk_size: int = CHUNK_SIZE, overlap: int = CHUNK_OVERLAP) -> list[TextPiece]:
    """Pieces of at most `chunk_size` tokens, beginning with up to `overlap` tokens of the text before it.

    A blank text has none. Whatever the text, a piece has at most 8 characters per token of `chunk_size`.
    Raises InvalidInput.
    """
    check_chunk_settings(chunk_size=chunk_size, overlap=overlap)
    tokens = _Tokens(text)
    pieces: list[TextPiece] = []
    before = 0
    for start, end in _trimmed(text, _spans(tokens, chunk_size - overlap)):
        early = tokens.overlap_start(before, start, overlap)
        if tokens.count(early, end) > chunk_size:
            early = start
        pieces.append(
            TextPiece(index=len(pieces), text=text[early:end], start=early, end=end, tokens=tokens.count(early, end))
        )
        before = start
    return pieces


def check_chunk_settings(*, chunk_size: int, overlap: int) -> None:
    if not MIN_CHUNK_SIZE <= chunk_size <= MAX_CHUNK_SIZE:
        raise InvalidInput("chunk_size", f"It must be between {MIN_CHUNK_SIZE} and {MAX_CHUNK_SIZE:,} tokens.")
    if not 0 <= overlap < chunk_size / 2:
        raise InvalidInput("overlap", "It must be at least 0 and less than half of the chunk size.")


class _Tokens:
    """Where the tokens of a text begin.

    Spans are only ever asked for that begin at a token or in white space: there the count is that of the text alone.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = _ascii_starts(text) if text.isascii() else [match.start() for match in _TOKEN.finditer(text)]

    def count(self, start: int, end: int) -> int:
        """`count_tokens` of the span."""
        counted = bisect_left(self.starts, end) - bisect_left(self.starts, start)
        return max(counted, -(-(end - start) // _CHARS_PER_TOKEN))

    def reach(self, start: int, size: int) -> int:
        """The farthest end of a span from `start` that has at most `size` tokens."""
        first_beyond = bisect_left(self.starts, start) + size
        end = self.starts[first_beyond] if first_beyond < len(self.starts) else len(self.text)
        return min(end, start + size * _CHARS_PER_TOKEN)

    def overlap_start(self, before: int, start: int, overlap: int) -> int:
        """Where the last `overlap` tokens ahead of `start` begin: at a word, and not ahead of `before`."""
        if not overlap or before >= start:
            return start
        last = bisect_left(self.starts, start)
        first = max(bisect_left(self.starts, max(before, start - overlap * _CHARS_PER_TOKEN)), last - overlap)
        beginnings = (at for at in self.starts[first:last] if at == before or self.text[at - 1].isspace())
        return next(beginnings, start)


def _ascii_starts(text: str) -> list[int]:
    """The same as of the regular expression, 5 times as fast: each mark, and every sixth character of a word."""
    codes = np.frombuffer(text.encode("ascii"), np.uint8)
    word = _IS_WORD[codes]
    begins = word.copy()
    begins[1:] &= ~word[:-1]
    at = np.arange(len(codes))
    in_word = at - np.maximum.accumulate(np.where(begins, at, 0))
    return np.flatnonzero(_IS_MARK[codes] | (word & (in_word % _TOKEN_CHARS == 0))).tolist()


def _spans(tokens: _Tokens, size: int) -> list[tuple[int, int]]:
    """The text cut into spans of at most `size` tokens, in order; some may be blank."""
    spans = []
    waiting = [(0, len(tokens.text))]
    while waiting:
        start, end = waiting.pop()
        if end <= tokens.reach(start, size):
            spans.append((start, end))
        elif parts := _parts(tokens.text, start, end):
            waiting += reversed(_joined(tokens, parts, size))
        else:
            spans += _cut(tokens, start, end, size)
    return spans


def _cut(tokens: _Tokens, start: int, end: int, size: int) -> Iterator[tuple[int, int]]:
    while start < end:
        reach = min(tokens.reach(start, size), end)
        yield start, reach
        start = reach


def _parts(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """The span without its strongest breaks; empty when there are none in it."""
    for pattern in _BREAKS:
        breaks = [match.span() for match in pattern.finditer(text, start, end)]
        widest = min(max((last - first for first, last in breaks), default=0), _WIDEST)
        strong = [(first, last) for first, last in breaks if last - first >= widest]
        parts = list(zip([start, *(last for _, last in strong)], [*(first for first, _ in strong), end], strict=True))
        parts = [part for part in parts if part[0] < part[1]]
        if parts and parts != [(start, end)]:
            return parts
    return []


def _joined(tokens: _Tokens, parts: Sequence[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    """Neighbours that fit together as one span; a part that does not fit stays alone."""
    ends = [end for _, end in parts]
    joined = []
    at = 0
    while at < len(parts):
        start = parts[at][0]
        after = max(bisect_right(ends, tokens.reach(start, size)), at + 1)
        joined.append((start, ends[after - 1]))
        at = after
    return joined


def _trimmed(text: str, spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    for start, end in spans:
        piece = text[start:end]
        if stripped := piece.strip():
            first = start + len(piece) - len(piece.lstrip())
            yield first, first + len(stripped)

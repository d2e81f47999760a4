import asyncio
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from collections_admin.errors import InvalidInput
from collections_admin.limits import MAX_CHUNK_CHARS, MAX_CHUNK_SIZE, MAX_TEXT_CHARS
from collections_admin.services.splitting import count_tokens, split, split_text

PROSE = "\n\n".join(f"Paragraph {number}. It has a second sentence, and a third one. Here." for number in range(200))
texts = st.text(st.sampled_from("ab é日.,\n\t \u3000🙂(_-"), max_size=800) | st.text(max_size=400)
texts |= st.text(st.characters(max_codepoint=127), max_size=800) | st.text("ab_ .,\n\x1f", max_size=800)


@given(texts, st.integers(16, 60), st.floats(0, 0.49))
@example("x" * 5000, 16, 0.4)
@example(" " * 5000 + "x", 16, 0.4)
@settings(deadline=None, max_examples=150)
def test_pieces_cover_every_word_in_order_within_their_size(text, chunk_size, share):
    pieces = split_text(text, chunk_size=chunk_size, overlap=int(chunk_size * share))
    covered = set()
    for index, piece in enumerate(pieces):
        assert piece.index == index
        assert piece.text == text[piece.start : piece.end]
        assert piece.text.strip()
        assert piece.tokens == count_tokens(piece.text) <= chunk_size
        covered.update(range(piece.start, piece.end))
    assert [piece.end for piece in pieces] == sorted({piece.end for piece in pieces})
    assert all(char.isspace() or at in covered for at, char in enumerate(text))


def test_the_same_text_gives_the_same_pieces():
    assert split_text(PROSE) == split_text(PROSE)


def test_a_short_text_is_one_piece():
    (piece,) = split_text("  Hello, world.  ")
    assert (piece.text, piece.start, piece.end) == ("Hello, world.", 2, 15)


@pytest.mark.parametrize("text", ["", " ", "\n\n\t", "\u3000"])
def test_a_blank_text_has_no_pieces(text):
    assert split_text(text) == []


def test_pieces_begin_with_the_words_before_them():
    pieces = split_text(PROSE, chunk_size=60, overlap=12)
    for before, piece in pairwise(pieces):
        shared = PROSE[piece.start : before.end]
        assert 0 < count_tokens(shared) <= 12
        assert PROSE[piece.start - 1].isspace()


def test_a_long_line_is_cut_behind_its_sentences():
    line = " ".join(f"Is number {number} prime? It is one of the numbers, as they go!" for number in range(60))
    pieces = split_text(line, chunk_size=60, overlap=0)
    assert len(pieces) > 10
    assert {piece.text[-1] for piece in pieces} <= {"?", "!"}


def test_a_text_with_gaps_of_every_width_keeps_its_words_in_order():
    text = "".join(f"word{number} " + "\n" * number for number in range(1500))
    pieces = split_text(text, chunk_size=32, overlap=0)
    assert [word for piece in pieces for word in piece.text.split()] == text.split()


def test_without_overlap_pieces_are_apart():
    pieces = split_text(PROSE, chunk_size=60, overlap=0)
    assert all(before.end <= piece.start for before, piece in pairwise(pieces))


@pytest.mark.parametrize(
    "text",
    ["x" * MAX_TEXT_CHARS, "a" + " " * (MAX_TEXT_CHARS - 2) + "b", "日" * MAX_TEXT_CHARS],
    ids=["one giant word", "one giant gap", "no spaces"],
)
async def test_no_piece_of_a_largest_text_is_longer_than_a_model_takes(text):
    pieces = await split(text, chunk_size=MAX_CHUNK_SIZE, overlap=1000)
    assert max(len(piece.text) for piece in pieces) <= MAX_CHUNK_CHARS
    assert max(piece.tokens for piece in pieces) <= MAX_CHUNK_SIZE


async def test_the_event_loop_goes_on_while_a_long_text_is_split():
    splitting = asyncio.create_task(split(PROSE * 20))
    turns = 0
    while not splitting.done():
        turns += 1
        await asyncio.sleep(0)
    assert (await splitting)[0].text.startswith("Paragraph 0.")
    assert turns > 20


@pytest.mark.parametrize(
    ("chunk_size", "overlap", "field"),
    [(15, 0, "chunk_size"), (2049, 0, "chunk_size"), (-1, 0, "chunk_size"), (100, 50, "overlap"), (100, -1, "overlap")],
)
def test_settings_out_of_range_are_refused_by_name(chunk_size, overlap, field):
    with pytest.raises(InvalidInput) as caught:
        split_text("text", chunk_size=chunk_size, overlap=overlap)
    assert caught.value.field == field

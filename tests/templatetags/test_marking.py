"""Query words marked in texts that may hold anything."""

import re

import pytest
from django.utils.html import escape
from hypothesis import given
from hypothesis import strategies as st

from collections_admin.templatetags import marking

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</mark><script>x</script>",
    "&lt;b&gt;",
    "'; --",
    "<mark>",
]


def without_marks(shown):
    return re.sub(r"</?mark>", "", shown)


def test_words_are_marked_whatever_their_case():
    assert marking.marked("The Retention clock", "retention") == "The <mark>Retention</mark> clock"


def test_a_word_is_marked_at_the_start_of_longer_ones():
    assert marking.marked("embeddings embed", "embed") == "<mark>embed</mark>dings <mark>embed</mark>"


def test_short_words_are_marked_whole_only():
    assert marking.marked("is island", "is") == "<mark>is</mark> island"


def test_common_words_are_left_out_beside_telling_ones():
    assert marking.marked("the clock of the house", "the clock") == "the <mark>clock</mark> of the house"


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("query", ["script", "mark", "b", "lt", "amp", "alert 1", "", "<script>", "(.*)+$", "\\"])
def test_hostile_texts_stay_text(hostile, query):
    shown = marking.marked(hostile, query)
    assert without_marks(shown) == escape(hostile)


@given(st.text(), st.text())
def test_marking_adds_nothing_but_marks(text, query):
    clean = marking.readable(text)
    shown = marking.marked(text, query)
    assert shown.replace("<mark>", "").replace("</mark>", "") == escape(clean)
    assert shown.count("<mark>") == shown.count("</mark>")


def test_entities_are_never_cut_open():
    assert marking.marked("a & b", "amp") == "a &amp; b"


def test_an_excerpt_starts_a_little_before_the_first_hit():
    text = "word " * 300 + "retention clock " + "tail " * 300
    shown = marking.excerpt(text, "retention")
    assert shown.startswith("… word")
    assert "<mark>retention</mark> clock" in shown
    assert shown.endswith(" …")
    assert len(without_marks(shown)) <= marking.EXCERPT_LENGTH + 4


def test_an_excerpt_without_hit_is_the_start():
    assert marking.excerpt("start " + "word " * 300, "nothing").startswith("start word")


def test_short_texts_are_shown_whole():
    assert marking.excerpt("short <b>", "") == "short &lt;b&gt;"


def test_an_excerpt_of_one_endless_word_is_cut():
    assert len(marking.excerpt("x" * 10_000)) <= marking.EXCERPT_LENGTH + 4


@pytest.mark.parametrize("nothing", [None, ""])
def test_nothing_gives_nothing(nothing):
    assert marking.marked(nothing, "x") == ""
    assert marking.excerpt(nothing) == ""

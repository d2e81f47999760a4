"""Numbers, durations, sizes and times as the pages show them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from collections_admin.templatetags import console, formats

ODD = [None, "", "x", "<b>", b"\xff", [], {}, object(), float("nan"), float("inf"), -1, 10**400, True, "9" * 5000]
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (999, "999"),
        (10_000, "10,000"),
        (-1_204_000, "−1,204,000"),
        (12345.678, "12,345.68"),
        ("86214", "86,214"),
    ],
)
def test_large_numbers_have_digit_groups(value, shown):
    assert formats.grouped(value) == shown


def test_integers_beyond_the_precision_of_floats_stay_exact():
    assert formats.grouped(2**63 + 1) == "9,223,372,036,854,775,809"


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        (0.42, "0.4 ms"),
        (3, "3 ms"),
        (45.3, "45 ms"),
        (999.4, "999 ms"),
        (999.6, "1 s"),
        (3_200, "3.2 s"),
        (59_960, "1 m"),
        (250_000, "4 m 10 s"),
        (7_500_000, "2 h 5 m"),
        (273_600_000, "3 d 4 h"),
        (timedelta(seconds=3.2), "3.2 s"),
    ],
)
def test_durations_read_like_people_say_them(milliseconds, shown):
    assert formats.duration(milliseconds) == shown


@pytest.mark.parametrize(
    ("octets", "shown"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (184_000, "184 kB"), (2_500_000, "2.5 MB")]
)
def test_sizes_use_decimal_units(octets, shown):
    assert formats.size(octets) == shown


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:20])
def test_odd_values_never_fail_a_page(odd):
    for show in (formats.grouped, formats.duration, formats.size, console.ago, console.elapsed, console.exact_time):
        assert isinstance(show(odd), str)


@given(st.floats() | st.integers() | st.text())
def test_any_value_has_a_text(value):
    for show in (formats.grouped, formats.duration, formats.size, console.ago):
        show(value).encode()


@pytest.mark.parametrize(
    ("delta", "shown"),
    [
        (timedelta(seconds=41), "41 s ago"),
        (timedelta(minutes=3, seconds=50), "3 min ago"),
        (timedelta(hours=2), "2 h ago"),
        (timedelta(days=1), "1 d ago"),
        (timedelta(days=40), "11 Oct"),
        (timedelta(days=400), "16 Oct 2025"),
        (timedelta(hours=-2), "in 2 h"),
        (timedelta(0), "now"),
    ],
)
def test_times_are_relative(delta, shown):
    with time_machine.travel(NOW, tick=False):
        assert f">{shown}</time>" in console.ago(NOW - delta)


def test_a_relative_time_carries_the_exact_one():
    moment = datetime(2026, 11, 20, 11, 22, 33, tzinfo=timezone(timedelta(hours=1), "CET"))
    shown = console.ago(moment)
    assert 'datetime="2026-11-20T11:22:33+01:00"' in shown
    assert 'title="20 Nov 2026 11:22:33 CET"' in shown


def test_naive_times_and_iso_texts_are_utc():
    assert formats.moment("2026-11-20T12:00:00") == NOW
    assert formats.moment(datetime(2026, 11, 20, 12)) == NOW


def test_surrogates_and_nul_become_readable():
    assert formats.readable("a\ud800b\0") == "a?b\N{REPLACEMENT CHARACTER}"

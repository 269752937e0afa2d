"""Times, sizes and signals as the options read and the tables show them, recorded from 26.05."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_compat.core.errors import BadValue
from slurm_compat.core.signals import signal_name, signal_number
from slurm_compat.core.sizes import mebibytes, mem_text
from slurm_compat.core.timefmt import (
    UNLIMITED,
    clock,
    duration,
    limit_text,
    minutes,
    seconds_of,
    short_duration,
    time_format_error,
)

LIMITS = [
    ("1", 1), ("30", 30), ("90", 90), ("00000005", 5), ("1:30", 2), ("10:00", 10), ("90:00", 90), ("2:00:00", 120),
    ("1-", 1440), ("1-0", 1440), ("1-12", 2160), ("1-12:30", 2190), ("2-00:00:30", 2881), ("00:00:30", 1),
    ("0:01", 1), ("1:61", 3), ("1:2:99", 64), ("0", UNLIMITED), ("-0", UNLIMITED), ("0:0", UNLIMITED),
    ("-1", UNLIMITED), ("infinite", UNLIMITED), ("UNLIMITED", UNLIMITED), ("4294967294", UNLIMITED),
    ("-5", 0xFFFFE3E1),
]  # fmt: skip


@pytest.mark.parametrize("text, want", LIMITS)
def test_time_limits(text, want):
    assert minutes(text) == want


@pytest.mark.parametrize(
    "text",
    ["", "abc", "1d", " 5", "5 ", "1:", ":5", "1::", "::1", "1-:", "1-1:", "1-1:1:", "1:2:3:4", "1-1:1:1:1", "1-2-3",
     "+5", "1.5", "infinit", "INFINITY", "-", "-1-2", "-1:00", "-1 ", "٣"],
)  # fmt: skip
def test_no_time_limits(text):
    with pytest.raises(BadValue):
        minutes(text)


@given(st.integers(1, 10**7))
def test_a_duration_shown_is_read_again(seconds):
    text = duration(seconds)
    assert seconds_of(text) == seconds
    assert seconds_of(short_duration(seconds)) == seconds


@pytest.mark.parametrize(
    "seconds, short, long",
    [(0, "0:00", "00:00:00"), (59, "0:59", "00:00:59"), (3723, "1:02:03", "01:02:03"),
     (86400, "1-00:00:00", "1-00:00:00"), (360000, "4-04:00:00", "4-04:00:00"), (-1, "INVALID", "INVALID")],
)  # fmt: skip
def test_durations(seconds, short, long):
    assert short_duration(seconds) == short
    assert duration(seconds) == long


def test_limits_are_shown_in_full():
    assert [limit_text(60), limit_text(UNLIMITED)] == ["01:00:00", "UNLIMITED"]


SIZES = [
    ("100", 100), ("100M", 100), ("1G", 1024), ("1500M", 1500), ("2048K", 2), ("0", 0), ("1g", 1024), ("512k", 1),
    ("100MB", 100), ("1T", 1048576), ("1gB", 1024), (" 5", 5), ("+5", 5), ("1025k", 2), ("1023k", 1), ("0k", 0),
    ("1tb", 1048576),
]  # fmt: skip


@pytest.mark.parametrize("text, want", SIZES)
def test_sizes(text, want):
    assert mebibytes(text) == want


@pytest.mark.parametrize(
    "text", ["", "abc", "-5", "10Q", "x", "3.5G", "1 G", "1GiB", "1b", "0x10", "5.", "2P", "1G1", "1G ", "1MM"]
)
def test_no_sizes(text):
    with pytest.raises(BadValue):
        mebibytes(text)


@pytest.mark.parametrize(
    "mib, want",
    [(0, "0"), (500, "500M"), (1000, "1000M"), (1024, "1G"), (1536, "1.50G"), (4000, "4000M"), (10240, "10G"),
     (1048576, "1T"), (1048577, "1048577M"), (1572864, "1.50T"), (2000000, "2000000M"), (1049600, "1025G"),
     (1048064, "1023.50G"), (1049088, "1.00T"), (1000000, "1000000M")],
)  # fmt: skip
def test_sizes_shown(mib, want):
    assert mem_text(mib) == want


@pytest.mark.parametrize(
    "text, want",
    [("9", 9), ("KILL", 9), ("SIGKILL", 9), ("sigusr1", 10), ("Xcpu", 24), ("CHLD", 17), ("1000", 1000), ("+9", 9),
     ("0", None), ("", None), (" 9", None), ("9x", None), ("SEGV", None), ("WINCH", None), ("SIG", None)],
)  # fmt: skip
def test_signals(text, want):
    assert signal_number(text) == want


def test_signal_names_come_back():
    assert [signal_name(number) for number in (9, 15, 11)] == ["KILL", "TERM", "11"]


@pytest.fixture
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


NOW = 1795180462  # Fri 2026-11-20T13:14:22 UTC
DAY = 86400


@pytest.mark.parametrize(
    "then, want",
    [(NOW, "13:14:22"), (NOW + 3600, "14:14:22"), (NOW + DAY, "Tomorr 13:14"), (NOW - DAY, "Ystday 13:14"),
     (NOW + 3 * DAY, "Mon 13:14"), (NOW + 6 * DAY, "Thu 13:14"), (NOW + 7 * DAY, "27 Nov 13:14"),
     (NOW + 100 * DAY, "28 Feb 2027")],
)  # fmt: skip
def test_relative_clock(utc, then, want):
    assert clock(then, "relative", now=NOW) == want


@pytest.mark.parametrize(
    "time_format, want, error",
    [("", "2026-11-20T13:14:22", ""), ("standard", "2026-11-20T13:14:22", ""), ("%H-%M", "13-14", ""),
     ("RELATIVE", "2026-11-20T13:14:22", "invalid SLURM_TIME_FORMAT = 'RELATIVE'")],
)  # fmt: skip
def test_time_format(utc, time_format, want, error):
    assert clock(NOW, time_format) == want
    assert time_format_error(time_format) == error

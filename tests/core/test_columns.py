"""Formats of squeue and sinfo: parsing, widths, cutting, what is shown for nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_compat.core.columns import (
    BOTH,
    SETTINGS,
    VALUE,
    WIDTH,
    Cell,
    Column,
    by_letter,
    by_name,
    layout,
    or_null,
    parse_long,
    parse_short,
)

COLUMNS = (
    Column("JobId", "i", "JOBID", ("job_id",)),
    Column("Name", "j", "NAME", ("name",), or_null),
    Column("NodeList", "N", "NODELIST", ("nodes",), whole=BOTH),
    Column("TimeUsed", "M", "TIME", ("used",), whole=VALUE),
    Column("Shape", "", "S:C:T", ("job_id", "name"), lambda number, name: f"{number}:{name}"),
    Column("Site", "s", "SITE", (SETTINGS, "job_id"), lambda settings, number: f"{settings}{number}"),
    Column("Limit", "l", "LIMIT", (WIDTH, "used"), lambda width, used: str(used)[: width or None], VALUE),
)
LETTERS = by_letter(COLUMNS)
NAMES = by_name(COLUMNS)
ROW = {"job_id": 123, "name": "a_long_name", "nodes": "node[01-04]", "used": "1:02:03"}


def shown(cells, settings=None, row=ROW):
    made = layout(cells, settings)
    return made.header, made.line([row[field] for field in made.fields])


@pytest.mark.parametrize(
    "text, header, line",
    [
        ("%i", "JOBID", "123"),
        ("%.10i|%10i|", "     JOBID|JOBID     |", "       123|123       |"),
        ("%.3j|%3j", "NAM|NAM", "a_l|a_l"),
        ("%i %j lit", "JOBID NAME lit", "123 a_long_name lit"),
        ('"%i","%j"', '"JOBID","NAME"', '"123","a_long_name"'),
        ("abc", "abc", "abc"),
        ("", "", ""),
        ("%", "", ""),
        ("x%%i", "xJOBID", "x123"),  # "%%" is no percent sign: repeated ones are one
        ("%ij", "JOBIDj", "123j"),
        ("%0i|%05i|", "JOBID|JOBID|", "123|123  |"),
        ("%.4N|%4N|", "NODELIST|NODE|", "node[01-04]|node|"),
        ("%.4M|%4M|", "TIME|TIME|", "1:02:03|1:02|"),
        ("%.4l|%4l|", "LIMI|LIMI|", "1:02|1:02|"),
    ],
)
def test_short_formats(text, header, line):
    assert shown(parse_short(text, LETTERS, pytest.fail)) == (header, line)


@pytest.mark.parametrize(
    "text, told, header",
    [
        ("%-10j|", ["-"], "%-10j|"),
        ("%i lit %% %j", [" "], "JOBID lit % NAME"),
        ("%5.j|%i", ["."], "%5.j|JOBID"),
        ("%é|", ["é"], "%é|"),
    ],
)
def test_unknown_letters_are_told_and_shown_as_written(text, told, header):
    complaints = []
    assert shown(parse_short(text, LETTERS, complaints.append))[0] == header
    assert complaints == told


def test_a_width_without_a_letter_shows_the_first_unlettered_column():
    cells = parse_short("%5%j", LETTERS, pytest.fail, NAMES["shape"])
    assert cells == [Cell(NAMES["shape"], 5, False, "j"), Cell(NAMES["name"])]


@pytest.mark.parametrize(
    "text, line",
    [
        ("jobid", "123                 "),
        ("JobID:10,Name:.20", "123                a_long_name"),
        ("jobid:abc", "123abc"),
        ("jobid:,name", "123a_long_name         "),
        ("jobid: ,name:5", "123 a_lon"),
        ("jobid:5x,name:.5yy", "123  xa_lonyy"),
        ("jobid:10:", "123       :"),
        (",,jobid:4,", "123 "),
    ],
)
def test_long_formats(text, line):
    assert shown(parse_long(text, NAMES, pytest.fail))[1] == line


def test_unknown_names_are_told_and_left_out():
    complaints = []
    assert parse_long("nope,jobid:3, name", NAMES, complaints.append) == [Cell(NAMES["jobid"], 3)]
    assert complaints == ["nope", " name"]


@pytest.mark.parametrize(
    "format, want",
    [("%j|", "(null)|"), ("%.8j|", "  (null)|"), ("%8j|", "(null)  |"), ("%.2j|", "(n|"), ("%5j|", "     |")],
)
def test_nothing_is_null_and_short_cells_of_it_are_blank(format, want):
    assert shown(parse_short(format, LETTERS, pytest.fail), row=ROW | {"name": ""})[1] == want


def test_settings_reach_the_text():
    assert shown(parse_short("%s", LETTERS, pytest.fail), settings="site-")[1] == "site-123"


@pytest.mark.parametrize("name, want", [("größe", b"gr\xc3\xb6|gr\xc3\xb6"), ("日本", b" \xe6\x97\xa5|\xe6\x97\xa5 ")])
def test_widths_count_bytes(name, want):
    made = layout(parse_short("%.4j|%4j", LETTERS, pytest.fail))
    line = made.line([name]).encode("utf-8", "surrogateescape")
    assert [len(part) for part in line.split(b"|")] == [4, 4]
    assert line.startswith(name.encode()[:4])


def test_fields_are_asked_for_once_and_further_ones_follow():
    made = layout(parse_short("%i %j %i", LETTERS, pytest.fail), None, ["state", "job_id"])
    assert made.fields == ["job_id", "name", "state"]


@given(st.text(max_size=30), st.integers(1, 12), st.booleans())
def test_cut_cells_have_their_width(text, width, right):
    made = layout([Cell(COLUMNS[1], width, right)])
    assert len(made.line([text]).encode("utf-8", "surrogateescape")) == width or not text.isprintable()


@given(st.text(alphabet="%.i5j |xN", max_size=20))
def test_any_format_makes_a_line(text):
    cells = parse_short(text, LETTERS, lambda letter: None, NAMES["shape"])
    assert isinstance(shown(cells)[1], str)

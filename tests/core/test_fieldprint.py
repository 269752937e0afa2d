"""Fields in columns and between delimiters, amounts in units, node state words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_compat.core import nodestates, units
from slurm_compat.core.errors import BadValue
from slurm_compat.core.fieldprint import BETWEEN, DATE, ENDED, WHOLE, Field, chosen, header, line, name_table, needs


def field(name, width, kind="text"):
    return Field(name, width, (name.lower(),), lambda record, view: record[name.lower()], kind)


TABLE = (field("Name", 6), field("NNodes", 4, WHOLE), field("JobID", -8), field("Start", 10, DATE))
RECORD = {"name": "abcdefgh", "nnodes": "123456", "jobid": "7.batch", "start": "2031-03-04T05:06:07"}


@pytest.mark.parametrize(
    "text, head, row",
    [
        ("name", "  Name ", "abcde+ "),
        ("n,nn", "  Name NNod ", "abcde+ 123456 "),
        ("jobid,name%-3,JOB%4", "JobID    Nam JobI ", "7.batch  ab+ 7.b+ "),
        ("start,start%25", "     Start                     Start ", "##########       2031-03-04T05:06:07 "),
        ("name%0,jobid%x", "  ", "  "),
        ("", "", ""),
    ],
)
def test_columns(text, head, row):
    placed = chosen(text, TABLE)
    assert header(placed)[0] == head
    assert line(placed, RECORD, None) == row
    assert len(header(placed)[1]) == len(head)


def test_between_delimiters_nothing_is_cut():
    placed = chosen("jobid,name%2", TABLE)
    assert header(placed, BETWEEN) == ["JobID|Name"]
    assert line(placed, RECORD, None, ENDED, "::") == "7.batch::abcdefgh::"


def test_unknown_and_all():
    with pytest.raises(BadValue, match="bogus"):
        chosen("name,bogus", TABLE)
    assert [placed.field.name for placed in chosen("all", TABLE)] == ["Name", "NNodes", "JobID", "Start"]
    assert needs(chosen("jobid,jobid,name", TABLE), ["extra", "name"]) == ["jobid", "name", "extra"]


@given(st.text(max_size=30), st.integers(1, 40))
def test_a_text_column_is_as_wide_as_it_says_in_bytes(text, width):
    placed = chosen(f"name%{width}", TABLE)
    shown = line(placed, {"name": text}, None)
    assert len(shown.encode("utf-8", "surrogateescape")) == width + 1


def test_a_table_of_names():
    assert list(name_table(["a", "bb", "ccc"], columns=2, width=4)) == ["a    bb  ", "ccc "]


@pytest.mark.parametrize(
    "mebibytes, exact, gibi, kibi",
    [
        (1536, "1.50G", "1.50G", "1572864K"),
        (1000, "1000M", "0.98G", "1024000K"),
        (1024, "1G", "1G", "1048576K"),
        (3584, "3.50G", "3.50G", "3670016K"),
        (1, "1M", "0.00G", "1024K"),
        (0, "0", "0", "0"),
    ],
)
def test_amounts(mebibytes, exact, gibi, kibi):
    assert units.amount(mebibytes, units.MEGA) == exact
    assert units.amount(mebibytes, units.MEGA, units.Units(3)) == gibi
    assert units.amount(mebibytes, units.MEGA, units.Units(1)) == kibi
    assert units.mebibytes_of(exact) == (mebibytes or None)


@pytest.mark.parametrize(
    "state, flags, long, compact",
    [
        ("IDLE", [], "IDLE", "IDLE"),
        ("IDLE", ["NOT_RESPONDING"], "IDLE*", "IDLE*"),
        ("ALLOCATED", [], "ALLOCATED", "ALLOC"),
        ("ALLOCATED", ["COMPLETING"], "ALLOCATED+", "ALLOC+"),
        ("IDLE", ["COMPLETING"], "COMPLETING", "COMP"),
        ("MIXED", ["COMPLETING"], "COMPLETING", "COMP"),
        ("MIXED", ["PLANNED"], "MIXED-", "MIX-"),
        ("IDLE", ["PLANNED"], "PLANNED", "PLND"),
        ("IDLE", ["RESERVED"], "RESERVED", "RESV"),
        ("IDLE", ["MAINTENANCE", "RESERVED"], "MAINT", "MAINT"),
        ("MIXED", ["MAINTENANCE", "RESERVED"], "MIXED$", "MIX$"),
        ("IDLE", ["DRAIN"], "DRAINED", "DRAIN"),
        ("DOWN", ["DRAIN", "NOT_RESPONDING"], "DRAINED*", "DRAIN*"),
        ("MIXED", ["DRAIN"], "DRAINING", "DRNG"),
        ("IDLE", ["DRAIN", "COMPLETING"], "DRAINING", "DRNG"),
        ("IDLE", ["FAIL", "NOT_RESPONDING"], "FAIL*", "FAIL*"),
        ("ALLOCATED", ["FAIL"], "FAILING", "FAILG"),
        ("DOWN", ["NOT_RESPONDING"], "DOWN*", "DOWN*"),
        ("IDLE", ["REBOOT_REQUESTED"], "REBOOT", "BOOT"),
        ("IDLE", ["REBOOT_ISSUED"], "REBOOT^", "BOOT^"),
        ("ALLOCATED", ["REBOOT_REQUESTED"], "ALLOCATED@", "ALLOC@"),
        ("IDLE", ["POWERED_DOWN"], "IDLE~", "IDLE~"),
        ("FUTURE", [], "FUTURE", "FUTR"),
        ("UNKNOWN", ["NOT_RESPONDING"], "UNKNOWN*", "UNK*"),
    ],
)
def test_node_state_words(state, flags, long, compact):
    assert nodestates.long_state(state, flags) == long
    assert nodestates.compact_state(state, flags) == compact


def test_all_of_a_node_state():
    assert nodestates.full_state("IDLE", ["RESERVED", "MAINTENANCE"]) == "IDLE+MAINTENANCE+RESERVED"
    assert nodestates.full_state("MIXED", ["DRAIN"]) == "MIXED+DRAIN"
    order = [("MIXED", ["DRAIN"]), ("IDLE", ["DRAIN"]), ("MIXED", []), ("ALLOCATED", []), ("IDLE", []), ("DOWN", [])]
    assert sorted(order, key=lambda each: -nodestates.sort_number(*each)) == order

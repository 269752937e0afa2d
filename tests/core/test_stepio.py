"""The frames between srun and the agents: however the bytes are cut, the frames are the same."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_compat.core import stepio

FRAMES = [
    stepio.message(stepio.HELLO, {"node": "node01"}),
    stepio.data(stepio.STDOUT, 3, b"some\noutput"),
    stepio.data(stepio.STDERR, 0, b""),
    stepio.number(stepio.CREDIT, stepio.ALL, 65536),
]


@given(st.lists(st.integers(1, 9), min_size=1))
def test_frames_survive_any_cutting(sizes):
    whole = b"".join(FRAMES)
    reader, found, place, turn = stepio.Reader(), [], 0, 0
    while place < len(whole):
        size = sizes[turn % len(sizes)]
        found += reader.feed(whole[place : place + size])
        place, turn = place + size, turn + 1
    assert [frame.kind for frame in found] == [stepio.HELLO, stepio.STDOUT, stepio.STDERR, stepio.CREDIT]
    assert found[0].value == {"node": "node01"}
    assert (found[1].task, found[1].body) == (3, b"some\noutput")
    assert found[3].number == 65536


def test_a_frame_that_is_too_long_is_none():
    with pytest.raises(stepio.BadFrame):
        list(stepio.Reader().feed(stepio.HEAD.pack(stepio.STDOUT, 0, stepio.MAX_BODY + 1)))


@pytest.mark.parametrize("body", [b"", b"{", b"\xff"])
def test_a_body_that_is_no_json_is_a_bad_frame(body):
    with pytest.raises((stepio.BadFrame, UnicodeDecodeError)):
        _ = stepio.Frame(stepio.HELLO, 0, body).value


@given(st.lists(st.binary(max_size=40)))
def test_lines_hold_back_what_is_not_whole_and_lose_nothing(pieces):
    lines = stepio.Lines()
    out = [lines.feed(piece) for piece in pieces]
    assert all(not piece or piece.endswith(b"\n") for piece in out)
    assert b"".join(out) + lines.rest() == b"".join(pieces)


def test_a_line_without_end_goes_out_in_parts():
    lines = stepio.Lines()
    assert lines.feed(b"x" * stepio.Lines.LONGEST) == b"x" * stepio.Lines.LONGEST


@pytest.mark.parametrize(
    "body, want",
    [(b"a\nb\n", b"0: a\n0: b\n"), (b"a", b"0: a\n"), (b"\n", b"0: \n"), (b"a\n\nb\n", b"0: a\n0: \n0: b\n")],
)
def test_labels_as_srun_writes_them(body, want):
    assert stepio.labelled(body, b"0: ") == want


def test_messages_are_json():
    frame = next(stepio.Reader().feed(stepio.message(stepio.EXITED, {"status": 9, "tasks": [0, 1]})))
    assert json.loads(frame.body) == {"status": 9, "tasks": [0, 1]}

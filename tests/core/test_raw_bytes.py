"""Bytes that are no UTF-8 go over the wire and come back as they were."""

import io
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_compat.agent.link import FrameReader
from slurm_compat.agent.link import frame as agent_frame
from slurm_compat.core.rawbytes import carried, restored
from slurm_compat.core.wire import LENGTH, frame, read_frame


@given(st.binary())
def test_any_bytes_come_back(data):
    text = os.fsdecode(data)
    sent = json.dumps(carried({text: [text, 1, None, {"a": text}]}), ensure_ascii=False).encode()
    assert restored(json.loads(sent)) == {text: [text, 1, None, {"a": text}]}


@pytest.mark.parametrize("make", [frame, agent_frame])
@pytest.mark.parametrize("data", [b"plain", "é€😀".encode(), b"\xe9t\xe9", b"\xff\xfe\x80"])
def test_frames_of_both_ends_carry_them(make, data):
    value = {"call": "x", "args": {"name": os.fsdecode(data)}}
    sent = make(value)
    assert len(sent) == LENGTH.size + LENGTH.unpack_from(sent)[0]
    assert read_frame(io.BytesIO(sent).read) == value
    assert FrameReader().feed(sent) == [value]
    sent[LENGTH.size :].decode("utf-8")  # what is on its way is text

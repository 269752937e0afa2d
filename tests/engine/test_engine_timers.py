"""The kubelet's timers."""

from __future__ import annotations

from slurm_compat.engine.timers import SPARE, Timers


def test_timers_run_in_their_order_and_dropped_ones_never():
    now = [0.0]
    ran = []
    timers = Timers(lambda: now[0])
    for name, delay in (("c", 3), ("a", 1), ("b", 1)):
        timers.add(delay, lambda name=name: ran.append(name))
    gone = timers.add(2, lambda: ran.append("never"))
    assert timers.next() == [1.0] and len(timers) == 4
    timers.drop(gone)
    timers.drop(gone)
    assert len(timers) == 3
    timers.run()
    assert ran == []
    now[0] = 2.5
    timers.run()
    assert ran == ["a", "b"] and timers.next() == [3.0]
    now[0] = 9
    timers.run()
    timers.run()
    assert ran == ["a", "b", "c"] and timers.next() == [] and len(timers) == 0


def test_dropped_timers_take_no_room():
    timers = Timers(lambda: 0.0)
    for _ in range(10 * SPARE):
        timers.drop(timers.add(1e6, lambda: None))
    assert len(timers) == 0 and len(timers._heap) <= 2 * SPARE

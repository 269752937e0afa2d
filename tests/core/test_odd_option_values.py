"""Values that nobody means and scripts give all the same; answers as recorded from a Slurm 26.05."""

import pytest

from slurm_compat.core import optionfreq, optionvalues
from slurm_compat.core.errors import CommandError
from slurm_compat.core.options import Where
from slurm_compat.core.timefmt import minutes


def answer(reader, option, text):
    try:
        return reader(text, Where("sbatch", option))
    except CommandError as problem:
        return [line.removeprefix("sbatch: error: ") for line in problem.lines]


@pytest.mark.parametrize(
    "text, limit",
    [("35791394", 4259175903), ("71582788", 0xFFFFFFFF), ("71582789", 1), ("999999999", 4292808261),
     ("99999999999", 4293812088), ("100000-0", 834424), ("-5", 4294960097)],
)  # fmt: skip
def test_time_limits_are_counted_in_32_bits(text, limit):
    assert minutes(text) == limit


@pytest.mark.parametrize(
    "text, least, most",
    [
        ("-3", None, 3),
        ("-0", None, None),
        ("0-2", None, 2),
        ("0", 0, 0),
        ("1,3", 1, 3),
        ("1,", 1, 1),
        ("1K", 1024, 1024),
    ],
)
def test_node_counts(text, least, most):
    assert answer(optionvalues.nodes, "nodes", text) == {"minimum_nodes": least, "maximum_nodes": most}


@pytest.mark.parametrize(
    "reader, option, text, want",
    [
        (optionvalues.segment, "segment", "", {"segment_size": 0}),
        (optionvalues.segment, "segment", "-3", ["Invalid --segment specification"]),
        (optionvalues.segment, "segment", "70000", ["Invalid --segment specification"]),
        (optionvalues.wait_all_nodes, "wait-all-nodes", "", {"wait_all_nodes": 0}),
        (optionvalues.immediate, "immediate", "", {"immediate": 1}),
        (optionvalues.ignore_signals, "ignore-signals", ",", ["--ignore-signals requires at least one signal"]),
        (optionvalues.ignore_signals, "ignore-signals", "99", ["Invalid signal name or number: 99"]),
        (optionvalues.kill_command, "kill-command", "", {"kill_command": 15}),
        (optionvalues.kill_on_bad_exit, "K", "7x", ['Invalid numeric value "7x" for --kill-on-bad-exit.']),
        (optionvalues.gres_flags, "gres-flags", ",", {"gres_flags": []}),
        (optionvalues.gres_flags, "gres-flags", "foo,", ["Invalid --gres-flags specification: foo"]),
        (optionvalues.extra_node_info, "B", "-3", ['Invalid numeric value "-3" for first arg of -B.']),
        (optionvalues.acctg_freq, "acctg-freq", "7x%", {"account_gather_frequency": "7x%"}),
        (optionvalues.acctg_freq, "acctg-freq", "5,x", ["Invalid --acctg-freq specification: x"]),
        (optionvalues.acctg_freq, "acctg-freq", "-1", ["Invalid --acctg-freq specification: -1"]),
        (optionvalues.signal, "signal", ":USR1",
         {"kill_warning_signal": 10, "kill_warning_delay": 60, "kill_warning_flags": []}),
        (optionvalues.send_libs, "send-libs", "7x", ["Invalid --send-libs specification"]),
        (optionvalues.accel_bind, "accel-bind", "", ["Invalid --accel-bind specification"]),
    ],
)  # fmt: skip
def test_odd_values(reader, option, text, want):
    assert answer(reader, option, text) == want


LAST = "Invalid --cpu-freq argument"


@pytest.mark.parametrize(
    "text, want",
    [
        ("low-high:performance", {"cpu_freq": "Low-High:Performance"}),
        ("ondemand", {"cpu_freq": "OnDemand"}),
        ("3000", {"cpu_freq": "3000"}),
        ("", [LAST]),
        ("-3", [LAST]),
        ("x-", ['unrecognized --cpu-freq argument "x"', LAST]),
        ("low:foo", ["illegal governor: foo on --cpu-freq", LAST]),
        ("low:performance", ["gov on cpu-frec (performance) illegal without max", LAST]),
        ("powersave", ["governor of powersave is not allowed in slurm.conf", LAST]),
    ],
)
def test_cpu_frequencies(text, want):
    assert answer(optionfreq.cpu_freq, "cpu-freq", text) == want

"""PreemptType, PreemptMode and PreemptExemptTime: their words, and which of them can be kept here.

Source: slurm.conf(5); sacctmgr(1), Preempt, PreemptMode, GraceTime.
"""

from __future__ import annotations

import signal

from slurm_compat.core.errors import BadValue
from slurm_compat.core.timefmt import UNLIMITED, seconds_of

NONE, QOS, PARTITION_PRIO = "none", "qos", "partition_prio"
OFF, CANCEL, REQUEUE = "OFF", "CANCEL", "REQUEUE"

WARNING = (int(signal.SIGCONT), int(signal.SIGTERM))  # what a job's steps get when its grace begins

_REFUSED = {
    "SUSPEND": "a suspended job keeps its pods, so nothing is gained for another; use REQUEUE or CANCEL",
    "GANG": "time slices need suspended jobs, which keep their pods; use REQUEUE or CANCEL",
    "WITHIN": "jobs of one QOS do not preempt each other here; give the more urgent ones a QOS with Preempt",
}


def type_of(text: str) -> str:
    """ "preempt/qos" -> "qos"; "" and "preempt/none" -> "none". Raises BadValue."""
    word = text.lower().removeprefix("preempt/")
    if word in ("", NONE):
        return NONE
    if word not in (QOS, PARTITION_PRIO):
        raise BadValue(
            f"PreemptType={text} is not known; it may be preempt/none, preempt/qos or preempt/partition_prio"
        )
    return word


def mode_of(text: str) -> str:
    """OFF, CANCEL or REQUEUE; "" for "" and "cluster", which leave it to the cluster. Raises BadValue."""
    word = text.upper()
    if word in ("", "CLUSTER"):
        return ""
    for part in word.split(","):
        if part in _REFUSED:
            raise BadValue(f"PreemptMode={part} is not supported here: {_REFUSED[part]}")
    if word not in (OFF, CANCEL, REQUEUE):
        raise BadValue(f"PreemptMode={text} is not known; it may be OFF, CANCEL or REQUEUE")
    return word


def seconds(text: str) -> int:
    """A PreemptExemptTime; what is none, or endless, is 0. The shapes are a time limit's."""
    try:
        found = seconds_of(text) if text else 0
    except BadValue:
        return 0
    return 0 if found == UNLIMITED or found < 0 else found

"""Every call the controller answers: its arguments, the kind of its answer, and who may make it.

The table is the contract between commands, agents and controller. The arguments' structs (callargs, jobargs, stepargs,
bookargs, clusterargs) check what comes over the wire, and their docstrings say what a result is. A call whose `answer`
is ROWS sends rows in the order of `fields`, then {"result": {}}; EVENTS keeps the connection open and sends event
frames until the caller closes it or the story ends.
"""

from __future__ import annotations

from typing import NamedTuple

from slurm_compat.core import bookargs, callargs, clusterargs, jobargs, stepargs

ROWS = "rows"
EVENTS = "events"
RESULT = "result"

# who may call; the owner rules are checked again job by job
ANYONE = "anyone"  # any user the kernel or a token vouches for
OWNER = "owner"  # the job's user, its account's coordinator, or an operator
OPERATOR = "operator"
ADMIN = "admin"
AGENT = "agent"  # whoever holds the job's token


class Call(NamedTuple):
    name: str
    args: type[callargs.Args]
    answer: str
    who: str


CALLS = {
    call.name: call
    for call in (
        Call("ping", callargs.Nothing, RESULT, ANYONE),  # {hostname, version, pid, boot_time, mode}
        Call("config", callargs.Nothing, RESULT, ANYONE),  # {pairs: [[key, text]…], as scontrol show config lists them}
        Call("submit", jobargs.Submit, RESULT, ANYONE),
        Call("will_run", jobargs.WillRun, RESULT, ANYONE),
        Call("jobs", jobargs.Jobs, ROWS, ANYONE),
        Call("job_script", callargs.JobId, RESULT, OWNER),  # {script: base64}
        Call("steps", stepargs.Steps, ROWS, ANYONE),
        Call("nodes", callargs.Fields, ROWS, ANYONE),
        Call("partitions", callargs.Fields, ROWS, ANYONE),
        Call("reservations", callargs.Fields, ROWS, ANYONE),
        Call("licenses", callargs.Fields, ROWS, ANYONE),
        Call("accounting", jobargs.Accounting, ROWS, ANYONE),
        Call("associations", callargs.Fields, ROWS, ANYONE),  # with their use and fair share, where asked for
        Call("accounts", callargs.Fields, ROWS, ANYONE),
        Call("users", callargs.Fields, ROWS, ANYONE),
        Call("qos", callargs.Fields, ROWS, ANYONE),
        Call("assoc_mgr", bookargs.AssocMgr, RESULT, ANYONE),
        Call("tres", callargs.Fields, ROWS, ANYONE),
        Call("events", bookargs.Events, ROWS, ANYONE),
        Call("transactions", bookargs.Events, ROWS, ANYONE),  # id, at, action, actor, name, info
        Call("change_book", bookargs.ChangeBook, RESULT, ANYONE),
        Call("book_records", callargs.Nothing, RESULT, ANYONE),  # {wckeys, resources, deleted}
        Call("usage", bookargs.Usage, RESULT, ANYONE),
        Call("cluster_usage", bookargs.Span, RESULT, ANYONE),
        Call("reservation_usage", bookargs.Span, RESULT, ANYONE),
        Call("job_sizes", bookargs.JobSizes, RESULT, ANYONE),
        Call("priorities", jobargs.Priorities, ROWS, ANYONE),
        Call("cancel", jobargs.Cancel, RESULT, OWNER),
        Call("hold", jobargs.Hold, RESULT, OWNER),
        Call("release", callargs.Targets, RESULT, OWNER),
        Call("requeue", jobargs.Requeue, RESULT, OWNER),
        Call("suspend", callargs.Targets, RESULT, OWNER),
        Call("resume", callargs.Targets, RESULT, OWNER),
        Call("update_job", jobargs.UpdateJob, RESULT, OWNER),
        Call("update_node", clusterargs.UpdateNode, RESULT, ADMIN),
        Call("update_partition", clusterargs.UpdatePartition, RESULT, ADMIN),
        Call("update_reservation", clusterargs.UpdateReservation, RESULT, ANYONE),
        Call("crontab", jobargs.Crontab, RESULT, OWNER),
        Call("update_crontab", jobargs.UpdateCrontab, RESULT, OWNER),
        Call("triggers", callargs.Nothing, RESULT, ANYONE),
        Call("set_trigger", clusterargs.SetTrigger, RESULT, ANYONE),  # SlurmUser
        Call("clear_triggers", clusterargs.ClearTriggers, RESULT, ANYONE),  # whoever set them, or an administrator
        Call("wait_job", callargs.JobId, EVENTS, ANYONE),  # event ended{job_state, exit_code} once, for sbatch --wait
        Call("allocate", jobargs.Allocate, EVENTS, ANYONE),
        Call("complete_allocation", jobargs.CompleteAllocation, RESULT, OWNER),
        Call("step_create", stepargs.StepCreate, EVENTS, OWNER),
        Call("step_complete", stepargs.StepComplete, RESULT, OWNER),
        Call("step_attach", stepargs.StepAttach, RESULT, OWNER),
        Call("broadcast", stepargs.Broadcast, RESULT, OWNER),
        Call("relay_listen", stepargs.RelayListen, EVENTS, ANYONE),
        Call("relay_dial", stepargs.RelayDial, EVENTS, AGENT),  # whoever has the ticket
        Call("relay_take", stepargs.RelayTake, EVENTS, ANYONE),  # whoever was told the word
        Call("agent", stepargs.AgentHello, EVENTS, AGENT),
        Call("authenticate", clusterargs.Authenticate, RESULT, AGENT),
        Call("token", clusterargs.Token, RESULT, ANYONE),
        Call("statistics", clusterargs.Statistics, RESULT, ANYONE),
        Call("notify", jobargs.Notify, RESULT, OWNER),
        Call("set_debug", clusterargs.SetDebug, RESULT, ANYONE),  # an operator's, refused in words of its own
        Call("power", callargs.Nothing, RESULT, ADMIN),
        Call("shutdown", callargs.Nothing, RESULT, ADMIN),
        Call("reconfigure", callargs.Nothing, RESULT, ADMIN),
    )
}

"""Which of Slurm's messages our calls stand for: sdiag and `sacctmgr show stats` name them so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Message(NamedTuple):
    name: str
    number: int


# call, form (which kind of question, where one call is several messages): message to slurmctld
CONTROLLER: dict[tuple[str, str], Message] = {
    ("ping", ""): Message("REQUEST_PING", 1008),
    ("config", ""): Message("REQUEST_BUILD_INFO", 2001),
    ("submit", ""): Message("REQUEST_SUBMIT_BATCH_JOB", 4003),
    ("will_run", ""): Message("REQUEST_JOB_WILL_RUN", 4012),
    ("allocate", ""): Message("REQUEST_RESOURCE_ALLOCATION", 4001),
    ("complete_allocation", ""): Message("REQUEST_COMPLETE_JOB_ALLOCATION", 5017),
    ("jobs", ""): Message("REQUEST_JOB_INFO", 2003),
    ("jobs", "one"): Message("REQUEST_JOB_INFO_SINGLE", 2021),
    ("jobs", "users"): Message("REQUEST_JOB_USER_INFO", 2039),
    ("job_script", ""): Message("REQUEST_BATCH_SCRIPT", 2051),
    ("wait_job", ""): Message("REQUEST_JOB_STATE", 2057),
    ("steps", ""): Message("REQUEST_JOB_STEP_INFO", 2005),
    ("step_create", ""): Message("REQUEST_JOB_STEP_CREATE", 5001),
    ("step_complete", ""): Message("REQUEST_STEP_COMPLETE", 5016),
    ("nodes", ""): Message("REQUEST_NODE_INFO", 2007),
    ("partitions", ""): Message("REQUEST_PARTITION_INFO", 2009),
    ("reservations", ""): Message("REQUEST_RESERVATION_INFO", 2024),
    ("licenses", ""): Message("REQUEST_LICENSE_INFO", 1021),
    ("priorities", ""): Message("REQUEST_PRIORITY_FACTORS", 2026),
    ("associations", ""): Message("REQUEST_SHARE_INFO", 2022),
    ("cancel", ""): Message("REQUEST_KILL_JOB", 5032),
    ("hold", ""): Message("REQUEST_UPDATE_JOB", 3001),
    ("release", ""): Message("REQUEST_UPDATE_JOB", 3001),
    ("update_job", ""): Message("REQUEST_UPDATE_JOB", 3001),
    ("requeue", ""): Message("REQUEST_JOB_REQUEUE", 5023),
    ("suspend", ""): Message("REQUEST_SUSPEND", 5014),
    ("resume", ""): Message("REQUEST_SUSPEND", 5014),
    ("update_node", ""): Message("REQUEST_UPDATE_NODE", 3002),
    ("update_partition", ""): Message("REQUEST_UPDATE_PARTITION", 3005),
    ("agent", ""): Message("MESSAGE_NODE_REGISTRATION_STATUS", 1002),
    ("update_job", "top"): Message("REQUEST_TOP_JOB", 5038),
    ("update_partition", "create"): Message("REQUEST_CREATE_PARTITION", 3003),
    ("update_partition", "delete"): Message("REQUEST_DELETE_PARTITION", 3004),
    ("update_reservation", ""): Message("REQUEST_UPDATE_RESERVATION", 3009),
    ("update_reservation", "create"): Message("REQUEST_CREATE_RESERVATION", 3006),
    ("update_reservation", "delete"): Message("REQUEST_DELETE_RESERVATION", 3008),
    ("assoc_mgr", ""): Message("REQUEST_ASSOC_MGR_INFO", 2043),
    ("set_debug", ""): Message("REQUEST_SET_DEBUG_LEVEL", 1010),
    ("notify", ""): Message("REQUEST_JOB_NOTIFY", 4022),
    ("step_attach", ""): Message("REQUEST_STEP_LAYOUT", 5021),
    ("broadcast", ""): Message("REQUEST_JOB_SBCAST_CRED", 4023),
    ("triggers", ""): Message("REQUEST_TRIGGER_GET", 2018),
    ("clear_triggers", ""): Message("REQUEST_TRIGGER_CLEAR", 2019),
    ("token", ""): Message("REQUEST_AUTH_TOKEN", 5039),
    ("statistics", ""): Message("REQUEST_STATS_INFO", 2035),
    ("reconfigure", ""): Message("REQUEST_RECONFIGURE", 1003),
    ("shutdown", ""): Message("REQUEST_SHUTDOWN", 1005),
}
# those that Slurm's commands ask slurmdbd
DATABASE: dict[tuple[str, str], Message] = {
    ("accounting", ""): Message("DBD_GET_JOBS_COND", 1444),
    ("accounts", ""): Message("DBD_GET_ACCOUNTS", 1409),
    ("users", ""): Message("DBD_GET_USERS", 1415),
    ("qos", ""): Message("DBD_GET_QOS", 1448),
    ("tres", ""): Message("DBD_GET_TRES", 1486),
    ("events", ""): Message("DBD_GET_EVENTS", 1470),
    ("transactions", ""): Message("DBD_GET_TXN", 1445),
    ("book_records", ""): Message("DBD_GET_WCKEYS", 1453),
    ("usage", ""): Message("DBD_GET_ASSOC_USAGE", 1411),
    ("cluster_usage", ""): Message("DBD_GET_CLUSTER_USAGE", 1413),
    ("reservation_usage", ""): Message("DBD_GET_RESVS", 1464),
    ("job_sizes", ""): Message("DBD_GET_JOBS_COND", 1444),
    ("change_book", "add account"): Message("DBD_ADD_ACCOUNTS_COND", 1501),
    ("change_book", "add user"): Message("DBD_ADD_USERS_COND", 1502),
    ("change_book", "add qos"): Message("DBD_ADD_QOS", 1447),
    ("change_book", "add coordinator"): Message("DBD_ADD_ACCOUNT_COORDS", 1403),
    ("change_book", "modify qos"): Message("DBD_MODIFY_QOS", 1451),
    ("change_book", "delete user"): Message("DBD_REMOVE_ASSOCS", 1437),
    ("change_book", "delete account"): Message("DBD_REMOVE_ACCOUNTS", 1435),
    ("change_book", "delete qos"): Message("DBD_REMOVE_QOS", 1450),
    ("change_book", "delete coordinator"): Message("DBD_REMOVE_ACCOUNT_COORDS", 1436),
    ("change_book", ""): Message("DBD_MODIFY_ASSOCS", 1429),  # of any other entity
}
# messages to Armada, and mail, that wait to be sent: by the message slurmctld would send its nodes for it
OUTGOING = {
    "submit": Message("REQUEST_BATCH_JOB_LAUNCH", 4005),
    "cancel": Message("REQUEST_KILL_TIMELIMIT", 6009),
    "reprioritize": Message("REQUEST_UPDATE_JOB", 3001),
    "queue": Message("ACCOUNTING_UPDATE_MSG", 10001),
    "mail": Message("SRUN_USER_MSG", 7005),
}
OTHER = 9999  # a call that Slurm has no message for is shown by its own name


class Count(NamedTuple):
    name: str
    number: int  # of the message, or of the user
    calls: int
    total: int  # microseconds

    @property
    def average(self) -> int:
        return self.total // self.calls if self.calls else 0


def pending(kinds: Mapping[str, int]) -> list[Count]:
    """What waits to be sent, by message."""
    return [Count(*OUTGOING[kind], count, 0) for kind, count in kinds.items() if kind in OUTGOING]


def counts(calls: Iterable[tuple[str, str, int, int]], database: bool = False) -> list[Count]:
    """By message; several calls may be one message. Each side shows what is asked of it."""
    table, others = (DATABASE, CONTROLLER) if database else (CONTROLLER, DATABASE)
    total: dict[Message, tuple[int, int]] = {}
    for call, form, count, micros in calls:
        if (call, form) in others or (call, "") in others or (database and (call, "") not in table):
            continue
        message = table.get((call, form)) or table.get((call, "")) or Message(call.upper(), OTHER)
        before = total.get(message, (0, 0))
        total[message] = (before[0] + count, before[1] + micros)
    return [Count(message.name, message.number, *sums) for message, sums in total.items()]

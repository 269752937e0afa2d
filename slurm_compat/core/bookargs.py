"""Arguments of the calls about accounts, users and QOS, and about what was used."""

from __future__ import annotations

from typing import Any

from slurm_compat.core.callargs import Args


class ChangeBook(Args):
    """sacctmgr's changes: -> what controller/bookcalls.HANDLERS say of (verb, entity). `dry`: tried, not done.

    `where`: whom, by names, accounts, partitions and the like; `values`: what is set, by the attributes of
    core/cluster's *Conf, None to take away; lists as {"op": "=", "+=" or "-=", "names"}. Who may is asked entity by
    entity.
    """

    verb: str
    entity: str
    where: dict[str, list[str]] = {}
    values: dict[str, Any] = {}
    dry: bool = False


class AssocMgr(Args):
    """scontrol show assoc_mgr: -> {users, associations, qos: records of those of `kinds`}; filters are names.

    Records have limits as they count, and what counts against them now: see controller/assocmgr.py.
    """

    kinds: list[str] = []  # users, associations, qos; none: all
    users: list[str] = []
    accounts: list[str] = []
    qos: list[str] = []


class Events(Args):
    """Of nodes that took no work, between two moments (0: open): controller/nodeevents.NodeEvent's fields."""

    fields: list[str]
    start: int = 0
    end: int = 0


class Span(Args):
    """Whole hours from `start` to `end`, epoch seconds.

    cluster_usage -> {cluster, tres: {name: {count, total, alloc, down, pdown, idle, plan, over}}}, resource-seconds.
    reservation_usage -> {rows: [{name, id, start, end, tres, used, nodes, flags, associations}]}.
    """

    start: int
    end: int


class Usage(Span):
    """-> {rows: [[first, second, tres, resource-seconds]…], total: {tres: of the whole cluster}}.

    `kind`: association (account, user), qos (account, QOS) or wckey (key, user).
    """

    kind: str


class JobSizes(Span):
    """-> {rows: [[account, wckey, CPUs of each job, resource-seconds of `tres`, jobs]…]}. Filters as accounting's."""

    tres: str = "cpu"
    user_ids: list[int] = []
    group_ids: list[int] = []
    partitions: list[str] = []
    wckeys: list[str] = []
    job_ids: list[int] = []
    nodes: list[str] = []

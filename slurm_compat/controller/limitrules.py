"""The limits of a user, an account and a QOS as a short list of rules, in the order Slurm asks them.

First what needs no nodes (use of wall time, counts of jobs, the time limit), QOS before associations; then resources,
in the same order. A limit of a QOS stands in place of the associations' of the same kind, and of the partition's QOS
and the job's the first one's (the partition's, but with OverPartQOS the job's). Group limits count for every account
up the tree; a user's own, where it isn't set, is the nearest account's.
Source: sacctmgr(1), SPECIFICATIONS FOR ASSOCIATIONS and FOR QOS; slurm.conf(5); observed on 26.05.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from slurm_compat.controller.tally import Bucket
from slurm_compat.core import limitreasons as words
from slurm_compat.core import tres
from slurm_compat.core.cluster import AccountConf, ClusterConf, QosConf, UserConf
from slurm_compat.core.errors import BadValue
from slurm_compat.core.limitreasons import tres_reason
from slurm_compat.core.timefmt import UNLIMITED, seconds_of

ROOT = "root"

# what a rule compares: see limitchecks.HOLDS
WALL_USED, JOBS, TIME, USED, HELD, PROMISED, JOB_TIME, JOB, NODE, LEAST = (
    "wall used", "jobs", "time", "used", "held", "promised", "job time", "job", "node", "least",
)  # fmt: skip
SUBMITTED = "submitted"


class Rule(NamedTuple):
    kind: str
    bucket: Bucket  # whose jobs count; () for what is of one job
    tres: str  # "" for what is no resource
    most: float  # minutes, MiB or a number, as the limit is
    reason: str
    of_qos: bool


class Row(NamedTuple):
    """One key: of a QOS, of every account up the tree (`own` False), or a user's own."""

    field: str
    kind: str
    bucket: str  # of a QOS: the bucket's kind
    reason: str  # of a key that is no TRES
    limit: str = ""  # of a TRES: which words
    own: bool = False
    beaten_by: tuple[str, ...] = ()  # keys of a QOS that stand in its place


QOS_FIRST = (
    Row("grp_wall",             WALL_USED, "qos",         "QOSGrpWallLimit"),
    Row("grp_jobs",             JOBS,      "qos",         "QOSGrpJobsLimit"),
    Row("max_jobs_per_account", JOBS,      "qos account", "MaxJobsPerAccount"),
    Row("max_jobs_per_user",    JOBS,      "qos user",    "QOSMaxJobsPerUserLimit"),
    Row("max_wall",             TIME,      "",            "QOSMaxWallDurationPerJobLimit"),
)  # fmt: skip
QOS_THEN = (
    Row("grp_tres_mins",                 USED,     "qos",         "", words.GRP_MINS),
    Row("grp_tres",                      HELD,     "qos",         "", words.GRP),
    Row("grp_tres_run_mins",             PROMISED, "qos",         "", words.GRP_RUN_MINS),
    Row("max_tres_mins_per_job",         JOB_TIME, "",            "", words.JOB_MINS),
    Row("max_tres_per_job",              JOB,      "",            "", words.JOB),
    Row("max_tres_per_node",             NODE,     "",            "", words.NODE),
    Row("min_tres_per_job",              LEAST,    "",            "", words.LEAST),
    Row("max_tres_per_account",          HELD,     "qos account", "", words.ACCOUNT),
    Row("max_tres_per_user",             HELD,     "qos user",    "", words.USER),
    Row("max_tres_run_mins_per_account", PROMISED, "qos account", "", words.ACCOUNT_RUN_MINS),
    Row("max_tres_run_mins_per_user",    PROMISED, "qos user",    "", words.USER_RUN_MINS),
)  # fmt: skip
QOS_SUBMIT = (
    Row("grp_submit_jobs",             SUBMITTED, "qos",         "QOSGrpSubmitJobsLimit"),
    Row("max_submit_jobs_per_account", SUBMITTED, "qos account", "MaxSubmitJobsPerAccount"),
    Row("max_submit_jobs_per_user",    SUBMITTED, "qos user",    "QOSMaxSubmitJobPerUserLimit"),
)  # fmt: skip
USERS, ACCOUNTS = "max_jobs_per_user", "max_jobs_per_account"
ASSOC_FIRST = (
    Row("grp_wall", WALL_USED, "", "AssocGrpWallLimit", beaten_by=("grp_wall",)),
    Row("grp_jobs", JOBS,      "", "AssocGrpJobsLimit", beaten_by=("grp_jobs",)),
    Row("max_jobs", JOBS,      "", "AssocMaxJobsLimit", own=True, beaten_by=(USERS, ACCOUNTS)),
    Row("max_wall", TIME,      "", "AssocMaxWallDurationPerJobLimit", own=True, beaten_by=("max_wall",)),
)  # fmt: skip
ASSOC_THEN = (
    Row("grp_tres_mins",     USED,     "", "", words.GRP_MINS, beaten_by=("grp_tres_mins",)),
    Row("grp_tres",          HELD,     "", "", words.GRP, beaten_by=("grp_tres",)),
    Row("grp_tres_run_mins", PROMISED, "", "", words.GRP_RUN_MINS, beaten_by=("grp_tres_run_mins",)),
    Row("max_tres_mins",     JOB_TIME, "", "", words.JOB_MINS, own=True, beaten_by=("max_tres_mins_per_job",)),
    Row("max_tres",          JOB,      "", "", words.JOB, own=True, beaten_by=("max_tres_per_job",)),
    Row("max_tres_per_node", NODE,     "", "", words.NODE, own=True, beaten_by=("max_tres_per_node",)),
)  # fmt: skip
ASSOC_SUBMIT = (
    Row("grp_submit_jobs", SUBMITTED, "", "AssocGrpSubmitJobsLimit", beaten_by=("grp_submit_jobs",)),
    Row("max_submit_jobs", SUBMITTED, "", "AssocMaxSubmitJobLimit", own=True,
        beaten_by=("max_submit_jobs_per_user", "max_submit_jobs_per_account")),
)  # fmt: skip

TIMES = frozenset({"grp_wall", "max_wall"})
FACTORED = frozenset({"grp_tres", "grp_tres_mins", "grp_tres_run_mins"})  # what a QOS's LimitFactor multiplies


class Owner(NamedTuple):
    """Whose limits they are. `partition_qos` "": the partition has none."""

    user_id: int
    user_name: str
    account: str
    qos: str
    partition_qos: str = ""
    partition: str = ""  # a user may have an association of a partition's own


class Rules(NamedTuple):
    start: tuple[Rule, ...]
    submit: tuple[Rule, ...]
    flags: frozenset[str]  # of the QOS, in small letters

    @property
    def strict(self) -> bool:
        """A job that could never start is refused when it is submitted."""
        return "denyonlimit" in self.flags


class Book:
    """The cluster's accounts, users and QOS, to look them up by name."""

    def __init__(self, conf: ClusterConf) -> None:
        self.conf = conf
        self.qos = {qos.name: qos for qos in conf.qos}
        self.accounts = {account.name: account for account in conf.accounts}
        self.users = {(user.account, user.name, user.partition): user for user in reversed(conf.users)}

    def above(self, name: str) -> list[str]:
        """The account and those above it, up to root's; a circle in the file ends there."""
        path: list[str] = []
        while name and name not in path:
            path.append(name)
            account = self.accounts.get(name)
            name = account.parent if account is not None and name != ROOT else ""
        return path if ROOT in path else [*path, ROOT]

    def line(self, owner: Owner) -> list[tuple[Bucket, UserConf | AccountConf]]:
        """The association and those above it, nearest first, as far as somebody declared them."""
        found: list[tuple[Bucket, UserConf | AccountConf]] = []
        key = (owner.account, owner.user_name)
        user = self.users.get((*key, owner.partition)) or self.users.get((*key, ""))
        if user is not None:
            found.append((("user", owner.account, owner.user_name), user))
        for name in self.above(owner.account):
            if name in self.accounts:
                found.append((("account", name), self.accounts[name]))
        return found

    def qos_in_order(self, owner: Owner) -> list[QosConf]:
        """The partition's QOS and the job's, the one that counts first."""
        own, parts = self.qos.get(owner.qos), self.qos.get(owner.partition_qos)
        if own is not None and parts is not None and own is not parts:
            return [own, parts] if "overpartqos" in own.flags.lower() else [parts, own]
        return [qos for qos in (own or parts,) if qos is not None]


def rules_of(book: Book, owner: Owner) -> Rules:
    qos = book.qos_in_order(owner)
    line = book.line(owner)
    beaten: set[tuple[str, str]] = set()
    own = book.qos.get(owner.qos)
    factor = max(own.limit_factor or 0.0, 0.0) if own is not None else 0.0
    first = list(_of_qos(QOS_FIRST, qos, owner, beaten))
    then = list(_of_qos(QOS_THEN, qos, owner, beaten))
    submit = list(_of_qos(QOS_SUBMIT, qos, owner, beaten))
    factor = factor or 1.0
    first += _of_line(ASSOC_FIRST, line, owner, beaten, factor)
    then += _of_line(ASSOC_THEN, line, owner, beaten, factor)
    submit += _of_line(ASSOC_SUBMIT, line, owner, beaten, factor)
    flags = frozenset(word for one in qos for word in one.flags.lower().replace(" ", "").split(",") if word)
    return Rules((*first, *then), tuple(submit), flags)


def _of_qos(rows: Iterable[Row], some: list[QosConf], owner: Owner, beaten: set[tuple[str, str]]) -> Iterator[Rule]:
    for qos in some:
        for row in rows:
            for rule in _made(row, getattr(qos, row.field), _qos_bucket(row.bucket, qos.name, owner), True):
                if (row.field, rule.tres) not in beaten:
                    yield rule
        for row in rows:
            beaten.update((row.field, name) for name in _named(row, getattr(qos, row.field)))


def _qos_bucket(kind: str, name: str, owner: Owner) -> Bucket:
    further: dict[str, Bucket] = {"": (), "qos": (name,), "qos user": (name, owner.user_id)}
    further["qos account"] = (name, owner.account)
    return (kind, *further[kind]) if kind else ()


def _of_line(
    rows: Iterable[Row],
    line: list[tuple[Bucket, UserConf | AccountConf]],
    owner: Owner,
    beaten: set[tuple[str, str]],
    factor: float,
) -> Iterator[Rule]:
    """Of the user's association all keys, of the accounts above those that count for groups."""
    nearest: set[tuple[str, str]] = set()
    leaf: Bucket = ("user", owner.account, owner.user_name)
    chain = line if line and line[0][0] == leaf else [(leaf, None), *line]
    for bucket, holder in chain:
        for row in rows:
            holders = [holder] if not row.own else [one for _, one in line] if bucket == leaf else []
            for one in holders:
                value = getattr(one, row.field, None)
                for rule in _made(row, value, bucket, False):
                    if any((field, rule.tres) in beaten for field in row.beaten_by):
                        continue
                    if row.own and (row.field, rule.tres) in nearest:
                        continue
                    if row.own:
                        nearest.add((row.field, rule.tres))
                    yield rule._replace(most=rule.most * factor) if row.field in FACTORED else rule


def _named(row: Row, value: object) -> list[str]:
    """The TRES a key names, "" for one that is no TRES; nothing where it isn't set."""
    if value is None or value == "":
        return []
    return [""] if row.reason else list(amounts(str(value)))


def _made(row: Row, value: object, bucket: Bucket, of_qos: bool) -> Iterator[Rule]:
    if value is None or value == "":
        return
    if not row.reason:
        for name, most in amounts(str(value)).items():
            yield Rule(row.kind, bucket, name, most, tres_reason(row.limit, of_qos, name), of_qos)
        return
    number = wall(str(value)) if row.field in TIMES else value
    if isinstance(number, int):
        yield Rule(row.kind, bucket, "", number, row.reason, of_qos)


def amounts(text: str) -> dict[str, int]:
    """A limit's TRES in Slurm's order. A name without a number, or of less than nothing, is no limit."""
    found: dict[str, int] = {}
    for part in text.replace(" ", "").split(","):
        try:
            found |= tres.parse(part)
        except BadValue:
            continue
    order = {name: place for place, name in enumerate(tres.ORDER)}
    return dict(sorted(found.items(), key=lambda item: order.get(item[0], len(order))))


def wall(text: str) -> int | None:
    """A time in minutes, 0 for "0"; what is no time, or endless, is no limit."""
    try:
        seconds = seconds_of(text)
    except BadValue:
        return None
    return None if seconds == UNLIMITED or seconds < 0 else -(-seconds // 60)

"""One change of the accounting book: what it is tried on, whose it is, and what he may do.

Source: sacctmgr(1), AUTHORIZATION; texts and rights as observed on 26.05.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from slurm_compat.controller.associations import ROOT, Association, accounts_by_name, coordinated, tree
from slurm_compat.controller.book import Book
from slurm_compat.controller.caller import Caller
from slurm_compat.core.cluster import AccountConf, ClusterConf, QosConf, UserConf
from slurm_compat.core.errors import ACCESS_DENIED, BAD_ARGUMENT, SlurmError

NO_PRIVILEGE = "Your user doesn't have privilege to perform this action"
MAX_NAME = 128  # characters of a name
MAX_NAMES = 10_000  # of one change
Where = Mapping[str, list[str]]
Values = dict[str, Any]


class LiveJob(NamedTuple):
    job_id: int
    account: str
    user_name: str
    qos: str
    partition: str


class Logged(NamedTuple):
    """What sacctmgr show transactions says of it."""

    action: str
    name: str
    info: str


@dataclass
class Work:
    book: Book  # a fork: what is done to it may be dropped
    caller: Caller
    now: int
    live: list[LiveJob]  # jobs that have not ended, by number
    has_run: Callable[[int], bool]  # whether jobs of that association are known
    tres: frozenset[str]  # names of what is counted
    log: list[Logged] = field(default_factory=list)
    resets: list[tuple[str, ...]] = field(default_factory=list)  # ("user", account, user), ("qos", name): of use

    @property
    def conf(self) -> ClusterConf:
        return self.book.effective()

    @property
    def cluster(self) -> str:
        return self.book.without_users().cluster_name

    def accounts(self) -> dict[str, AccountConf]:
        """By name; root is always there."""
        listed = accounts_by_name(self.book.without_users())
        return listed if ROOT in listed else {ROOT: AccountConf(name=ROOT, number=1)} | listed

    def users(self) -> list[UserConf]:
        """All associations of users; root's own is always there."""
        users = list(self.conf.users)
        if not any(user.name == ROOT and user.account == ROOT and not user.partition for user in users):
            users.insert(0, UserConf(name=ROOT, account=ROOT, number=2, default=True))
        return users

    def qos(self) -> dict[str, QosConf]:
        return {qos.name: qos for qos in self.book.without_users().qos}

    def tree(self) -> list[Association]:
        return tree(self.conf)

    def coordinates(self) -> frozenset[str]:
        return coordinated(self.conf, self.caller.user_name)

    def note(self, action: str, name: str, info: str = "") -> None:
        self.log.append(Logged(action, name, info))


def denied(*notes: str, text: str = "") -> SlurmError:
    return SlurmError(ACCESS_DENIED, text, notes=notes or (NO_PRIVILEGE,))


def need_operator(work: Work) -> None:
    if not work.caller.operator:
        raise denied()


def need_admin(work: Work) -> None:
    if not work.caller.admin:
        raise denied()


def names_of(where: Where, key: str = "names") -> list[str]:
    """The names given, each once, in order. Raises SlurmError for one that nothing can have."""
    names = list(dict.fromkeys(where.get(key, [])))
    if len(names) > MAX_NAMES:
        raise SlurmError(BAD_ARGUMENT, f"more than {MAX_NAMES} names at once")
    for name in names:
        if not name.strip() or len(name) > MAX_NAME or any(ord(char) < 32 or char in ",|'\"" for char in name):
            raise SlurmError(BAD_ARGUMENT, "Something was wrong with your query")
    return names


def matches(where: Where, key: str, *values: str) -> bool:
    """Whether one of these is asked for; all are where nothing is."""
    wanted = where.get(key)
    return not wanted or any(value.lower() in (each.lower() for each in wanted) for value in values)


# lines that sacctmgr shows of associations


def modified_line(cluster: str, entry: Association) -> str:
    """One that a condition took."""
    if entry.user:
        return user_line(cluster, entry)
    return f"C = {cluster:<10} A = {entry.account}" + (f" of {entry.parent}" if entry.parent else "")


def user_line(cluster: str, entry: Association) -> str:
    """One that follows from another's, or a user's."""
    if not entry.user:
        return f"C = {cluster:<10} A = {entry.account:<20}"
    text = f"C = {cluster:<10} A = {entry.account:<20} U = {entry.user:<9}"
    return f"{text} P = {entry.partition}" if entry.partition else text


def removed_line(cluster: str, entry: Association) -> str:
    if not entry.user:
        return modified_line(cluster, entry)
    text = f"C = {cluster:<10} A = {entry.account:<10} U = {entry.user:<9}"
    return f"{text} P = {entry.partition}" if entry.partition else text


def job_line(cluster: str, job: LiveJob) -> str:
    return f"JobID = {job.job_id:<10} C = {cluster:<10} A = {job.account:<10} U = {job.user_name:<9} Q = {job.qos:<9}"


def info(values: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Changed columns as a transaction's Info has them: "shares=3, max_jobs=NULL, qos='normal'"."""
    words = []
    for name, value in values.items():
        shown = "NULL" if value is None or value == "" else _quoted(value)
        words.append(f"{names.get(name, name)}={shown}")
    return ", ".join(words)


def _quoted(value: Any) -> str:
    if isinstance(value, (int, float)):
        return str(value)
    return (
        "'" + (",".join(map(str, value)) if isinstance(value, Iterable) and not isinstance(value, str) else value) + "'"
    )


def plain(values: Values) -> Values:
    """The values with the names of lists in place of what is done to the lists."""
    return {name: value["names"] if isinstance(value, dict) else value for name, value in values.items()}


def user_associations(work: Work, where: Where) -> list[Association]:
    """Users' associations that fit all conditions."""
    return [
        entry
        for entry in work.tree()
        if entry.user
        and matches(where, "names", entry.user)
        and matches(where, "accounts", entry.account)
        and matches(where, "partitions", entry.partition)
        and matches(where, "clusters", work.cluster)
        and matches(where, "qos", *entry.qos)
    ]

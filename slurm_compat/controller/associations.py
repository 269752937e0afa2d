"""Accounts, users, associations, QOS and TRES as the accounting knows them, from the cluster file.

The tree begins with what every cluster has without being told: the account `root` (number 1) and root's association in
it (number 2). Accounts are numbered next, in the file's order, then users' associations. Source: sacctmgr(1);
observed on 26.05.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from slurm_compat.core.cluster import AccountConf, ClusterConf, UserConf

ROOT = "root"
ROOT_ACCOUNT, ROOT_USER = 1, 2
FIRST_ACCOUNT = 3

NORMAL_DESCRIPTION = "Normal QOS default"
ROOT_DESCRIPTION = "default root account"

Values = dict[str, Any]


class Association(NamedTuple):
    """An account in the tree, or (with `user`) a user in an account."""

    number: int
    account: str
    user: str
    parent: str  # the account above, "" for root's and for users'
    parent_number: int
    lineage: str
    shares: int
    qos: tuple[str, ...]
    default: bool
    partition: str = ""


def tree(conf: ClusterConf) -> list[Association]:
    """All associations: each account followed by its users, then by the accounts below it, by name."""
    return sorted([*_accounts(conf), *_users(conf)], key=lambda entry: entry.lineage)


def numbers(conf: ClusterConf) -> list[int]:
    """The association's number of each user: the accounting book's, or by the file's order where no book numbers."""
    following = iter(range(FIRST_ACCOUNT + len(conf.accounts), FIRST_ACCOUNT + len(conf.accounts) + len(conf.users)))
    return [user.number or (ROOT_USER if _is_roots(user) else next(following)) for user in conf.users]


def _is_roots(user: UserConf) -> bool:
    return user.name == ROOT and user.account == ROOT and not user.partition


def _default_qos(conf: ClusterConf) -> tuple[str, ...]:
    names = [qos.name for qos in conf.qos]
    return ("normal",) if "normal" in names else tuple(names[:1])


_indexed: list[tuple[list[AccountConf], dict[str, AccountConf]]] = []  # of the configuration asked for last


def accounts_by_name(conf: ClusterConf) -> dict[str, AccountConf]:
    """Not to be changed: it is asked for once an association, and made once a list of accounts."""
    kept = _indexed[0] if _indexed else None
    if kept is None or kept[0] is not conf.accounts:
        kept = (conf.accounts, {entry.name: entry for entry in reversed(conf.accounts)})
        _indexed[:] = [kept]
    return kept[1]


def allowed_qos(conf: ClusterConf, account: str, own: Sequence[str] = ()) -> tuple[str, ...]:
    """The QOS of an association: its own list, else that of the nearest account above that has one."""
    accounts = accounts_by_name(conf)
    seen: set[str] = set()
    while not own and account in accounts and account not in seen:
        seen.add(account)
        own = accounts[account].qos
        account = accounts[account].parent if account != ROOT else ""
    if not own and ROOT in accounts:
        own = accounts[ROOT].qos
    return tuple(own) or _default_qos(conf)


def default_qos(conf: ClusterConf, account: str, own: str = "") -> str:
    """The default QOS of an association, its own or that of the nearest account above; "" where nobody says one."""
    accounts = accounts_by_name(conf)
    seen: set[str] = set()
    while not own and account in accounts and account not in seen:
        seen.add(account)
        own = accounts[account].default_qos
        account = accounts[account].parent if account != ROOT else ""
    return own or (accounts[ROOT].default_qos if ROOT in accounts else "")


def _accounts(conf: ClusterConf) -> Iterator[Association]:
    shares = next((entry.fairshare for entry in conf.accounts if entry.name == ROOT), 1)
    yield Association(ROOT_ACCOUNT, ROOT, "", "", 0, "/", shares, allowed_qos(conf, ROOT), False)
    known = account_numbers(conf)
    lineages = _lineages(conf)
    for account in conf.accounts:
        if account.name == ROOT:
            continue
        parent = account.parent if account.parent in known else ROOT
        yield Association(
            known[account.name], account.name, "", parent, known[parent], lineages[account.name], account.fairshare,
            allowed_qos(conf, account.name), False,
        )  # fmt: skip


def account_numbers(conf: ClusterConf) -> dict[str, int]:
    further = {account.name: account.number or FIRST_ACCOUNT + place for place, account in enumerate(conf.accounts)}
    return further | {ROOT: ROOT_ACCOUNT}


def _lineages(conf: ClusterConf) -> dict[str, str]:
    """The path of each account. One whose parents go in a circle stands under root."""
    parents = {account.name: account.parent for account in conf.accounts if account.name != ROOT}
    lineages = {ROOT: "/"}
    for name in parents:
        path: list[str] = []
        above = name
        while above in parents and above not in path:
            path.insert(0, above)
            above = parents[above]
        lineages[name] = "/" + "".join(f"{each}/" for each in ([name] if above in path else path))
    return lineages


def _users(conf: ClusterConf) -> Iterator[Association]:
    accounts = account_numbers(conf)
    lineages = _lineages(conf)
    defaults = default_accounts(conf)
    roots = False
    for number, user in zip(numbers(conf), conf.users, strict=True):
        roots = roots or number == ROOT_USER
        yield Association(
            number, user.account, user.name, "", accounts.get(user.account, ROOT_ACCOUNT),
            f"{lineages.get(user.account, f'/{user.account}/')}0-{user.name}/"
            + (user.partition and f"{user.partition}/"),
            user.fairshare, allowed_qos(conf, user.account, user.qos), defaults[user.name] == user.account,
            user.partition,
        )  # fmt: skip
    if not roots:
        is_default = defaults[ROOT] == ROOT
        qos = allowed_qos(conf, ROOT)
        yield Association(ROOT_USER, ROOT, ROOT, "", ROOT_ACCOUNT, f"/0-{ROOT}/", 1, qos, is_default)


def default_accounts(conf: ClusterConf) -> dict[str, str]:
    """Each user's default account: the one marked so, else the first."""
    defaults: dict[str, str] = {}
    marked: set[str] = set()
    for user in conf.users:
        if user.name not in defaults or (user.default and user.name not in marked):
            defaults[user.name] = user.account
        if user.default:
            marked.add(user.name)
    defaults.setdefault(ROOT, ROOT)
    return defaults


def below(conf: ClusterConf, name: str) -> frozenset[str]:
    """The account and all those under it."""
    children: dict[str, list[str]] = {}
    for account in conf.accounts:
        if account.name != ROOT:
            children.setdefault(account.parent, []).append(account.name)
    found: set[str] = set()
    waiting = [name]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += children.get(one, ())
    return frozenset(found)


def coordinated(conf: ClusterConf, user_name: str) -> frozenset[str]:
    """The accounts a user looks after: those that name him a coordinator, or whose users all are, and those below."""
    own: set[str] = set()
    for account in conf.accounts:
        named = user_name in account.coordinators
        if not named and "usersarecoords" in account.flags.lower():
            named = any(user.name == user_name and user.account == account.name for user in conf.users)
        if named:
            own |= below(conf, account.name)
    return frozenset(own)


def qos_numbers(conf: ClusterConf) -> dict[str, int]:
    return {qos.name: qos.number or number for number, qos in enumerate(conf.qos, 1)}


TRES = (
    (1, "cpu", ""), (2, "mem", ""), (3, "energy", ""), (4, "node", ""), (5, "billing", ""), (6, "fs", "disk"),
    (7, "vmem", ""), (8, "pages", ""),
)  # fmt: skip
FIRST_FURTHER_TRES = 1001


def tres_rows(conf: ClusterConf) -> list[Values]:
    """The resources that are counted; GPUs bring their memory and use with them, as Slurm does."""
    rows = list(TRES)
    for word in filter(None, conf.accounting_storage_tres.replace(" ", "").split(",")):
        kind, _, name = word.partition("/")
        if any((kind, name) == row[1:] for row in rows):
            continue
        rows.append((FIRST_FURTHER_TRES + len(rows) - len(TRES), kind, name))
        if (kind, name) == ("gres", "gpu"):
            for name in ("gpumem", "gpuutil"):
                rows.append((FIRST_FURTHER_TRES + len(rows) - len(TRES), kind, name))
    return [{"id": number, "type": kind, "name": name} for number, kind, name in rows]


def tres_names(conf: ClusterConf) -> list[str]:
    """ "cpu", "mem", …, "gres/gpu" in the order of their numbers."""
    return [row["type"] + (f"/{row['name']}" if row["name"] else "") for row in tres_rows(conf)]

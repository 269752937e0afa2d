"""The accounting book: what the cluster file declares, overlaid by what sacctmgr changed, with numbers that stay.

What sacctmgr said of an entry outranks the file, key by key: an entry it made needs no file, one it deleted stays
deleted though the file declares it, and of one it changed the other keys follow the file at each reconfigure.
Everybody reads the whole as a ClusterConf (`effective`). An entry is a row of the store's `things`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from slurm_compat.controller.associations import FIRST_ACCOUNT, ROOT, ROOT_ACCOUNT, ROOT_USER
from slurm_compat.core.cluster import AccountConf, ClusterConf, GroupLimits, QosConf, UserConf
from slurm_compat.store.changes import Change

QOS, ACCOUNT, ASSOCIATION, USER, WCKEY, RESOURCE = "qos", "account", "association", "user", "wckey", "resource"
KINDS = (QOS, ACCOUNT, ASSOCIATION, USER, WCKEY, RESOURCE)
SEQUENCE = {ACCOUNT: ASSOCIATION}  # accounts are numbered as the associations that they are
FIRST = {ASSOCIATION: FIRST_ACCOUNT}
FIXED = {(ACCOUNT, ROOT): ROOT_ACCOUNT, (ASSOCIATION, f"{ROOT}\t{ROOT}\t"): ROOT_USER}
PREFIX = "book "  # of the store's kinds
NEXT = "book"  # kind of the row that has the next numbers

C = TypeVar("C", bound=GroupLimits)


class Entry(msgspec.Struct, frozen=True):
    """`changed`: what sacctmgr set, by the attributes of the *Conf of its kind. `own`: the file need not have it."""

    number: int = 0
    changed: dict[str, Any] = {}
    own: bool = False
    gone: bool = False
    at: int = 0  # when sacctmgr made it; 0: it did not


def association_key(account: str, user: str, partition: str = "") -> str:
    return f"{account}\t{user}\t{partition}"


class Book:
    def __init__(self) -> None:
        self.entries: dict[str, dict[str, Entry]] = {kind: {} for kind in KINDS}
        self._next: dict[str, int] = {}
        self._file = ClusterConf()
        self._declared: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
        self._touched: set[tuple[str, str]] = set()
        self._effective: ClusterConf | None = None
        self._lists: dict[str, list[Any]] = {}  # of `effective`, by kind; each until something of its kind changes
        self._people: Counter[str] | None = None  # associations of each user

    def fork(self) -> Book:
        """A copy to try changes on."""
        book = Book()
        book.entries = {kind: dict(entries) for kind, entries in self.entries.items()}
        book._next = dict(self._next)
        book._file, book._declared, book._effective = self._file, self._declared, self._effective
        book._lists = dict(self._lists)
        return book

    # what it is made of

    def restore(self, things: Iterable[tuple[str, str, Any]]) -> None:
        """What the store has: (kind, name, data)."""
        for kind, name, data in things:
            if kind == NEXT:
                self._next = dict(data)
            elif kind.startswith(PREFIX) and kind[len(PREFIX) :] in self.entries:
                self.entries[kind[len(PREFIX) :]][name] = msgspec.convert(data, Entry)
        self._forget()

    def rebase(self, conf: ClusterConf) -> None:
        """The file as it is now. What it declares for the first time is given its number."""
        self._file = conf
        self._declared = {kind: {} for kind in KINDS}
        for account in conf.accounts:
            self._declared[ACCOUNT].setdefault(account.name, account)
        for user in conf.users:
            key = association_key(user.account, user.name, user.partition)
            self._declared[ASSOCIATION].setdefault(key, user)
        for qos in conf.qos:
            self._declared[QOS].setdefault(qos.name, qos)
        for kind in (ACCOUNT, ASSOCIATION, QOS):
            for key in self._declared[kind]:
                if key not in self.entries[kind]:
                    self._put(kind, key, Entry(self._number(kind, key)))
        self._forget()

    def _forget(self) -> None:
        self._effective = self._people = None
        self._lists.clear()

    def save(self, change: Change) -> None:
        """Put what is new of it into a change."""
        for kind, key in self._touched:
            entry = self.entries[kind].get(key)
            if entry is None:
                change.delete("things", (PREFIX + kind, key))
            else:
                data = json.dumps(msgspec.to_builtins(entry))
                change.put("things", (PREFIX + kind, key), {"kind": PREFIX + kind, "name": key, "data": data})
        if self._touched:
            change.put("things", (NEXT, ""), {"kind": NEXT, "name": "", "data": json.dumps(self._next)})
        self._touched.clear()

    @property
    def touched(self) -> bool:
        return bool(self._touched)

    # changing

    def _number(self, kind: str, key: str) -> int:
        if (kind, key) in FIXED:
            return FIXED[kind, key]
        sequence = SEQUENCE.get(kind, kind)
        number = self._next.get(sequence, FIRST.get(sequence, 1))
        self._next[sequence] = number + 1
        return number

    def _put(self, kind: str, key: str, entry: Entry | None) -> None:
        if self._people is not None and kind == ASSOCIATION:
            self._people[key.split("\t")[1]] += (entry is not None and not entry.gone) - self.has(kind, key)
        if entry is None:
            self.entries[kind].pop(key, None)
        else:
            self.entries[kind][key] = entry
        self._touched.add((kind, key))
        self._effective = None
        self._lists.pop(ASSOCIATION if kind == USER else kind, None)

    def add(self, kind: str, key: str, values: dict[str, Any], at: int) -> int:
        """A new entry; one that was deleted and is remembered comes back with its number. -> the number."""
        before = self.entries[kind].get(key)
        number = before.number if before is not None else self._number(kind, key)
        self._put(kind, key, Entry(number, values, own=True, at=before.at if before is not None and before.at else at))
        return number

    def change(self, kind: str, key: str, values: dict[str, Any]) -> None:
        """Other values of an entry that is there, or is implied: root's, a user's."""
        before = self.entries[kind].get(key) or Entry(self._number(kind, key))
        self._put(kind, key, msgspec.structs.replace(before, changed=before.changed | values))

    def remove(self, kind: str, key: str, forget: bool) -> None:
        """Delete it. `forget`: nothing refers to it, so not even its number is kept, unless the file declares it."""
        before = self.entries[kind].get(key, Entry())
        if forget and key not in self._declared[kind]:
            self._put(kind, key, None)
        else:
            self._put(kind, key, msgspec.structs.replace(before, own=False, gone=True))

    # reading

    def effective(self) -> ClusterConf:
        """The whole as one configuration, every entry with its number. The same object until something changes."""
        if self._effective is None:
            if ASSOCIATION not in self._lists:
                self._lists[ASSOCIATION] = self._with_records(list(self._all(ASSOCIATION, UserConf)))
            self._effective = msgspec.structs.replace(self.without_users(), users=self._lists[ASSOCIATION])
        return self._effective

    def without_users(self) -> ClusterConf:
        """`effective` with no users: quicker, where accounts and QOS are all that is asked for."""
        if ACCOUNT not in self._lists:
            self._lists[ACCOUNT] = list(self._all(ACCOUNT, AccountConf))
        if QOS not in self._lists:
            self._lists[QOS] = sorted(self._all(QOS, QosConf), key=lambda entry: entry.number)
        return msgspec.structs.replace(self._file, accounts=self._lists[ACCOUNT], qos=self._lists[QOS], users=[])

    def has(self, kind: str, key: str) -> bool:
        """Whether there is such an entry; root's two always are."""
        if (kind, key) in FIXED:
            return True
        entry = self.entries[kind].get(key)
        return entry is not None and not entry.gone and (entry.own or key in self._declared[kind])

    def people(self) -> Mapping[str, int]:
        """How many associations each user has."""
        if self._people is None:
            keys = [key for key in self.entries[ASSOCIATION] if self.has(ASSOCIATION, key)]
            self._people = Counter(key.split("\t")[1] for key in keys)
            self._people[ROOT] = max(self._people[ROOT], 1)
        return self._people

    def _all(self, kind: str, struct: type[C]) -> Iterator[C]:
        declared = self._declared[kind]
        entries = self.entries[kind]
        known = frozenset(struct.__struct_fields__)
        for key, conf in declared.items():
            entry = entries[key]
            if not entry.gone:
                yield _overlaid(conf, entry, known)
        for key, entry in entries.items():
            implied = (kind, key) in FIXED and entry.changed
            if key not in declared and (entry.own or implied) and not entry.gone:
                yield _overlaid(struct(**_identity(kind, key)), entry, known)

    def _with_records(self, users: list[UserConf]) -> list[UserConf]:
        """With each user's default account and level as sacctmgr set them."""
        records = self.entries[USER]
        if not records:
            return users
        own: dict[str, set[str]] = {}
        for user in users:
            own.setdefault(user.name, set()).add(user.account)
        found = []
        for user in users:
            values = records[user.name].changed if user.name in records and not records[user.name].gone else {}
            changes: dict[str, Any] = {}
            if values.get("default_account") in own[user.name]:
                changes["default"] = user.account == values["default_account"]
            if "admin_level" in values:
                changes["admin_level"] = values["admin_level"]
            found.append(msgspec.structs.replace(user, **changes) if changes else user)
        return found

    def values(self, kind: str) -> Iterator[tuple[str, int, dict[str, Any]]]:
        """(key, number, what was set) of a kind that the file does not know: users' records, wckeys, resources."""
        for key, entry in self.entries[kind].items():
            if not entry.gone:
                yield key, entry.number, entry.changed

    def default_wckeys(self) -> dict[str, str]:
        return {name: values["default_wckey"] for name, _, values in self.values(USER) if "default_wckey" in values}

    def user_record(self, name: str) -> dict[str, Any]:
        entry = self.entries[USER].get(name)
        return entry.changed if entry is not None and not entry.gone else {}


def _identity(kind: str, key: str) -> dict[str, Any]:
    if kind == ASSOCIATION:
        account, user, partition = key.split("\t")
        return {"name": user, "account": account, "partition": partition}
    return {"name": key}


def _overlaid(conf: C, entry: Entry, known: frozenset[str]) -> C:
    changed = {name: value for name, value in entry.changed.items() if name in known}
    return msgspec.structs.replace(conf, number=entry.number, **changed)

"""sacctmgr load: make the accounting what a dump's file says, adding and changing; `clean` alone takes away.

All of a file is one change: it is shown, confirmed, and done whole or not at all. Source: sacctmgr(1), FLAT FILE DUMP
AND LOAD; tables and texts observed on 26.05.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from slurm_compat.cli.clusters import own_cluster
from slurm_compat.cli.sacctmgr_changes import known_names, told
from slurm_compat.cli.sacctmgr_confirm import committed, sure
from slurm_compat.cli.sacctmgr_loadlines import BadLine, Line, Told, changed, difference, lines_of, place_of
from slurm_compat.cli.sacctmgr_loadtables import show_tables
from slurm_compat.cli.sacctmgr_records import ASSOCIATION, QOS_ROW
from slurm_compat.cli.sacctmgr_settings import Settings, caller_is_admin
from slurm_compat.cli.sacctmgr_values import ACCOUNT_RECORD, QOS_KEYS, BadSetting, Known, Set, key_named, pair, take
from slurm_compat.cli.sacctmgr_values import ASSOCIATION as LIMITS
from slurm_compat.core.errors import CommandError, SlurmError

PROBLEM = " Problem with requests: Unspecified error"
FLUSH = (
    "You requested to flush the cluster before adding it again.",
    "It is advised to not have your slurmctld running while doing this operation.",
    "If you have jobs running on this cluster this operation will abort.",
)
LEVELS = ("None", "Operator", "Administrator")
Step = list[Any]  # verb, entity, where, values: as change_book takes them


def load(settings: Settings, words: Sequence[str]) -> int:
    ctx = settings.ctx
    path, clean = _arguments(words, own_cluster(ctx))
    if settings.readonly:
        raise CommandError("Can't run this command in readonly mode.")
    if not caller_is_admin(settings):
        raise CommandError(" Your user does not have sufficient privileges to load files.")
    try:
        with open(os.path.join(ctx.cwd, path), encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "not a text"
        raise CommandError(f' Unable to read "{path}": {reason}') from None
    if clean and not sure(settings, "\n".join(FLUSH)):
        ctx.out("Aborted")
        ctx.out(" Nothing new added.")
        return 0
    return Loading(settings, clean).run(text)


def _arguments(words: Sequence[str], own: str) -> tuple[str, bool]:
    path, clean = "", False
    for word in words:
        key, operator, text = pair(word)
        if not operator and len(word) >= 3 and "clean".startswith(word.lower()):
            clean = True
        elif operator and "file".startswith(key.lower()):
            path = text
        elif not operator and not path:
            path = word
        elif operator and "cluster".startswith(key.lower()):
            if text == own:
                continue
            raise CommandError(
                "sacctmgr: error: cluster= is not supported here; name this cluster in the file's Cluster line"
            )
        else:
            raise CommandError(f" Unknown option: {word}", " Problem with line(1)", PROBLEM)
    if not path:
        raise CommandError(" No filename given, specify one with file=''")
    return path, clean


class Loading:
    """One file against what there is."""

    def __init__(self, settings: Settings, clean: bool) -> None:
        self._settings = settings
        self._steps: list[Step] = []
        rows = settings.rows("associations", ASSOCIATION)
        self._root = next(row for row in rows if not row["parent_id"])
        kept = [row for row in rows if not clean or row["account"] == "root"]
        self._accounts = {row["account"]: row for row in kept if not row["user"]}
        self._users = {(row["account"], row["user"], row["partition"]): row for row in kept if row["user"]}
        fields = ("name", "description", "organization", "direct_coordinators")
        self._records = {row["name"]: row for row in settings.rows("accounts", fields)}
        fields = ("name", "default_account", "admin_level", "default_wckey")
        self._people = {row["name"]: row for row in settings.rows("users", fields)}
        self._qos = {row["name"]: row for row in settings.rows("qos", QOS_ROW)}
        self._tres = {
            row["type"] + (f"/{row['name']}" if row["name"] else ""): row["id"]
            for row in settings.rows("tres", ("id", "type", "name"))
        }
        known = known_names(settings)
        self._known = Known(lambda: [*self._qos, *self._told.qos], known.tres)
        self._told = Told()
        self._changes: list[str] = []
        gone = sorted({row["account"] for row in rows} - {"root"}) if clean else []
        if gone:
            self._steps.append(["delete", "account", {"names": gone}, {}])

    def run(self, text: str) -> int:
        ctx = self._settings.ctx
        started = time.monotonic()
        parent = ""
        cluster = False
        try:
            for line in lines_of(text):
                if line.kind == "qos":
                    if cluster:
                        raise BadLine(" You need to specify all QOS before the 'Cluster - $NAME' in your file")
                    self._of_qos(line)
                elif line.kind == "cluster":
                    self._flush_qos()
                    self._of_cluster(line)
                    cluster = True
                elif line.kind == "parent":
                    if line.name not in self._accounts and line.name not in self._told.accounts:
                        self._finish_nothing()
                        raise CommandError(
                            f" line({line.number}) You need to add this parent ({line.name}) as a child before you can "
                            "add children to it."
                        )
                    parent = line.name
                elif line.kind in ("account", "user") and cluster:
                    if not parent:
                        parent = "root"
                        ctx.out(
                            " No parent given creating off root, If incorrect specify 'Parent - name' before any "
                            "children in your file"
                        )
                    (self._of_account if line.kind == "account" else self._of_user)(line, parent)
        except BadLine as problem:
            self._flush_changes()
            raise CommandError(*problem.lines, PROBLEM) from None
        self._flush_qos()
        self._flush_changes()
        return self._finish(started)

    # lines

    def _values(self, line: Line, keys: Sequence[Any]) -> tuple[Set, dict[str, str]]:
        """What a line sets, and its further keys. Raises BadLine."""
        chosen, others = Set(), dict[str, str]()
        for name, text in line.pairs:
            if name.lower() in FURTHER:
                others[name.lower()] = text
                continue
            key = key_named(name, keys)
            shown = f"{name}={text}" if text.isdecimal() else f"{name}='{text}'"
            if key is None:
                raise BadLine(f" Unknown option: {name}={text}", f" Problem with line({line.number})")
            try:
                if key.attribute == "preempt_exempt_time" and text.isdecimal():
                    text = str(-(-int(text) // 60))  # a dump has it in seconds
                take(chosen, key, "=", text, self._known)
            except BadSetting as problem:
                lines = (*problem.lines, f" Unknown option: {shown}", f" Problem with line({line.number})")
                raise BadLine(*lines) from None
            except CommandError:
                raise BadLine(f" Unknown option: {shown}", f" Problem with line({line.number})") from None
        return chosen, others

    def _of_qos(self, line: Line) -> None:
        chosen, _ = self._values(line, QOS_KEYS)
        old = self._qos.get(line.name)
        if old is None:
            self._told.qos[line.name] = chosen.values
            self._steps.append(["add", "qos", {"names": [line.name]}, chosen.values])
            return
        self._change("QOS", line.name, chosen, old, ["modify", "qos", {"names": [line.name]}])

    def _of_cluster(self, line: Line) -> None:
        own = own_cluster(self._settings.ctx)
        if line.name != own:
            raise BadLine(
                f"sacctmgr: error: cluster {line.name} is not this controller's, which is {own}; "
                "change the name in the file's Cluster line"
            )
        self._settings.ctx.out(f"For cluster {own}")
        chosen, _ = self._values(line, LIMITS)
        row = self._root["own_limits"] | {"fairshare": self._root["shares_raw"], "qos": self._root["qos"]}
        self._change("Cluster", line.name, chosen, row, ["modify", "cluster", {"names": [own]}])

    def _of_account(self, line: Line, parent: str) -> None:
        chosen, _ = self._values(line, (*ACCOUNT_RECORD, *LIMITS))
        values = {name: value for name, value in chosen.values.items() if name != "parent"}
        old = self._accounts.get(line.name)
        if line.name == "root":
            return
        if old is None:
            self._told.accounts[line.name] = (parent, values)
            self._steps.append(["add", "account", {"names": [line.name]}, values | {"parent": parent}])
            return
        record = {name: value for name, value in values.items() if name in ("description", "organization", "flags")}
        limits = {name: value for name, value in values.items() if name not in record}
        said = self._records[line.name]
        where = {"names": [line.name]}
        self._change("Account", line.name, Set(record, chosen.keys), said, ["modify", "account", where])
        if old["parent_account"] != parent:
            limits["parent"] = parent
        row = old["own_limits"] | {
            "fairshare": old["shares_raw"], "qos": old["own_qos"], "parent": old["parent_account"],
        }  # fmt: skip
        self._change("Account", line.name, Set(limits, chosen.keys), row, ["modify", "account association", where])

    def _of_user(self, line: Line, account: str) -> None:
        chosen, others = self._values(line, [key for key in LIMITS if key.attribute != "parent"])
        name, partition = line.name, others.get("partition", "").lower()
        wckeys = [word for word in others.get("wckeys", "").lower().split(",") if word]
        record = self._record(others)
        person = self._people.get(name)
        if person is None and name not in self._told.users:
            self._told.users[name] = {"default_account": account} | record | {
                "coordinator": others.get("coordinator", "")
            }  # fmt: skip
        elif person is not None:
            self._change_person(name, record, person)
        where: dict[str, list[str]] = {"names": [name], "accounts": [account]}
        old = self._users.get((account, name, partition))
        if old is None:
            self._told.associations.append((name, account, chosen.values))
            values = chosen.values | ({} if person is not None else self._first_record(name, record))
            more = {"partitions": [partition]} if partition else {}
            self._steps.append(["add", "user", where | more | ({"wckeys": wckeys} if wckeys else {}), values])
        else:
            row = old["own_limits"] | {"fairshare": old["shares_raw"], "qos": old["own_qos"]}
            self._change("User", name, chosen, row, ["modify", "user association", where])
        for coordinated in filter(None, others.get("coordinator", "").lower().split(",")):
            if name not in self._records.get(coordinated, {"direct_coordinators": []})["direct_coordinators"]:
                self._steps.append(["add", "coordinator", {"names": [name], "accounts": [coordinated]}, {}])

    def _record(self, others: dict[str, str]) -> dict[str, str]:
        record: dict[str, str] = {}
        if others.get("defaultaccount"):
            record["default_account"] = others["defaultaccount"].lower()
        if others.get("defaultwckey"):
            record["default_wckey"] = others["defaultwckey"].lower()
        level = others.get("adminlevel", "").lower()
        if level:
            record["admin_level"] = next((each for each in LEVELS if each.lower().startswith(level)), "None")
        return record

    def _first_record(self, name: str, record: dict[str, str]) -> dict[str, str]:
        """A new user's own keys go with his first association, and his default account waits until it is there."""
        if name in self._told.made:
            return {}
        self._told.made.add(name)
        default = record.get("default_account")
        if default:
            self._told.defaults[name] = default
        return {key: value for key, value in record.items() if key != "default_account"}

    def _change_person(self, name: str, record: dict[str, str], person: dict[str, Any]) -> None:
        titles = (("default_account", "Default Account"), ("default_wckey", "Default WCKey"),
                  ("admin_level", "Admin Level"))  # fmt: skip
        for key, title in titles:
            if key in record and record[key] != person[key]:
                self._changes.append(changed(title, "User", name, person[key], record[key]))
                self._told.later.append(["modify", "user", {"names": [name]}, {key: record[key]}])
                person[key] = record[key]

    def _change(self, kind: str, name: str, chosen: Set, old: dict[str, Any], step: Step) -> None:
        """Note what of `chosen` differs from what there is."""
        values = {}
        for attribute, value in sorted(chosen.values.items(), key=lambda entry: place_of(kind, entry[0])):
            line = difference(kind, name, attribute, value, old, self._tres)
            if line:
                self._changes.append(line)
                values[attribute] = value
        if values:
            self._steps.append([*step, values])

    # the end

    def _flush_qos(self) -> None:
        if self._told.qos and not self._told.qos_shown:
            self._settings.ctx.out("QOS")
            show_tables(self._settings, self._told, "qos")
        elif any(" for QOS " in line for line in self._changes):
            self._settings.ctx.out("QOS")
        self._flush_changes()
        self._told.qos_shown = True

    def _flush_changes(self) -> None:
        for line in self._changes:
            self._settings.ctx.out(line)
        self._told.something = self._told.something or bool(self._changes)
        self._changes.clear()

    def _finish_nothing(self) -> None:
        self._flush_changes()
        if not self._steps:
            self._settings.ctx.out(" Nothing new added.")

    def _finish(self, started: float) -> int:
        ctx = self._settings.ctx
        steps = [*self._steps, *self._told.later]
        steps += [
            ["modify", "user", {"names": [name]}, {"default_account": account}]
            for name, account in self._told.defaults.items()
        ]
        if not steps:
            ctx.out(" Nothing new added.")
            return 0
        show_tables(self._settings, self._told, "rest")
        if self._told.associations or self._told.accounts:
            ctx.err(f"sacctmgr: Done adding cluster in usec={int((time.monotonic() - started) * 1e6)}")
        try:
            # tried before anybody is asked: a file that can't be made is refused whole
            ctx.controller.call("change_book", verb="load", entity="steps", values={"steps": steps}, dry=True)
            if self._settings.immediate or committed(self._settings):
                ctx.controller.call("change_book", verb="load", entity="steps", values={"steps": steps})
        except SlurmError as problem:
            raise told(problem) from None
        return 0


FURTHER = frozenset(("defaultaccount", "defaultwckey", "adminlevel", "coordinator", "wckeys", "partition"))

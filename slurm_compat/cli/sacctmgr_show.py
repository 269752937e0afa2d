"""sacctmgr list/show: the accounting's tables, as the controller has them from the cluster file.

What no cluster here has (federations, resources of servers, records of changes, instances) lists nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from slurm_compat.cli import sacctmgr_events, sacctmgr_others
from slurm_compat.cli.clusters import own_cluster
from slurm_compat.cli.sacctmgr_conditions import GRAMMARS, Conditions, read
from slurm_compat.cli.sacctmgr_fields import COLUMNS, Column, chosen, placed
from slurm_compat.cli.sacctmgr_records import (
    ASSOCIATION,
    QOS_ROW,
    association_record,
    deleted,
    deleted_names,
    qos_record,
)
from slurm_compat.cli.sacctmgr_settings import Settings as Settings
from slurm_compat.cli.sacctmgr_settings import caller_is_operator as caller_is_operator
from slurm_compat.core import fieldprint
from slurm_compat.core.errors import BadValue, CommandError
from slurm_compat.core.fieldprint import DATE, WHOLE, Placed

Record = dict[str, Any]
RPC_VERSION = 11520  # 26.05's
CONTROL_PORT = 6817


class Entity(NamedTuple):
    default: Callable[[Conditions], str]  # titles by comma
    records: Callable[[Settings, Conditions], Iterable[Record]]
    table: tuple[Column, ...] = COLUMNS
    only: frozenset[str] = frozenset()  # titles that are printed at all, where not all of them are


def show(settings: Settings, name: str, words: Sequence[str]) -> int:
    """List an entity of ENTITIES. Raises CommandError for what sacctmgr refuses."""
    grammar = GRAMMARS[name]
    try:
        conditions = read(words, grammar)
    except BadValue as problem:
        raise CommandError(*str(problem).split("\n")) from None
    if settings.associations and any(key == "withassoc" for _, _, key in grammar.switches):
        conditions.switches.add("withassoc")
    if grammar.with_associations & set(conditions.values) and "withassoc" not in conditions.switches:
        from slurm_compat.cli.sacctmgr_confirm import sure

        question = "You requested options that are only valid when querying with the withassoc option."
        if not sure(settings, question):
            settings.ctx.out("Aborted")
            return 0
    _check_qos(settings, name, conditions)
    entity = ENTITIES[name]
    wider = _tree_account if "tree" in conditions.switches else _as_it_is
    try:
        if conditions.format is None:
            cells = [_wider(cell, wider) for cell in placed(entity.default(conditions).split(","), entity.table)]
        else:
            cells = chosen(conditions.format, entity.table, wider)
    except BadValue as problem:
        raise CommandError(*(f"Unknown field '{field}'" for field in str(problem).split("\n"))) from None
    if settings.output:
        from slurm_compat.cli import sacctmgr_json

        if sacctmgr_json.print_entity(settings, name, conditions):
            return 0
    records = list(entity.records(settings, conditions))
    if settings.header:
        for line in fieldprint.header(cells, settings.form):
            settings.ctx.out(line)
    if entity.only:
        cells = [cell for cell in cells if cell.field.name in entity.only]
    for record in records:
        settings.ctx.out(fieldprint.line(cells, record, None, settings.form))
    return 0


def _as_it_is(column: Column) -> Column:
    return column


def _tree_account(column: Column) -> Column:
    """A tree's accounts stand to the left, under each other."""
    return column._replace(width=-20) if column.title == "Account" else column


def _wider(cell: Placed, wider: Callable[[Column], Column]) -> Placed:
    if cell.field.name != "Account":
        return cell
    return cell._replace(width=wider(Column("Account", cell.width, "")).width)


def _check_qos(settings: Settings, name: str, conditions: Conditions) -> None:
    wanted = conditions.values.get("qos")
    if not wanted:
        return
    known = [row["name"] for row in settings.rows("qos", ["name"])]
    for qos in wanted:
        if qos not in (each.lower() for each in known):
            lines = [
                f"sacctmgr: error: You gave a bad qos '{qos}'. Valid QOS's are {','.join(known)}",
                f" Unknown condition: qoslevel={qos}",
            ]
            raise CommandError(*lines, *filter(None, [GRAMMARS[name].hint]))


# associations, and the users and accounts they join


def _associations_asked(settings: Settings, conditions: Conditions) -> Iterator[Record]:
    """The rows of associations that the conditions take, in the tree's order."""
    rows = settings.rows("associations", ASSOCIATION)
    below = _subaccounts(rows, conditions) if "withsub" in conditions.switches else frozenset()
    for row in rows:
        account = row["account"].lower()
        if not conditions.passes("accounts", account) and account not in below:
            continue
        if not (
            conditions.passes("users", row["user"])
            and conditions.passes("clusters", row["cluster"])
            and conditions.passes("parents", row["parent_account"])
            and conditions.passes("ids", str(row["id"]))
            and conditions.passes("qos", *row["qos"])
        ):
            continue
        if not conditions.passes("partitions", row["partition"]):
            continue
        if not conditions.passes("default_qos", row["limits"].get("default_qos", "")):
            continue
        if "onlydefaults" in conditions.switches and not row["is_default"]:
            continue
        yield row


def _subaccounts(rows: Iterable[Mapping[str, Any]], conditions: Conditions) -> frozenset[str]:
    wanted = set(conditions.values.get("accounts", ()))
    for row in rows:  # parents come first
        if row["parent_account"] and row["parent_account"].lower() in wanted:
            wanted.add(row["account"].lower())
    return frozenset(wanted)


def associations(settings: Settings, conditions: Conditions) -> Iterator[Record]:
    depths: dict[int, int] = {}
    for row in _associations_asked(settings, conditions):
        record = association_record(row, conditions.switches)
        depths[row["id"]] = depth = depths.get(row["parent_id"], -1) + 1
        if "tree" in conditions.switches:
            record["Account"] = " " * depth + record["Account"]
        yield record
    if "withdeleted" in conditions.switches:
        yield from deleted(settings, conditions)


def _association_list(conditions: Conditions) -> str:
    if "wolimits" in conditions.switches:
        return "Cluster,Account,User,Partition"
    return (
        "Cluster,Account,User,Partition,Share,Priority,GrpJobs,GrpTRES,GrpSubmit,GrpWall,GrpTRESMins,MaxJobs,MaxTRES,"
        "MaxTRESPerNode,MaxSubmit,MaxWall,MaxTRESMins,QOS,Def QOS,GrpTRESRunMins"
    )


def users(settings: Settings, conditions: Conditions) -> Iterator[Record]:
    own = ("name", "default_account", "admin_level", "coordinates", "default_wckey")
    absent: Record = dict.fromkeys(own, "")
    rows = [
        row
        for row in settings.rows("users", own)
        if conditions.passes("names", row["name"])
        and conditions.passes("default_accounts", row["default_account"])
        and _of_level(row["admin_level"], conditions)
        and conditions.passes("default_wckeys", row["default_wckey"])
    ]
    joined: dict[str, list[Record]] = {}
    if "withassoc" in conditions.switches:
        for association in _associations_asked(settings, conditions):
            joined.setdefault(association["user"], []).append(association_record(association, conditions.switches))
    gone = deleted_names(settings, "user", conditions) if "withdeleted" in conditions.switches else ()
    rows += [absent | {"name": name, "admin_level": "None"} for name in gone]
    for row in sorted(rows, key=lambda row: str(row["name"])):
        record = {
            "User": row["name"],
            "Def Acct": row["default_account"],
            "Admin": row["admin_level"],
            "Def WCKey": row["default_wckey"],
            "Coord Accounts": ",".join(row["coordinates"]),
        }
        # one that no association is asked for of is listed all the same
        yield from (association | record for association in joined.get(row["name"], ({},)))


_LEVELS = ("none", "operator", "administrator")


def _of_level(level: str, conditions: Conditions) -> bool:
    """Levels may be abbreviated; what is no level asks for nothing."""
    wanted = [
        each for word in conditions.values.get("admin_levels", ()) for each in _LEVELS if each.startswith(word[:13])
    ]
    return not wanted or level.lower() in wanted


def _user_list(conditions: Conditions) -> str:
    text = "User,Def Acct,Admin"
    if "withassoc" in conditions.switches:
        text += (
            ",Cluster,Account,Partition,Share,Priority,MaxJobs,MaxNodes,MaxCPUs,MaxSubmit,MaxWall,MaxCPUMins,QOS,"
            "Def QOS"
        )
    return text + (",Coord Accounts" if "withcoord" in conditions.switches else "")


def accounts(settings: Settings, conditions: Conditions) -> Iterator[Record]:
    own = ("name", "description", "organization", "coordinators", "flags")
    absent: Record = dict.fromkeys(own, "")
    rows = [
        row
        for row in settings.rows("accounts", own)
        if conditions.passes("names", row["name"])
        and conditions.passes("accounts", row["name"])
        and conditions.passes("descriptions", row["description"])
        and conditions.passes("organizations", row["organization"])
    ]
    joined: dict[str, list[Record]] = {}
    if "withassoc" in conditions.switches:
        for association in _associations_asked(settings, conditions):
            record = association_record(association, conditions.switches)
            record.pop("Flags")
            joined.setdefault(association["account"], []).append(record)
    gone = deleted_names(settings, "account", conditions) if "withdeleted" in conditions.switches else ()
    rows += [absent | {"name": name, "flags": "Deleted"} for name in gone]
    for row in sorted(rows, key=lambda row: str(row["name"])):
        record = {
            "Account": row["name"],
            "Descr": row["description"],
            "Org": row["organization"],
            "Coord Accounts": ",".join(row["coordinators"]),
            "Flags": row["flags"] or "None",
        }
        # one that no association is asked for of is listed all the same
        yield from (record | association for association in joined.get(row["name"], ({},)))


def _account_list(conditions: Conditions) -> str:
    text = "Account,Descr,Org"
    if "withassoc" in conditions.switches:
        text += (
            ",Cluster,ParentName,User,Share,Priority,GrpJobs,GrpNodes,GrpCPUs,GrpMem,GrpSubmit,GrpWall,GrpCPUMins,"
            "MaxJobs,MaxNodes,MaxCPUs,MaxSubmit,MaxWall,MaxCPUMins,QOS,Def QOS"
        )
    return text + (",Coord Accounts" if "withcoord" in conditions.switches else "")


# QOS, TRES, clusters


def qos(settings: Settings, conditions: Conditions) -> Iterator[Record]:
    rows = settings.rows("qos", QOS_ROW)
    places = {row["name"]: row["id"] for row in rows}
    for row in rows:
        if (
            conditions.passes("names", row["name"])
            and conditions.passes("ids", str(row["id"]))
            and conditions.passes("descriptions", row["description"])
            and conditions.passes("preempt_modes", row["preempt_mode"].lower() or "cluster")
        ):
            yield qos_record(row, places)


QOS_LIST = (
    "Name,Priority,GraceTime,Preempt,PreemptExemptTime,PreemptMode,Flags%40,UsageThres,UsageFactor,GrpTRES,GrpTRESMins,"
    "GrpTRESRunMins,GrpJobs,GrpSubmit,GrpWall,MaxTRES,MaxTRESPerNode,MaxTRESMins,MaxWall,MaxTRESPU,MaxJobsPU,"
    "MaxSubmitPU,MaxTRESPA,MaxTRESRunMinsPA%22,MaxTRESRunMinsPU%22,MaxJobsPA,MaxSubmitPA,MinTRES"
)


def resources(settings: Settings, conditions: Conditions) -> Iterator[Record]:
    for row in settings.rows("tres", ("id", "type", "name")):
        whole = f"{row['type']}/{row['name']}" if row["name"] else row["type"]
        if (
            conditions.passes("names", row["name"] or row["type"], whole)
            and conditions.passes("ids", str(row["id"]))
            and conditions.passes("types", row["type"])
        ):
            yield {"Type": row["type"], "Name": row["name"], "ID": row["id"]}


def clusters(settings: Settings, conditions: Conditions) -> Iterator[Record]:
    ctx = settings.ctx
    ping = ctx.controller.call("ping")
    own = own_cluster(ctx)
    if (
        not conditions.passes("names", own)
        or not conditions.passes("rpc", str(RPC_VERSION))
        or conditions.values.get("federations")
        or conditions.values.get("default_qos")
    ):
        return
    nodes = settings.rows("nodes", ("name",))
    root = next(row for row in settings.rows("associations", ASSOCIATION) if not row["parent_id"])
    yield association_record(root) | {
        "Cluster": own,
        "ControlHost": ping["hostname"],
        "ControlPort": CONTROL_PORT,
        "RPC": RPC_VERSION,
        "ID": 0,
        "Cluster Nodes": sacctmgr_events.node_names(nodes),
        "NodeCount": len(nodes),
        "FedState": "NA",
        "Flags": "MultipleSlurmd",
        "TRES": sacctmgr_events.whole_cluster(
            settings.rows("nodes", ("tres",)), settings.rows("tres", ("type", "name"))
        ),
    }


def _cluster_list(conditions: Conditions) -> str:
    text = "Cluster,ControlHost,ControlPort,RPC"
    if "wolimits" not in conditions.switches:
        text += ",Share,GrpJobs,GrpTRES,GrpSubmit,MaxJobs,MaxTRES,MaxSubmit,MaxWall,QOS,Def QOS"
    return text + (",Federation,ID,Features,FedState" if "withfed" in conditions.switches else "")


# what there is nothing of


def _nothing(settings: Settings, conditions: Conditions) -> Iterator[Record]:
    return iter(())


def _fixed(text: str) -> Callable[[Conditions], str]:
    return lambda conditions: text


WCKEY = (
    Column("WCKey", 10, "n|ame w|ckeys"), Column("Cluster", 10, "c|luster"), Column("User", 10, "u|ser"),
    Column("ID", 6, "i|d", WHOLE),
)  # fmt: skip
TRANSACTION = (
    Column("Time", 19, "t|imestamp", DATE), Column("Action", 20, "a|ction"), Column("Actor", 10, "acto|r"),
    Column("Where", 20, "w|here"), Column("Info", 20, "in|fo"), Column("ID", 6, "i|d", WHOLE),
    Column("Cluster", 10, "cl|usters"), Column("Account", 10, "acco|unts"), Column("User", 10, "u|sers"),
)  # fmt: skip
FEDERATION = (
    Column("Federation", 10, "n|ame fede|ration"), Column("Cluster", 10, "c|luster"), Column("ID", 2, "i|d", WHOLE),
    Column("Features", 20, "fea|tures"), Column("FedState", 12, "feds|tate"), Column("Flags", 20, "fl|ags"),
)  # fmt: skip
RESOURCE = (
    Column("Name", 10, "n|ame"), Column("Server", 10, "se|rver"), Column("Type", 8, "t|ype"),
    Column("Count", 6, "cou|nt", WHOLE), Column("LastConsumed", 12, "l|astconsumed", WHOLE),
    Column("Allocated", 9, "alloc|ated", WHOLE), Column("Allowed", 8, "al|lowed", WHOLE),
    Column("ServerType", 10, "servert|ype"), Column("Flags", 20, "f|lags"), Column("Cluster", 10, "cl|uster"),
    Column("Descr", 20, "d|escription"), Column("ID", 6, "i|d", WHOLE),
    Column("Manager", 10, "m|anager"),
)  # fmt: skip
RESERVATION = (
    Column("Cluster", 10, "c|luster"), Column("Name", 15, "na|me"), Column("TRES", 30, "t|res"),
    Column("TimeStart", 19, "s|tart timestart|", DATE), Column("TimeEnd", 19, "e|nd timeend|", DATE),
    Column("UnusedWall", 10, "u|nusedwall", WHOLE), Column("Assocs", 20, "a|ssociations"),
    Column("Flags", 20, "f|lags"), Column("ID", 6, "i|d", WHOLE), Column("NodeNames", 20, "no|denames"),
    Column("Comment", 20, "com|ment"),
)  # fmt: skip
INSTANCE = (
    Column("Cluster", 10, "c|luster"), Column("NodeName", -15, "n|odename"),
    Column("TimeStart", 19, "s|tart timestart|", DATE), Column("TimeEnd", 19, "en|d timeend|", DATE),
    Column("InstanceId", 20, "instancei|d"), Column("InstanceType", 20, "instancet|ype"), Column("Extra", 20, "ex|tra"),
)  # fmt: skip


def _transaction_list(conditions: Conditions) -> str:
    return "Time,Action,Actor,Where,Info" + (",User,Account,Cluster" if "withassoc" in conditions.switches else "")


ENTITIES: dict[str, Entity] = {
    "account": Entity(_account_list, accounts),
    "association": Entity(_association_list, associations),
    "cluster": Entity(_cluster_list, clusters),
    "event": Entity(sacctmgr_events.titles, sacctmgr_events.events),
    "federation": Entity(_fixed("Federation,Cluster,ID,Features,FedState"), _nothing, FEDERATION),
    "instance": Entity(_fixed("Cluster,NodeName,TimeStart,TimeEnd,InstanceId,InstanceType,Extra"), _nothing, INSTANCE),
    "problem": Entity(_fixed("Cluster,Account,User,Problem"), sacctmgr_others.problems),
    "qos": Entity(_fixed(QOS_LIST), qos),
    "reservation": Entity(_fixed("Cluster,Name,TRES,TimeStart,TimeEnd,UnusedWall"), _nothing, RESERVATION),
    "resource": Entity(sacctmgr_others.licenses_list, sacctmgr_others.licenses, RESOURCE),
    "transaction": Entity(_transaction_list, sacctmgr_others.transactions, TRANSACTION),
    "tres": Entity(_fixed("Type,Name%15,ID"), resources, only=frozenset(("Type", "Name", "ID"))),
    "user": Entity(_user_list, users),
    "wckey": Entity(_fixed("WCKey,Cluster,User"), sacctmgr_others.wckeys, WCKEY),
}

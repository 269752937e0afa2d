"""sacctmgr add, modify and delete resource: licences of a server, and the part of them this cluster may use.

Such a licence is asked for as name@server; of `count` there are `allowed` for the cluster, in percent or, with the
flag Absolute, in licences. Source: sacctmgr(1), SPECIFICATIONS FOR RESOURCE; observed on 26.05.
"""

from __future__ import annotations

from typing import Any

from slurm_compat.controller import book
from slurm_compat.controller.bookwork import Values, Where, Work, info, matches, names_of, need_admin
from slurm_compat.core.errors import BAD_ARGUMENT, SlurmError

OVER_ALLOCATED = 7005
MOST = 0xFFFFFFFE
# what a resource has; `allowed` None: the cluster has no part in it
KEYS: Values = {
    "count": 0, "description": "", "server_type": "", "type": "", "flags": "", "last_consumed": 0, "allowed": None,
}  # fmt: skip


def licenses(resources: dict[str, Values]) -> dict[str, int]:
    """Licences this cluster has of servers, by name@server."""
    return {name: total(values) for name, values in resources.items() if values["allowed"] is not None}


def total(values: Values) -> int:
    if "absolute" in values["flags"].lower():
        return int(min(values["allowed"], values["count"]))
    return int(values["count"] * values["allowed"] // 100)


def all_of(source: book.Book) -> dict[str, Values]:
    return {key: KEYS | values for key, _, values in source.values(book.RESOURCE)}


def add(work: Work, where: Where, values: Values) -> dict[str, Any]:
    """-> {added: [name@server]}"""
    wanted = _checked(values)
    server = _server(where)
    known = all_of(work.book)
    added = []
    for name in names_of(where):
        key = f"{name}@{server}"
        if key in known and (known[key]["allowed"] is not None or wanted.get("allowed") is None):
            continue
        need_admin(work)
        if key in known:
            _need_room(key, known[key] | wanted)
            work.book.change(book.RESOURCE, key, {"allowed": wanted["allowed"]})
            number = work.book.entries[book.RESOURCE][key].number
        else:
            if not wanted.get("count"):
                raise SlurmError(BAD_ARGUMENT, f"Need to designate a resource count to initially add '{name}'.")
            full = KEYS | {"description": name} | wanted
            _need_room(key, full)
            number = work.book.add(book.RESOURCE, key, full, work.now)
            work.note("Add Resources", str(number), f"mod_time={work.now}, " + info(wanted, {"server_type": "manager"}))
        if wanted.get("allowed") is not None:
            note = f"mod_time={work.now}, allowed={wanted['allowed']}"
            work.note("Add Resources", f"{number}@{work.cluster}", note)
        added.append(key)
    return {"added": added}


def modify(work: Work, where: Where, values: Values) -> dict[str, Any]:
    """-> {names, clusters: those of the names that have a part here}"""
    wanted = _checked(values)
    taken = _taken(work, where)
    need_admin(work)
    known = all_of(work.book)
    of_cluster = bool(where.get("clusters"))
    for key in taken:
        _need_room(key, known[key] | wanted)
        work.book.change(book.RESOURCE, key, wanted)
        work.note("Modify Resources", f"id='{work.book.entries[book.RESOURCE][key].number}'", info(wanted, {}))
    parts = [key for key in taken if known[key]["allowed"] is not None]
    return {"names": [] if of_cluster else taken, "clusters": parts}


def delete(work: Work, where: Where, values: Values) -> dict[str, Any]:
    """Whole, or only the cluster's part. -> as modify"""
    taken = _taken(work, where)
    need_admin(work)
    known = all_of(work.book)
    of_cluster = bool(where.get("clusters"))
    parts = [key for key in taken if known[key]["allowed"] is not None]
    for key in parts if of_cluster else taken:
        number = work.book.entries[book.RESOURCE][key].number
        if of_cluster:
            work.book.change(book.RESOURCE, key, {"allowed": None})
            work.note("Remove Resources", f"(res_id='{number}' && cluster='{work.cluster}')")
        else:
            work.book.remove(book.RESOURCE, key, forget=True)
            work.note("Remove Resources", f"id='{number}'")
    return {"names": [] if of_cluster else taken, "clusters": parts}


def _taken(work: Work, where: Where) -> list[str]:
    found = []
    for key, values in sorted(all_of(work.book).items()):
        name, _, server = key.rpartition("@")
        if where.get("clusters") and (work.cluster not in where["clusters"] or values["allowed"] is None):
            continue
        if (
            matches(where, "names", name, key)
            and matches(where, "servers", server)
            and matches(where, "descriptions", values["description"])
            and matches(where, "server_types", values["server_type"])
        ):
            found.append(key)
    return found


def _server(where: Where) -> str:
    servers = names_of(where, "servers")
    return servers[0] if servers else "slurmdb"


def _need_room(key: str, values: Values) -> None:
    """Raises SlurmError when the cluster would have more than there is."""
    if values["allowed"] is None:
        return
    absolute = "absolute" in values["flags"].lower()
    if values["allowed"] > (values["count"] if absolute else 100):
        raise SlurmError(OVER_ALLOCATED, notes=[key, str(values["allowed"]) + ("" if absolute else "%")])


def _checked(values: Values) -> Values:
    found: Values = {}
    for name, value in values.items():
        if name not in KEYS:
            raise SlurmError(BAD_ARGUMENT, f"{name} can't be set")
        if name in ("count", "last_consumed", "allowed"):
            if not isinstance(value, int) or not 0 <= value <= MOST:
                raise SlurmError(BAD_ARGUMENT, f"{name}: not a number of licences")
            found[name] = value
        else:
            found[name] = str(value)[:256]
    return found

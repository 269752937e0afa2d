"""The calls that change and show the accounting book, and what a change of it means for everybody.

A change is tried on a copy; what the copy has become is in force at once and answered when the store has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from slurm_compat.controller import (
    book,
    bookadding,
    bookdeleting,
    bookmodifying,
    bookqos,
    bookresources,
    bookusage,
    reprioritizing,
)  # fmt: skip
from slurm_compat.controller.answering import chunks, require_fields
from slurm_compat.controller.associations import tree, tres_names
from slurm_compat.controller.bookwork import LiveJob, Values, Where, Work, denied, need_admin
from slurm_compat.core import bookargs, callargs
from slurm_compat.core.cluster import ClusterConf
from slurm_compat.core.errors import ACCESS_DENIED, BAD_ARGUMENT, SlurmError
from slurm_compat.store import bookrecords
from slurm_compat.store.changes import Change
from slurm_compat.translators.queues import priority_factors, queue_of_account

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller
    from slurm_compat.controller.server import Session

Handler = Callable[[Work, Where, Values], dict[str, Any]]

HANDLERS: dict[tuple[str, str], Handler] = {
    ("add", "account"): bookadding.account,
    ("add", "user"): bookadding.user,
    ("add", "coordinator"): bookadding.coordinator,
    ("add", "qos"): bookqos.add,
    ("add", "resource"): bookresources.add,
    ("modify", "account"): bookmodifying.account,
    ("modify", "account association"): bookmodifying.account_association,
    ("modify", "user"): bookmodifying.user,
    ("modify", "user association"): bookmodifying.user_association,
    ("modify", "cluster"): bookmodifying.cluster,
    ("modify", "qos"): bookqos.modify,
    ("modify", "resource"): bookresources.modify,
    ("modify", "usage"): bookusage.reset,
    ("delete", "account"): bookdeleting.account,
    ("delete", "user"): bookdeleting.user,
    ("delete", "coordinator"): bookadding.remove_coordinator,
    ("delete", "qos"): bookqos.delete,
    ("delete", "resource"): bookresources.delete,
}
MAX_STEPS = 200_000  # of a loaded file
FIELDS = ("id", "at", "action", "actor", "name", "info")


def _work(controller: Controller, session: Session) -> Work:
    if session.caller is None:
        raise SlurmError(ACCESS_DENIED)
    table = controller.table
    live = [
        LiveJob(job.job_id, job.account, job.user_name, job.qos, job.partition)
        for job in sorted(table.jobs.values(), key=lambda job: job.job_id)
        if not job.is_final
    ]
    own = controller.shares.used.known()
    places = {(job.account, job.user_name) for job in table.jobs.values()}
    for entry in tree(controller.conf):
        if (entry.account, entry.user) in places or (not entry.user and any(entry.account == one for one, _ in places)):
            own.add(entry.number)
    return Work(
        controller.book.fork(), session.caller, controller.now(), live, own.__contains__,
        frozenset(tres_names(controller.conf)),
    )  # fmt: skip


def _load(work: Work, where: Where, values: Values) -> dict[str, Any]:
    """The steps of a loaded file, one after the other: all of them or none. -> {}"""
    steps = values.get("steps")
    if not isinstance(steps, list) or len(steps) > MAX_STEPS:
        raise SlurmError(BAD_ARGUMENT, "not the steps of a file")
    need_admin(work)
    for step in steps:
        try:
            verb, entity, whom, what = step
            handler = HANDLERS[verb, entity]
            whom = msgspec.convert(whom, dict[str, list[str]])
            what = msgspec.convert(what, dict[str, Any])
        except (TypeError, ValueError, KeyError):
            raise SlurmError(BAD_ARGUMENT, "not a step of a file") from None
        handler(work, whom, what)
    return {}


def handler_of(verb: str, entity: str) -> Handler:
    """Raises SlurmError for what is no change of the book."""
    handler = _load if (verb, entity) == ("load", "steps") else HANDLERS.get((verb, entity))
    if handler is None:
        raise SlurmError(BAD_ARGUMENT, f"{verb} {entity} is no change of the accounting book")
    return handler


async def change(controller: Controller, session: Session, args: bookargs.ChangeBook) -> dict[str, Any]:
    """The call `change_book`. Raises SlurmError, nothing changed, for what is refused."""
    handler = handler_of(args.verb, args.entity)
    while True:
        base = controller.book
        work = _work(controller, session)
        if handler is not _load:
            answer = handler(work, args.where, args.values)
            break
        # a file may be long: it is worked through beside the loop, and anew if the book has changed meanwhile
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(None, handler, work, args.where, args.values)
        if controller.book is base:
            break
    if args.dry or not (work.book.touched or work.log or work.resets):
        return answer
    await keep(controller, work)
    return answer


async def keep(controller: Controller, work: Work) -> None:
    """Put the changed book in force and into the store."""
    change = Change()
    before = controller.conf
    controller.book = work.book
    work.book.save(change)
    for number, (action, name, info) in enumerate(work.log, controller.next_transaction):
        row = (number, work.now, action, work.caller.user_name, name, info)
        change.put("transactions", number, dict(zip(FIELDS, row, strict=True)))
    controller.next_transaction += len(work.log)
    install(controller, work.book.effective())
    _queues(controller, before, controller.conf, change)
    bookusage.apply(controller, work, change)
    controller.spawn(reprioritizing.again(controller))
    await controller.commit(change)


def install(controller: Controller, accounting: ClusterConf) -> None:
    """The accounting is as this has it from now on; all else of the configuration is as it was."""
    cluster = controller.cluster
    conf = msgspec.structs.replace(
        controller.conf, accounts=accounting.accounts, users=accounting.users, qos=accounting.qos
    )
    controller.conf = cluster.conf = conf
    controller.shares.configure(conf)
    controller.roles = controller.roles.of(conf)
    set_licenses(controller)
    cluster.generation += 1
    controller.reasons.stale()
    controller.handover.retry_blocked()


def set_licenses(controller: Controller) -> None:
    """What servers let this cluster use beside its own."""
    cluster = controller.cluster
    own = {name: count for name, count in cluster.licenses.items() if "@" not in name}
    cluster.licenses = own | bookresources.licenses(bookresources.all_of(controller.book))


def remote_licenses(controller: Controller) -> dict[str, tuple[int, int]]:
    """Of each that a server gives: how many were used when it was last told, and when that was."""
    entries = controller.book.entries[book.RESOURCE]
    found = bookresources.all_of(controller.book)
    return {name: (values["last_consumed"], entries[name].at) for name, values in found.items()}


def _queues(controller: Controller, before: ClusterConf, after: ClusterConf, change: Change) -> None:
    """Queues of accounts that are new, or whose part of the shares is another one now."""
    old = priority_factors(before)
    for account, factor in priority_factors(after).items():
        queue = queue_of_account(after.armada.queue, account)
        if queue and old.get(account) != factor:
            controller.outbox.queue(change, queue, factor)


# what there is to show beside the rows of associations, accounts, users and qos


def records(controller: Controller, session: Session, args: callargs.Nothing) -> dict[str, Any]:
    """The call `book_records`. wckeys are an operator's to see: None for others."""
    caller = session.caller
    if caller is None:
        raise denied()
    own = controller.book
    wckeys = [[number, *key.split("\t")] for key, number, _ in own.values(book.WCKEY)]
    return {
        "wckeys": wckeys if caller.operator else None,
        "resources": [
            {
                "id": own.entries[book.RESOURCE][key].number,
                "name": key.rpartition("@")[0],
                "server": key.rpartition("@")[2],
            }
            | values
            for key, values in sorted(bookresources.all_of(own).items())
        ],
        "deleted": [
            [kind, key, entry.number]
            for kind in (book.ACCOUNT, book.ASSOCIATION, book.USER)
            for key, entry in own.entries[kind].items()
            if entry.gone and (caller.operator or not controller.conf.private_data)
        ],
    }


async def transaction_rows(controller: Controller, session: Session, args: bookargs.Events) -> Any:
    """The call `transactions`: what was changed of the book, the oldest first."""
    require_fields(args.fields, FIELDS)
    rows = await controller.store.read(
        lambda connection: bookrecords.transactions_between(connection, args.start, args.end)
    )
    places = [FIELDS.index(name) for name in args.fields]
    return chunks([[row[place] for place in places] for row in rows])


async def restore(controller: Controller, things: list[tuple[str, str, Any]]) -> None:
    """At the start: the file's accounting with what the store has of changes; new entries' numbers are kept."""
    own = controller.book
    own.restore(things)
    own.rebase(controller.conf)
    controller.next_transaction = 1 + await controller.store.read(bookrecords.last_transaction)
    install(controller, own.effective())
    change = Change()
    own.save(change)
    if change:
        await controller.commit(change)


def rebased(controller: Controller, conf: ClusterConf) -> ClusterConf:
    """At a reconfigure: the file as it is now with what sacctmgr changed on top."""
    controller.book.rebase(conf)
    after = controller.book.effective()
    change = Change()
    controller.book.save(change)
    _queues(controller, controller.conf, after, change)
    if change:
        controller.commit(change)
    return after

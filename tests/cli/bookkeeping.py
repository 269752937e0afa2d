"""A controller of dicts whose accounting book is the real one, in memory: what sacctmgr changes it shows afterwards."""

import sys
from pathlib import Path
from typing import Any

from slurm_compat.controller import associationrows, associations, book, bookcalls, bookresources
from slurm_compat.controller.book import Book
from slurm_compat.controller.bookwork import LiveJob, Work
from slurm_compat.controller.caller import Caller
from slurm_compat.core.errors import SlurmError

sys.path.insert(0, str(Path(__file__).parent))
from accounting_rows import CONF, NOW, Accounting

sys.path.pop(0)

UIDS = {"root": 0, "alice": 2001, "bob": 2002}


class BookKeeping(Accounting):
    def __init__(self, live: list[LiveJob] | None = None, conf: Any = CONF) -> None:
        super().__init__()
        self.book = Book()
        self.book.rebase(conf)
        self.live = live if live is not None else []
        self.user = "root"
        self.log: list[Any] = []
        self.again()

    def again(self) -> None:
        conf = self.book.effective()
        self.tables |= {
            "associations": associationrows.association_rows(conf),
            "accounts": associationrows.account_rows(conf),
            "users": associationrows.user_rows(conf, self.book.default_wckeys()),
            "qos": associationrows.qos_rows(conf),
            "tres": associations.tres_rows(conf),
            "transactions": [
                {"id": number, "at": NOW, "action": one.action, "actor": who, "name": one.name, "info": one.info}
                for number, (who, one) in enumerate(self.log, 1)
            ],
        }

    def caller(self) -> Caller:
        levels = {row["name"]: row["admin_level"] for row in self.tables["users"]}
        level = "Administrator" if self.user == "root" else levels.get(self.user, "None")
        uid = UIDS[self.user]
        return Caller(uid, uid, self.user, self.user, level != "None", level == "Administrator")

    def call(self, name: str, **args: Any) -> dict[str, Any]:
        if name == "change_book":
            return self.change(**args)
        if name == "book_records":
            own = self.book
            wckeys = [[number, *key.split("\t")] for key, number, _ in own.values(book.WCKEY)]
            return {
                "wckeys": wckeys if self.caller().operator else None,
                "resources": [
                    {"id": own.entries[book.RESOURCE][key].number}
                    | dict(zip(("name", "server"), key.split("@"), strict=True))
                    | values
                    for key, values in bookresources.all_of(own).items()
                ],
                "deleted": [
                    [kind, key, entry.number]
                    for kind in (book.ACCOUNT, book.ASSOCIATION, book.USER)
                    for key, entry in own.entries[kind].items()
                    if entry.gone
                ],
            }
        return super().call(name, **args)

    def change(
        self, verb: str, entity: str, where: Any = None, values: Any = None, dry: bool = False
    ) -> dict[str, Any]:
        caller = self.caller()
        known = frozenset(associations.tres_names(self.book.effective()))
        work = Work(self.book.fork(), caller, NOW, self.live, lambda number: False, known)
        handler = bookcalls.handler_of(verb, entity)
        answer = handler(work, where or {}, values or {})
        if not dry:
            self.book = work.book
            self.log += [(caller.user_name, one) for one in work.log]
            self.again()
        return answer


def refused(controller: BookKeeping, *args: Any, **more: Any) -> SlurmError:
    """The error of a change that has to be refused."""
    try:
        controller.change(*args, **more)
    except SlurmError as problem:
        return problem
    raise AssertionError("it was done")

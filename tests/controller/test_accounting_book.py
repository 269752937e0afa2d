"""The accounting book: the file overlaid by what sacctmgr changed, its numbers, and that it outlives the controller."""

import asyncio
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from slurm_compat.controller import bookcalls, nodeevents
from slurm_compat.controller.associationrows import association_rows, user_rows
from slurm_compat.controller.associations import coordinated
from slurm_compat.controller.authorization import Roles
from slurm_compat.controller.book import ACCOUNT, Book, association_key
from slurm_compat.controller.bookwork import Work
from slurm_compat.controller.caller import Caller
from slurm_compat.controller.controller import Controller
from slurm_compat.controller.limits import association, qos_of
from slurm_compat.controller.reconfiguring import reconfigure
from slurm_compat.core import bookargs
from slurm_compat.core.cluster import PARENT_SHARE, cluster_conf
from slurm_compat.core.errors import ACCESS_DENIED, SlurmError
from slurm_compat.store import questions
from slurm_compat.store.changes import Batch, Change
from slurm_compat.store.store import Store

sys.path.insert(0, str(Path(__file__).parent))
from reference import reference_cluster

sys.path.pop(0)

FILE = {
    "ClusterName": "lab",
    "AccountingStorageEnforce": "associations,limits,qos",
    "QOS": [{"Name": "normal"}, {"Name": "high", "Priority": 9}],
    "Accounts": [{"Name": "physics", "Fairshare": 10, "MaxJobs": 4}, {"Name": "optics", "Parent": "physics"}],
    "Users": [{"Name": "alice", "Account": "optics"}, {"Name": "bob", "Account": "physics", "QOS": ["high"]}],
}
ROOT = Caller(0, 0, "root", "root", True, True)
OPERATOR = Caller(9, 9, "olga", "olga", True, False)
ALICE = Caller(1, 1, "alice", "alice", False, False)
BOB = Caller(2, 2, "bob", "bob", False, False)


def book_of(document=FILE, things=()):
    book = Book()
    book.restore(things)
    book.rebase(cluster_conf(document))
    return book


def try_on(book, verb, entity, where=None, values=None, caller=ROOT, live=()):
    work = Work(book, caller, 1000, list(live), lambda number: False, frozenset(("cpu", "mem", "node", "gres/gpu")))
    return bookcalls.handler_of(verb, entity)(work, where or {}, values or {})


def things_of(book):
    """What a store would have of it."""
    change = Change()
    book.save(change)
    rows = Batch([change]).puts.get("things", [])
    return [(row["kind"], row["name"], msgspec.json.decode(row["data"])) for row in rows]


def numbers(book):
    return {row["lineage"]: row["id"] for row in association_rows(book.effective())}


# the file, and what outranks it


def test_numbers_follow_the_files_order():
    assert numbers(book_of()) == {
        "/": 1, "/0-root/": 2, "/physics/": 3, "/physics/optics/": 4, "/physics/optics/0-alice/": 5,
        "/physics/0-bob/": 6,
    }  # fmt: skip


def test_sacctmgr_outranks_the_file_key_by_key():
    book = book_of()
    try_on(book, "modify", "account association", {"names": ["physics"]}, {"fairshare": 77})
    changed = FILE | {"Accounts": [{"Name": "physics", "Fairshare": 1, "MaxJobs": 99}]}
    book.rebase(cluster_conf(changed))
    (physics,) = book.effective().accounts
    assert (physics.fairshare, physics.max_jobs) == (77, 99)


def test_what_was_deleted_stays_so_whatever_the_file_says_and_comes_back_with_its_number():
    book = book_of()
    try_on(book, "delete", "user", {"names": ["alice"]})
    book.rebase(cluster_conf(FILE))
    assert "/physics/optics/0-alice/" not in numbers(book)
    try_on(book, "add", "user", {"names": ["alice"], "accounts": ["optics"]})
    assert numbers(book)["/physics/optics/0-alice/"] == 5


def test_numbers_of_forgotten_entries_are_not_given_again():
    book = book_of()
    try_on(book, "add", "account", {"names": ["chem"]})
    try_on(book, "delete", "account", {"names": ["chem"]})
    assert ACCOUNT not in {kind for kind, entries in book.entries.items() if "chem" in entries}
    again = book_of(things=things_of(book))
    try_on(again, "add", "account", {"names": ["chem"]})
    assert numbers(again)["/chem/"] == 8


def test_an_entry_the_file_no_longer_has_goes_and_keeps_its_number():
    book = book_of()
    book.rebase(cluster_conf(FILE | {"Users": FILE["Users"][1:]}))
    assert "/physics/optics/0-alice/" not in numbers(book)
    book.rebase(cluster_conf(FILE))
    assert numbers(book)["/physics/optics/0-alice/"] == 5


NAMES = some.sampled_from(["physics", "optics", "chem", "bio"])
USERS = some.sampled_from(["alice", "bob", "eve"])
QOS = ("normal", "high")
LIMITS = some.fixed_dictionaries(
    {},
    optional={
        "fairshare": some.integers(1, 50) | some.just(PARENT_SHARE), "max_jobs": some.none() | some.integers(0, 9),
        "grp_tres": some.sampled_from(["cpu=4", "cpu=-1", "cpu=2,mem=4G"]), "max_wall": some.none() | some.just("60"),
        "qos": some.sampled_from([{"op": op, "names": [name]} for op in ("=", "+=", "-=") for name in QOS]),
    },
)  # fmt: skip
ACCOUNTS = NAMES.map(lambda name: {"names": [name]})
CHANGES = some.lists(
    some.tuples(some.just("add"), some.just("account"), NAMES.map(lambda name: {"names": [name]}), LIMITS)
    | some.tuples(some.just("add"), some.just("user"),
                  some.tuples(USERS, NAMES).map(lambda both: {"names": [both[0]], "accounts": [both[1]]}), LIMITS)
    | some.tuples(some.just("modify"), some.just("account association"), ACCOUNTS, LIMITS)
    | some.tuples(some.just("modify"), some.just("user association"), USERS.map(lambda name: {"names": [name]}), LIMITS)
    | some.tuples(some.just("delete"), some.just("account"), NAMES.map(lambda name: {"names": [name]}), some.just({}))
    | some.tuples(some.just("delete"), some.just("user"), USERS.map(lambda name: {"names": [name]}), some.just({})),
    max_size=12,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(CHANGES)
def test_a_book_read_back_is_the_same_book(changes):
    book = book_of()
    kept = {(kind, name): data for kind, name, data in things_of(book)}
    for change in changes:
        tried = book.fork()
        try:
            try_on(tried, *change)
        except SlurmError:
            continue
        book = tried
        kept |= {(kind, name): data for kind, name, data in things_of(book)}
    for kind, key in [(kind[5:], key) for kind, key in kept if kind.startswith("book ")]:
        if key not in book.entries[kind]:
            del kept[f"book {kind}", key]
    again = book_of(things=[(kind, name, data) for (kind, name), data in kept.items()])
    assert sorted(map(repr, again.effective().users)) == sorted(map(repr, book.effective().users))
    assert sorted(map(repr, again.effective().accounts)) == sorted(map(repr, book.effective().accounts))
    assert again.effective().qos == book.effective().qos


# limits and QOS


def test_limits_are_inherited_tres_by_tres():
    book = book_of()
    try_on(
        book, "modify", "account association", {"names": ["physics"]}, {"max_tres": "cpu=9,mem=1G", "max_wall": "60"}
    )
    try_on(book, "modify", "user association", {"names": ["alice"]}, {"max_tres": "cpu=3"})
    alice = next(row for row in association_rows(book.effective()) if row["user"] == "alice")
    assert alice["limits"] == {"max_jobs": 4, "max_tres": "cpu=3,mem=1G", "max_wall": "60"}
    assert alice["own_limits"] == {"max_tres": "cpu=3"}


def test_a_default_qos_and_qos_of_the_account_above():
    book = book_of()
    change = {"qos": {"op": "+=", "names": ["high"]}, "default_qos": "high"}
    try_on(book, "modify", "account association", {"names": ["physics"]}, change)
    conf = book.effective()
    link = association(conf, "alice", "")
    assert (link.qos, qos_of(conf, link, "")) == (("high", "normal"), "high")
    with pytest.raises(SlurmError) as refused:
        try_on(book, "modify", "account association", {"names": ["physics"]}, {"qos": {"op": "-=", "names": ["high"]}})
    assert refused.value.number == 7011


def test_an_association_of_a_partition_goes_before_the_others():
    book = book_of()
    try_on(book, "add", "user", {"names": ["alice"], "accounts": ["optics"], "partitions": ["debug"]}, {"max_jobs": 1})
    conf = book.effective()
    assert association(conf, "alice", "optics", "debug").number == 7
    assert association(conf, "alice", "optics", "compute").number == 5
    assert association_key("optics", "alice", "debug") in book.entries["association"]


def test_a_qos_may_not_preempt_itself_by_a_way_round():
    book = book_of()
    try_on(book, "modify", "qos", {"names": ["high"]}, {"preempt": {"op": "=", "names": ["normal"]}})
    with pytest.raises(SlurmError, match="loop"):
        try_on(book, "modify", "qos", {"names": ["normal"]}, {"preempt": {"op": "+=", "names": ["high"]}})


@pytest.mark.parametrize(
    "values",
    [{"number": 5}, {"name": "x"}, {"max_jobs": "many"}, {"grp_tres": "bogus=1"}, {"max_wall": "soon"}, {"qos": "high"},
     {"qos": {"op": "=", "names": ["nosuch"]}}, {"bogus": 1}, {"coordinators": ["alice"]}],
)  # fmt: skip
def test_values_from_a_client_are_checked(values):
    with pytest.raises(SlurmError):
        try_on(book_of(), "modify", "account association", {"names": ["physics"]}, values)


@pytest.mark.parametrize("name", ["", "a\tb", "a,b", "x" * 200, "a\nb", "it's"])
def test_names_from_a_client_are_checked(name):
    with pytest.raises(SlurmError):
        try_on(book_of(), "add", "account", {"names": [name]})


# who may


@pytest.mark.parametrize(
    "verb, entity, where, values, refused",
    [
        ("add", "account", {"names": ["x"]}, {}, (ALICE, BOB)),
        ("add", "account", {"names": ["x"]}, {"parent": "physics"}, (ALICE,)),
        ("add", "user", {"names": ["eve"], "accounts": ["optics"]}, {}, (ALICE,)),
        ("add", "user", {"names": ["eve"], "accounts": ["optics"]}, {"admin_level": "Operator"}, (ALICE, BOB)),
        ("add", "qos", {"names": ["x"]}, {}, (ALICE, BOB, OPERATOR)),
        ("add", "coordinator", {"names": ["alice"], "accounts": ["optics"]}, {}, (ALICE,)),
        ("add", "resource", {"names": ["x"], "servers": ["s"]}, {"count": 3}, (ALICE, BOB, OPERATOR)),
        ("modify", "account", {"names": ["optics"]}, {"description": "x"}, (ALICE, BOB)),
        ("modify", "account association", {"names": ["optics"]}, {"max_jobs": 2}, (ALICE,)),
        ("modify", "account association", {"names": ["physics"]}, {"max_jobs": 2}, (ALICE, BOB)),
        ("modify", "account association", {"names": ["optics"]}, {"parent": "root"}, (ALICE, BOB)),
        ("modify", "user association", {"names": ["alice"]}, {"max_jobs": 2}, ()),
        ("modify", "user association", {"names": ["bob"]}, {"max_jobs": 2}, (ALICE,)),
        ("modify", "user", {"names": ["alice"]}, {"default_account": "optics"}, (BOB,)),
        ("modify", "user", {"names": ["alice"]}, {"admin_level": "Operator"}, (ALICE, BOB, OPERATOR)),
        ("modify", "qos", {"names": ["high"]}, {"priority": 1}, (ALICE, BOB, OPERATOR)),
        ("modify", "cluster", {}, {"max_jobs": 2}, (ALICE, BOB)),
        ("delete", "account", {"names": ["optics"]}, {}, (ALICE, BOB)),
        ("delete", "user", {"names": ["alice"]}, {}, (ALICE,)),
        ("delete", "qos", {"names": ["high"]}, {}, (ALICE, BOB, OPERATOR)),
        ("delete", "coordinator", {"names": ["bob"], "accounts": ["physics"]}, {}, (ALICE,)),
        ("load", "steps", {}, {"steps": []}, (ALICE, BOB, OPERATOR)),
    ],
)
def test_who_may_change_what(verb, entity, where, values, refused):
    """bob coordinates physics and so optics below it; alice is a user of optics."""
    for caller in (ROOT, OPERATOR, BOB, ALICE):
        book = book_of()
        try_on(book, "add", "coordinator", {"names": ["bob"], "accounts": ["physics"]})
        assert coordinated(book.effective(), "bob") == {"physics", "optics"}
        try:
            try_on(book, verb, entity, where, values, caller)
        except SlurmError as problem:
            assert (problem.number, caller in refused) == (ACCESS_DENIED, True), (caller, problem)
        else:
            assert caller not in refused, caller


def test_a_coordinator_gives_no_more_than_the_account_has():
    book = book_of()
    try_on(book, "add", "coordinator", {"names": ["bob"], "accounts": ["physics"]})
    try_on(book, "modify", "user association", {"names": ["alice"]}, {"max_jobs": 3}, BOB)
    with pytest.raises(SlurmError) as refused:
        try_on(book, "modify", "user association", {"names": ["alice"]}, {"max_jobs": 5}, BOB)
    assert refused.value.number == 7012


# in the controller


class PlayedArmada:
    def __init__(self):
        self.factors = {}

    async def set_priority_factor(self, name, factor):
        self.factors[name] = factor


class PlayedSession:
    def __init__(self, caller):
        self.caller = caller


async def opened(path, armada):
    cluster = reference_cluster()
    store = Store(str(path / "store.sqlite"))
    store.start()
    controller = Controller(cluster.conf, cluster, store, Roles(cluster.conf, 0))
    controller.outbox.armada = armada
    saved = await store.read(questions.saved)
    await bookcalls.restore(controller, saved.things)
    await store.read(controller.node_events.restore)
    controller.outbox.resume(saved.outbox)
    return controller


async def closed(controller):
    controller.due.stop()
    await controller.store.stop()


async def change(controller, verb, entity, where, values=None, caller=ROOT, dry=False):
    asked = bookargs.ChangeBook(verb=verb, entity=entity, where=where, values=values or {}, dry=dry)
    return await bookcalls.change(controller, PlayedSession(caller), asked)


def test_changes_outlive_the_controller_and_are_in_force_at_once(tmp_path):
    armada = PlayedArmada()

    async def first():
        controller = await opened(tmp_path, armada)
        await change(controller, "add", "account", {"names": ["chem"]}, {"fairshare": 40}, dry=True)
        assert "chem" not in {account.name for account in controller.conf.accounts}
        await change(controller, "add", "account", {"names": ["chem"]}, {"fairshare": 40})
        await change(controller, "add", "user", {"names": ["bob"], "accounts": ["chem"]}, {"max_jobs": 1})
        await change(controller, "modify", "user", {"names": ["bob"]}, {"admin_level": "Operator"})
        assert controller.conf is controller.cluster.conf
        assert association(controller.conf, "bob", "chem").number == 10
        assert controller.caller(0, 0).admin
        running = asyncio.ensure_future(controller.outbox.run())
        while controller.outbox.length:
            await asyncio.sleep(0)
        running.cancel()
        # chem has the most shares now: the others' queues weigh less beside its
        assert armada.factors == {"chem": 1.0, "project1": 4.0, "project2": 2.0}
        nodeevents.record_event(controller, "node01", "IDLE+DRAIN", "disk", 0, 100)
        nodeevents.record_event(controller, "node01", "IDLE+DRAIN", "disk", 0, 200)
        nodeevents.record_event(controller, "node01", "DOWN+DRAIN", "disk", 0, 300)
        await closed(controller)

    async def second():
        controller = await opened(tmp_path, armada)
        conf = controller.conf
        assert association(conf, "bob", "chem").number == 10
        assert {row["name"]: row["admin_level"] for row in user_rows(conf)}["bob"] == "Operator"
        reconfigure(controller, controller.conf, 0)
        assert association(controller.conf, "bob", "chem").number == 10
        nodeevents.record_event(controller, "node01", "", "", 0, 400)
        rows = await controller.store.read(lambda connection: nodeevents.between(connection, 0, 0))
        await closed(controller)
        return rows

    asyncio.run(first())
    asyncio.run(second())

    async def third():
        controller = await opened(tmp_path, armada)
        rows = await controller.store.read(lambda connection: nodeevents.between(connection, 0, 0))
        told = await bookcalls.transaction_rows(
            controller, PlayedSession(ROOT), bookargs.Events(fields=["id", "action", "actor", "name"])
        )
        await closed(controller)
        assert [(row.start, row.end, row.state) for row in rows] == [(100, 300, "IDLE+DRAIN"), (300, 400, "DOWN+DRAIN")]
        assert next(iter(told))[0] == [1, "Add Accounts", "root", "chem"]

    asyncio.run(third())


def test_use_is_set_to_nothing_for_good(tmp_path):
    async def story():
        controller = await opened(tmp_path, PlayedArmada())
        number = controller.shares.used.numbers["bob", "project2"]
        controller.shares.used.restore(number, float(controller.now()), {"billing": 500.0})
        bucket = ("user", "project2", "bob")
        controller.limiter.consumption.restore({"\t".join(bucket): {"at": controller.now(), "used": {"cpu": 500.0}}})
        with pytest.raises(SlurmError):
            await change(controller, "modify", "usage", {"accounts": ["project2"]}, caller=BOB)
        await change(controller, "modify", "usage", {"accounts": ["project2"]}, dry=True)
        assert controller.shares.now()[number].usage > 499
        await change(controller, "modify", "usage", {"accounts": ["project2"]})
        assert controller.shares.now()[number].usage == 0
        assert controller.limiter.consumption.used(bucket, controller.now()) == {}
        saved = await controller.store.read(questions.saved)
        kept = {name: data["used"] for kind, name, data in saved.things if kind in ("use", "limit usage")}
        await closed(controller)
        return kept

    kept = asyncio.run(story())
    assert (kept["bob\tproject2"], kept["user\tproject2\tbob"]) == ({}, {})

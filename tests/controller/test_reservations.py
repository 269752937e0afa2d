"""Reservations: the recorded words of scontrol, who may use one and when, and which nodes a job may have."""

import grp
import io
import itertools
import pwd
import shlex
import time
from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from slurm_compat.cli import main as commands
from slurm_compat.cli.context import Context
from slurm_compat.controller import pending, reservation, reserved, reserving
from slurm_compat.controller.reservation import Reservation, Who, advanced, clash, following, skipped
from slurm_compat.core import resvflags
from slurm_compat.core.clusterargs import ReservationChanges
from slurm_compat.core.errors import BadValue, SlurmError
from slurm_compat.core.model import UNLIMITED
from slurm_compat.translators.jobspec import selector_terms
from tests.controller.reference import BOB, job, reference_cluster

RECORDED = yaml.safe_load((Path(__file__).parent / "recorded_reservations.yaml").read_text())
UIDS = {"alice": 2001, "bob": 2002, "root": 0}
NOW = int(time.mktime((2026, 11, 20, 16, 0, 0, 0, 0, -1)))  # a Friday
HOUR = 3600


@pytest.fixture(autouse=True)
def people(monkeypatch):
    def named(name):
        return pwd.struct_passwd((name, "x", UIDS[name], UIDS[name], "", "/", "/bin/sh"))

    monkeypatch.setattr(reserving.pwd, "getpwnam", named)
    monkeypatch.setattr(reserving.grp, "getgrnam", lambda name: grp.struct_group((name, "x", UIDS[name], [])))


class Calendar:
    """The controller's answers about reservations, without a controller."""

    def __init__(self, now=NOW, ends=lambda node, but_of: 0):
        self.cluster = reference_cluster()
        self.now, self.ends = now, ends
        self.next_id = 1

    @property
    def view(self):
        return reserving.View(self.cluster, self.now, self.ends, self.next_id)

    def call(self, _call, /, action, **args):
        changes = msgspec.convert(args["changes"], ReservationChanges)
        there = self.cluster.reservations
        if action == "create":
            made = reserving.create(self.view, args["name"], changes)
            self.next_id += 1
        elif args["name"] not in there:
            raise SlurmError(2053)
        elif action == "delete":
            return {"name": there.pop(args["name"]).name}
        else:
            made = reserving.update(self.view, there[args["name"]], changes)
        there[made.name] = made
        return {"name": made.name}

    def rows(self, _call, /, fields, **args):
        shown = (reservation.row(one, self.now) for one in self.cluster.reservations.values())
        return iter([[row[field] for field in fields] for row in shown])

    def made(self, **changes):
        """A reservation of alice's made straight away."""
        given = {"start_time": self.now, "duration": 60, "users": "alice"} | changes
        name = given.pop("name", "")
        self.call("", "create", name=name, changes=given)
        return next(reversed(self.cluster.reservations.values()))

    def says(self, line):
        """What scontrol prints, as the transcripts have it."""
        out = io.StringIO()
        ctx = Context(
            argv=["scontrol", *shlex.split(line)], env={}, cwd="/", stdin=io.StringIO(), stdout=out, stderr=out,
            connect=lambda: self, now=lambda: float(self.now), uid=0, gid=0,
        )  # fmt: skip
        code = commands.run(ctx)
        return out.getvalue() + (f"rc={code}\n" if code else "")


@pytest.mark.parametrize("session", ["created", "updated"])
def test_scontrol_says_what_the_recorded_one_said(session):
    calendar = Calendar()
    for line, said in RECORDED[session]:
        assert calendar.says(line) == said, line


@pytest.mark.parametrize("text, said", RECORDED["flags"])
def test_flags_as_recorded(text, said):
    calendar = Calendar()
    line = (
        f"create reservation users=alice nodes=node01 duration=60 reservationname=f starttime=2031-04-01 flags={text}"
    )
    answer = calendar.says(line)
    if isinstance(said, list):
        assert answer == "\n".join([*said, "rc=1\n"])
    else:
        assert answer == "Reservation created: f\n"
        assert f" Flags={said} " in calendar.says("-o show res f")


flag_words = st.sampled_from([word for word in resvflags.WORDS if word.flag != "PURGE_COMP"])


@given(st.lists(flag_words, unique=True), st.integers(1, 10**6))
def test_flags_shown_are_flags_read(words, seconds):
    text = ",".join([*(word.text for word in words), f"purge_comp=0:{seconds}"])
    read = resvflags.parse(text)
    shown = resvflags.show(read.added, read.purge_after)
    again = resvflags.parse(shown.replace("STATIC", "STATIC_ALLOC"))
    assert (set(again.added), again.purge_after) == (set(read.added), seconds)


@pytest.mark.parametrize("word", ["", "x", "part", "-overlap", "-replace", "+=maint", "maint daily", "m"])
def test_what_is_no_flag_is_refused_or_nothing(word):
    if not word:
        assert resvflags.parse(word) == ([], [], 300)
        return
    if word == "part":
        assert resvflags.parse(word).added == ["PART_NODES"]
        return
    with pytest.raises(BadValue):
        resvflags.parse(word)


# times


def at(*when):
    return int(time.mktime((*when, *(0,) * (6 - len(when)), 0, 0, -1)))


FRIDAY = at(2026, 11, 20, 8)


def made(start=FRIDAY, hours=1, flags=(), nodes=("node01",), **more):
    known = {"reservation_id": 1, "name": "r", "end_time": start + hours * HOUR, "flags": list(flags)}
    return Reservation(start_time=start, nodes=list(nodes), **(known | more))


@pytest.mark.parametrize("flag, then", [
    ("HOURLY", at(2026, 11, 20, 9)), ("DAILY", at(2026, 11, 21, 8)), ("WEEKLY", at(2026, 11, 27, 8)),
    ("WEEKDAY", at(2026, 11, 23, 8)), ("WEEKEND", at(2026, 11, 21, 8)),
])  # fmt: skip
def test_when_it_comes_again(flag, then):
    assert following(FRIDAY, [flag]) == then
    assert skipped(made(flags=[flag])).start_time == then
    assert advanced(made(flags=[flag]), FRIDAY + HOUR).start_time == then


def test_one_whose_occurrence_is_long_over_goes_on_with_the_next():
    later = at(2027, 3, 1, 12)
    after = advanced(made(flags=["DAILY"]), later)
    assert (after.start_time, after.end_time) == (at(2027, 3, 2, 8), at(2027, 3, 2, 9))


@pytest.mark.parametrize("flags, start, meets", [
    ([], at(2026, 11, 20, 8, 30), True), ([], at(2026, 11, 20, 9), False), ([], at(2026, 11, 20, 7), False),
    (["DAILY"], at(2031, 2, 3, 8, 59), True), (["DAILY"], at(2031, 2, 3, 9), False),
    (["WEEKLY"], at(2026, 11, 27, 8), True), (["WEEKLY"], at(2026, 11, 26, 8), False),
    (["WEEKDAY"], at(2026, 11, 22, 8), False), (["WEEKDAY"], at(2026, 11, 23, 8), True),
    (["HOURLY"], at(2028, 1, 1, 3), True),
])  # fmt: skip
def test_which_windows_meet(flags, start, meets):
    one = made(flags=flags)
    other = made(start=start, reservation_id=2)
    assert one.overlaps(start, start + HOUR, FRIDAY) == meets
    assert clash(one, other, FRIDAY) == clash(other, one, FRIDAY) == meets


@given(st.sampled_from([[], ["DAILY"], ["WEEKDAY"], ["WEEKEND"], ["WEEKLY"], ["HOURLY"]]), st.integers(0, 400 * 86400))
def test_occurrences_are_in_order_and_the_first_is_not_over(flags, later):
    one = made(flags=flags)
    since = FRIDAY + later
    windows = list(itertools.islice(one.occurrences(since, since), 5))
    assert all(end > since for _, end in windows)
    assert windows == sorted(windows)
    if flags:
        assert len(windows) == 5


def test_a_floating_one_is_as_far_away_as_ever():
    one = made(start=HOUR, flags=["TIME_FLOAT"])
    assert one.window(1000) == (1000 + HOUR, 1000 + 2 * HOUR)
    assert not one.active(10**9)


# who


@pytest.mark.parametrize("lists, allowed", [
    ({"users": ["alice"]}, True), ({"users": ["bob"]}, False),
    ({"users": ["bob"], "denied": ["users"]}, True), ({"users": ["alice"], "denied": ["users"]}, False),
    ({"accounts": ["project1"]}, True), ({"accounts": ["science"]}, True), ({"accounts": ["project2"]}, False),
    ({"users": ["alice"], "accounts": ["project2"]}, False), ({"groups": ["staff"]}, True), ({"groups": ["x"]}, False),
    ({"qos": ["high"]}, False), ({"qos": ["normal"]}, True), ({"partitions": ["gpu"]}, False),
    ({"partitions": ["debug"]}, True),
])  # fmt: skip
def test_who_may_use_it(lists, allowed):
    alice = Who("alice", ("project1", "science"), lambda user: {"staff"}, "normal", ("compute", "debug"))
    assert made(**lists).allows(alice) == allowed


# jobs


def kept_off(calendar, which):
    return sorted(reserved.barred(calendar.cluster, which, calendar.now))


@pytest.fixture
def calendar():
    return Calendar()


@pytest.mark.parametrize("limit, off", [(30, []), (119, []), (121, ["node04"]), (UNLIMITED, ["node04"])])
def test_a_job_keeps_off_what_its_limit_would_run_into(calendar, limit, off):
    calendar.made(nodes="node04", start_time=NOW + 2 * HOUR)
    assert kept_off(calendar, job(calendar.cluster, time_limit=limit)) == off


def test_a_job_of_a_reservation_has_its_nodes_and_no_others(calendar):
    calendar.made(name="a", nodes="node01,node02")
    inside = job(calendar.cluster, reservation="a")
    assert kept_off(calendar, inside) == ["node03", "node04", "node05"]
    assert pending.blocked(inside, calendar.cluster, NOW) is None


def test_it_waits_for_its_reservation_to_begin(calendar):
    calendar.made(name="a", nodes="node01", start_time=NOW + HOUR)
    inside = job(calendar.cluster, reservation="a")
    assert pending.blocked(inside, calendar.cluster, NOW) == ("Reservation", "")
    assert pending.blocked(inside, calendar.cluster, NOW + HOUR) is None


@pytest.mark.parametrize("asked, words", [
    ({"required_nodes": "node01"}, "ReqNodeNotAvail, May be reserved for other job"),
    ({"partition": "gpu"}, None),
    ({"minimum_nodes": 4}, "ReqNodeNotAvail, UnavailableNodes:node05"),
    ({}, None),
])  # fmt: skip
def test_what_others_wait_for(calendar, asked, words):
    calendar.made(nodes="node01")
    blocked = pending.blocked(job(calendar.cluster, caller=BOB, **asked), calendar.cluster, NOW)
    assert (blocked and blocked[1]) == words


def test_a_flexible_one_takes_its_jobs_before_it_begins(calendar):
    calendar.made(name="a", nodes="node02", start_time=NOW + HOUR, flags="flex")
    assert kept_off(calendar, job(calendar.cluster, reservation="a")) == []


def test_maintenance_over_others_keeps_their_jobs_off(calendar):
    calendar.made(name="a", nodes="node01,node02")
    calendar.made(name="m", nodes="node02", users="root", flags="maint")
    assert kept_off(calendar, job(calendar.cluster, reservation="a")) == ["node02", "node03", "node04", "node05"]


def test_cores_of_a_node_leave_the_others_to_all(calendar):
    calendar.made(name="c", nodes="node01", core_count=2)
    cluster = calendar.cluster
    assert kept_off(calendar, job(cluster, caller=BOB, tasks=2)) == []
    assert kept_off(calendar, job(cluster, caller=BOB, tasks=3, minimum_nodes=1, maximum_nodes=1)) == ["node01"]
    assert "node01" not in kept_off(calendar, job(cluster, reservation="c", tasks=2))
    cluster.allocate(7, [("node01", 2, 100, {})])
    assert kept_off(calendar, job(cluster, caller=BOB)) == ["node01"]


def test_reserved_licences_are_not_others(calendar):
    calendar.made(name="l", licenses="matlab:8", flags="license_only")
    asked = {"licenses": "matlab:5"}
    assert pending.blocked(job(calendar.cluster, caller=BOB, **asked), calendar.cluster, NOW) == ("Licenses", "")
    assert pending.blocked(job(calendar.cluster, reservation="l", **asked), calendar.cluster, NOW) is None


def test_the_pods_of_a_job_keep_off_as_well(calendar):
    calendar.made(name="a", nodes="node01,node02")
    other, inside = job(calendar.cluster, caller=BOB), job(calendar.cluster, reservation="a")
    for one in (other, inside):
        one.barred = kept_off(calendar, one)

    def hosts(one):
        settings = Settings(calendar.cluster.conf, calendar.cluster)
        (term,) = selector_terms(one, settings, one.shape.members[0])
        return [(each["operator"], each["values"]) for each in term if each["key"] == "kubernetes.io/hostname"]

    assert hosts(other) == [("NotIn", ["node05", "node01", "node02"])]
    assert hosts(inside) == [("In", ["node01", "node02"])]


class Settings:
    authority = ""

    def __init__(self, conf, cluster):
        self.conf, self.cluster = conf, cluster


@pytest.mark.parametrize("asked, number", [
    ({"reservation": "nosuch"}, 2053), ({"reservation": "a,nosuch"}, 2053), ({"reservation": ","}, 2053),
    ({"reservation": "b"}, 2052), ({"reservation": "a", "minimum_nodes": 2}, 2014),
    ({"reservation": "a", "required_nodes": "node02"}, 2014), ({"reservation": "a", "constraints": "rome"}, 2014),
    ({"reservation": "a", "partition": "gpu"}, 2014),
])  # fmt: skip
def test_what_a_submission_is_refused_for(calendar, asked, number):
    calendar.made(name="a", nodes="node01", start_time=NOW - 60)
    calendar.made(name="b", nodes="node03", users="bob")
    with pytest.raises(SlurmError) as refusal:
        job_now(calendar, **asked)
    assert refusal.value.number == number


def job_now(calendar, **asked):
    """A submission at the calendar's own time."""
    from slurm_compat.controller.submission import check
    from slurm_compat.core.model import JobRequest
    from tests.controller.reference import ALICE

    return check(JobRequest(**asked), ALICE, calendar.cluster, calendar.now)


def test_nodes_with_jobs_that_run_into_it_are_busy():
    calendar = Calendar(ends=lambda node, but_of: NOW + HOUR if node == "node01" else 0)
    with pytest.raises(SlurmError) as refusal:
        calendar.made(nodes="node01")
    assert refusal.value.number == 2016
    assert calendar.made(nodes="node01", start_time=NOW + HOUR).nodes == ["node01"]
    assert calendar.made(node_count=2).nodes == ["node02", "node03"]
    assert calendar.made(name="i", nodes="node01", flags="ignore_jobs,overlap").nodes == ["node01"]


def test_states_and_names_of_reserved_nodes():
    there = [made(flags=["MAINT"], name="m"), made(name="r", nodes=["node02"])]
    assert reservation.on_node(there, "node01", FRIDAY) == ("m", {"RESERVED", "MAINTENANCE"})
    assert reservation.on_node(there, "node02", FRIDAY) == ("r", {"RESERVED"})
    assert reservation.on_node(there, "node02", FRIDAY + HOUR) == ("", set())


def test_when_a_job_of_one_that_has_not_begun_would_start_nobody_says(calendar):
    from slurm_compat.controller.submission import check
    from slurm_compat.core.model import JobRequest
    from tests.controller.reference import ALICE

    calendar.made(name="a", nodes="node01", start_time=NOW + HOUR)
    with pytest.raises(SlurmError) as refusal:
        check(JobRequest(reservation="a"), ALICE, calendar.cluster, NOW, will_run=True)
    assert refusal.value.number == 2054
    with pytest.raises(SlurmError) as refusal:
        check(JobRequest(required_nodes="node01"), ALICE, calendar.cluster, NOW, will_run=True)
    assert refusal.value.number == 2014


def test_one_that_has_begun_can_not_begin_another_time(calendar):
    calendar.made(name="a", nodes="node01")
    said = calendar.says("update reservation=a starttime=now+1hours")
    assert said == "slurm_update error: Reservation already started\nrc=1\n"

"""Every call, by every role: what core/whomay.py says is what the controller does."""

import sys
from pathlib import Path

import pytest

from slurm_compat.controller.authorization import Person, Roles
from slurm_compat.controller.caller import Caller
from slurm_compat.controller.triggers import Trigger
from slurm_compat.core import errors, whomay
from slurm_compat.core.calls import CALLS
from slurm_compat.core.cluster import cluster_conf
from slurm_compat.core.errors import SlurmError
from slurm_compat.core.fields import JOB_FIELDS, NODE_FIELDS, PARTITION_FIELDS, RESERVATION_FIELDS, STEP_FIELDS
from slurm_compat.core.model import JobRequest, StepRequest
from slurm_compat.core.whomay import (
    ADMINISTRATOR,
    COORDINATOR,
    NOBODY,
    OPERATOR,
    OTHER,
    OWNER,
    ROLES,
    ROOT,
    RULES,
)
from slurm_compat.store.changes import Change

sys.path.insert(0, str(Path(__file__).parent))
from reference import ALICE
from test_controller_life import SCRIPT, PlayedSession, play

sys.path.pop(0)

CALLERS = {
    OWNER: ALICE,
    OTHER: Caller(2002, 2002, "bob", "bob", False, False),
    COORDINATOR: Caller(3001, 3001, "carol", "carol", False, False, frozenset({"project1"})),
    OPERATOR: Caller(3002, 3002, "oscar", "oscar", True, False),
    ADMINISTRATOR: Caller(3003, 3003, "ada", "ada", True, True),
    ROOT: Caller(0, 0, "root", "root", True, True),
    NOBODY: None,
}
# numbers by which somebody is told that they may not
REFUSALS = {errors.ACCESS_DENIED, errors.USER_ID_MISSING, errors.AUTHENTICATION, errors.PERMISSION_DENIED}


def fields(name):
    return {"fields": list(name)[:2]}


def request(user):
    return JobRequest(batch=True, name="j", current_working_directory="/tmp", account=ACCOUNTS.get(user, ""))


ACCOUNTS = {"alice": "project1", "root": "project1"}
REACHABLE = {"addresses": ["127.0.0.1:1"], "secret": "s" * 32}

# what each call is asked with: f(id of a job of alice's, who asks)
ARGS = {
    "submit": lambda job, who: {"request": request(who), "script": SCRIPT, "environment": b"A=1", "key": f"{who}{job}"},
    "will_run": lambda job, who: {"request": request(who)},
    "allocate": lambda job, who: {"request": request(who), "environment": b"A=1", "key": f"a{who}{job}"},
    "jobs": lambda job, who: fields(JOB_FIELDS),
    "job_script": lambda job, who: {"job_id": job},
    "steps": lambda job, who: fields(STEP_FIELDS),
    "nodes": lambda job, who: fields(NODE_FIELDS),
    "partitions": lambda job, who: fields(PARTITION_FIELDS),
    "reservations": lambda job, who: fields(RESERVATION_FIELDS),
    "licenses": lambda job, who: {"fields": ["name"]},
    "accounting": lambda job, who: {"fields": ["job_id"]},
    "associations": lambda job, who: {"fields": ["account", "user"]},
    "accounts": lambda job, who: {"fields": ["name"]},
    "users": lambda job, who: {"fields": ["name"]},
    "qos": lambda job, who: {"fields": ["name"]},
    "tres": lambda job, who: {"fields": ["name"]},
    "events": lambda job, who: {"fields": [], "start": 0, "end": 0},
    "transactions": lambda job, who: {"fields": [], "start": 0, "end": 0},
    "change_book": lambda job, who: {"verb": "add", "entity": "account", "where": {"names": [who]}, "dry": True},
    "usage": lambda job, who: {"kind": "association", "start": 0, "end": 3600},
    "cluster_usage": lambda job, who: {"start": 0, "end": 3600},
    "reservation_usage": lambda job, who: {"start": 0, "end": 3600},
    "job_sizes": lambda job, who: {"start": 0, "end": 3600},
    "priorities": lambda job, who: {"fields": ["job_id"]},
    "update_job": lambda job, who: {"targets": [str(job)], "changes": {"comment": "x"}},
    "update_node": lambda job, who: {"names": ["node01"], "changes": {"comment": "x"}},
    "update_partition": lambda job, who: {"name": "debug", "changes": {"hidden": False}},
    "update_reservation": lambda job, who: {"action": "delete", "name": "none"},
    "crontab": lambda job, who: {"user_id": ALICE.uid},
    "update_crontab": lambda job, who: {"user_id": ALICE.uid, "text": None},
    "set_trigger": lambda job, who: {
        "kind": "node", "target": "*", "events": ["node_down"], "offset": 0, "permanent": False,
        "program": f"/bin/{who}",
    },
    "clear_triggers": lambda job, who: {"user_id": ALICE.uid},
    "wait_job": lambda job, who: {"job_id": job},
    "complete_allocation": lambda job, who: {"job_id": job},
    "step_create": lambda job, who: {"job_id": job, "request": StepRequest(), **REACHABLE},
    "step_complete": lambda job, who: {"job_id": job, "step_id": "0", "exit_code": 0},
    "step_attach": lambda job, who: {"job_id": job, "step_id": "0"},
    "broadcast": lambda job, who: {"job_id": job, "path": "/tmp/x", "mode": 0o600, **REACHABLE},
    "relay_listen": lambda job, who: {"ticket": "0" * 32},
    "relay_dial": lambda job, who: {"ticket": "0" * 32},
    "relay_take": lambda job, who: {"word": "0" * 32},
    "agent": lambda job, who: {
        "job_id": job, "token": "wrong", "restart": 0, "rank": 0, "node": "node01", "address": "", "pid": 1,
        "cpu_ids": [], "gpus": [],
    },
    "authenticate": lambda job, who: {"token": "wrong", "job_id": job},
    "notify": lambda job, who: {"job_id": job, "text": "hello"},
    "set_debug": lambda job, who: {"level": "info"},
}  # fmt: skip
TARGETS = {"cancel", "hold", "release", "requeue", "suspend", "resume"}
NO_ARGS = {"ping", "config", "book_records", "assoc_mgr", "triggers", "token", "statistics", "power", "shutdown",
           "reconfigure"}  # fmt: skip
# with a wrong secret nobody gets in, whoever he is
SECRETS = {"relay_dial", "relay_take", "agent", "authenticate"}


def arguments(name, job, who):
    if name in TARGETS:
        return {"targets": [str(job)]}
    return {} if name in NO_ARGS else ARGS[name](job, who)


def test_every_call_has_its_rule_and_every_rule_its_call():
    assert set(RULES) == set(CALLS)
    assert set(ARGS) | TARGETS | NO_ARGS == set(CALLS)


def test_the_page_is_made_of_the_table():
    page = Path(__file__).parents[2] / "docs" / "authorization.md"
    assert page.read_text() == whomay.document()


async def told(world, name, caller, /, **args):
    """0, or the number of the refusal that the caller got."""
    session = PlayedSession(caller)
    session.authenticated = lambda caller: None
    try:
        answer = world.calls.answer(session, CALLS[name], CALLS[name].args(**args))
        if hasattr(answer, "__await__"):
            answer = await answer
        if hasattr(answer, "__aiter__"):
            answer = [row async for row in answer]
    except SlurmError as problem:
        return problem.number
    numbers = (
        [number for _, number, *_ in answer["errors"]] if isinstance(answer, dict) and answer.get("errors") else []
    )
    numbers += [
        message["error"] for message in session.sent if "error" in message and isinstance(message["error"], int)
    ]
    return numbers[0] if numbers else 0


@pytest.mark.parametrize("role", ROLES)
def test_who_may_what(tmp_path, role):
    caller = CALLERS[role]
    who = caller.user_name if caller is not None else "nobody"

    async def story(world):
        world.controller.conf.scron_parameters = "enable"
        world.controller.conf.slurm_user = "root"
        trigger = Trigger(
            trigger_id=1, user_id=ALICE.uid, kind="node", target="*", events=["node_up"], offset=0, permanent=False,
            program="/bin/true",
        )  # fmt: skip
        world.controller.triggers.add(trigger, Change())
        found = {}
        for name in sorted(CALLS, key=lambda name: name in ("shutdown", "reconfigure")):
            job = await world.submit(hold=True)
            found[name] = await told(world, name, caller, **arguments(name, job, who))
        return found

    found = play(tmp_path, story)
    wrong = {}
    for name, number in found.items():
        rule = RULES[name]
        if role == NOBODY and NOBODY not in rule.may:
            right = number == errors.AUTHENTICATION
        elif name in SECRETS:
            right = number != 0
        elif role in rule.may:
            right = number not in REFUSALS
        else:
            right = number == rule.refusal
        if not right:
            wrong[name] = (number, "may" if role in rule.may else rule.refusal)
    assert wrong == {}


def test_roles_come_from_the_cluster_file():
    conf = cluster_conf(
        {
            "Operators": ["oscar"],
            "Accounts": [{"Name": "above", "Coordinators": ["carol"]}, {"Name": "below", "Parent": "above"}],
            "Users": [
                {"Name": "ada", "Account": "below", "AdminLevel": "Administrator"},
                {"Name": "olga", "Account": "below", "AdminLevel": "Operator"},
            ],
        }
    )
    roles = Roles(conf, 777)

    def role(name, uid=5000):
        caller = roles.caller(Person(name, uid, uid, name, [uid], "/", "/bin/sh"))
        return caller.operator, caller.admin, sorted(caller.coordinates)

    assert role("ada") == (True, True, [])
    assert role("olga") == role("oscar") == (True, False, [])
    assert role("carol") == (False, False, ["above", "below"])
    assert role("anybody") == (False, False, [])
    assert role("anybody", 0) == role("anybody", 777) == (True, True, [])


def test_what_a_coordinator_may_of_a_job_and_what_not(tmp_path):
    carol = CALLERS[COORDINATOR]

    async def story(world):
        job = await world.submit(hold=True)
        said = [
            await told(world, "release", carol, targets=[str(job)]),
            await told(world, "hold", carol, targets=[str(job)]),
            await told(world, "release", ALICE, targets=[str(job)]),  # what the coordinator holds the owner can't lift
            await told(world, "update_job", carol, targets=[str(job)], changes={"nice": -5}),
            await told(world, "update_job", carol, targets=[str(job)], changes={"time_limit": 5}),
            await told(world, "update_job", carol, targets=[str(job)], changes={"user_id": 0}),
        ]
        return said, world.job(job).hold

    said, hold = play(tmp_path, story)
    assert said == [0, 0, errors.ACCESS_DENIED, errors.ACCESS_DENIED, 0, errors.NOT_SUPPORTED]
    assert hold == "admin"

"""scontrol token's words, and what sdiag shows of messages that wait, as 26.05 has them."""

import io

import pytest

from slurm_compat.cli import jobenv, sdiag, sdiag_json
from slurm_compat.cli import main as commands
from slurm_compat.cli.context import Context
from slurm_compat.cli.controller import show_token
from slurm_compat.cli.sdiag_messages import OUTGOING
from slurm_compat.core.errors import AUTHENTICATION, PLUGIN_NOT_LOADED, USER_ID_MISSING, SlurmError


class Controller:
    def __init__(self, refusal=0):
        self.refusal = refusal
        self.asked = []
        self.closed = False

    def call(self, name, **args):
        self.asked.append((name, args))
        if self.refusal:
            raise SlurmError(self.refusal)
        return {"token": "a.b.c"}

    def close(self):
        self.closed = True


def scontrol(*words, refusal=0):
    controller = Controller(refusal)
    ctx = Context(
        argv=["scontrol", "token", *words], env={}, cwd="/", stdin=io.StringIO(), stdout=io.StringIO(),
        stderr=io.StringIO(), connect=lambda: controller, now=lambda: 0.0,
    )  # fmt: skip
    code = commands.run(ctx)
    return code, ctx.stdout.getvalue(), ctx.stderr.getvalue(), controller.asked


@pytest.mark.parametrize(
    "words, asked",
    [
        ((), {}),
        (("lifespan=60",), {"lifespan": 60}),
        (("LIFESPAN=60", "UserName=bob"), {"lifespan": 60, "user_name": "bob"}),
        (("lifespan=infinite",), {"lifespan": 2147483647}),
        (("username=",), {"user_name": ""}),
    ],
)
def test_a_token(words, asked):
    assert scontrol(*words) == (0, "SLURM_JWT=a.b.c\n", "", [("token", asked)])


@pytest.mark.parametrize(
    "words, err",
    [
        (("lifespan=abc",), 'scontrol: error: Invalid numeric value "abc" for lifespan.\n'),
        (("lifespan=0",), 'scontrol: error: Invalid numeric value "0" for lifespan.\n'),
        (("lifespan=-5",), 'scontrol: error: Invalid numeric value "-5" for lifespan.\n'),
        (("lifespan=99999999999",), "scontrol: error: Numeric argument (99999999999) too large for lifespan.\n"),
        (("user=bob",), "Invalid option: `user=bob`\n"),
        (("lifespan=10", "foo"), "Invalid option: `foo`\n"),
        (("lifespan",), "Invalid option: `lifespan`\n"),
    ],
)
def test_words_it_does_not_take(words, err):
    assert scontrol(*words) == (1, "", err, [])


@pytest.mark.parametrize(
    "number, text",
    [
        (PLUGIN_NOT_LOADED, "Required plugin type not loaded or initialized"),
        (USER_ID_MISSING, "Invalid user id"),
        (AUTHENTICATION, "Protocol authentication error"),
    ],
)
def test_refusals(number, text):
    code, out, err, _ = scontrol(refusal=number)
    assert (code, out, err) == (1, "", f"scontrol: error: slurm_fetch_token: error with request: {text}\n")


@pytest.mark.parametrize(
    "env, shown",
    [
        ({}, []),
        ({"SLURM_JWT": "t"}, [("authenticate", {"token": "t"})]),
        ({"SLURM_JWT": ""}, [("authenticate", {"token": ""})]),
        ({"SLURM_COMPAT_WORD": "7:w"}, [("authenticate", {"job_id": 7, "token": "w"})]),
        ({"SLURM_JWT": "t", "SLURM_COMPAT_WORD": "7:w"}, [("authenticate", {"token": "t"})]),
    ],
)
def test_what_a_connection_shows_first(env, shown):
    controller = Controller()
    show_token(controller, env)
    assert controller.asked == shown


def test_a_token_that_does_not_count_closes_the_connection():
    controller = Controller(AUTHENTICATION)
    with pytest.raises(SlurmError):
        show_token(controller, {"SLURM_JWT": "t"})
    assert controller.closed


def figures(**changes):
    rounds = dict.fromkeys(("cycles", "last", "longest", "total", "last_depth", "depth", "last_queue", "queue"), 0)
    rounds |= {"started": 0, "last_at": 0}
    words = ("submitted", "started", "completed", "canceled", "failed", "pending")
    return {
        "now": 200, "since": 100, "server_threads": 1, "outbox": 0, "sending": 0, "store_queue": 0, "running": 0,
        "main": rounds, "backfill": rounds | {"started_ever": 0}, "latency": 20, "latency_calls": 1000, "calls": [],
        "users": [], **{f"jobs_{word}": 0 for word in words},
    } | changes  # fmt: skip


def test_nothing_waits():
    assert list(sdiag.messages(figures()))[-2:] == ["Pending RPC statistics", "\tNo pending RPCs"]


def test_a_start_with_no_call_yet():
    assert list(sdiag.messages(figures()))[1] == "\tNo RPCs recorded yet."


def test_what_waits_is_listed_by_message():
    lines = list(sdiag.messages(figures(pending_messages={"submit": 12, "cancel": 1})))
    assert lines[-2:] == [
        "\tREQUEST_BATCH_JOB_LAUNCH                ( 4005) count:12    ",
        "\tREQUEST_KILL_TIMELIMIT                  ( 6009) count:1     ",
    ]
    document = sdiag_json.statistics(figures(pending_messages={"submit": 12}))
    assert document["pending_rpcs"] == [{"type_id": 4005, "message_type": "REQUEST_BATCH_JOB_LAUNCH", "count": 12}]


def test_a_backfill_that_never_was():
    assert "\tLast cycle when: N/A" in list(sdiag._backfill(figures()))


def test_every_kind_the_outbox_tells_has_a_message():
    assert set(OUTGOING) >= {"submit", "cancel", "reprioritize", "mail", "queue"}


@pytest.mark.parametrize("export", [None, "ALL", "NONE", "A", "ALL,B=2"])
def test_what_the_caller_shows_is_not_handed_to_his_jobs(export):
    env = {"A": "1", "SLURM_JWT": "t", "SLURM_COMPAT_WORD": "7:w", "SLURM_COMPAT_CONTROLLER": "head:1"}
    found = jobenv.exported(env, export, print)
    assert not {name for name in found if name.startswith("SLURM")}
    assert export == "NONE" or found["A"] == "1"

"""Tokens: who gets one, whom one speaks for, and which don't count. Rules and numbers as 26.05 showed them."""

import base64
import json
import os
import time
from types import SimpleNamespace

import pytest

from slurm_compat.agent import commands
from slurm_compat.controller import tokens
from slurm_compat.controller.caller import Caller
from slurm_compat.controller.tokens import LONGEST, Tokens, job_word, tokens_of
from slurm_compat.core import clusterargs, errors
from slurm_compat.core.cluster import cluster_conf
from slurm_compat.core.errors import BadValue, SlurmError

KEY = b"k" * 32
NOW = int(time.time())
ALICE = Caller(2001, 2001, "alice", "alice", False, False)
OPERATOR = Caller(2003, 2003, "olga", "olga", True, False)
ADMIN = Caller(0, 0, "root", "root", True, True)


def conf(**keys):
    return cluster_conf({"ClusterName": "c", **keys})


def controller(made=None, jobs=(), tokens_travel=True):
    return SimpleNamespace(
        conf=SimpleNamespace(tokens_travel=tokens_travel),
        tokens=made or Tokens(KEY),
        now=lambda: NOW,
        table=SimpleNamespace(jobs={job.job_id: job for job in jobs}),
        caller=lambda uid, gid: ALICE._replace(uid=uid, gid=gid),
    )


class PlayedSession:
    def __init__(self, caller=None):
        self.caller = caller

    def authenticated(self, caller):
        self.caller = caller


def refusal(work):
    with pytest.raises(SlurmError) as problem:
        work()
    return problem.value.number


def test_a_token_has_the_claims_of_the_real_one():
    head, body, _ = Tokens(KEY).make("alice", 60, NOW).split(".")
    assert json.loads(base64.urlsafe_b64decode(head + "==")) == {"alg": "HS256", "typ": "JWT"}
    assert json.loads(base64.urlsafe_b64decode(body + "==")) == {"exp": NOW + 60, "iat": NOW, "sun": "alice"}


def test_an_infinite_one_ends_as_the_real_ones_does():
    body = Tokens(KEY).make("alice", 0x7FFFFFFF, 1795190958).split(".")[1]
    assert json.loads(base64.urlsafe_b64decode(body + "=="))["exp"] == 3942674604 == 1795190958 + LONGEST


def test_it_speaks_for_its_user():
    assert Tokens(KEY).user_of(Tokens(KEY).make("alice", 60, NOW)) == "alice"


def unsigned(token):
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    return f"{none}.{token.split('.')[1]}."


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "garbage",
        "a.b.c",
        "\u00e9.\u00e9.\u00e9",
        Tokens(KEY).make("alice", 60, NOW) + "x",
        Tokens(KEY).make("alice", 60, NOW - 61),  # over
        Tokens(b"o" * 32).make("alice", 60, NOW),  # another key's
        Tokens(KEY).make("", 60, NOW),
        unsigned(Tokens(KEY).make("alice", 60, NOW)),
    ],
)
def test_what_does_not_count(bad):
    assert refusal(lambda: Tokens(KEY).user_of(bad)) == errors.AUTHENTICATION
    assert errors.TEXT[errors.AUTHENTICATION] == "Protocol authentication error"


@pytest.mark.parametrize(
    "caller, asked, creation, outcome",
    [
        (ALICE, None, True, "alice"),
        (ALICE, "alice", True, "alice"),
        (ALICE, "bob", True, errors.USER_ID_MISSING),
        (ALICE, "root", True, errors.USER_ID_MISSING),
        (ALICE, "nobodyhere", True, errors.USER_ID_MISSING),
        (OPERATOR, "alice", True, errors.USER_ID_MISSING),
        (ADMIN, "bob", True, "bob"),
        (ADMIN, None, True, "root"),
        (ADMIN, "nobodyhere", True, "nobodyhere"),
        (ALICE, None, False, errors.ACCESS_DENIED),
        (ADMIN, "bob", False, "bob"),
    ],
)
def test_who_may_for_whom(caller, asked, creation, outcome):
    one = controller(Tokens(KEY, creation))
    if isinstance(outcome, int):
        assert refusal(lambda: tokens.make(one, PlayedSession(caller), clusterargs.Token(user_name=asked))) == outcome
        return
    made = tokens.make(one, PlayedSession(caller), clusterargs.Token(user_name=asked))["token"]
    claims = json.loads(base64.urlsafe_b64decode(made.split(".")[1] + "=="))
    assert (claims["sun"], claims["exp"] - claims["iat"]) == (outcome, 1800)


def test_without_the_plugin_there_are_none():
    assert refusal(lambda: tokens.make(controller(Tokens()), PlayedSession(ADMIN), clusterargs.Token())) == 8004
    session = PlayedSession(ALICE)
    assert (
        refusal(lambda: tokens.authenticate(controller(Tokens()), session, clusterargs.Authenticate(token="x"))) == 1007
    )


def test_a_bad_token_leaves_nobody_behind_it():
    session = PlayedSession(ADMIN)
    assert refusal(lambda: tokens.authenticate(controller(), session, clusterargs.Authenticate(token="x"))) == 1007
    assert session.caller is None


def test_a_token_of_nobody_here_does_not_count():
    made = Tokens(KEY).make("nobodyhere", 60, NOW)
    assert (
        refusal(lambda: tokens.authenticate(controller(), PlayedSession(), clusterargs.Authenticate(token=made)))
        == 1007
    )


def test_a_token_makes_its_connection_that_users():
    session = PlayedSession(ALICE)
    tokens.authenticate(controller(), session, clusterargs.Authenticate(token=Tokens(KEY).make("root", 60, NOW)))
    assert session.caller.uid == 0


def a_job(**changes):
    values = {"job_id": 7, "token": "agents", "is_final": False, "flags": [], "user_id": 2001, "group_id": 2001}
    return SimpleNamespace(**values | changes)


def test_commands_in_a_job_elsewhere_show_a_word_that_is_not_the_agents():
    environ = {"SLURM_COMPAT_CONTROLLER": "head:6817", "SLURM_COMPAT_JOB_ID": "7", "SLURM_COMPAT_TOKEN": "agents"}
    shown = commands.remote(environ)["SLURM_COMPAT_WORD"]
    assert shown == "7:" + job_word("agents") and "agents" not in shown
    session = PlayedSession()
    word = shown.partition(":")[2]
    tokens.authenticate(controller(jobs=[a_job()]), session, clusterargs.Authenticate(token=word, job_id=7))
    assert session.caller.uid == 2001
    assert commands.remote(environ | {"SLURM_COMPAT_CONTROLLER": "unix:/run/c.sock"}) == {}


def test_where_all_jobs_are_on_this_machine_nobodys_word_counts():
    session = PlayedSession(ALICE)
    shown = clusterargs.Authenticate(token=job_word("agents"), job_id=7)
    assert refusal(lambda: tokens.authenticate(controller(jobs=[a_job()], tokens_travel=False), session, shown)) == 1007
    assert session.caller is None


@pytest.mark.parametrize("shown", ["é", "\udce9", "", "agents\0"])
def test_a_word_of_other_letters_is_just_a_wrong_one(shown):
    asked = clusterargs.Authenticate(token=shown, job_id=7)
    assert refusal(lambda: tokens.authenticate(controller(jobs=[a_job()]), PlayedSession(), asked)) == 1007


@pytest.mark.parametrize(
    "jobs, word",
    [
        ([], job_word("agents")),
        ([a_job()], "agents"),
        ([a_job()], job_word("other")),
        ([a_job(is_final=True)], job_word("agents")),
        ([a_job(token="")], job_word("")),
    ],
)
def test_a_jobs_word_counts_while_the_job_lives(jobs, word):
    asked = clusterargs.Authenticate(token=word, job_id=7)
    assert refusal(lambda: tokens.authenticate(controller(jobs=jobs), PlayedSession(ADMIN), asked)) == 1007


def test_the_key_is_made_once_and_is_its_owners_alone(tmp_path):
    keys = {"AuthAltTypes": "auth/jwt", "AuthAltParameters": f"jwt_key={tmp_path}/key"}
    made = tokens_of(conf(**keys), str(tmp_path)).make("alice", 60, NOW)
    assert os.stat(tmp_path / "key").st_mode & 0o777 == 0o600
    assert tokens_of(conf(**keys), str(tmp_path)).user_of(made) == "alice"
    tokens_of(conf(AuthAltTypes="auth/jwt"), str(tmp_path))
    assert (tmp_path / "jwt_hs256.key").stat().st_size == 32


@pytest.mark.parametrize(
    "keys, words",
    [
        ({"AuthAltTypes": "auth/none"}, "only auth/jwt"),
        ({"AuthAltTypes": "auth/jwt", "AuthAltParameters": "jwks=/x"}, "jwks=/x: only jwt_key"),
        ({"AuthAltTypes": "auth/jwt", "AuthAltParameters": "jwt_key=/nowhere/key"}, "No such file"),
    ],
)
def test_what_is_wrong_with_the_keys_is_said(tmp_path, keys, words):
    with pytest.raises(BadValue, match=words):
        tokens_of(conf(**keys), str(tmp_path))


@pytest.mark.parametrize("data, mode, words", [(b"k" * 32, 0o644, "chmod 0600"), (b"short", 0o600, "5 bytes")])
def test_a_key_that_is_none_is_refused(tmp_path, data, mode, words):
    path = tmp_path / "key"
    path.write_bytes(data)
    path.chmod(mode)
    with pytest.raises(BadValue, match=words):
        tokens_of(conf(AuthAltTypes="auth/jwt", AuthAltParameters=f"jwt_key={path}"), str(tmp_path))

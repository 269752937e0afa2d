"""Tokens: who calls where the kernel can't say. JSON Web Tokens (HS256) with the claims of Slurm's auth/jwt.

`scontrol token` makes them, SLURM_JWT shows them; the key is a file, so that other programs of the site may make some
too. What runs inside a job on another machine shows instead a word derived from its job's own token, which counts while
the job lives. Texts and rules observed on 26.05.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import pwd
import secrets
from typing import TYPE_CHECKING, Any

from slurm_compat.core import clusterargs
from slurm_compat.core.cluster import ClusterConf
from slurm_compat.core.errors import (
    ACCESS_DENIED,
    AUTHENTICATION,
    PLUGIN_NOT_LOADED,
    USER_ID_MISSING,
    BadValue,
    SlurmError,
)
from slurm_compat.core.states import COMPLETING

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller
    from slurm_compat.controller.server import Session

LIFESPAN = 1800  # seconds of a token that nobody said otherwise of
LONGEST = 0x7FFFFFFE  # "infinite", as the real one counts it
KEY_FILE = "jwt_hs256.key"  # in StateSaveLocation, where no jwt_key= names another
KEY_BYTES = 32  # HS256 wants no fewer
ALGORITHM = "HS256"


class Tokens:
    """Makes and reads tokens with one key. Without a key (AuthAltTypes names no auth/jwt) there are none."""

    def __init__(self, key: bytes = b"", creation: bool = True) -> None:
        self._key = key
        self.creation = creation  # by everybody, for himself; else by SlurmUser and root alone

    @property
    def loaded(self) -> bool:
        return bool(self._key)

    def make(self, user_name: str, lifespan: int, now: int) -> str:
        import jwt  # a command's or an agent's controller without tokens doesn't wait for it

        claims = {"exp": now + min(lifespan, LONGEST), "iat": now, "sun": user_name}
        token: str = jwt.encode(claims, self._key, algorithm=ALGORITHM)
        return token

    def user_of(self, token: str) -> str:
        """The user a token speaks for. Raises SlurmError for one that is forged, over, or none at all."""
        import jwt

        if not self._key:
            raise SlurmError(AUTHENTICATION)
        try:
            claims: dict[str, Any] = jwt.decode(
                token, self._key, algorithms=[ALGORITHM], options={"require": ["exp", "sun"]}
            )
        except (jwt.PyJWTError, ValueError):  # ValueError: bytes that are no text
            raise SlurmError(AUTHENTICATION) from None
        name = claims["sun"]
        if not isinstance(name, str) or not name:
            raise SlurmError(AUTHENTICATION)
        return name


def tokens_of(conf: ClusterConf, state: str) -> Tokens:
    """As the cluster file has it; the key is made where there is none yet. Raises BadValue."""
    if not conf.auth_alt_types:
        return Tokens()
    if conf.auth_alt_types.strip().lower() != "auth/jwt":
        raise BadValue(f"AuthAltTypes: {conf.auth_alt_types}: only auth/jwt is known here")
    path, creation = "", True
    for word in filter(None, conf.auth_alt_parameters.replace(" ", "").split(",")):
        name, _, value = word.partition("=")
        if name == "jwt_key" and value:
            path = value
        elif word == "disable_token_creation":
            creation = False
        else:
            raise BadValue(f"AuthAltParameters: {word}: only jwt_key=FILE and disable_token_creation are known here")
    return Tokens(_key(path or os.path.join(state, KEY_FILE)), creation)


def _key(path: str) -> bytes:
    try:
        with contextlib.suppress(FileExistsError):
            made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(made, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise BadValue(f"jwt_key {path}: others than its owner may read or write it; chmod 0600")
            key = file.read(1 << 16)
    except OSError as problem:
        raise BadValue(f"jwt_key {path}: {problem.strerror}") from None
    if len(key) < KEY_BYTES:
        raise BadValue(f"jwt_key {path}: {len(key)} bytes; {ALGORITHM} wants {KEY_BYTES} at least")
    return key


def job_word(token: str) -> str:
    """What commands inside the job show: made from the agent's token, and no way back to it."""
    return hashlib.sha256(b"commands " + token.encode()).hexdigest()


def same(ours: str, shown: str) -> bool:
    """Whether a secret is the one that we know, in a time that tells nothing of it."""
    return hmac.compare_digest(ours.encode(), shown.encode(errors="replace"))


# calls


def make(controller: Controller, session: Session, args: clusterargs.Token) -> dict[str, Any]:
    caller = session.caller
    assert caller is not None
    tokens = controller.tokens
    if not tokens.loaded:
        raise SlurmError(PLUGIN_NOT_LOADED)
    if caller.uid != 0 and not caller.slurm_user:
        if not tokens.creation:
            raise SlurmError(ACCESS_DENIED)
        if args.user_name is not None and args.user_name != caller.user_name:
            raise SlurmError(USER_ID_MISSING)
    name = caller.user_name if args.user_name is None else args.user_name
    return {"token": tokens.make(name, args.lifespan or LIFESPAN, controller.now())}


def authenticate(controller: Controller, session: Session, args: clusterargs.Authenticate) -> dict[str, Any]:
    """From here on the connection is that user's, whoever the kernel says it is."""
    session.caller = None  # a token that is shown and does not count leaves nothing to fall back on
    if args.job_id:
        job = controller.table.jobs.get(args.job_id)
        alive = job is not None and job.token and (not job.is_final or COMPLETING in job.flags)
        if job is None or not alive or not same(job_word(job.token), args.token):
            raise SlurmError(AUTHENTICATION)
        if not controller.conf.tokens_travel:
            raise SlurmError(AUTHENTICATION)  # the job's commands are on this machine, where the kernel knows them
        session.authenticated(controller.caller(job.user_id, job.group_id))
        return {}
    name = controller.tokens.user_of(args.token)
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise SlurmError(AUTHENTICATION) from None
    session.authenticated(controller.caller(entry.pw_uid, entry.pw_gid))
    return {}

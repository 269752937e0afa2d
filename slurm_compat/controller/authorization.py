"""Who calls, and what they may do: names from the system, roles from the cluster file."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import time
from typing import NamedTuple, Protocol

from slurm_compat.controller.associations import coordinated
from slurm_compat.controller.caller import Caller
from slurm_compat.core.cluster import ClusterConf
from slurm_compat.core.errors import ACCESS_DENIED, USER_ID_MISSING, SlurmError

KEEP_SECONDS = 60.0  # how long a name service's answer is kept


class Person(NamedTuple):
    """A user as an agent needs to become them."""

    name: str
    uid: int
    gid: int
    group: str
    groups: list[int]
    home: str
    shell: str


class People:
    """Users by uid. The name service is asked once a minute for each; unknown uids are shown by their number."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int | None], tuple[float, Person]] = {}
        self._groups: dict[int, str] = {}

    def person(self, uid: int, gid: int | None = None) -> Person:
        """The user with their login group, or with `gid` for it."""
        kept = self._kept.get((uid, gid))
        now = time.monotonic()
        if kept is not None and now - kept[0] < KEEP_SECONDS:
            return kept[1]
        person = self._ask(uid, gid)
        self._kept[uid, gid] = (now, person)
        return person

    def _ask(self, uid: int, gid: int | None) -> Person:
        try:
            entry = pwd.getpwuid(uid)
        except KeyError:
            group_id = gid if gid is not None else uid
            return Person(str(uid), uid, group_id, self.group_name(group_id), [group_id], "/", "/bin/sh")
        group_id = entry.pw_gid if gid is None else gid
        try:
            groups = os.getgrouplist(entry.pw_name, group_id)
        except OSError:
            groups = [group_id]
        return Person(
            entry.pw_name, uid, group_id, self.group_name(group_id), groups, entry.pw_dir, entry.pw_shell or "/bin/sh"
        )

    def group_name(self, gid: int) -> str:
        name = self._groups.get(gid)
        if name is None:
            try:
                name = grp.getgrgid(gid).gr_name
            except KeyError:
                name = str(gid)
            self._groups[gid] = name
        return name


class Roles:
    """Who may do what beyond their own jobs."""

    def __init__(self, conf: ClusterConf, own_uid: int) -> None:
        self._own_uid = own_uid
        self._admins = {user.name for user in conf.users if user.admin_level.lower().startswith("admin")}
        self._operators = {user.name for user in conf.users if user.admin_level.lower().startswith("oper")}
        self._operators.update(conf.operators)
        # root, the controller's own user and SlurmUser may do everything
        self._admin_uids = {0, own_uid}
        if conf.slurm_user:
            with contextlib.suppress(KeyError):  # a user of other machines
                self._admin_uids.add(pwd.getpwnam(conf.slurm_user).pw_uid)
        self._conf = conf
        self._coordinates: dict[str, frozenset[str]] = {}  # by user, as far as they were asked for

    def of(self, conf: ClusterConf) -> Roles:
        """Those of another configuration."""
        return Roles(conf, self._own_uid)

    def caller(self, person: Person) -> Caller:
        admin = person.uid in self._admin_uids or person.name in self._admins
        operator = admin or person.name in self._operators
        coordinates = self._coordinates.get(person.name)
        if coordinates is None:
            coordinates = self._coordinates[person.name] = coordinated(self._conf, person.name)
        slurm_user = person.uid in self._admin_uids
        return Caller(person.uid, person.gid, person.name, person.group, operator, admin, coordinates, slurm_user)


class Owned(Protocol):
    """A job, as far as it says whose it is."""

    user_id: int
    account: str


def require_owner(caller: Caller, job: Owned, refusal: int = ACCESS_DENIED) -> None:
    """The job's user, its account's coordinator, or an operator. Raises SlurmError for others."""
    if not caller.has_power(job.user_id, job.account):
        raise SlurmError(refusal)


def require_self(caller: Caller, job: Owned, refusal: int = ACCESS_DENIED) -> None:
    """Who may run something as the job's user: that user, root and SlurmUser. An operator's power ends here."""
    if not caller.may_act_as(job.user_id):
        raise SlurmError(refusal)


def require_reader(caller: Caller, job: Owned, refusal: int = USER_ID_MISSING) -> None:
    """Who may read a job's script: its user or an operator; a coordinator may not, as observed."""
    if caller.uid != job.user_id and not caller.operator:
        raise SlurmError(refusal)

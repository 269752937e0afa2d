"""PrivateData: what of others a caller may see. Operators see all; coordinators see their accounts'.

Source: slurm.conf(5), PrivateData; observed on 26.05: jobs are left out, nodes and partitions refused, associations
without usage cut down to one's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slurm_compat.controller.caller import Caller
from slurm_compat.core import privatedata
from slurm_compat.core.errors import ACCESS_DENIED, SlurmError

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller


class Privacy:
    """One caller's view. `hides(word)`: the key names it and the caller is no operator."""

    def __init__(self, controller: Controller, caller: Caller | None) -> None:
        words = privatedata.words(controller.conf.private_data)
        self._hidden = frozenset() if not words or (caller is not None and caller.operator) else words
        self._caller = caller

    def hides(self, word: str) -> bool:
        return word in self._hidden

    def refuse(self, word: str) -> None:
        """Raises SlurmError where the whole of it is hidden."""
        if self.hides(word):
            raise SlurmError(ACCESS_DENIED)

    def shows_job(self, user_id: int, account: str) -> bool:
        return not self.hides(privatedata.JOBS) or self._power(user_id, account)

    def shows_user(self, name: str) -> bool:
        return not self.hides(privatedata.USERS) or self._is(name)

    def shows_association(self, user: str, account: str) -> bool:
        """For usage: users see their own, coordinators all of their accounts'."""
        if not self.hides(privatedata.USAGE):
            return True
        return self._is(user) or (self._caller is not None and account in self._caller.coordinates)

    def shows_user_of(self, user: str, account: str) -> bool:
        """An association in lists of users and accounts."""
        if not self.hides(privatedata.USERS):
            return True
        return self._is(user) or (self._caller is not None and account in self._caller.coordinates)

    def _is(self, name: str) -> bool:
        return self._caller is not None and bool(name) and self._caller.user_name == name

    def _power(self, user_id: int, account: str) -> bool:
        return self._caller is not None and self._caller.has_power(user_id, account)

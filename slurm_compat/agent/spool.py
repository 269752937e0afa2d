"""The folder of the running script: …/job<ID>/slurm_script, which its user can read and run and nobody else can."""

from __future__ import annotations

import os
import shutil
import tempfile

from slurm_compat.agent.launch import User


class Spool:
    """A job's folder on this node. `script` is the copy's path; `remove` leaves nothing behind."""

    def __init__(self, job_id: int, base: str | None = None) -> None:
        """Below `base`, or the machine's temporary folder, in a folder of its own that no other user can prepare."""
        self._top = tempfile.mkdtemp(prefix="slurmd-", dir=base)
        os.chmod(self._top, 0o755)
        self.folder = os.path.join(self._top, f"job{job_id}")
        self.script = os.path.join(self.folder, "slurm_script")

    def write(self, script: bytes, user: User) -> None:
        """Raises OSError when there is no room."""
        os.mkdir(self.folder, 0o750)
        fd = os.open(self.script, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o700)
        with os.fdopen(fd, "wb") as file:
            file.write(script)
            if os.geteuid() == 0:
                os.fchown(fd, user.uid, -1)
                os.chown(self.folder, -1, user.gid)
        os.chmod(self.script, 0o700)
        os.chmod(self.folder, 0o750)

    def remove(self) -> None:
        try:
            os.unlink(self.script)
            os.rmdir(self.folder)
            os.rmdir(self._top)
        except OSError:  # the script put something beside itself, or took itself away
            shutil.rmtree(self._top, ignore_errors=True)

"""What a command is given: everything it may read or write, so that a test calls it as a function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TextIO


class Controller(Protocol):
    """The controller as a command sees it. Both raise SlurmError for a refusal, ControllerDown when out of reach."""

    def call(self, name: str, /, **args: Any) -> dict[str, Any]: ...

    def rows(self, name: str, fields: list[str], /, **args: Any) -> Iterator[list[Any]]: ...

    def events(self, name: str, /, **args: Any) -> Any:
        """An open stream: iterate for event dicts, `.close()` ends it, `.fileno()` for select."""


@dataclass
class Context:
    argv: list[str]  # argv[0]: the command's name, "sbatch"
    env: Mapping[str, str]
    cwd: str
    stdin: TextIO
    stdout: TextIO
    stderr: TextIO
    connect: Callable[[], Controller]  # reaches the controller on first use; starts a private cluster if there is none
    now: Callable[[], float]
    uid: int = 0
    gid: int = 0
    called: str = ""  # the command as it was called, where that was by a path: "/usr/bin/sbatch"
    sid: int = 0  # session of whoever called: the launcher's, not a warm host's
    _controller: Controller | None = field(default=None, repr=False)

    @property
    def command(self) -> str:
        return self.argv[0]

    @property
    def command_line(self) -> list[str]:
        """The words as they were typed."""
        return [self.called or self.argv[0], *self.argv[1:]]

    @property
    def controller(self) -> Controller:
        if self._controller is None:
            self._controller = self.connect()
        return self._controller

    def out(self, text: str) -> None:
        """A line on stdout."""
        self.stdout.write(text + "\n")

    def err(self, text: str) -> None:
        """A line on stderr, as it is."""
        self.stderr.write(text + "\n")

    def error(self, text: str) -> None:
        """`sbatch: error: …` on stderr."""
        self.stderr.write(f"{self.command}: error: {text}\n")

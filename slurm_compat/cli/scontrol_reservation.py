"""`scontrol create|update|delete|show reservation`: keys as rows, words and codes as 26.05 has them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from slurm_compat.core import errors, resvflags, timefmt
from slurm_compat.core.errors import BadValue, SlurmError
from slurm_compat.core.fields import RESERVATION_FIELDS
from slurm_compat.core.model import UNLIMITED
from slurm_compat.core.timefmt import clock, duration

if TYPE_CHECKING:
    from slurm_compat.cli.scontrol_session import Session

Row = dict[str, Any]
NEEDS = list(RESERVATION_FIELDS)
MANY_NODES = re.compile(r"(\d+)([km]?)", re.IGNORECASE | re.ASCII)
# what is asked for by number and can't be had is told with a hint
SINGLE_PARTITION = (
    "Note, unless nodes are directly requested a reservation must exist in a single partition.\n"
    "If no partition is requested the default partition is assumed."
)


class Bad(Exception):
    """Lines for stderr, "scontrol: error: " before the last; "%" stands for the end that create or update gives it.

    `also`: what slurmctld's own word is when an update with it is refused.
    """

    def __init__(self, *lines: str, also: int = 0) -> None:
        super().__init__(lines[-1])
        self.lines = lines
        self.also = also


class Reading:
    """The words of one create or update."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.name = ""
        self.changes: dict[str, Any] = {}


Reader = Callable[[Reading, str, str, str], None]  # value, sign, the whole word


class Key(NamedTuple):
    name: str
    least: int
    read: Reader
    signed: bool = False  # "+=" and "-=" add and take away


def _text(field: str) -> Reader:
    def read(reading: Reading, value: str, sign: str, word: str) -> None:
        reading.changes[field] = value

    return read


def _list(field: str) -> Reader:
    """Names by comma; "users-=a,b" is the same as "users=-a,-b"."""

    def read(reading: Reading, value: str, sign: str, word: str) -> None:
        reading.changes[field] = ",".join(sign + name for name in value.split(",")) if sign and value else value

    return read


def _moment(field: str, what: str) -> Reader:
    def read(reading: Reading, value: str, sign: str, word: str) -> None:
        try:
            reading.changes[field] = timefmt.moment(value, reading.now)
        except BadValue as problem:
            lines = [str(problem)] if str(problem) else []
            raise Bad(*lines, f"Invalid {what} time {word}.%", also=errors.INVALID_TIME_VALUE) from None

    return read


def _minutes(value: str, word: str) -> int:
    if value.startswith("-") and value != "-1":
        raise Bad(f"Invalid duration {word}.%")
    try:
        seconds = timefmt.seconds_of(value)
    except BadValue:
        raise Bad(f"Invalid duration {word}.%") from None
    return UNLIMITED if seconds == UNLIMITED else -(-seconds // 60)


def _duration(reading: Reading, value: str, sign: str, word: str) -> None:
    reading.changes["duration"] = _minutes(value, word)
    reading.changes["duration_sign"] = sign


def _start_delay(reading: Reading, value: str, sign: str, word: str) -> None:
    minutes = _minutes(value, word)
    reading.changes["max_start_delay"] = 0 if minutes == UNLIMITED else minutes * 60


def _flags(reading: Reading, value: str, sign: str, word: str) -> None:
    text = ",".join(sign + name for name in value.split(",")) if sign and value else value
    try:
        resvflags.parse(text)
    except BadValue:
        raise Bad(f"Error parsing flags {text if sign == '-' else value}.%") from None
    reading.changes["flags"] = text


def _nodes(reading: Reading, value: str, sign: str, word: str) -> None:
    reading.changes["nodes"] = f"{sign}={value}" if sign else value


def _node_count(reading: Reading, value: str, sign: str, word: str) -> None:
    found = MANY_NODES.fullmatch(value.removeprefix("+"))
    if "," in value:
        raise Bad("Using a comma separated array for NodeCnt is no longer valid.")
    if not found:
        raise Bad(f'"{value}" is not a valid node count')
    reading.changes["node_count"] = int(found[1]) * {"": 1, "k": 1024, "m": 1024 * 1024}[found[2].lower()]


def _core_count(reading: Reading, value: str, sign: str, word: str) -> None:
    if "," in value:
        raise Bad("Using a comma separated array for CoreCnt is no longer valid.")
    if not value.isascii() or not value.isdigit():
        raise Bad(f"Invalid core count {value}.%")
    reading.changes["core_count"] = int(value)


def _refused(why: str) -> Reader:
    def read(reading: Reading, value: str, sign: str, word: str) -> None:
        raise Bad(f"{word}: not supported here; {why}.%")

    return read


KEYS = (
    Key("StartTime",         1, _moment("start_time", "start")),
    Key("EndTime",           1, _moment("end_time", "end")),
    Key("Duration",          1, _duration, signed=True),
    Key("Flags",             1, _flags, signed=True),
    Key("NodeCnt",           5, _node_count),
    Key("NodeCount",         5, _node_count),
    Key("CoreCnt",           1, _core_count),
    Key("CoreCount",         1, _core_count),
    Key("Nodes",             1, _nodes, signed=True),
    Key("Features",          2, _text("features")),
    Key("Licenses",          1, _text("licenses")),
    Key("PartitionName",     1, _text("partition")),
    Key("Users",             1, _list("users"), signed=True),
    Key("Groups",            1, _list("groups"), signed=True),
    Key("Accounts",          1, _list("accounts"), signed=True),
    Key("AllowedPartitions", 2, _list("partitions"), signed=True),
    Key("AllowedQOS",        8, _list("qos"), signed=True),
    Key("QOS",               1, _list("qos"), signed=True),
    Key("BurstBuffer",       1, _refused("this cluster has no burst buffers")),
    Key("TRES",              1, _text("tres")),
    Key("Comment",           3, _text("comment")),
    Key("MaxStartDelay",     1, _start_delay),
)  # fmt: skip


def read(words: list[str], now: float) -> Reading:
    """Raises Bad."""
    reading = Reading(now)
    for word in words:
        tag, equals, value = word.partition("=")
        if not equals:
            if word.lower() in ("reservation", "res"):
                continue
            if len(word) >= 2 and "skip".startswith(word.lower()):
                reading.changes["skip"] = True
                continue
            raise Bad(f"Misformatted parameter '{word}', most options have a parameter after '='.%")
        sign = tag[-1] if tag[-1:] in ("+", "-") else ""
        name = tag.removesuffix(sign).lower()
        if name and "reservationname".startswith(name):
            reading.name = value
            continue
        key = next((key for key in KEYS if len(name) >= key.least and key.name.lower().startswith(name)), None)
        if key is None or (sign and not key.signed):
            raise Bad(f"Unknown parameter {word}.%")
        key.read(reading, value, sign, word)
    return reading


def _told(session: Session, problem: Bad, end: str) -> bool:
    *before, last = problem.lines
    if last.startswith("FORCE_START"):
        end = end[1:]  # with one blank, this one
    for line in before:
        session.ctx.err(line)
    session.ctx.error(last.replace("%", end))
    return False


def _send(session: Session, action: str, reading: Reading) -> str:
    answer = session.ctx.controller.call(
        "update_reservation", action=action, name=reading.name, changes=reading.changes
    )
    return str(answer["name"])


def _notes(session: Session, problem: SlurmError) -> None:
    for note in problem.notes:
        session.ctx.error(note)


def create(session: Session, words: list[str]) -> bool:
    end = "  No reservation created."
    try:
        reading = read(words, session.ctx.now())
        _complete(reading)
    except Bad as problem:
        return _told(session, problem, end)
    try:
        name = _send(session, "create", reading)
    except SlurmError as problem:
        _notes(session, problem)
        session.fail(f"Error creating the reservation: {problem.text}")
        by_number = problem.number in (errors.NODES_BUSY, errors.REQUESTED_NODE_CONFIG_UNAVAILABLE)
        if by_number and not reading.changes.get("nodes"):
            session.fail(SINGLE_PARTITION)
        return False
    session.ctx.out(f"Reservation created: {name}")
    return True


def _complete(reading: Reading) -> None:
    """Raises Bad for what a new reservation lacks."""
    given = reading.changes
    flags = resvflags.parse(given.get("flags", "")).added
    if "start_time" not in given:
        raise Bad("A start time must be given.%")
    if "end_time" not in given and "duration" not in given:
        raise Bad("An end time or duration must be given.%")
    start, end = given["start_time"], given.get("end_time")
    if end is not None and end < start:
        raise Bad("Start time cannot be after end time.%")
    if end is not None and "duration" in given and start + given["duration"] * 60 != end:
        raise Bad("StartTime + Duration does not equal EndTime.%")
    if "PART_NODES" in flags and (not given.get("partition") or given.get("nodes", "").upper() != "ALL"):
        raise Bad("PART_NODES flag requires specifying a Partition and ALL nodes.%")
    if "FORCE_START" in flags and not set(flags) & set(resvflags.RECURRING):
        raise Bad("FORCE_START flag requires a reoccuring reservation.%")
    sized = any(given.get(key) for key in ("core_count", "nodes", "node_count", "tres", "licenses"))
    if not sized:
        raise Bad("CoreCnt, Nodes, NodeCnt, TRES or Watts must be specified.%")
    if given.get("users") and given.get("groups"):
        raise Bad("Users and Groups are mutually exclusive.  You can have one or the other, but not both.%")
    if not any(given.get(key) for key in ("users", "groups", "accounts", "qos", "partitions")):
        raise Bad("Either Users/Groups, AllowedPartitions, QOS and/or Accounts must be specified.%")


def update(session: Session, name: str, words: list[str]) -> bool:
    end = "  No reservation update."
    try:
        reading = read(words, session.ctx.now())
    except Bad as problem:
        _told(session, problem, end)
        if problem.also:
            session.fail(f"slurm_update error: {errors.TEXT[problem.also]}")
        return False
    reading.name = name
    try:
        _send(session, "update", reading)
    except SlurmError as problem:
        _notes(session, problem)
        return session.fail(f"slurm_update error: {problem.text}")
    session.ctx.out("Reservation updated.")
    return True


def delete(session: Session, text: str, name: str) -> bool:
    reading = Reading(session.ctx.now())
    reading.name = name
    try:
        _send(session, "delete", reading)
    except SlurmError as problem:
        return session.fail(f"delete_reservation {text}: {problem.text}")
    return True


def show(session: Session, words: list[str]) -> bool:
    rows = session.rows("reservations", NEEDS)
    wanted = [row for row in rows if not words or row["name"] == words[0]]
    for row in wanted:
        session.ctx.stdout.write(record(row, session.time_format, session.one_line))
    if not rows and not words:
        session.ctx.out("No reservations in the system")
    if words and not wanted:
        session.ctx.out(f"Reservation {words[0]} not found")
        return False
    return True


def record(row: Row, time_format: str, one_line: bool) -> str:
    """One reservation; lines are joined by a blank with -o."""

    def null(field: str) -> str:
        return str(row[field]) or "(null)"

    start, end = row["start_time"], row["end_time"]
    lines = [
        f"ReservationName={row['name']} StartTime={clock(start, time_format)} EndTime={clock(end, time_format)}"
        f" Duration={duration(end - start)}",
        f"Nodes={null('nodes')} NodeCnt={row['node_count']} CoreCnt={row['core_count']} Features={null('features')}"
        f" PartitionName={null('partition')} Flags={resvflags.show(row['flags'], row['purge_after'])}",
        *(f"  NodeName={node} CoreIDs={_cores(cores)}" for node, cores in row["cores"]),
        f"TRES={null('tres')}",
        f"AllowedPartitions={null('partitions')} QOS={null('qos')}",
        f"Users={null('users')} Groups={null('groups')} Accounts={null('accounts')} Licenses={null('licenses')}"
        f" State={'ACTIVE' if row['active'] else 'INACTIVE'} BurstBuffer={null('burst_buffer')}",
        f"MaxStartDelay={duration(row['max_start_delay']) if row['max_start_delay'] else '(null)'}",
        *([f"Comment={row['comment']}"] if row["comment"] else []),
    ]
    return " ".join(lines) + "\n" if one_line else "\n   ".join(lines) + "\n\n"


def _cores(numbers: list[int]) -> str:
    from slurm_compat.core.cpulist import cpu_text

    return cpu_text(numbers)

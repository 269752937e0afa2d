"""Readers of option values: text in, the fields it fills out. Messages and exit codes as observed on 26.05."""

from __future__ import annotations

import re
from typing import Any

from slurm_compat.core import sizes, timefmt
from slurm_compat.core.errors import BadValue, CommandError
from slurm_compat.core.options import Reader, Where
from slurm_compat.core.signals import signal_number

MAX_NUMBER = 0x7FFFFFFF
_NUMBER = re.compile(r"[ \t]*([+-]?\d+)", re.ASCII)
_LEADING = re.compile(r"[ \t]*([+-]?\d+)?", re.ASCII)


def text_of(field: str) -> Reader:
    return lambda text, where: {field: text or ""}


def flag(field: str, value: Any = True) -> Reader:
    return lambda text, where: {field: value}


def ignored(text: str | None, where: Where) -> dict[str, Any]:
    return {}


def refused(instead: str) -> Reader:
    def read(text: str | None, where: Where) -> dict[str, Any]:
        raise where.error(f"--{where.option} is not supported here; {instead}", code=1)

    return read


def number(field: str, least: int = 1, called: str = "") -> Reader:
    """A whole number from `least` on. `called` is what the message says instead of the option's name."""

    def read(text: str | None, where: Where) -> dict[str, Any]:
        return {field: whole(text or "", where, called or f"--{where.option}", least)}

    return read


def whole(text: str, where: Where, called: str, least: int = 1) -> int:
    if text == "" and least <= 0:
        return 0  # strtol finds nothing amiss
    found = _NUMBER.fullmatch(text)
    if not found or int(found[1]) < least:
        raise where.error(f'Invalid numeric value "{text}" for {called}.', code=1)
    if int(found[1]) > MAX_NUMBER:
        raise where.error(f"Numeric argument ({int(found[1])}) too large for {called}.", code=1)
    return int(found[1])


def minutes(field: str) -> Reader:
    def read(text: str | None, where: Where) -> dict[str, Any]:
        try:
            return {field: timefmt.minutes(text or "")}
        except BadValue:
            raise where.invalid() from None

    return read


def seconds(field: str) -> Reader:
    """A time limit's shapes, kept in seconds (--delay-boot)."""

    def read(text: str | None, where: Where) -> dict[str, Any]:
        try:
            return {field: timefmt.seconds_of(text or "") & 0xFFFFFFFF}
        except BadValue:
            raise where.invalid() from None

    return read


def moment(field: str) -> Reader:
    def read(text: str | None, where: Where) -> dict[str, Any]:
        try:
            return {field: timefmt.moment(text or "", where.now)}
        except BadValue as problem:
            raise where.invalid(*([str(problem)] if str(problem) else [])) from None

    return read


def mebibytes(field: str) -> Reader:
    def read(text: str | None, where: Where) -> dict[str, Any]:
        try:
            return {field: sizes.mebibytes(text or "")}
        except BadValue:
            raise where.invalid() from None

    return read


def one_of(field: str, values: dict[str, Any]) -> Reader:
    """One word of `values`, in any case; "" stands for the option without an argument."""

    def read(text: str | None, where: Where) -> dict[str, Any]:
        word = (text or "").lower()
        if word not in values:
            raise where.invalid()
        return {field: values[word]}

    return read


def nodes(text: str | None, where: Where) -> dict[str, Any]:
    """N, N-M, with k and m for 1024 and 1024², and lists "1,3", "1-5:2", of which the outermost count."""
    given = text or ""
    if "," in given or (":" in given and "-" in given):
        counts = [_count(part, where) for part in re.split("[-,]", given.split(":")[0].removesuffix(","))]
        return {"minimum_nodes": min(counts), "maximum_nodes": max(counts)}
    low, dash, high = given.partition("-")
    if not low and dash:  # "-3" is at most three
        return {"minimum_nodes": None, "maximum_nodes": _count(high, where) or None}
    least = _count(low, where)
    if dash and not high:
        raise where.error(f"Maximum node count -1 is less than minimum node count {least}")
    most = _count(high, where) if dash else least
    if most < least:
        raise where.error(f"Maximum node count {most} is less than minimum node count {least}")
    return {"minimum_nodes": least or (None if most else 0), "maximum_nodes": most}


def _count(text: str, where: Where) -> int:
    found = re.fullmatch(r"(-?\d+)([kKmM]?)", text, re.ASCII)
    if not found:
        raise where.error(f'"{text}" is not a valid node count')
    return int(found[1]) << {"": 0, "k": 10, "m": 20}[found[2].lower()]


def extra_node_info(text: str | None, where: Where) -> dict[str, Any]:
    """-B S[:C[:T]], "*" for any."""
    filled: dict[str, Any] = {"extra_node_info": True}
    names = ("sockets_per_node", "cores_per_socket", "threads_per_core")
    for name, which, part in zip(names, ("first", "second", "third"), (text or "").split(":"), strict=False):
        low = part if part.startswith("-") else part.split("-")[0]
        if low not in ("", "*", "0"):
            filled[name] = whole(low, where, f"{which} arg of -B")
    return filled


def signal(text: str | None, where: Where) -> dict[str, Any]:
    """[{R|B}:]number or name[@seconds]."""
    flags, _, rest = (text or "").rpartition(":")
    if set(flags.upper()) - {"R", "B"}:
        raise where.invalid()
    name, at, delay = rest.partition("@")
    signalled = signal_number(name)
    if signalled is None or (delay and not (delay.isascii() and delay.isdigit() and int(delay) <= 0xFFFF)):
        raise where.invalid()
    words = {"B": "BATCH_JOB", "R": "RESERVATION"}
    return {
        "kill_warning_signal": signalled & 0xFFFF,
        "kill_warning_delay": int(delay or 0) if at else 60,
        "kill_warning_flags": sorted({words[letter] for letter in flags.upper()}),
    }


def nice(text: str | None, where: Where) -> dict[str, Any]:
    """100 without a number; what is no number counts as 0."""
    value = 100 if text is None else _leading(text)
    if abs(value) > MAX_NUMBER - 2:
        raise where.error(f"Invalid --nice value, out of range (+/- {MAX_NUMBER - 2})")
    return {"nice": value}


def _leading(text: str) -> int:
    found = _LEADING.match(text)
    return int(found[1]) if found and found[1] else 0


TOP_PRIORITY = 0xFFFFFFFD


def priority(text: str | None, where: Where) -> dict[str, Any]:
    if text == "":
        return {}
    if (text or "").lower() == "top":
        return {"priority": TOP_PRIORITY}
    value = _leading(text or "")
    if value < 0:
        raise where.error("Priority must be >= 0")
    if value > TOP_PRIORITY:
        raise where.error(f"Priority must be < {TOP_PRIORITY + 1}")
    return {"priority": value}


_ALL_MAIL = {"INVALID_DEPEND", "BEGIN", "END", "FAIL", "REQUEUE", "STAGE_OUT"}
# in the order in which Slurm lists them
_MAIL = (
    "INVALID_DEPEND", "ARRAY_TASKS", "BEGIN", "END", "FAIL", "REQUEUE", "STAGE_OUT", "TIME_LIMIT_50", "TIME_LIMIT_80",
    "TIME_LIMIT_90", "TIME_LIMIT",
)  # fmt: skip


def mail_type(text: str | None, where: Where) -> dict[str, Any]:
    """Words by comma; unknown ones pass beside known ones. NONE anywhere: no mail."""
    words = {word.upper() for word in (text or "").split(",")}
    chosen = words.intersection(_MAIL) | (_ALL_MAIL if "ALL" in words else set())
    if not chosen and "NONE" not in words:
        raise where.invalid()
    return {"mail_type": [] if "NONE" in words else [word for word in _MAIL if word in chosen]}


_PROFILES = {"energy": "Energy", "task": "Task", "lustre": "Lustre", "filesystem": "Lustre", "network": "Network"}


def profile(text: str | None, where: Where) -> dict[str, Any]:
    words = [word.lower() for word in (text or "").split(",")]
    for all_of_it in ("none", "all"):
        if all_of_it in words:
            return {"profile": all_of_it.capitalize()}
    chosen = [_PROFILES[word] for word in words if word in _PROFILES]
    if not chosen:
        raise where.error(f"invalid --profile={text or ''} option")
    return {"profile": ",".join(dict.fromkeys(chosen))}


_FREQ = re.compile(r"(?:(?:task|energy|network|filesystem)=)?\d", re.IGNORECASE | re.ASCII)


def acctg_freq(text: str | None, where: Where) -> dict[str, Any]:
    """[kind=]seconds by comma, each as far as its digits go. What is too much or too little, the controller says."""
    given = text or ""
    for part in filter(None, given.split(",")):
        if not _FREQ.match(part) and (not part.startswith("-") or _leading(part) == -1):
            raise where.error(f"Invalid --acctg-freq specification: {part}")
    return {"account_gather_frequency": given}


def distribution(text: str | None, where: Where) -> dict[str, Any]:
    """{*|block|cyclic|arbitrary|plane=N}[:{*|block|cyclic|fcyclic}[:…]][,{Pack|NoPack}]; kept normalised."""
    given = (text or "").lower()
    layout, _, pack = given.partition(",")
    if layout in ("pack", "nopack") and not pack:
        layout, pack = "", layout
    if not given or pack not in ("", "pack", "nopack"):
        raise where.invalid()
    if layout.startswith("plane"):
        size = re.fullmatch(r"plane=0*([1-9]\d*)", layout, re.ASCII)
        if not size:
            raise where.invalid(f"{where.command}: error: Invalid plane size or size not specified")
        return {"distribution": f"plane={size[1]}" + (f",{pack}" if pack else "")}
    levels = layout.split(":")
    first = {"*": "block", "": "block"}.get(levels[0], levels[0])
    if first not in ("block", "cyclic", "arbitrary") or len(levels) > 3:
        raise where.invalid()
    if set(levels[1:]) - {"block", "cyclic", "fcyclic", "*", ""}:
        raise where.invalid()
    while len(levels) > 1 and levels[-1] in ("", "*"):
        levels.pop()
    shown = ":".join([first, *levels[1:]]) if layout else ""
    return {"distribution": ",".join(part for part in (shown, pack) if part)}


def switches(text: str | None, where: Where) -> dict[str, Any]:
    count, at, wait = (text or "").partition("@")
    filled: dict[str, Any] = {"required_switches": whole(count, where, "--switches")}
    if at:
        filled |= wait_for_switch(wait, where)
    return filled


def wait_for_switch(text: str | None, where: Where) -> dict[str, Any]:
    """A time limit's shapes, in seconds; what has none of them counts as 0."""
    try:
        return {"wait_for_switch": timefmt.seconds_of(text or "") & 0xFFFFFFFF}
    except BadValue:
        return {"wait_for_switch": 0}


def only_root(field: str) -> Reader:
    """--uid and --gid: a name or a number, kept as text; whoever may read the user database looks it up."""

    def read(text: str | None, where: Where) -> dict[str, Any]:
        if where.uid != 0:
            raise where.error(f"--{where.option} only permitted by root user")
        return {field: text or ""}

    return read


RLIMITS = ("CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS")


def propagate(text: str | None, where: Where) -> dict[str, Any]:
    """Which limits to propagate, by comma; all without a list. Names may carry RLIMIT_."""
    if not text or text == "ALL":
        return {"propagate": list(RLIMITS)}
    if text == "NONE":
        return {"propagate": []}
    words = text.split(",")
    names = [word.upper().removeprefix("RLIMIT_") for word in words]
    for name, word in zip(names, words, strict=True):
        if name not in RLIMITS:
            lines = (f"Bad rlimit name: {word}", f"--propagate={text} is not valid.")
            raise CommandError(*(f"{where.command}: error: {line}" for line in lines), code=1)
    return {"propagate": names}


_GPU_BIND = re.compile(
    r"(?:v(?:erbose)?,)?(?:closest|none|single:\d+|per_task:\d+|(?:map|mask)(?:_gpu)?:[0-9a-fx,*]+)", re.I | re.A
)


def gpu_bind(text: str | None, where: Where) -> dict[str, Any]:
    if not _GPU_BIND.fullmatch(text or ""):
        raise where.error(f"Invalid --gpu-bind argument: {text}")
    return {"gpu_bind": text}


_GRES_FLAGS = {
    "disable-binding", "enforce-binding", "one-task-per-sharing", "multiple-tasks-per-sharing", "allow-task-sharing",
}  # fmt: skip


def gres_flags(text: str | None, where: Where) -> dict[str, Any]:
    words = [word for word in (text or "").lower().split(",") if word]
    for word in words:
        if word not in _GRES_FLAGS:
            raise where.error(f"Invalid --gres-flags specification: {word}")
    if "allow-task-sharing" in words and where.command != "srun":
        raise where.error("--gres-flags=allow-task-sharing is only used with srun.")
    for pair in (("one-task-per-sharing", "multiple-tasks-per-sharing"), ("disable-binding", "enforce-binding")):
        if set(pair) <= set(words):
            raise where.error(f"Invalid --gres-flags combo: {pair[0]} and {pair[1]} are mutually exclusive.")
    return {"gres_flags": words}


MEM_BIND_HELP = """\
Memory binding of tasks:
    --mem-bind=
        q[uiet]            say nothing (the default)
        v[erbose]          report each task's binding
        no[ne]             leave tasks unbound (the default)
        rank               by the task's rank
        local              to the memory of the task's processors
        map_mem:<list>     to the domains listed, one a task
        mask_mem:<list>    to the masks listed, one a task
        help               this text"""
_MEM_BIND = re.compile(r"q(uiet)?|v(erbose)?|no(ne)?|rank|local|prefer|(map|mask)_mem:.*", re.I)
HINT_HELP = """\
Binding of tasks by what the application needs:
    --hint=
        compute_bound      every core of each socket
        memory_bound       one core of each socket
        [no]multithread    [not] more than one hardware thread a core
        help               this text"""


def mem_bind(text: str | None, where: Where) -> dict[str, Any]:
    given = text or ""
    if given.lower() == "help":
        return {"tell": MEM_BIND_HELP, "tell_code": 255}
    # the lists of map_mem and mask_mem have commas of their own: what looks like a number belongs to them
    for word in re.split(r",(?![0-9a-f]*\b[0-9])", given, flags=re.I):
        if not _MEM_BIND.fullmatch(word):
            raise where.error(f'unrecognized --mem-bind argument "{word}"')
    return {"mem_bind": given}


def immediate(text: str | None, where: Where) -> dict[str, Any]:
    """Seconds; without a number, or with 0, one second."""
    return {"immediate": 1 if text is None else whole(text, where, "immediate", 0) or 1}


def kill_command(text: str | None, where: Where) -> dict[str, Any]:
    """The signal for the command when its allocation is revoked (salloc); TERM without one."""
    chosen = signal_number(text) if text else 15
    if chosen is None:
        raise where.invalid()
    return {"kill_command": chosen}


def mem_update(text: str | None, where: Where) -> dict[str, Any]:
    margin, at, delay = (text or "").partition("@")
    if not at:
        raise where.error("--mem-update requires MARGIN@DELAY format")
    if not (margin.isdigit() and delay.isdigit()):
        raise where.invalid()
    return {}


def ignore_signals(text: str | None, where: Where) -> dict[str, Any]:
    chosen = []
    words = [word for word in (text or "").split(",") if word]
    if not words:
        raise where.error("--ignore-signals requires at least one signal")
    for word in words:
        found = signal_number(word)
        if found is None or not 0 < found <= 64:
            raise where.error(f"Invalid signal name or number: {word}")
        chosen.append(found)
    return {"ignore_signals": chosen}


def gres(text: str | None, where: Where) -> dict[str, Any]:
    """help and list ask what there is; none is no gres."""
    word = (text or "").lower()
    if word in ("help", "list"):
        return {"gres_help": True}
    return {"gres": "" if word == "none" else text or ""}


def count(field: str) -> Reader:
    """A flag that counts how often it is given (-v). From the environment, the number itself."""

    def read(text: str | None, where: Where) -> dict[str, Any]:
        return {field: _leading(text) if text is not None else 1}

    return read


def open_mode(text: str | None, where: Where) -> dict[str, Any]:
    """append or truncate; the first letter decides."""
    mode = {"a": "append", "t": "truncate"}.get((text or "")[:1].lower())
    if mode is None:
        raise where.invalid()
    return {"open_mode": mode}


def wait_all_nodes(text: str | None, where: Where) -> dict[str, Any]:
    value = whole(text or "", where, "--wait-all-nodes", 0)
    if value > 1:
        raise where.invalid()
    return {"wait_all_nodes": value}


def requeue(text: str | None, where: Where) -> dict[str, Any]:
    """Put back when the node fails; `expedite`, which no cluster of ours has, is told from it by an attribute."""
    word = (text or "").lower()
    if word not in ("", "expedite"):
        raise where.invalid()
    return {"requeue": True, "expedite": word == "expedite"}


def resv_ports(text: str | None, where: Where) -> dict[str, Any]:
    """-1: as many as there are tasks."""
    return {"resv_ports": -1 if text is None else whole(text, where, "--resv-port", 0)}


def segment(text: str | None, where: Where) -> dict[str, Any]:
    """A 16-bit number; "" is 0."""
    if text and not (text.isascii() and text.isdigit() and int(text) <= 0xFFFF):
        raise where.invalid()
    return {"segment_size": int(text or 0)}


def kill_on_bad_exit(text: str | None, where: Where) -> dict[str, Any]:
    return {"kill_on_bad_exit": text is None or whole(text or "1", where, "--kill-on-bad-exit", 0) > 0}


def accel_bind(text: str | None, where: Where) -> dict[str, Any]:
    """Letters: v, g, n."""
    if not text or set(text) - set("vgn"):
        raise where.invalid()
    return {"accel_bind": text}


def send_libs(text: str | None, where: Where) -> dict[str, Any]:
    if (text or "").lower() not in ("", "yes", "no"):
        raise where.invalid()
    return {"send_libs": (text or "yes").lower() == "yes"}


def x11(text: str | None, where: Where) -> dict[str, Any]:
    """Which nodes would show windows; another word asks for none. batchchecks.py refuses it."""
    return {"x11": (text or "batch").lower() in ("all", "batch", "first", "last")}


def slurmd_debug(text: str | None, where: Where) -> dict[str, Any]:
    if where.uid != 0:
        raise where.error("Use of --slurmd-debug is allowed only for root and SlurmUser(slurm)", code=1)
    return {}


def treewidth(text: str | None, where: Where) -> dict[str, Any]:
    if text not in ("", "off") and not (text or "").isdigit():
        raise where.error(f"Invalid --treewidth value: {text}")
    return {}


def pty(text: str | None, where: Where) -> dict[str, Any]:
    return {"pty": True, "pty_fd": text or ""}

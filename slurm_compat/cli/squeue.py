"""squeue: jobs and their steps.

Only the fields of the columns shown, of the filters and of the sort keys are asked for; then each row is tested, sorted
and printed by functions made for just this call. Source: squeue(1); observed on 26.05.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from slurm_compat import SLURM_VERSION
from slurm_compat.cli import squeue_columns as c
from slurm_compat.cli import squeue_filter, squeue_options, squeue_sort
from slurm_compat.cli.clusters import own_cluster, require_own_cluster
from slurm_compat.cli.context import Context
from slurm_compat.cli.squeue_options import Asked
from slurm_compat.cli.squeue_values import Settings, bitstr_len
from slurm_compat.core import columns, states, taskids
from slurm_compat.core.errors import INVALID_JOB_ID, BadValue, CommandError, SlurmError
from slurm_compat.core.fields import JOB_FIELDS
from slurm_compat.core.hostlist import expand

JOB_FORMAT = "%.18i %.9P %.8j %.8u %.2t %.10M %.6D %R"
LONG_FORMAT = "%.18i %.9P %.8j %.8u %.8T %.10M %.9l %.6D %R"
START_FORMAT = "%.18i %.9P %.8j %.8u %.2t %.19S %.6D %20Y %R"
STATE_FORMAT = "%.18i %.2t"
STEP_FORMAT = "%.15i %.8j %.9P %.8u %.9M %N"

IDENTITY = [
    "job_id", "array_job_id", "array_task_id", "array_task_string", "het_job_id", "het_job_offset", "sluid",
]  # fmt: skip
# what tells which rows squeue shows as one
MERGED = [
    "array_job_id", "array_task_id", "array_task_string", "job_state", "state_flags", "job_id", "name", "partition",
]  # fmt: skip
STATE_ONLY = {*IDENTITY, "job_state", "state_flags"}  # what --only-job-state knows
ABSENT: dict[str, Any] = {"str": "", "int": 0, "bool": False, "float": 0.0, "list[str]": []}

Row = list[Any]


def main(ctx: Context) -> int:
    try:
        asked = squeue_options.asked_of(ctx.argv[1:], ctx.env)
    except squeue_options.Unrecognized:
        ctx.out(squeue_options.USAGE)
        raise
    if asked.answer:
        for line in _ANSWERS[asked.answer]():
            ctx.out(line)
        return 0
    try:
        return _show(ctx, asked)
    except SlurmError as problem:
        what = "slurm_get_job_steps error" if "s" in asked.flags else "slurm_load_jobs error"
        ctx.stdout.flush()
        ctx.err(f"{what}: {problem.text}")
        return 1


def _show(ctx: Context, asked: Asked) -> int:
    users = squeue_filter.user_ids(asked, ctx.uid, ctx.error)
    nodes = _nodes(ctx, asked)
    if asked.verbose and not asked.document:
        for line in squeue_options.settings_text(asked):
            ctx.out(line)
    cluster = ""
    if (clusters := asked.values.get("M")) is not None:
        cluster = require_own_cluster(ctx, clusters)
    report = Report(ctx, asked, users, nodes)
    while True:
        if cluster and "h" not in asked.flags:
            ctx.out(f"CLUSTER: {cluster}")
        code = report.once()
        if not asked.iterate:
            return code
        ctx.out("")
        ctx.stdout.flush()
        time.sleep(asked.iterate)


def _nodes(ctx: Context, asked: Asked) -> set[str] | None:
    """The nodes of -w, each known to the cluster. Raises CommandError for one that is not."""
    text = asked.values.get("w")
    if text is None:
        return None
    try:
        names = expand(text)
    except BadValue:
        raise CommandError(f"squeue: error: '{text}' invalid entry for --nodelist") from None
    known: dict[str, str] = {}
    for name, hostname in ctx.controller.rows("nodes", ["name", "hostname"]):
        known[name] = name
        known.setdefault(hostname, name)
    for name in names:
        if name not in known:
            raise CommandError(f"squeue: error: Invalid node name {name}")
    return {known[name] for name in names}


class Report:
    """One kind of table, printed once or again and again. Everything that a call needs only once is made here."""

    def __init__(self, ctx: Context, asked: Asked, users: list[int] | None, nodes: set[str] | None) -> None:
        self.ctx = ctx
        self.asked = asked
        self.users = users
        self.steps = "s" in asked.flags
        cells = self._cells()
        sort = asked.values.get("S") or self._default_sort()
        table = squeue_sort.STEP_KEYS if self.steps else squeue_sort.JOB_KEYS
        self.keys: list[tuple[squeue_sort.SortKey, bool]] = []
        self.bad_sort: CommandError | None = None  # told below the header
        try:
            self.keys = squeue_sort.keys_of(sort, table, not self.steps, lambda text: ctx.err(f"squeue: {text}"))
        except CommandError as problem:
            self.bad_sort = problem
        if self.steps:
            self.tests = squeue_filter.step_tests(asked, users, nodes)
        else:
            self.tests = squeue_filter.job_tests(asked, users, ctx.uid, nodes)
        further = squeue_sort.fields_of(self.keys) + [name for names, _ in self.tests for name in names]
        if not self.steps:
            further += [*IDENTITY, *MERGED, "partition"]
        if asked.document and self.steps:
            from slurm_compat.cli import step_json

            further += step_json.FIELDS
        elif asked.document:
            from slurm_compat.cli import squeue_json

            further += squeue_json.FIELDS
        settings = Settings(
            now=ctx.now(),
            time_format=ctx.env.get("SLURM_TIME_FORMAT", ""),
            convert="noconvert" not in asked.flags,
            bitstr_len=bitstr_len(ctx.env),
            expand="expand-patterns" in asked.flags,
            cluster=own_cluster(ctx) if self.steps and "luster" in asked.values.get("O", "") else "",
            complain=ctx.error,
        )
        if settings.bitstr_len is not None:  # then an id that is right-justified is never cut
            cells = [
                cell._replace(column=cell.column._replace(whole=columns.VALUE))
                if isinstance(cell, columns.Cell) and cell.column.name == "JobArrayId"
                else cell
                for cell in cells
            ]
        self.layout = columns.layout(cells, settings, further)
        self.positions = {name: index for index, name in enumerate(self.layout.fields)}
        self.test = squeue_filter.compiled(self.tests, self.positions)

    def _default_sort(self) -> str:
        if self.steps:
            return squeue_sort.STEP_DEFAULT
        return squeue_sort.START_DEFAULT if "start" in self.asked.flags else squeue_sort.JOB_DEFAULT

    def _cells(self) -> list[columns.Cell | str]:
        given = self.asked.values
        kind = "job step" if self.steps else "job"
        letters = c.STEPS_BY_LETTER if self.steps else c.JOBS_BY_LETTER

        def complain(what: str) -> None:
            self.ctx.error(f"Invalid {kind} format specification: {what}")

        if "O" in given:
            return columns.parse_long(given["O"], c.STEPS_BY_NAME if self.steps else c.JOBS_BY_NAME, complain)
        text = given.get("o", self._default_format())
        prefix, percent, rest = text.partition("%")
        if percent and rest.lower() == "all":
            return [prefix, *c.all_cells(letters)] if prefix else c.all_cells(letters)
        return columns.parse_short(text, letters, complain, c.STEPS_MISSING if self.steps else c.JOBS_MISSING)

    def _default_format(self) -> str:
        flags = self.asked.flags
        if self.steps:
            return STEP_FORMAT
        if "start" in flags:
            return START_FORMAT
        if "only-job-state" in flags:
            return STATE_FORMAT
        return LONG_FORMAT if "l" in flags else JOB_FORMAT

    def once(self) -> int:
        asked, ctx = self.asked, self.ctx
        rows = self._step_rows() if self.steps else self._job_rows()
        records = len(rows)
        rows = [row for row in rows if self.test(row)]
        if not self.steps:
            rows = self._shown(rows)
        if asked.document:
            return self._write_document(rows)
        squeue_sort.sort(rows, self.keys, self.positions)
        if "h" not in asked.flags:
            if asked.iterate or asked.verbose or "l" in asked.flags:
                ctx.out(time.strftime("%a %b %d %H:%M:%S %Y", time.localtime(ctx.now())))
            if asked.verbose:
                ctx.out(f"last_update_time={int(ctx.now())} records={records}")
            ctx.out(self.layout.header)
        if self.bad_sort is not None:
            raise self.bad_sort
        line = self.layout.line
        ctx.stdout.write("".join([line(row) + "\n" for row in rows]))
        return 0

    def _write_document(self, rows: list[Row]) -> int:
        """--json and --yaml: in order of the job ids, whatever the sort keys."""
        if self.steps:
            from slurm_compat.cli.step_json import print_steps

            steps = [dict(zip(self.layout.fields, row, strict=True)) for row in rows]
            return print_steps(self.ctx, self.asked.document, self.asked.parser, steps)
        from slurm_compat.cli.squeue_json import print_jobs

        jobs = (dict(zip(self.layout.fields, row, strict=True)) for row in reversed(rows))
        return print_jobs(self.ctx, self.asked.document, self.asked.parser, jobs, own_cluster(self.ctx))

    def _step_rows(self) -> list[Row]:
        wanted = [e.job_id for e in self.asked.jobs or ()] + [e.job_id for e, _ in self.asked.steps or ()]
        try:
            return list(self.ctx.controller.rows("steps", self.layout.fields, job_ids=wanted))
        except SlurmError as problem:
            if problem.number != INVALID_JOB_ID:
                raise
            return []

    def _job_rows(self) -> list[Row]:
        """What the controller has, the newest first."""
        asked = self.asked
        filters: dict[str, Any] = {}
        sluids = {e.sluid for e in asked.jobs or () if e.sluid}
        if asked.jobs is not None and not sluids:
            if not asked.jobs:
                return []
            filters["job_ids"] = [e.job_id for e in asked.jobs]
        if self.users is not None and not asked.jobs:
            if not self.users:
                return []
            filters["user_ids"] = self.users
        wanted = squeue_filter.DEFAULT_STATES if asked.states is None else asked.states
        if wanted and not sluids:
            filters["states"] = [state for state in wanted if state in states.COMPACT]
            if not filters["states"]:
                return []
        fields = self.layout.fields
        if state_only := "only-job-state" in asked.flags:
            fields = [name for name in fields if name in STATE_ONLY]
        try:
            rows = list(self.ctx.controller.rows("jobs", fields, **filters))
        except SlurmError as problem:
            if problem.number != INVALID_JOB_ID or not state_only:
                raise
            return []
        if sluids and len(asked.jobs or ()) == 1 and sluids.isdisjoint(row[self.positions["sluid"]] for row in rows):
            raise SlurmError(INVALID_JOB_ID)
        if state_only:
            rows = [self._filled(dict(zip(fields, row, strict=True))) for row in rows]
        job_id = self.positions["job_id"]
        rows.sort(key=lambda row: row[job_id], reverse=True)
        return rows

    def _filled(self, known: Mapping[str, Any]) -> Row:
        """A row of --only-job-state: every other field as if nobody had said anything."""
        return [
            known[name] if name in known else ABSENT.get(JOB_FIELDS[name].partition(":")[0])
            for name in self.layout.fields
        ]

    def _shown(self, rows: list[Row]) -> list[Row]:
        """The rows as they are to be listed: without hidden partitions, ids chosen, tasks and partitions apart."""
        asked = self.asked
        if asked.jobs is not None:
            rows = self._of_ids(rows)
        else:
            hidden = self._hidden_partitions() if rows else frozenset()
            if hidden:
                place = self.positions["partition"]
                rows = [row for row in rows if not hidden.issuperset(row[place].split(","))]
        if "r" not in asked.flags and "only-job-state" not in asked.flags and not asked.document:
            rows = self._merged(rows)
        if "r" in asked.flags:
            rows = [apart for row in rows for apart in self._tasks(row)]
        if "P" in asked.flags:
            rows = [apart for row in rows for apart in self._partitions(row)]
        return rows

    def _hidden_partitions(self) -> frozenset[str]:
        if "a" in self.asked.flags or self.ctx.uid == 0 or "only-job-state" in self.asked.flags:
            return frozenset()
        try:
            return frozenset(
                name for name, hidden in self.ctx.controller.rows("partitions", ["name", "hidden"]) if hidden
            )
        except SlurmError as problem:  # PrivateData: jobs are listed all the same
            self.ctx.err(f"slurm_load_partitions: {problem.text}")
            return frozenset()

    def _of_ids(self, rows: Iterable[Row]) -> list[Row]:
        assert self.asked.jobs is not None
        places = [self.positions[name] for name in IDENTITY]
        found = []
        for row in rows:
            tasks = squeue_filter.chosen(self.asked.jobs, *[row[place] for place in places])
            if tasks is None:
                continue
            if tasks:
                row = self._with_tasks(row, tasks)
            found.append(row)
        return found

    def _with_tasks(self, row: Row, tasks: str) -> Row:
        """An array's record with only these of its tasks; one alone looks as if it stood alone."""
        row = list(row)
        if tasks.isdigit():
            row[self.positions["array_task_id"]] = int(tasks)
            tasks = ""
        row[self.positions["array_task_string"]] = tasks
        if "array_max_tasks" in self.positions:
            row[self.positions["array_max_tasks"]] = 0
        return row

    def _merged(self, rows: list[Row]) -> list[Row]:
        """Tasks that wait are shown in their array's record, also those that have left it, as long as there is one, but
        for those that have another name or partition."""
        places = [self.positions[name] for name in MERGED]
        array_id, task_id, string, state, flags, job_id, name_at, partition = places
        waiting: dict[tuple[Any, ...], list[Row]] = {}
        for row in rows:
            if row[array_id] and row[state] == states.PENDING and states.COMPLETING not in row[flags]:
                waiting.setdefault((row[array_id], row[name_at], row[partition]), []).append(row)
        gone: set[int] = set()
        changed: dict[int, Row] = {}
        for some in waiting.values():
            if len(some) < 2 or all(row[task_id] is not None for row in some):
                continue
            some.sort(key=lambda row: (row[task_id] is not None, row[job_id]))
            merged = changed[id(some[0])] = list(some[0])
            gone.update(id(row) for row in some[1:])
            tasks: set[int] = set()
            for row in some:
                if row[task_id] is not None:
                    tasks.add(row[task_id])
                else:
                    tasks.update(taskids.each(taskids.parse(row[string], squeue_filter.NO_LIMIT_ID).ranges))
            merged[task_id], merged[string] = None, taskids.show(sorted(tasks))
            for name, value in (("array_max_tasks", 0), *self._reasons(some)):
                if name in self.positions:
                    merged[self.positions[name]] = value
        return [changed.get(id(row), row) for row in rows if id(row) not in gone] if gone else rows

    def _reasons(self, rows: list[Row]) -> Iterable[tuple[str, str]]:
        """All reasons for which these wait, each once."""
        if "state_reason" not in self.positions:
            return ()
        reason, description = self.positions["state_reason"], self.positions["state_description"]
        found = list(dict.fromkeys(row[description] or row[reason] for row in rows))
        return (("state_reason", ",".join(found)), ("state_description", "")) if len(found) > 1 else ()

    def _tasks(self, row: Row) -> Iterable[Row]:
        waiting = row[self.positions["array_task_string"]]
        if not waiting or row[self.positions["array_task_id"]] is not None:
            return (row,)
        ranges = taskids.parse(waiting, squeue_filter.NO_LIMIT_ID).ranges
        return (self._with_tasks(row, str(task)) for task in taskids.each(ranges))

    def _partitions(self, row: Row) -> Iterable[Row]:
        place = self.positions["partition"]
        names = row[place].split(",")
        if len(names) == 1:
            return (row,)
        wanted = self.asked.names("p")
        rows = []
        for name in names:
            if wanted is None or name in wanted:
                apart = list(row)
                apart[place] = name
                rows.append(apart)
        return rows


def _letters() -> Iterable[str]:
    row = ""
    listed = [column for column in c.JOB_COLUMNS if column.letter]
    for number, column in enumerate(listed, 1):
        row += f"%{column.letter:<5}"
        if number % 8 == 0 or number == len(listed):
            yield row
            row = ""


def _names() -> Iterable[str]:
    row = ""
    for number, column in enumerate(c.JOB_COLUMNS, 1):
        row += f"{column.name:<20}"
        if number % 4 == 0 or number == len(c.JOB_COLUMNS):
            yield row
            row = ""


_ANSWERS: dict[str, Callable[[], Iterable[str]]] = {
    "help": squeue_options.help_text,
    "usage": lambda: squeue_options.USAGE.split("\n"),
    "helpformat": _letters,
    "helpFormat": _names,
    "helpstate": lambda: [*squeue_options.STATES, ""],
    "V": lambda: [f"slurm-wlm {SLURM_VERSION}"],
}

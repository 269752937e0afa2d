"""Compares every --json of ours with the real Slurm's, key by key, type by type, and value by value where it can be.

Both run the same population of jobs (json_collect.py): the real one in an oracle of its own, ours on a throwaway
cluster. Entries are matched by what they are about; ids, times and what depends on the machine are masked.
Root is needed. `--write docs/json.md` keeps the table; `--real` and `--ours` name files of earlier runs.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from throwaway import environment, have_users

HERE = Path(__file__).resolve().parent
REASONS = HERE.parent / "fixtures" / "json-differences.yaml"
EPOCH = 1_500_000_000  # numbers above it, and below twice it, are moments

# values that differ from run to run or from machine to machine: their types are compared, not themselves
VARIES = re.compile(
    r"(^|\.)("
    r"job_id|array_job_id|het_job_id|het_job_id_set|association_id|sluid|original_sluid|priority|latency|pid|port|boot_time"
    r"|last_sched_evaluation|operating_system|free_mem|cpu_load|load|free|address|addresses|allocating_node|allocation_nodes"
    r"|pre_sus_time|suspended|index|actual_frequency|version|rpc_version|architecture|host|hostname|reserved_ports|user_id|group_id|type_id|latency|HashValue"
    r"|number_of_jobs|consumed|elapsed|planned|system|total|user|running|last_update|BOOT_TIME|NEXT_JOB_ID"
    r"|gettimeofday_latency|usage|usage_normalized|effective_usage|level|factor|fairshare|run_seconds|shares_normalized"
    r"|submit_line|current_working_directory|working_directory|priority_by_partition|billable_tres"
    r")(\.|$|\[)"
)
# lists whose entries are the machine's own story: the first entry of each side is compared for its shape
STORIES = re.compile(
    r"^(statistics\.(rpcs_by_message_type|rpcs_by_user|pending_rpcs.*|RPCs|users|rollups)"
    r"|warnings|.*\.tres\.(requested|consumed)\.(max|min|average|total))$"
)
MEASURED = re.compile(r"\.tres\.(requested|consumed)\.")  # of a step
# documents that are figures of the daemon itself
FIGURES = re.compile(r"^(statistics|slurm_conf|slurm_conf_meta|slurmdbd_conf)(\.|$)")


# flags that tell which of Slurm's two schedulers looked at a job first
LUCK = ("BACKFILL_ATTEMPTED", "SCHEDULING_ATTEMPTED", "STARTED_ON_BACKFILL", "STARTED_ON_SCHEDULE")


class Difference(NamedTuple):
    kind: str  # missing, extra, type, value, order, answer
    path: str
    real: Any
    ours: Any


class Score(NamedTuple):
    command: str
    keys: int
    values: int
    masked: int
    differences: list[Difference]

    def count(self, kind: str) -> int:
        return sum(each.kind == kind for each in self.differences)


# -- matching ---------------------------------------------------------------------------------------------------------


def identity(entry: Any, jobs: dict[str, str], shift: dict[str, str]) -> str:
    """What an entry is about, the same on both sides; "" when only its place says."""
    if not isinstance(entry, dict):
        return ""
    if "job_id" in entry and ("array" in entry or "array_job_id" in entry):
        return shift.get(str(entry["job_id"]), str(entry["job_id"]))
    if "LicenseName" in entry:
        return str(entry["LicenseName"])
    if "node" in entry and "partition" in entry and "nodes" in entry:  # sinfo
        return f"{entry['partition']['name']} {'+'.join(entry['node']['state'])} {entry['gres']['total']}"
    if "sockets" in entry and "index" in entry:  # a node of an allocation
        return str(entry["index"])
    if isinstance(entry.get("step"), dict):
        return str(entry["step"]["id"]).partition(".")[2]
    if isinstance(entry.get("id"), str) and "." in entry["id"]:
        job, _, step = entry["id"].partition(".")
        return f"{shift.get(job, job)}.{step}"
    if "account" in entry and "lineage" in entry:
        return f"{entry['account']}/{entry['user']}"
    if "parent" in entry and "shares" in entry:
        return f"{entry['parent']}/{entry['name']}"
    if "type" in entry and "count" in entry:
        return f"{entry['type']}/{entry['name']}/{entry.get('task', '')}"
    if isinstance(entry.get("name"), str):
        return str(entry["name"])
    return ""


def names_of(document: dict[str, Any], jobs: dict[str, str]) -> dict[str, str]:
    """Every job's id as its name, with task and component, of what a document lists."""
    found = dict(jobs)
    for entry in document.get("jobs") or []:
        if not isinstance(entry, dict) or "job_id" not in entry:
            continue
        nested = entry.get("array")
        array = nested["job_id"] if nested else bare(entry.get("array_job_id"))
        task = nested["task_id"] if nested else entry.get("array_task_id")
        het = entry["het"]["job_id"] if "het" in entry else bare(entry.get("het_job_id"))
        offset = entry["het"]["job_offset"] if "het" in entry else entry.get("het_job_offset")
        if array:
            found[str(entry["job_id"])] = f"{jobs.get(str(array), array)}_{bare(task)}"
        elif het:
            found[str(entry["job_id"])] = f"{jobs.get(str(het), het)}+{bare(offset)}"
    for entry in document.get("steps") or []:
        if isinstance(entry, dict) and entry.get("array", {}).get("job_id"):
            array = entry["array"]
            found[entry["id"].partition(".")[0]] = f"{jobs.get(str(array['job_id']))}_{array['task_id']}"
    return found


def bare(number: Any) -> Any:
    if isinstance(number, dict):
        return number.get("number") if number.get("set") else None
    return number


# -- comparing --------------------------------------------------------------------------------------------------------


class Comparison:
    def __init__(self, real: dict[str, Any], ours: dict[str, Any]) -> None:
        self.jobs = (real["jobs"], ours["jobs"])
        self.differences: list[Difference] = []
        self.keys = self.values = self.masked = 0

    def compare(self, real: Any, ours: Any) -> None:
        self.shifts = tuple(
            names_of(each, jobs) if isinstance(each, dict) else jobs
            for each, jobs in zip((real, ours), self.jobs, strict=True)
        )
        self._value("", real, ours)

    def note(self, kind: str, path: str, real: Any, ours: Any) -> None:
        self.differences.append(Difference(kind, path, real, ours))

    def _value(self, path: str, real: Any, ours: Any) -> None:
        if kind_of(real) != kind_of(ours):
            self.note("type", path, real, ours)
        elif isinstance(real, dict):
            self._map(path, real, ours)
        elif isinstance(real, list):
            self._list(path, real, ours)
        else:
            self._scalar(path, real, ours)

    def _map(self, path: str, real: dict[str, Any], ours: dict[str, Any]) -> None:
        for key in real:
            if key not in ours:
                self.note("missing", f"{path}.{key}", real[key], None)
        for key in ours:
            if key not in real:
                self.note("extra", f"{path}.{key}", None, ours[key])
        both = [key for key in real if key in ours]
        if both != [key for key in ours if key in real]:
            self.note("order", path, list(real), list(ours))
        self.keys += len(both)
        if real.keys() == {"set", "infinite", "number"} and varies(path):
            self.masked += 1
            return
        for key in both:
            self._value(f"{path}.{key}" if path else key, real[key], ours[key])

    def _list(self, path: str, real: list[Any], ours: list[Any]) -> None:
        if re.search(r"cores\[\d+\]\.status$", path):  # which core is whose
            self.masked += 1
            return
        if not all(isinstance(each, dict) for each in [*real, *ours]) or not real or not ours:
            if varies(path) or STORIES.search(path):
                self.masked += 1
            else:
                self._scalar(path, real, ours)
            return
        if STORIES.search(path):
            self.masked += 1
            self._value(f"{path}[]", real[0], ours[0])
            return
        by_name = [self._named(path, each, shift) for each, shift in zip((real, ours), self.shifts, strict=True)]
        for name in by_name[0]:
            if name not in by_name[1]:
                self.note("missing", f"{path}[{name}]", "an entry", None)
        for name in by_name[1]:
            if name not in by_name[0]:
                self.note("extra", f"{path}[{name}]", None, "an entry")
        shared = [name for name in by_name[0] if name in by_name[1]]
        if shared != [name for name in by_name[1] if name in by_name[0]]:
            self.note("order", f"{path}[]", list(by_name[0]), list(by_name[1]))
        for name in shared:
            self._value(f"{path}[{name}]", by_name[0][name], by_name[1][name])

    def _named(self, path: str, entries: list[Any], shift: dict[str, str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for place, entry in enumerate(entries):
            name = identity(entry, {}, shift) or str(place)
            while name in found:
                name += "'"
            found[name] = entry
        return found

    def _scalar(self, path: str, real: Any, ours: Any) -> None:
        if real == ours:
            self.values += 1
        elif self._as_good(path, real, ours):
            self.masked += 1
        else:
            self.note("value", path, real, ours)

    def _as_good(self, path: str, real: Any, ours: Any) -> bool:
        if varies(path) or FIGURES.search(path) or MEASURED.search(path) or (moment(real) and moment(ours)):
            return True
        return self._masked(real, 0) == self._masked(ours, 1)

    def _masked(self, value: Any, side: int) -> str:
        """With jobs' ids as their names, and hosts without numbers."""
        if isinstance(value, list):
            value = [each for each in value if each not in LUCK]
        text = json.dumps(value)
        for job_id, name in self.shifts[side].items():
            text = re.sub(rf"\b{job_id}\b", name, text)
        text = re.sub(r"node(\[[-,\d]+\]|\d+)", "node", text)
        text = re.sub(r"/tmp/population-[^/\"]+", "/tmp", text)
        return re.sub(r"\b1[5-9]\d{8}\b", "moment", text)


def kind_of(value: Any) -> str:
    """float and int are told apart, as parsers of typed languages do."""
    return {"bool": "bool", "int": "int", "float": "float", "str": "str", "NoneType": "null"}.get(
        type(value).__name__, type(value).__name__
    )


def varies(path: str) -> bool:
    plain = re.sub(r"\[[^]]*\]", "", path)
    return bool(VARIES.search(plain) and not re.search(r"^(qos|partitions|errors)\b", plain))


def moment(value: Any) -> bool:
    return isinstance(value, int) and (EPOCH < value < 2 * EPOCH or value == 0)


# -- running ----------------------------------------------------------------------------------------------------------


def collected(oracle: Path, cluster: str) -> tuple[dict[str, Any], dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="json-compare-", dir="/tmp") as folder:
        collector = shutil.copy(HERE / "json_collect.py", folder)
        real, ours = Path(folder) / "real.json", Path(folder) / "ours.json"
        subprocess.run(["./world", "./private", "python3", collector, str(real)], cwd=oracle, check=True)
        return json.loads(real.read_text()), collect_ours(cluster, ours)


def collect_ours(cluster: str, target: Path) -> dict[str, Any]:
    have_users()
    with environment(cluster) as env:
        subprocess.run([sys.executable, str(HERE / "json_collect.py"), str(target)], env=env, check=True)
    found: dict[str, Any] = json.loads(target.read_text())
    return found


def parsed(text: str) -> Any:
    """A document, or the text itself where there is none."""
    try:
        if text.startswith("%YAML"):
            return yaml.load(text, yaml.CSafeLoader)
        return json.loads(text)
    except (ValueError, yaml.YAMLError):
        return text.strip().split("\n")


def scores(real: dict[str, Any], ours: dict[str, Any]) -> Iterator[Score]:
    mine = {run["command"]: run for run in ours["runs"]}
    for run in real["runs"]:
        other = mine.get(run["command"])
        if other is None:
            continue
        comparison = Comparison(real, ours)
        if (run["rc"], bool(run["err"])) != (other["rc"], bool(other["err"])):
            comparison.note("answer", "exit code, stderr", f"{run['rc']} {run['err']}", f"{other['rc']} {other['err']}")
        one, two = parsed(run["out"]), parsed(other["out"])
        if isinstance(one, dict) and isinstance(two, dict):
            comparison.compare(one, two)
        elif type(one) is not type(two):
            comparison.note("answer", "document", type(one).__name__, type(two).__name__)
        yield Score(run["command"], comparison.keys, comparison.values, comparison.masked, comparison.differences)


# -- telling ----------------------------------------------------------------------------------------------------------

KINDS = ("missing", "extra", "order", "type", "value", "answer")
HEAD = """# --json and --yaml beside the real ones

Written by `make json`, which needs root and a real Slurm 26.05 to compare with: the same {jobs} jobs (arrays,
dependencies, a heterogeneous one, GPUs, licences, held, running with steps, suspended, requeued, ended, failed, killed,
timed out; two users) are given to both, and every `--json`, `--yaml`, older `data_parser` and `+complex` form is
compared. Same keys are counted wherever they stand; values are compared where they can be equal, else only their
types: ids, moments, loads and what depends on the machine.

`--json` and `--yaml` take a version of the schema, `v0.0.42` to `v0.0.45`, `latest`, or `list`, with flags behind it:
`+complex` writes numbers that may be missing as themselves, null or "Infinity", and empty texts as null; `+fast`,
`+minimize_refs`, `+spec_only` and `+prefer_refs` change nothing that is printed; any other is told of and ignored, as
in Slurm. What has a document there has one here, and what ignores the option there (most of sacctmgr's lists, most of
scontrol's verbs) ignores it here. Long lists are written an entry at a time.

| command | same keys | missing | extra | order | type | same values | masked | different values | answer |
|---|---|---|---|---|---|---|---|---|---|
"""


def table(results: list[Score], jobs: int) -> str:
    rows = [HEAD.format(jobs=jobs)]
    for each in results:
        counts = {kind: each.count(kind) for kind in KINDS}
        rows.append(
            f"| `{each.command}` | {each.keys} | {counts['missing']} | {counts['extra']} | {counts['order']}"
            f" | {counts['type']} | {each.values} | {each.masked} | {counts['value']} | {counts['answer'] or ''} |\n"
        )
    keys, values = sum(each.keys for each in results), sum(each.values for each in results)
    wrong = {kind: sum(each.count(kind) for each in results) for kind in KINDS}
    rows.append(
        f"\nKeys: {share(keys, wrong['missing'] + wrong['extra'])} of {keys + wrong['missing'] + wrong['extra']} the"
        f" same. Types: {wrong['type']} differ. Values compared: {share(values, wrong['value'])} of"
        f" {values + wrong['value']} the same.\n"
    )
    return "".join(rows)


def share(good: int, bad: int) -> str:
    return f"{100 * good / (good + bad or 1):.2f} %"


def grouped(results: Iterable[Score]) -> dict[tuple[str, str], tuple[Difference, int, set[str]]]:
    """Differences of one kind at one kind of place are one."""
    found: dict[tuple[str, str], tuple[Difference, int, set[str]]] = {}
    for result in results:
        for each in result.differences:
            key = (each.kind, re.sub(r"\[[^]]*\]", "[]", each.path))
            first, count, commands = found.get(key, (each, 0, set()))
            found[key] = (first, count + 1, commands | {result.command})
    return found


def reasons(results: list[Score]) -> str:
    known = yaml.safe_load(REASONS.read_text()) if REASONS.exists() else []
    lines = ["\n## What differs, and why\n\n"]
    explained: set[tuple[str, str]] = set()
    found = grouped(results)
    for entry in known:
        matching = [key for key in found if key not in explained and re.search(entry["path"], key[1])
                    and entry.get("kind", key[0]) == key[0]]  # fmt: skip
        if matching:
            explained.update(matching)
            paths = ", ".join(f"`{path}`" for path in dict.fromkeys(path for _, path in matching))
            lines.append(f"- {paths}: {entry['why']}\n")
    rest = [key for key in found if key not in explained]
    if rest:
        lines.append("\nNot explained:\n\n")
        lines += [f"- {kind} `{path}`: {found[kind, path][1]} times\n" for kind, path in rest]
    return "".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--oracle", type=Path, help="folder of the real Slurm's scripts")
    parser.add_argument("--cluster", default=str(HERE.parent / "fixtures" / "clusters" / "oracle.yaml"))
    parser.add_argument("--real", type=Path, help="an earlier run of the real one")
    parser.add_argument("--ours", type=Path, help="an earlier run of ours")
    parser.add_argument("--keep", type=Path, help="keep what was collected of ours")
    parser.add_argument("--write", type=Path, help="the document")
    parser.add_argument("-q", action="store_true", help="no differences, only the table")
    args = parser.parse_args()
    if args.real:
        real = json.loads(args.real.read_text())
        if args.ours:
            ours = json.loads(args.ours.read_text())
        else:
            with tempfile.TemporaryDirectory(dir="/tmp") as folder:
                ours = collect_ours(args.cluster, args.keep or Path(folder) / "ours.json")
    elif args.oracle:
        real, ours = collected(args.oracle, args.cluster)
    else:
        parser.error("--oracle or --real")
    results = list(scores(real, ours))
    text = table(results, len(real["jobs"]))
    if not args.q:
        for (kind, _), (first, count, commands) in grouped(results).items():
            one = f"{json.dumps(first.real)[:100]} | {json.dumps(first.ours)[:100]}"
            print(f"{kind:8} {count:4} {first.path[:90]}  ({len(commands)} commands: {min(commands)})\n{'':14}{one}")
    print(text)
    if args.write:
        args.write.write_text(text + reasons(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())

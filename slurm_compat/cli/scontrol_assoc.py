"""scontrol show assoc_mgr: users, associations and QOS with their limits and what counts against them.

A limit is shown as "limit(used)", N where there is none. Layout and words as 26.05 prints them.
"""

from __future__ import annotations

import pwd
from collections.abc import Iterable, Mapping
from typing import Any

from slurm_compat.cli.scontrol_session import Session
from slurm_compat.core.errors import SlurmError

Record = Mapping[str, Any]

KINDS = {"users": "users", "assoc": "associations", "qos": "qos"}
EMPTY = {"users": "users", "associations": "associations", "qos": "QOS"}
TITLES = {"users": "User Records", "associations": "Association Records", "qos": "QOS Records"}
FILTERS = {"users": 1, "accounts": 1, "qos": 1, "flags": 1}  # and the letters that suffice


def show_assoc_mgr(session: Session, words: list[str]) -> bool:
    args: dict[str, Any] = {}
    for word in words:
        if not word:
            continue
        name, equals, value = word.partition("=")
        key = next(
            (each for each, least in FILTERS.items() if len(name) >= least and each.startswith(name.lower())), ""
        )
        if not key or not equals:
            return session.fail(f"invalid entity: {word} for keyword:show assoc_mgr")
        values = [each for each in value.split(",") if each]
        if key != "flags":
            args[key] = [_user_name(each) for each in values] if key == "users" else values
            continue
        for flag in values:
            kind = next((KINDS[each] for each in KINDS if each.startswith(flag.lower())), "")
            if not kind:
                session.ctx.err(f"invalid flag '{flag}', valid options are 'Assoc, QOS, and/or Users'")
                return True  # it does not count as a failure
            args.setdefault("kinds", []).append(kind)
    try:
        found = session.ctx.controller.call("assoc_mgr", **args)
    except SlurmError as problem:
        return session.fail(f"slurm_load_assoc_mgr_info error: {problem.text}")
    session.ctx.stdout.write("".join(f"{line}\n" for line in document(found, session.one_line)))
    return True


def _user_name(word: str) -> str:
    """A user given by number is that user."""
    try:
        return pwd.getpwuid(int(word)).pw_name
    except (ValueError, KeyError, OverflowError):
        return word


def document(found: Record, one_line: bool) -> list[str]:
    lines = ["Current Association Manager state"]
    shown = {"users": _user, "associations": _association, "qos": _qos}
    for kind, lines_of in shown.items():
        if kind not in found:
            continue
        lines.append("")
        if not found[kind]:
            lines += [f"No {EMPTY[kind]} currently cached in Slurm.", ""]
            continue
        lines += [TITLES[kind], ""]
        for record in found[kind]:
            some = lines_of(record, found["tres"])
            lines += [" ".join(line.strip() for line in some)] if one_line else some
    return [line for line in lines if line or not one_line]


def _user(record: Record, tres: list[str]) -> list[str]:
    return [
        f"UserName={record['name']}({record['uid']}) DefAccount={record['default_account']} DefWckey="
        f" AdminLevel={record['admin_level']}"
    ]


def _association(record: Record, tres: list[str]) -> list[str]:
    limits, counts = record["limits"], record["counts"]
    is_root = not record["parent_id"]
    user = f"{record['user']}({record['uid']})" if record["user"] else ""
    parent = f"{record['parent_account']}({record['parent_id']})" if record["parent_account"] else ""
    norms = (0.0, 1.0, 1.0) if is_root else (record["shares_norm"], record["usage_norm"], record["effective_usage"])
    shares = "parent" if record["shares_raw"] == 0x7FFFFFFF else record["shares_raw"]
    return [
        f"ClusterName={record['cluster']} Account={record['account']} UserName={user} Partition={record['partition']}"
        f" Priority={limits.get('priority') or 0} ID={record['id']}",
        f"    SharesRaw/Norm/Level/Factor={shares}/{norms[0]:.2f}/{record['level']}/{record['fairshare'] or 0:.2f}",
        f"    UsageRaw/Norm/Efctv={record['usage_raw']:.2f}/{norms[1]:.2f}/{norms[2]:.2f}",
        f"    ParentAccount={parent} Lineage={record['lineage']} DefAssoc={'Yes' if record['is_default'] else 'No'}",
        f"    GrpJobs={_used(limits, 'grp_jobs', counts['jobs'])}"
        f" GrpJobsAccrue={_used(limits, 'grp_jobs_accrue', counts['accruing'])}",
        f"    GrpSubmitJobs={_used(limits, 'grp_submit_jobs', counts['submitted'])}"
        f" GrpWall={_used(limits, 'grp_wall', counts['wall'], '.2f')}",
        *_group_tres(limits, counts, tres),
        f"    MaxJobs={_max(limits, 'max_jobs', counts['jobs'])}"
        f" MaxJobsAccrue={_max(limits, 'max_jobs_accrue', counts['accruing'])}"
        f" MaxSubmitJobs={_max(limits, 'max_submit_jobs', counts['submitted'])}"
        f" MaxWallPJ={_plain(limits, 'max_wall')}",
        f"    MaxTRESPJ={_tres(limits, 'max_tres')}",
        f"    MaxTRESPN={_tres(limits, 'max_tres_per_node')}",
        f"    MaxTRESMinsPJ={_tres(limits, 'max_tres_mins')}",
        f"    MinPrioThresh={_plain(limits, 'min_prio_threshold')}",
        f"    Comment={record['comment'] or '(null)'}",
    ]


def _qos(record: Record, tres: list[str]) -> list[str]:
    limits, counts = record["limits"], record["counts"]
    return [
        f"QOS={record['name']}({record['id']})",
        f"    UsageRaw={record['usage_raw']:.6f}",
        f"    GrpJobs={_used(limits, 'grp_jobs', counts['jobs'])}"
        f" GrpJobsAccrue={_used(limits, 'grp_jobs_accrue', counts['accruing'])}"
        f" GrpSubmitJobs={_used(limits, 'grp_submit_jobs', counts['submitted'])}"
        f" GrpWall={_used(limits, 'grp_wall', counts['wall'], '.2f')}",
        *_group_tres(limits, counts, tres),
        f"    MaxWallPJ={_plain(limits, 'max_wall')}",
        f"    MaxTRESPJ={_tres(limits, 'max_tres_per_job')}",
        f"    MaxTRESPN={_tres(limits, 'max_tres_per_node')}",
        f"    MaxTRESMinsPJ={_tres(limits, 'max_tres_mins_per_job')}",
        f"    MinPrioThresh={_plain(limits, 'min_prio_threshold')} ",
        f"    MinTRESPJ={_tres(limits, 'min_tres_per_job')}",
        f"    PreemptMode={record['preempt_mode']}",
        f"    Priority={record['priority']}",
        "    Account Limits",
        *_holders(record["accounts"], limits, tres, "account", "PA", "Accounts"),
        "    User Limits",
        *_holders(record["users"], limits, tres, "user", "PU", "Users"),
    ]


def _holders(
    some: Iterable[Record], limits: Record, tres: list[str], per: str, suffix: str, none: str
) -> Iterable[str]:
    """The accounts or users that have jobs in a QOS."""
    empty = True
    for one in some:
        empty = False
        counts = one["counts"]
        yield f"      {one['name']}" + (f"({one['uid']})" if per == "user" else "")
        yield (
            f"        MaxJobs{suffix}={_used(limits, f'max_jobs_per_{per}', counts['jobs'])}"
            f" MaxJobsAccrue{suffix}={_used(limits, f'max_jobs_accrue_per_{per}', counts['accruing'])}"
            f" MaxSubmitJobs{suffix}={_used(limits, f'max_submit_jobs_per_{per}', counts['submitted'])}"
        )
        yield f"        MaxTRES{suffix}={_all_tres(limits.get(f'max_tres_per_{per}', {}), counts['tres'], tres)}"
        promised = _all_tres(limits.get(f"max_tres_run_mins_per_{per}", {}), counts["run_mins"], tres)
        yield f"        MaxTRESRunMins{suffix}={promised}"
    if empty:
        yield f"        No {none}"


def _group_tres(limits: Record, counts: Record, tres: list[str]) -> list[str]:
    return [
        f"    GrpTRES={_all_tres(limits.get('grp_tres', {}), counts['tres'], tres)}",
        f"    GrpTRESMins={_all_tres(limits.get('grp_tres_mins', {}), counts['used_mins'], tres)}",
        f"    GrpTRESRunMins={_all_tres(limits.get('grp_tres_run_mins', {}), counts['run_mins'], tres)}",
    ]


def _all_tres(limits: Record, used: Record, tres: list[str]) -> str:
    return ",".join(f"{name}={limits.get(name, 'N')}({used.get(name, 0)})" for name in tres)


def _tres(limits: Record, name: str) -> str:
    return ",".join(f"{tres}={most}" for tres, most in limits.get(name, {}).items())


def _used(limits: Record, name: str, used: float, form: str = "") -> str:
    return f"{limits.get(name, 'N')}({format(used, form)})"


def _max(limits: Record, name: str, used: int) -> str:
    """Nothing at all where there is no limit."""
    return f"{limits[name]}({used})" if name in limits else ""


def _plain(limits: Record, name: str) -> str:
    return str(limits.get(name, ""))

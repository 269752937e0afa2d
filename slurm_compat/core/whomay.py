"""Who may make each call of the controller, and what others are answered: the rules as one table.

docs/authorization.md is made of it, and a test asks every row of every role. Observed on 26.05; what Slurm lets an
Administrator (AdminLevel) do and what root, the rules tell apart only where something runs as the job's user.
"""

from __future__ import annotations

from typing import NamedTuple

from slurm_compat.core import errors

# roles; `other` is any user whom the job does not concern, `nobody` a peer over the network without a token
OWNER, OTHER, COORDINATOR, OPERATOR, ADMINISTRATOR, ROOT, NOBODY = ROLES = (
    "owner", "other user", "coordinator", "operator", "administrator", "root", "nobody",
)  # fmt: skip

EVERYBODY = frozenset(ROLES) - {NOBODY}
POWER = EVERYBODY - {OTHER}  # over a job: its user, its account's coordinator, operators
READER = POWER - {COORDINATOR}
SELF = frozenset({OWNER, ROOT})  # to run or write something as the job's user
OPERATORS = frozenset({OPERATOR, ADMINISTRATOR, ROOT})
ADMINS = frozenset({ADMINISTRATOR, ROOT})
OWN_OR_ADMIN = ADMINS | {OWNER}
SLURM_USER = frozenset({ROOT})  # or whom SlurmUser names
SECRET = frozenset(ROLES)  # whoever has the word that opens it

DENIED, NOT_YOU = errors.ACCESS_DENIED, errors.USER_ID_MISSING


class Rule(NamedTuple):
    call: str
    may: frozenset[str]
    refusal: int  # the number others are answered; 0: nobody but `nobody` is refused
    used_by: str
    note: str = ""


RULES = {
    rule.call: rule
    for rule in (
        Rule("ping", EVERYBODY, 0, "scontrol ping"),
        Rule("config", EVERYBODY, 0, "scontrol show config"),
        Rule("submit", EVERYBODY, 0, "sbatch", "for another user: root"),
        Rule("will_run", EVERYBODY, 0, "sbatch --test-only", "for another user: root"),
        Rule("allocate", EVERYBODY, 0, "salloc, srun", "for another user: root"),
        Rule("jobs", EVERYBODY, 0, "squeue, scontrol show job", "PrivateData=jobs"),
        Rule("steps", EVERYBODY, 0, "squeue -s, sstat, scontrol show step", "PrivateData=jobs"),
        Rule("wait_job", EVERYBODY, 0, "sbatch --wait, scontrol wait_job"),
        Rule("job_script", READER, NOT_YOU, "scontrol write batch_script"),
        Rule("nodes", EVERYBODY, 0, "sinfo, scontrol show node", "PrivateData=nodes"),
        Rule("partitions", EVERYBODY, 0, "sinfo, scontrol show partition", "PrivateData=partitions"),
        Rule("reservations", EVERYBODY, 0, "sinfo -T, scontrol show reservation", "PrivateData=reservations"),
        Rule("licenses", EVERYBODY, 0, "scontrol show license"),
        Rule("accounting", EVERYBODY, 0, "sacct", "PrivateData=jobs"),
        Rule("associations", EVERYBODY, 0, "sshare, sacctmgr show assoc", "PrivateData=usage, users"),
        Rule("accounts", EVERYBODY, 0, "sacctmgr show account", "PrivateData=accounts"),
        Rule("users", EVERYBODY, 0, "sacctmgr show user", "PrivateData=users"),
        Rule("qos", EVERYBODY, 0, "sacctmgr show qos"),
        Rule("assoc_mgr", EVERYBODY, 0, "scontrol show assoc_mgr", "PrivateData=usage, users"),
        Rule("tres", EVERYBODY, 0, "sacctmgr show tres"),
        Rule("events", EVERYBODY, 0, "sacctmgr show event", "PrivateData=events"),
        Rule("transactions", EVERYBODY, 0, "sacctmgr show transaction"),
        Rule("book_records", EVERYBODY, 0, "sacctmgr show wckey, resource"),
        Rule("change_book", OPERATORS, DENIED, "sacctmgr add, modify, delete", "coordinators in their accounts"),
        Rule("usage", EVERYBODY, 0, "sreport", "PrivateData=usage; by workload key: operators"),
        Rule("cluster_usage", EVERYBODY, 0, "sreport cluster utilization"),
        Rule("reservation_usage", EVERYBODY, 0, "sreport reservation utilization"),
        Rule("job_sizes", EVERYBODY, 0, "sreport job", "PrivateData=jobs"),
        Rule("priorities", EVERYBODY, 0, "sprio", "PrivateData=jobs"),
        Rule("cancel", POWER, DENIED, "scancel"),
        Rule("hold", POWER, NOT_YOU, "scontrol hold", "another's hold than the owner's is an administrator's"),
        Rule("release", POWER, NOT_YOU, "scontrol release", "of an administrator's hold: not the owner"),
        Rule("requeue", POWER, DENIED, "scontrol requeue, requeuehold"),
        Rule("suspend", POWER, DENIED, "scontrol suspend"),
        Rule("resume", POWER, DENIED, "scontrol resume"),
        Rule("update_job", POWER, NOT_YOU, "scontrol update job", "some keys are an operator's"),
        Rule("notify", POWER, NOT_YOU, "scontrol notify"),
        Rule("complete_allocation", SELF, DENIED, "salloc, srun"),
        Rule("step_create", SELF, DENIED, "srun", "tasks run as the job's user"),
        Rule("step_complete", SELF, DENIED, "srun"),
        Rule("step_attach", SELF, DENIED, "sattach"),
        Rule("broadcast", SELF, DENIED, "sbcast", "the file is written as the job's user"),
        Rule("relay_listen", EVERYBODY, 0, "srun, sattach, sbcast"),
        Rule("relay_take", EVERYBODY, 0, "srun, sattach, sbcast", "and has the word it was told"),
        Rule("relay_dial", SECRET, 0, "agents", "and has the ticket"),
        Rule("agent", SECRET, DENIED, "agents", "and has the job's token"),
        Rule("authenticate", SECRET, errors.AUTHENTICATION, "commands on other machines, and in jobs"),
        Rule("token", EVERYBODY, 0, "scontrol token", "for another user: root"),
        Rule("crontab", SELF, NOT_YOU, "scrontab -l"),
        Rule("update_crontab", SELF, NOT_YOU, "scrontab"),
        Rule("triggers", EVERYBODY, 0, "strigger --get"),
        Rule("set_trigger", SLURM_USER, DENIED, "strigger --set", "SlurmUser, or who runs the controller"),
        Rule("clear_triggers", OWN_OR_ADMIN, DENIED, "strigger --clear"),
        Rule("update_node", ADMINS, NOT_YOU, "scontrol update nodename"),
        Rule("update_partition", ADMINS, NOT_YOU, "scontrol create, update, delete partition"),
        Rule("update_reservation", OPERATORS, NOT_YOU, "scontrol create, update, delete reservation",
             "USER_DELETE: those it is for delete it"),
        Rule("statistics", EVERYBODY, 0, "sdiag", "--reset: operators"),
        Rule("set_debug", ADMINS, errors.PERMISSION_DENIED, "scontrol setdebug, setdebugflags, schedloglevel"),
        Rule("power", ADMINS, NOT_YOU, "scontrol power"),
        Rule("shutdown", ADMINS, NOT_YOU, "scontrol shutdown"),
        Rule("reconfigure", ADMINS, NOT_YOU, "scontrol reconfigure"),
    )
}  # fmt: skip


def document() -> str:
    """docs/authorization.md."""
    heads = [role for role in ROLES if role != NOBODY]
    lines = [
        "# Who may do what",
        "",
        "Over the controller's Unix socket the kernel says who calls; over the network a token does, and without one",
        "a connection opens nothing but what a secret opens. A user is an operator or administrator by `AdminLevel` or",
        "`Operators`, a coordinator by the account's `Coordinators`; root, SlurmUser and who runs the controller are",
        "administrators. What a call does as the job's user, only that user and root may ask for.",
        "",
        "| call | used by | " + " | ".join(heads) + " | others are told |",
        "|---|---|" + "---|" * len(heads) + "---|",
    ]
    for rule in RULES.values():
        marks = [("yes" if role in rule.may else "–") for role in heads]
        told = errors.TEXT.get(rule.refusal, "") if rule.refusal else ""
        note = "; ".join(filter(None, (told, rule.note)))
        lines.append(f"| {rule.call} | {rule.used_by} | " + " | ".join(marks) + f" | {note} |")
    lines += [
        "",
        "`owner` is the job's user, or whose the crontab or trigger is. PrivateData: for who is no operator",
        "others' rows are left out (jobs, reservations, users, usage), or the whole list is refused (nodes,",
        "partitions, accounts, events); coordinators see what is in their accounts.",
        "",
    ]
    return "\n".join(lines)

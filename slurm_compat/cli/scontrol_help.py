"""scontrol's options and its --help, made from the tables."""

from __future__ import annotations

from collections.abc import Iterable

from slurm_compat.cli.optiontable import OPTIONAL, REQUIRED, Opt, help_lines
from slurm_compat.cli.scontrol_session import Session

MORE = ('Try "scontrol --help" for more information',)

OPTIONS = (
    Opt("all", "a", help="hidden partitions too"),
    Opt("cluster", "M", REQUIRED, "this cluster's name: there is no other", "NAME"),
    Opt("clusters", "M", REQUIRED),
    Opt("details", "d", help="show jobs and nodes in more detail"),
    Opt("federation", "federation", help="accepted: this cluster is no federation's member"),
    Opt("future", "F", help="nodes in state FUTURE too"),
    Opt("help", "h", help="print this"),
    Opt("hide", "hide", help="no hidden partitions"),
    Opt("json", "json", OPTIONAL, "JSON, of what has a document", "data_parser"),
    Opt("local", "local", help="accepted: this cluster is no federation's member"),
    Opt("oneliner", "o", help="a line a record"),
    Opt("quiet", "Q", help="errors only"),
    Opt("sibling", "sibling", help="accepted: this cluster is no federation's member"),
    Opt("uid", "u", REQUIRED, "change jobs as this user (root only)", "UID"),
    Opt("usage", "h"),
    Opt("verbose", "v", help="say more"),
    Opt("version", "V", help="print the version"),
    Opt("yaml", "yaml", OPTIONAL, "YAML, of what has a document", "data_parser"),
)

# verbs with more to say than their name does
WORDS = {
    "completing": "jobs that are completing, and their nodes",
    "create": "PartitionName=… KEY=VALUE…: a partition; reservation KEY=VALUE…: nodes for some, from then to then",
    "delete": "PartitionName=…, ReservationName=…",
    "errnumstr": "NUMBER: the text of a Slurm error",
    "fsdampeningfactor": "NUMBER: of fair shares",
    "getaddrs": "NODES: their addresses",
    "getent": "[NODE]: users of the steps there",
    "gethost": "NODE JOB: hosts of its steps alone",
    "hold": "JOBS…: keep pending jobs from starting",
    "listjobs": "[NODE]: jobs on this node, or that one",
    "listpids": "[JOB[.STEP] [NODE]]: processes of steps on this node, or that one",
    "liststeps": "[NODE]: steps on this node, or that one",
    "notify": "JOB TEXT: a line for who reads the job's stderr, or sits before its salloc or srun",
    "pidinfo": "PID: the job of a process",
    "release": "JOBS…: let held jobs start",
    "requeue": "JOBS…: run them again",
    "requeuehold": "JOBS…: put them back, held",
    "resume": "JOBS…: go on with suspended jobs",
    "schedloglevel": "0 or 1: of the scheduler's own log",
    "setdebug": "LEVEL [nodes=…]: what the controller logs, from quiet to debug5, or by number",
    "setdebugflags": "{+|-}FLAG…: what it logs more of",
    "show": "ENTITY [ID]: assoc_mgr, config, hostnames, job, license, node, partition, reservation, step …",
    "suspend": "JOBS…: stop running jobs for a while",
    "top": "JOBS…: before the user's other jobs",
    "uhold": "JOBS…: hold, and the user may release",
    "update": "JobId=… | NodeName=… | PartitionName=… KEY=VALUE…",
    "wait_job": "JOB: until its nodes are ready",
    "write": "batch_script JOB [FILE|-], or config [FILE]",
}


def help_text(verbs: Iterable[str]) -> str:
    lines = ["Usage: scontrol [OPTION…] [VERB…]   (without a verb: a session on standard input)", "", "Options:"]
    lines += [*help_lines(OPTIONS), "", "Verbs:"]
    lines += [f"  {verb:<20} {WORDS.get(verb, '')}".rstrip() for verb in verbs]
    return "\n".join(lines) + "\n"


def print_help(session: Session, words: list[str]) -> bool:
    from slurm_compat.cli.scontrol import VERBS

    session.ctx.stdout.write(help_text(VERBS))
    return True

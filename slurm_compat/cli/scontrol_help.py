"""scontrol's options and its --help, made from the tables."""

from __future__ import annotations

from collections.abc import Iterable

from slurm_compat.cli.optiontable import OPTIONAL, REQUIRED, Opt, help_lines
from slurm_compat.cli.scontrol_session import Session

MORE = ('Try "scontrol --help" for more information',)

OPTIONS = (
    Opt("all", "a", help="hidden partitions too"),
    Opt("cluster", "M", REQUIRED, "another cluster: refused, there is one", "NAME"),
    Opt("clusters", "M", REQUIRED),
    Opt("details", "d", help="show jobs and nodes in more detail"),
    Opt("federation", "federation", help="accepted: this cluster is no federation's member"),
    Opt("future", "F", help="nodes in state FUTURE too"),
    Opt("help", "h", help="print this"),
    Opt("hide", "hide", help="no hidden partitions"),
    Opt("json", "json", OPTIONAL, "refused here yet", "VERSION"),
    Opt("local", "local", help="accepted: this cluster is no federation's member"),
    Opt("oneliner", "o", help="a line a record"),
    Opt("quiet", "Q", help="errors only"),
    Opt("sibling", "sibling", help="accepted: this cluster is no federation's member"),
    Opt("uid", "u", REQUIRED, "act as this user (root only)", "UID"),
    Opt("usage", "h"),
    Opt("verbose", "v", help="say more"),
    Opt("version", "V", help="print the version"),
    Opt("yaml", "yaml", OPTIONAL, "refused here yet", "VERSION"),
)

# verbs with more to say than their name does
WORDS = {
    "completing": "jobs that are completing, and their nodes",
    "create": "PartitionName=… KEY=VALUE…: a partition; reservation KEY=VALUE…: nodes for some, from then to then",
    "delete": "PartitionName=…, ReservationName=…",
    "errnumstr": "NUMBER: the text of a Slurm error",
    "hold": "JOBS…: keep pending jobs from starting",
    "listpids": "[JOB[.STEP]]: processes of steps on this node",
    "notify": "JOB TEXT: put a message into a job's stderr",
    "release": "JOBS…: let held jobs start",
    "requeue": "JOBS…: run them again",
    "requeuehold": "JOBS…: put them back, held",
    "resume": "JOBS…: go on with suspended jobs",
    "show": "ENTITY [ID]: config, hostlist, hostlistsorted, hostnames, job, license, node, partition, step …",
    "suspend": "JOBS…: stop running jobs for a while",
    "top": "JOBS…: before the user's other jobs",
    "uhold": "JOBS…: hold, and the user may release",
    "update": "JobId=… | NodeName=… | PartitionName=… KEY=VALUE…",
    "wait_job": "JOB: until its nodes are ready",
    "write": "batch_script JOB [FILE|-]",
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

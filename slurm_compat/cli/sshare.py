"""sshare: shares of accounts and users, what they used of them, and the fair-share factors that follow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from slurm_compat import SLURM_VERSION
from slurm_compat.cli.clusters import require_own_cluster
from slurm_compat.cli.context import Context
from slurm_compat.cli.jsondoc import user_name
from slurm_compat.cli.optiontable import OPERAND, OPTIONAL, REQUIRED, Opt, help_lines, parsed
from slurm_compat.core import fieldprint
from slurm_compat.core.errors import BadValue, CommandError
from slurm_compat.core.fieldprint import BETWEEN, COLUMNS, ENDED, WHOLE, Field, Placed, Record

OPTIONS = (
    Opt("accounts", "A", REQUIRED, "only these accounts, by comma", "NAMES"),
    Opt("all", "a", help="all users, not just the one who asks"),
    Opt("autocomplete", "autocomplete", REQUIRED),
    Opt("cluster", "M", REQUIRED, "of these clusters, by comma", "NAMES"),
    Opt("clusters", "M", REQUIRED),
    Opt("format", "o", REQUIRED, "fields by comma, each with %WIDTH or %-WIDTH if wanted", "FIELDS"),
    Opt("help", "help", help="show this text, and end"),
    Opt("helpformat", "e", help="list the fields that --format takes, and end"),
    Opt("json", "json", OPTIONAL, "as JSON", "PARSER"),
    Opt("long", "l", help="normalized usage and resources too"),
    Opt("noheader", "n", help="without the header"),
    Opt("noheader", "h"),
    Opt("parsable", "p", help="fields with | behind each"),
    Opt("parsable2", "P", help="fields with | between them"),
    Opt("partition", "m", help="the associations' partitions too"),
    Opt("user", "u", REQUIRED),
    Opt("uid", "u", REQUIRED),
    Opt("users", "u", REQUIRED, "only these users, by comma", "NAMES"),
    Opt("Users", "U", help="users only, no accounts"),
    Opt("usage", "help", help="show this text, and end"),
    Opt("verbose", "v", help="say first what is asked for"),
    Opt("version", "V", help="show the version, and end"),
    Opt("yaml", "yaml", OPTIONAL, "as YAML", "PARSER"),
)
TRY = 'Try "sshare --help" for more information'

DEFAULT = "Account,User,RawShares,NormShares,RawUsage,EffectvUsage,FairShare"
LONG = "Account,User,RawShares,NormShares,RawUsage,NormUsage,EffectvUsage,FairShare,LevelFS,GrpTRESMins,TRESRunMins"


PARENT_SHARE = 0x7FFFFFFF  # as core/cluster.py has it, which commands do not load


class View(NamedTuple):
    tres: Sequence[str] = ()  # names of the resources, in order


def _fraction(key: str) -> Callable[[Record, View], str]:
    return lambda record, view: f"{record[key]:.6f}"


def _below_root(text: Callable[[Record, View], str]) -> Callable[[Record, View], str]:
    """The root has no siblings to compare with, and says nothing."""
    return lambda record, view: text(record, view) if record["parent_id"] else ""


def _level_fs(record: Record, view: View) -> str:
    if record["shares_raw"] == PARENT_SHARE:
        return ""
    return "inf" if record["level_fs"] is None else f"{record['level_fs']:.6f}"


def _raw_shares(record: Record, view: View) -> str:
    return "parent" if record["shares_raw"] == PARENT_SHARE else str(record["shares_raw"])


def _minutes(key: str) -> Callable[[Record, View], str]:
    return lambda record, view: ",".join(f"{name}={int(record[key].get(name, 0) / 60)}" for name in view.tres)


FIELDS = (
    Field("Account", -20, ("account",), lambda record, view: record["indent"] + record["account"]),
    Field("Cluster", 10, ("cluster",), lambda record, view: record["cluster"]),
    Field("EffectvUsage", 13, ("effective_usage",), _fraction("effective_usage")),
    Field("FairShare", 10, ("fairshare",), lambda record, view: _factor(record)),
    Field("GrpTRESMins", 30, (), lambda record, view: ""),  # limits, and no account here has one
    Field("GrpTRESRaw", 30, ("tres_usage",), _minutes("tres_usage")),
    Field("ID", 6, ("id",), lambda record, view: str(record["id"]), WHOLE),
    Field("LevelFS", 10, ("level_fs", "shares_raw"), _below_root(_level_fs)),
    Field("NormShares", 11, ("shares_norm",), _fraction("shares_norm")),
    Field("NormUsage", 11, ("usage_norm",), _below_root(_fraction("usage_norm"))),
    Field("Partition", 12, (), lambda record, view: ""),  # associations are of users and accounts alone
    Field("RawShares", 10, ("shares_raw",), _below_root(_raw_shares), WHOLE),
    Field("RawUsage", 11, ("usage_raw",), lambda record, view: str(int(record["usage_raw"])), WHOLE),
    Field("TRESRunMins", 30, ("tres_run_seconds",), _minutes("tres_run_seconds")),
    Field("User", 10, ("user",), lambda record, view: record["user"]),
)  # fmt: skip
ALWAYS = ("account", "user", "parent_id", "id")


def _factor(record: Record) -> str:
    return "" if record["fairshare"] is None else f"{record['fairshare']:.6f}"


@dataclass
class Asked:
    action: str = ""
    all_users: bool = False
    users: list[str] | None = None
    accounts: list[str] | None = None
    users_only: bool = False
    fields: str | None = None
    long: bool = False
    partitions: bool = False
    header: bool = True
    form: int = COLUMNS
    verbose: bool = False
    clusters: str = ""
    output: str = ""
    parser: str = ""


_FLAGS: dict[str, tuple[str, object]] = {
    "a": ("all_users", True), "U": ("users_only", True), "l": ("long", True), "m": ("partitions", True),
    "n": ("header", False), "h": ("header", False), "p": ("form", ENDED), "P": ("form", BETWEEN),
    "v": ("verbose", True), "help": ("action", "help"), "e": ("action", "e"), "V": ("action", "V"),
}  # fmt: skip
_WORDS = {"o": "fields", "M": "clusters"}
_LISTS = {"A": "accounts", "u": "users"}


def asked_for(argv: Sequence[str], env: Mapping[str, str]) -> Asked:
    asked = Asked(clusters=env.get("SLURM_CLUSTERS", ""))
    for key, text in parsed("sshare", argv, OPTIONS, [TRY]):
        if key in _FLAGS:
            name, value = _FLAGS[key]
            setattr(asked, name, value)
        elif key in _WORDS:
            setattr(asked, _WORDS[key], text)
        elif key in _LISTS:
            setattr(asked, _LISTS[key], [*(getattr(asked, _LISTS[key]) or ()), *filter(None, text.split(","))])
        elif key in ("json", "yaml"):
            asked.output, asked.parser = key, text
        elif key not in (OPERAND, "autocomplete"):  # sshare looks at no operands
            raise CommandError(f"sshare: error: --{key} is not supported here; leave it out")
        if asked.action:
            break
    return asked


def main(ctx: Context) -> int:
    asked = asked_for(ctx.argv[1:], ctx.env)
    if asked.action:
        for line in _ANSWERS[asked.action]():
            ctx.out(line)
        return 0
    users = users_asked(asked, ctx.uid)
    if asked.verbose:
        for line in ("Users requested:", *(f"\t: {name}" for name in users or ["all"])):
            ctx.err(line)
        for line in ("Accounts requested:", *(f"\t: {name}" for name in asked.accounts or ["all"])):
            ctx.err(line)
    if asked.output:
        from slurm_compat.cli import sshare_json

        return sshare_json.print_shares(
            ctx, asked.output, asked.parser, lambda fields: shown(ctx, fields, asked, users)
        )
    placed = fields_asked(asked)
    if asked.clusters:
        ctx.out(f"CLUSTER: {require_own_cluster(ctx, asked.clusters)}")
    if asked.header:
        for line in fieldprint.header(placed, asked.form):
            ctx.out(line)
    view = View(tres_names(ctx) if any(cell.field.name in _WITH_TRES for cell in placed) else ())
    for record in shown(ctx, fieldprint.needs(placed, ALWAYS), asked, users):
        ctx.out(fieldprint.line(placed, record, view, asked.form))
    return 0


_WITH_TRES = ("GrpTRESRaw", "TRESRunMins")


def tres_names(ctx: Context) -> list[str]:
    return [kind + (f"/{name}" if name else "") for kind, name in ctx.controller.rows("tres", ["type", "name"])]


def fields_asked(asked: Asked) -> list[Placed]:
    text = asked.fields
    if text is None:
        text = LONG if asked.long else DEFAULT
        if asked.partitions:
            text = text.replace("User,", "User,Partition,", 1)
    if not text:
        text = "Account"
    if any(word.partition("%")[0].lower() == "all" for word in text.split(",")):
        raise CommandError('sshare: error: Invalid field requested: "all"')
    try:
        return fieldprint.chosen(text, FIELDS)
    except BadValue as problem:
        raise CommandError(f'sshare: error: Invalid field requested: "{problem}"') from None


def users_asked(asked: Asked, uid: int) -> list[str]:
    """By name; nobody named means all of them, as --all does whoever is named."""
    if asked.users and not asked.all_users:
        return [user_name(int(name)) if name.isdecimal() else name for name in asked.users]
    return [] if asked.all_users else [user_name(uid)]


def shown(ctx: Context, fields: list[str], asked: Asked, users: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Associations in the tree's order, each with the indent that its place among those shown gives its account."""
    depths: dict[int, int] = {}
    for row in ctx.controller.rows("associations", fields):
        record = dict(zip(fields, row, strict=True))
        if asked.accounts is not None and record["account"] not in asked.accounts:
            continue
        if record["user"] and users and record["user"] not in users:
            continue
        if asked.users_only and not record["user"]:
            continue
        depth = depths.get(record["parent_id"], -1) + 1
        depths[record["id"]] = depth
        yield record | {"indent": " " * depth}


def _help() -> Iterator[str]:
    yield "Usage: sshare [OPTION...]: show shares and usage of accounts and users"
    yield from help_lines(OPTIONS)


_ANSWERS: dict[str, Callable[[], Iterable[str]]] = {
    "help": _help,
    "V": lambda: [f"slurm-wlm {SLURM_VERSION}"],
    "e": lambda: fieldprint.name_table((field.name for field in FIELDS), 4, 17),
}

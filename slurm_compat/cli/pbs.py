"""#PBS and #BSUB lines as options of sbatch: what the real sbatch makes of them, observed on 26.05.

Both tables say for each letter what it becomes; letters with "" are taken and mean nothing to Slurm either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from slurm_compat.cli.script import Script, directives, split_words
from slurm_compat.core.errors import CommandError


class Words(NamedTuple):
    """What a script says for other schedulers."""

    options: list[str]  # as sbatch's own
    notes: list[str]  # what -v tells of things passed over


def options(script: Script) -> Words:
    options_: list[str] = []
    notes: list[str] = []
    for prefix, reader in (("#PBS", _pbs), ("#BSUB", _bsub)):
        for directive in directives(script.body, prefix):
            words = split_words(directive.text, f"{script.label}: line {directive.line}")
            for option in reader(words):
                (options_ if option.startswith("--") else notes).append(option)
    return Words(options_, notes)


PBS: dict[str, str] = {
    "A": "--account", "a": "--begin", "e": "--error", "o": "--output", "J": "--array", "t": "--array",
    "M": "--mail-user", "N": "--job-name", "p": "--nice", "q": "--partition", "v": "--export", "d": "--chdir",
    "w": "--chdir", "j": "", "k": "", "S": "", "u": "", "c": "", "C": "", "l": "", "m": "", "r": "", "W": "",
}  # fmt: skip
PBS_FLAGS: dict[str, str] = {"h": "--hold", "I": "", "V": "", "z": ""}
MAIL = {"a": "FAIL", "b": "BEGIN", "e": "END", "n": "NONE"}
# -l name=value; others mean nothing to Slurm either
RESOURCES = {
    "walltime": "--time", "cput": "--time", "mem": "--mem", "ncpus": "--mincpus", "file": "--tmp", "nice": "--nice",
    "mpiprocs": "--ntasks-per-node",
}  # fmt: skip
BSUB: dict[str, str] = {
    "J": "--job-name", "n": "--ntasks", "W": "--time", "q": "--partition", "o": "--output", "e": "--error",
    "m": "--nodelist", "M": "",
}  # fmt: skip
BSUB_FLAGS: dict[str, str] = {"x": "--exclusive"}


def _letters(words: list[str], taking: dict[str, str], flags: dict[str, str]) -> Iterator[tuple[str, str]]:
    rest = iter(words)
    for word in rest:
        if not word.startswith("-") or word == "-":
            raise CommandError(f"sbatch: error: Invalid argument: {word}")
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in flags:
                yield letter, ""
                continue
            if letter not in taking:
                lines = (f"invalid option -- '{letter}'", "error: Unrecognized command line parameter ?")
                raise CommandError(*(f"sbatch: {line}" for line in lines))
            value = letters or next(rest, None)
            if value is None:
                lines = (f"option requires an argument -- '{letter}'", "error: Unrecognized command line parameter ?")
                raise CommandError(*(f"sbatch: {line}" for line in lines))
            yield letter, value
            break


def _pbs(words: list[str]) -> Iterator[str]:
    for letter, value in _letters(words, PBS, PBS_FLAGS):
        special: Callable[[str], Iterator[str]] | None = {
            "l": _resources,
            "m": _mail,
            "r": _rerun,
            "W": _attributes,
        }.get(letter)
        if special:
            yield from special(value)
        elif letter in PBS_FLAGS:
            if PBS_FLAGS[letter]:
                yield PBS_FLAGS[letter]
        elif PBS[letter]:
            yield f"{PBS[letter]}={value}"


def _mail(value: str) -> Iterator[str]:
    kinds = [kind for letter, kind in (("b", "BEGIN"), ("e", "END"), ("a", "FAIL")) if letter in value]
    yield f"--mail-type={'NONE' if 'n' in value or not kinds else ','.join(kinds)}"


def _rerun(value: str) -> Iterator[str]:
    yield "--no-requeue" if value == "n" else "--requeue"


def _attributes(value: str) -> Iterator[str]:
    for attribute in value.split(","):
        name, _, text = attribute.partition("=")
        if name == "depend":
            yield f"--dependency={text}"
        else:
            yield f"Ignored PBS attributes: {attribute}"


def _resources(value: str) -> Iterator[str]:
    for resource in value.split(","):
        name, _, text = resource.partition("=")
        if name == "nodes":
            yield from _nodes(text)
        elif name == "select":
            yield from _select(text)
        elif name == "naccelerators":
            yield f"--gres=gpu:{text}"
        elif name in RESOURCES:
            yield f"{RESOURCES[name]}={text}"


def _nodes(text: str) -> Iterator[str]:
    """nodes=2:ppn=4:gpus=1, nodes=node01+node02."""
    count, names, per_node = 0, [], 0
    for chunk in text.split("+"):
        for part in chunk.split(":"):
            name, equals, value = part.partition("=")
            if part.isdigit():
                count += int(part)
            elif name == "ppn" and value.isdigit():
                per_node = int(value)
            elif name == "gpus" and value.isdigit():
                yield f"--gpus-per-node={value}"
            elif not equals and part:
                names.append(part)
    if count:
        yield f"--nodes={count}"
    if names:
        yield f"--nodelist={','.join(names)}"
    if per_node:
        yield f"--ntasks={per_node * (count or len(names) or 1)}"


def _select(text: str) -> Iterator[str]:
    """select=2:ncpus=4:mpiprocs=2:mem=1gb."""
    said = dict(part.partition("=")[::2] for part in text.split(":"))
    nodes = text.split(":")[0]
    if nodes.isdigit():
        yield f"--nodes={nodes}"
    cpus, tasks = said.get("ncpus", ""), said.get("mpiprocs", "")
    if cpus.isdigit():
        yield f"--mincpus={cpus}"
    if tasks.isdigit() and int(tasks):
        yield f"--ntasks-per-node={tasks}"
        if cpus.isdigit() and int(cpus) >= int(tasks):
            yield f"--cpus-per-task={int(cpus) // int(tasks)}"
    if "mem" in said:
        yield f"--mem={said['mem']}"


def _bsub(words: list[str]) -> Iterator[str]:
    plain: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in ("-cwd", "-cw", "-c"):
            yield f"--chdir={next(rest, '')}"
        else:
            plain.append(word)
    for letter, value in _letters(plain, BSUB, BSUB_FLAGS):
        if letter == "M" and value.isdigit():
            yield f"--mem-per-cpu={-(-int(value) // 1024)}M"  # in KiB there
        elif letter == "n":
            yield f"--ntasks={value.split(',')[-1]}"
        elif letter in BSUB_FLAGS:
            yield BSUB_FLAGS[letter]
        elif BSUB[letter]:
            yield f"{BSUB[letter]}={value}"

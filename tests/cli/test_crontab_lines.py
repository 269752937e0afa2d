"""A crontab's text as entries, and what scrontab says of it; texts as recorded of 26.05."""

import io
import os

import pytest

from slurm_compat.cli import crontab, scrontab
from slurm_compat.cli.context import Context
from slurm_compat.cli.main import run
from slurm_compat.core.errors import SlurmError

GOOD = """\
# head
X=1
Y="a b"
  = nothing
#SCRON -t 5
# between
#SCRON -p debug --job-name=foo

0 * * * * true a b "c d"
@daily   /bin/sleep   3
"""


def entries(text):
    return crontab.entries(text, 2001, 0.0)


def test_options_are_those_of_the_next_entry():
    first, second = entries(GOOD)
    assert (first.first, first.last, first.spec, first.command) == (4, 8, "0 * * * *", 'true a b "c d"')
    request = first.parsed("/home/alice").request
    assert (request.time_limit, request.partition, request.name) == (5, "debug", "foo")
    assert (second.first, second.last, second.spec, second.name) == (9, 9, "0 0 * * *", "/bin/sleep")
    assert second.parsed("/home/alice").request.time_limit is None


def test_the_script_is_the_one_that_slurm_makes():
    first = entries(GOOD)[0]
    assert first.script.decode() == (
        "#!/bin/sh\n# This job was submitted through scrontab\n#SCRON -t 5\n#SCRON -p debug --job-name=foo\n"
        "# crontab time request was: '0 * * * *'\ntrue a b \"c d\"\n"
    )


@pytest.mark.parametrize(
    "line, word",
    [
        ("#SCRON --bad", "--bad"),
        ("#SCRON -t", "-t"),
        ("#SCRON -t 5 # comment", "#"),
        ('#SCRON -J "a b"', 'b"'),
        ("#SCRON --array=1-3", "--array=1-3"),
        ("#SCRON -M other", "-M"),
        ("#SCRON -H", "-H"),
        ("#SCRON --begin=now+1hour", "--begin=now+1hour"),
        ("#SCRON --no-requeue", "--no-requeue"),
        ("#SCRON --wrap=x", "--wrap=x"),
        ("#SCRON hello", "hello"),
        ("#SCRON -n 2 : -n 3", ":"),
        ("  #SCRON -t 5", "ON"),
    ],
)
def test_options_that_an_entry_can_not_have(line, word):
    with pytest.raises(crontab.BadLine) as bad:
        entries(f"\n{line}\n0 * * * * true\n")
    assert bad.value.line == 1
    assert bad.value.texts == (f"Invalid option found in #SCRON line: {word}",)


@pytest.mark.parametrize(
    "line, texts",
    [
        ("* * * *  true", ("bad day specification", "something is broken")),
        ("A b=c", ("something is broken",)),
        ("a-b=c", ("something is broken",)),
        ("garbage", ("something is broken",)),
        ("#SCRON -t zz", ("Invalid --time specification", "Invalid option found in #SCRON line: zz")),
    ],
)
def test_lines_that_make_no_sense(line, texts):
    with pytest.raises(crontab.BadLine) as bad:
        entries(line)
    assert bad.value.texts == texts


@pytest.mark.parametrize("text", ["", "# nothing\n", "\n\n", "A=b\n", "1=2\n", "#SCRON -t 5\n", "#scron -x\n"])
def test_tables_without_entries(text):
    assert entries(text) == []


class Kept:
    """A controller that keeps one table."""

    def __init__(self, text=None, enabled=True, failed=None):
        self.text, self.enabled, self.failed, self.entries = text, enabled, failed, None

    def call(self, name, **args):
        if name == "config":
            return {"pairs": [["ScronParameters", "enable" if self.enabled else "(null)"]]}
        if args["user_id"] != os.getuid():
            raise SlurmError(2010)
        if name == "crontab":
            return {"text": self.text}
        if self.failed is not None:
            return {"failed": self.failed}
        self.text, self.entries = args["text"], args.get("entries")
        return {"job_ids": []}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def answer(line, kept, stdin="", tty=False, **env):
    out, err = io.StringIO(), io.StringIO()
    source = (Terminal if tty else io.StringIO)(stdin)
    ctx = Context(
        argv=line.split(), env={"PATH": "/usr/bin:/bin", **env}, cwd="/tmp", stdin=source, stdout=out, stderr=err,
        connect=lambda: kept, now=lambda: 0.0, uid=os.getuid(),
    )  # fmt: skip
    return run(ctx), out.getvalue(), err.getvalue()


def test_a_table_is_installed_listed_and_removed():
    kept = Kept()
    assert answer("scrontab -l", kept)[0] == 1
    assert answer("scrontab", kept, stdin="0 * * * * true\n") == (0, "", "")
    [entry] = kept.entries
    assert (entry["spec"], entry["first"], entry["last"]) == ("0 * * * *", 0, 0)
    assert entry["request"].name == "true" and entry["request"].get_user_env
    assert b"SLURM_GET_USER_ENV=1" in entry["environment"] and b"SLURM_SUBMIT_DIR" not in entry["environment"]
    assert answer("scrontab -l", kept) == (0, "0 * * * * true\n", "")
    assert answer("scrontab -r", kept) == (0, "", "")
    assert kept.text is None


def test_what_the_controller_refuses_is_told_with_its_lines():
    failed = {"entry": 0, "text": "Invalid partition name specified", "message": "invalid partition specified: nosuch"}
    code, out, err = answer("scrontab -", Kept(failed=failed), stdin="#SCRON -p nosuch\n0 * * * * true\n")
    assert (code, err) == (1, "")
    assert out == (
        "There was an issue with the job submission on lines 1-2\n"
        "The error code return was: Invalid partition name specified\n"
        "The error message was: invalid partition specified: nosuch\n"
    )


def test_errors_and_their_streams():
    kept = Kept()
    code, out, err = answer("scrontab", kept, stdin="5 5 5 5 99 true\n")
    assert (code, out, err) == (1, "There are errors in your crontab.\n", "scrontab: error: something is broken\n")
    assert answer("scrontab /nonexistent", kept)[2] == "scrontab: fatal: failed to open /nonexistent\n"
    assert answer("scrontab -u nosuch -l", kept)[2] == "scrontab: fatal: Could not find user nosuch\n"


def editor(folder, text):
    path = folder / "editor"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_the_editor_gets_the_table_and_nothing_happens_without_a_change(tmp_path):
    kept = Kept("0 * * * * true\n")
    same = editor(tmp_path, f"cp $1 {tmp_path}/seen")
    assert answer("scrontab -e", kept, tty=True, EDITOR=same) == (0, "scrontab: No modification made\n", "")
    assert (tmp_path / "seen").read_text() == kept.text
    other = editor(tmp_path, "echo '1 1 1 1 1 edited' > $1")
    assert answer("scrontab", kept, tty=True, VISUAL=other) == (0, "", "")
    assert kept.text == "1 1 1 1 1 edited\n"
    failing = editor(tmp_path, "exit 3")
    assert answer("scrontab -e", kept, tty=True, EDITOR=failing)[2] == (
        "scrontab: fatal: editor returned non-zero exit code\n"
    )


def test_what_is_wrong_may_be_edited_again(tmp_path):
    kept = Kept()
    twice = editor(
        tmp_path,
        f"grep -q BAD $1 && {{ cp $1 {tmp_path}/again; echo '5 5 5 5 5 ok' > $1; exit 0; }}\n"
        "printf '# a\\n1 1 1 1 1 good\\n1 1 1 1 99 bad\\n' > $1",
    )
    code, out, _ = answer("scrontab -e", kept, stdin="xy", tty=True, EDITOR=twice)
    question = (
        "There are errors in your crontab.\nThe failed line(s) is commented out with #BAD:\n"
        "Do you want to retry the edit? (y/n) "
    )
    assert (code, out) == (0, question * 2)
    assert (tmp_path / "again").read_text() == "# a\n1 1 1 1 1 good\n#BAD: 1 1 1 1 99 bad\n"
    assert kept.text == "5 5 5 5 5 ok\n"
    assert answer("scrontab -e", kept, tty=True, EDITOR=editor(tmp_path, "echo bad > $1"))[0] == 0  # no answer is a no


def test_where_it_is_not_enabled():
    assert answer("scrontab -l", Kept(enabled=False)) == (1, "", f"scrontab: fatal: {scrontab.DISABLED}\n")

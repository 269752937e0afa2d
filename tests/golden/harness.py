"""Shared parts of record.py and replay.py. Standard library and PyYAML only.

A definition file is a YAML list of scenarios; README.md describes the keys.
The recorder runs each scenario and writes one golden file per scenario, in
which everything that varies from run to run is a token {{NAME#len}}, `len`
being the length of the text it stood for. The replayer runs the golden file's
own steps and uses each golden line as a pattern: literal text must be equal,
tokens must match what they are declared to be, and the spaces around a token
may grow or shrink only by the difference in length (so columns stay exact).
"""

import contextlib
import difflib
import os
import pwd
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import yaml

# name, text before (regex), varying value (regex), text after (regex, lookahead)
DEFAULT_MASKS = [
    ("STAMP", r"^\[", r"202\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}", r"\]"),
    ("EPOCH", r"SLURM_JOB_(?:START|END)_TIME=", r"\d{10}", r""),
    ("SLUID", r"SLUID=", r"s[0-9A-Z]{13}", r""),
    ("TIME", r"", r"202\d-\d\d-\d\dT\d\d:\d\d:\d\d", r""),
    ("JID", r"\bJobId=", r"\d+", r""),
    ("JID", r"\bSLURM_JOB_?ID=", r"\d+", r""),
    ("NEWID", r"Submitted batch job ", r"\d+", r""),
    ("NEWID", r"^salloc: (?:.*allocation|job) ", r"\d+", r""),
    ("NEWID", r"^srun: (?:error: )?(?:job|Job|StepId=|Job allocation|Force Terminated \w+=) ?", r"\d+", r""),
    ("NEWID", r" => ", r"\d{5,}", r"[_ ]"),
    ("SID", r"AllocNode:Sid=", r"\S+", r""),
    ("HOST", r"SLURM_SUBMIT_HOST=", r"\S+", r""),
    ("PID", r"(?:SLURM_TASK_PID|SLURM_JOB_SID|PPID)=", r"\d+", r""),
    ("PORT", r"(?:SLURM_SRUN_COMM_PORT|SLURM_STEP_LAUNCHER_PORT)=", r"\d+", r""),
    ("ADDR", r"(?:SLURM_LAUNCH_NODE_IPADDR|SLURM_SRUN_COMM_HOST)=", r"\S+", r""),
    ("CLUSTERADDR", r"SLURM_WORKING_CLUSTER=", r"\S+", r""),
    ("CONF", r"SLURM_CONF=", r"\S+", r""),
    ("UID", r"(?:UserId|GroupId)=[a-z]+\(", r"\d+", r"\)"),
    ("UID", r"SLURM_JOB_[UG]ID=", r"\d+", r""),
    ("PRIO", r"\bPriority=", r"[1-9]\d*", r""),
    ("ELAPSED", r"\bRunTime=", r"[0-9:-]+", r""),
    ("ELAPSED", r" (?:R|CG|S|CD|F|CA|TO|RUNNING|COMPLETI|COMPLETE|FAILED|SUSPENDE)\s+", r"\d+:\d\d", r"\s"),
    ("LOAD", r"CPULoad=", r"\S+", r""),
    ("MEM", r"FreeMem=", r"\S+", r""),
    ("OSREL", r"\bOS=", r"Linux .*?\S", r" *$| +RealMemory="),
    ("ADDR", r"NodeAddr=", r"\d+\.\d+\.\d+\.\d+", r""),
    ("SECS", r"(?:SecsPreSuspend)=", r"\d+", r""),
]

TOKEN = re.compile(r"\{\{([A-Za-z_][A-Za-z0-9_]*)#(\d+)\}\}")
VAR = re.compile(r"\{\{([A-Za-z_][A-Za-z0-9_]*)\}\}")


class Literal(str):
    pass


def _lit(dumper, data):
    if "\n" in data and not re.search(r"[ \t]\n|\t|[^\x09\x0a\x20-\x7e]", data):
        return dumper.represent_scalar("tag:yaml.org,2002:str", data, style="|")
    return dumper.represent_scalar("tag:yaml.org,2002:str", data)


class Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data):
        return True


Dumper.add_representer(str, _lit)


def dump(doc, path):
    with open(path, "w") as f:
        yaml.dump(doc, f, Dumper=Dumper, sort_keys=False, width=100000, allow_unicode=True)


def load(path):
    with open(path) as f:
        return yaml.load(f, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def to_lines(text):
    return text.split("\n")


def from_lines(lines):
    return "\n".join(lines)


class Runner:
    """Runs the steps of one scenario; results carry raw text."""

    def __init__(self, scn, bindir=None, single_user=False, scale=1.0, verbose=False):
        self.scn = scn
        self.bindir = bindir
        self.single = single_user or os.getuid() != 0
        self.scale = scale
        self.verbose = verbose
        self.bg = {}
        self.cwd = tempfile.mkdtemp(prefix="orc", dir="/tmp")
        os.chmod(self.cwd, 0o777)
        self.vars = {"CWD": self.cwd, "HOSTN": socket.gethostname()}
        self.user = scn.get("user", "alice")
        self.vars["USER"] = pwd.getpwuid(os.getuid()).pw_name if self.single else self.user
        self.chown(self.cwd)
        for name, text in (scn.get("files") or {}).items():
            self.write(name, text)

    def pw(self, user):
        return pwd.getpwuid(os.getuid()) if self.single else pwd.getpwnam(user)

    def chown(self, path):
        if not self.single:
            p = self.pw(self.user)
            os.chown(path, p.pw_uid, p.pw_gid)

    def write(self, name, text):
        path = os.path.join(self.cwd, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(self.sub(text))
        os.chmod(path, 0o755 if text.startswith("#!") else 0o644)
        self.chown(path)

    def sub(self, s):
        return VAR.sub(lambda m: str(self.vars.get(m.group(1), m.group(0))), s)

    def environ(self, user, extra):
        p = self.pw(user)
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        if self.bindir:
            path = self.bindir + ":" + path
        env = {
            "PATH": path,
            "HOME": p.pw_dir,
            "USER": p.pw_name,
            "LOGNAME": p.pw_name,
            "SHELL": "/bin/bash",
            "LANG": "C.UTF-8",
            "TZ": "UTC",
        }
        for k in ("SHIM_CONF", "SHIM_HOME", "SHIM_STATE", "SLURM_CONF"):
            if k in os.environ and (k != "SLURM_CONF" or not os.path.exists("/etc/slurm/slurm.conf")):
                env[k] = os.environ[k]
        for k, v in (extra or {}).items():
            env[k] = self.sub(str(v))
        return env

    def preexec(self, user):
        if self.single:
            return os.setsid
        p = pwd.getpwnam(user)
        groups = os.getgrouplist(p.pw_name, p.pw_gid)

        def f():
            os.setsid()
            os.setgroups(groups)
            os.setgid(p.pw_gid)
            os.setuid(p.pw_uid)
            os.umask(0o022)

        return f

    def argv(self, step):
        cmd = step["run"]
        if isinstance(cmd, list):
            return [self.sub(a) for a in cmd]
        cmd = self.sub(cmd)
        return ["bash", "-c", cmd] if step.get("shell") else shlex.split(cmd)

    def env_of(self, step):
        env = dict(self.scn.get("env") or {})
        env.update(step.get("env") or {})
        return env

    def spawn(self, step):
        user = step.get("user", self.user)
        stdin = step.get("stdin")
        inp = self.sub(stdin).encode() if stdin is not None else b""
        return inp, subprocess.Popen(
            self.argv(step),
            cwd=os.path.join(self.cwd, step.get("cd", ".")),
            env=self.environ(user, self.env_of(step)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=self.preexec(user),
        )

    def finish(self, p, inp, timeout):
        try:
            o, e = p.communicate(inp, timeout=timeout)
            rc = p.returncode
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(p.pid, signal.SIGKILL)
            try:
                o, e = p.communicate(timeout=5)
            except subprocess.TimeoutExpired:
                o, e = b"", b""
            rc = "timeout"
        o, e = o[:400000], e[:400000]  # some prompts repeat for ever at end of input
        return o.decode("utf-8", "replace"), e.decode("utf-8", "replace"), rc

    def run_pty(self, step, timeout):
        import pty

        user = step.get("user", self.user)
        master, slave = pty.openpty()
        pre = self.preexec(user)

        def f():
            pre()
            import fcntl
            import termios

            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

        import fcntl
        import struct
        import termios

        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        env = self.environ(user, self.env_of(step))
        env["TERM"] = "dumb"
        p = subprocess.Popen(
            self.argv(step),
            cwd=self.cwd,
            env=env,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            preexec_fn=f,
            close_fds=True,
        )
        os.close(slave)
        out = b""
        inp = self.sub(step.get("stdin") or "").encode()
        sent = False
        t0 = time.time()
        end = t0 + timeout
        while time.time() < end:
            r, _, _ = select.select([master], [], [], 0.2)
            if r:
                try:
                    d = os.read(master, 65536)
                except OSError:
                    break
                if not d:
                    break
                out += d
            if inp and not sent and time.time() > t0 + step.get("type_after", 1.5) * self.scale:
                os.write(master, inp)
                sent = True
        try:
            rc = p.wait(timeout=3)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            rc = "timeout"
        os.close(master)
        return out.decode("utf-8", "replace").replace("\r\n", "\n"), "", rc

    def once(self, step):
        timeout = step.get("timeout", 25) * self.scale
        if step.get("pty"):
            return self.run_pty(step, timeout)
        try:
            inp, p = self.spawn(step)
        except FileNotFoundError as ex:
            return "", f"harness: {ex}\n", 127
        if step.get("bg"):
            if inp:
                p.stdin.write(inp)
            p.stdin.close()
            p.stdin = None
            self.bg[step["bg"]] = p
            return None
        return self.finish(p, inp, timeout)

    def do(self, step):
        """Returns None for an unrecorded step, else (stdout, stderr, rc)."""
        if "sleep" in step:
            time.sleep(step["sleep"])
            return None
        if "write" in step:
            for k, v in step["write"].items():
                self.write(k, v)
            return None
        if "mkdir" in step:
            d = os.path.join(self.cwd, step["mkdir"])
            os.makedirs(d, exist_ok=True)
            os.chmod(d, 0o777)
            self.chown(d)
            return None
        if "wait" in step:
            self.wait(step)
            return None
        if "cat" in step:
            path = os.path.join(self.cwd, self.sub(step["cat"]))
            end = time.time() + step.get("timeout", 8) * self.scale
            want = step.get("until")
            while True:
                try:
                    with open(path, errors="replace") as f:
                        res = (f.read(), "", 0)
                except OSError as ex:
                    res = ("", f"harness: cat: {ex.strerror}\n", 1)
                if (res[2] == 0 and (not want or re.search(want, res[0]))) or time.time() > end:
                    return res
                time.sleep(0.2)
        if "join" in step:
            p = self.bg.pop(step["join"], None)
            if p is None:
                return "", "harness: no such background command\n", 1
            return self.finish(p, None, step.get("timeout", 25) * self.scale)
        if "signal" in step:
            p = self.bg.get(step["signal"])
            if p:
                with contextlib.suppress(ProcessLookupError):
                    (os.killpg if step.get("group") else os.kill)(
                        p.pid, getattr(signal, "SIG" + step.get("sig", "INT"))
                    )
            time.sleep(0.3)
            return None
        if "run" in step and self.scn.get("settle") and not self.bg and not step.get("bg"):
            self.settle()
        if "run" not in step:
            raise ValueError(f"bad step {step!r}")
        end = time.time() + step.get("within", 15) * self.scale
        while True:
            res = self.once(step)
            if res is None:
                return None
            want = step.get("until")
            if not want or re.search(self.sub(want), res[0] + res[1], re.M) or time.time() > end:
                break
            time.sleep(0.3)
        for name, rx in (step.get("capture") or {}).items():
            m = re.search(rx, res[0], re.M) or re.search(rx, res[1], re.M)
            if m:
                self.vars[name] = m.group(1)
            else:
                self.vars.setdefault(name, "UNCAPTURED-" + name)
        return res

    def settle(self):
        """Wait until no job of ours runs or completes, so placement is repeatable."""
        end = time.time() + 8 * self.scale
        while time.time() < end:
            out, _, _rc = self.once(
                dict(run=["squeue", "-h", "-o", "%t", "-t", "CG", "-u", self.vars["USER"]], user=self.user)
            )
            if not out.strip():
                return
            time.sleep(0.1)

    def wait(self, step):
        job = self.sub(str(step["wait"]))
        want = step.get("for", "done")
        end = time.time() + step.get("timeout", 30) * self.scale
        empty, states = 0, []
        while time.time() < end:
            s = dict(run=["squeue", "-h", "-r", "-t", "all", "-j", job, "-o", "%T"], user=self.user)
            out, _err, _rc = self.once(s)
            states = out.split()
            empty = 0 if states else empty + 1
            if want == "done" and not states and empty < 4:
                pass
            elif want == "done":
                if not [
                    x
                    for x in states
                    if x in ("PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING", "STOPPED", "REQUEUED")
                ]:
                    # accounting trails the queue a little
                    return True
            elif want == "gone":
                if not states:
                    return True
            elif states and all(re.fullmatch(want, x) for x in states):
                return True
            time.sleep(0.15)
        if self.verbose:
            print(f"   (wait for {job} {want} ran out: {states})", file=sys.stderr)
        return False

    def close(self):
        for p in self.bg.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(p.pid, signal.SIGKILL)
            p.communicate()
        self.bg = {}
        self.idle()
        for st in self.scn.get("cleanup") or []:
            self.do(st)
        shutil.rmtree(self.cwd, ignore_errors=True)

    def idle(self):
        """Cancel whatever is left and wait until the queue is empty."""
        who = self.vars["USER"] if self.single else "alice,bob,root"
        users = who.split(",")
        end = time.time() + 30 * self.scale
        n = 0
        while time.time() < end:
            out, _, _rc = self.once(dict(run=["squeue", "-h", "-o", "%i %t", "-u", who], user="root"))
            if not out.strip():
                return
            if n % 20 == 0:
                for u in users:
                    self.once(dict(run=["scancel", "-u", u], user="root"))
            n += 1
            time.sleep(0.15)


def masks_for(scn, step=None):
    ms = []
    for src in ((step or {}).get("masks"), scn.get("masks")):
        for m in src or []:
            ms.append((m["name"], m.get("before", ""), m["val"], m.get("after", "")))
    ms += DEFAULT_MASKS
    return ms


def drop_lines(text, rxs):
    """Remove lines whose presence is a matter of luck."""
    if not rxs:
        return text
    return "".join(x for x in text.splitlines(True) if not any(re.search(r, x) for r in rxs))


def apply_masks(text, masks, variables):
    """Replace varying parts of `text` by tokens; returns text and names used."""
    used = set()
    stash = []

    def tok(name, val):
        stash.append("{{%s#%d}}" % (name, len(val)))
        used.add(name)
        return "\x01%d\x02" % (len(stash) - 1)

    for name in sorted(variables, key=lambda k: -len(str(variables[k]))):
        v = str(variables[name])
        if name in ("USER",) or not v or v.startswith("UNCAPTURED"):
            continue
        if name == "HOSTN":
            continue
        rx = re.escape(v)
        if v.isdigit():
            rx = r"(?<![0-9A-Za-z.\x01])" + rx + r"(?![0-9A-Za-z\x02])"
        text = re.sub(rx, lambda m: tok(name, v), text)
    for name, b, v, a in masks:
        rx = re.compile(f"(?P<b>{b})(?P<v>{v})(?={a})", re.M)

        def f(m):
            if "\x01" in m.group("v"):
                return m.group(0)
            return m.group("b") + tok(name, m.group("v"))

        text = rx.sub(f, text)
    for i in range(len(stash) - 1, -1, -1):
        text = text.replace("\x01%d\x02" % i, stash[i])
    return text, used


def line_matches(golden, actual, patterns):
    """golden: a line with tokens; patterns: name -> list of regexes."""
    parts = TOKEN.split(golden)
    if len(parts) == 1:
        return golden == actual
    lits, toks = parts[0::3], list(zip(parts[1::3], parts[2::3], strict=False))
    rx, gaps = "", []
    for i, lit in enumerate(lits):
        left = i > 0  # a token stands before this literal
        right = i < len(toks)
        core, lead, trail = lit, 0, 0
        if core.strip(" ") == "" and (left and right):
            gaps.append((len(core), i - 1, i))
            rx += "( *)"
        else:
            if left:
                lead = len(core) - len(core.lstrip(" "))
                core = core[lead:]
                gaps.append((lead, i - 1, None))
                rx += "( *)"
            if right:
                trail = len(core) - len(core.rstrip(" "))
                core = core[: len(core) - trail]
            rx += re.escape(core)
            if right:
                gaps.append((trail, None, i))
                rx += "( *)"
        if right:
            rx += "(?P<t%d>%s)" % (i, "|".join(f"(?:{p})" for p in patterns.get(toks[i][0], [r"\S+"])))
    # number of inner groups in token patterns is unknown: use named gaps
    n = [0]

    def name_gap(m):
        n[0] += 1
        return "(?P<g%d> *)" % (n[0] - 1)

    rx = re.sub(r"\(( \*)\)", name_gap, rx)
    try:
        m = re.fullmatch(rx, actual)
    except re.error:
        return golden == actual
    if not m:
        return False
    delta = [int(toks[i][1]) - len(m.group("t%d" % i)) for i in range(len(toks))]
    for k, (g, prev, nxt) in enumerate(gaps):
        got = len(m.group("g%d" % k))
        ok = {g}
        if prev is not None:
            ok.add(g + delta[prev])
        if nxt is not None:
            ok.add(g + delta[nxt])
        if prev is not None and nxt is not None:
            ok.add(g + delta[prev] + delta[nxt])
        if got not in ok and not (got in (0, 1) and min(ok) <= 0):
            return False
    return True


def compare(golden_lines, actual_lines, patterns, sort=False):
    """Returns list of unified-diff lines; empty when the same."""
    if sort:
        actual_lines = sorted(actual_lines)
    shown = list(actual_lines)
    if len(golden_lines) == len(actual_lines):
        if sort:
            # match greedily whatever the order: token text may sort differently
            left = list(golden_lines)
            shown = []
            for a in actual_lines:
                for g in left:
                    if line_matches(g, a, patterns):
                        left.remove(g)
                        shown.append(g)
                        break
                else:
                    shown.append(a)
            if not left:
                return []
        else:
            shown = [g if line_matches(g, a, patterns) else a for g, a in zip(golden_lines, actual_lines, strict=False)]
    else:
        for i, a in enumerate(actual_lines):
            for g in golden_lines:
                if line_matches(g, a, patterns):
                    shown[i] = g
                    break
    if shown == golden_lines:
        return []
    return list(difflib.unified_diff(golden_lines, shown, "slurm", "this", lineterm="", n=1))


def reset_cluster(runner_env_bin=None):
    pass

"""Transcripts of a real Slurm 26.05, replayed: what was same stays same.

`fixtures/same.yaml` lists the steps of each scenario that we answer as Slurm does; `tools/replay.py --json` and
`tools/same.py` renew it. A cluster is started once a worker. Needs root, for the steps run as alice, bob and root.
"""

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
GOLDEN = ROOT / "fixtures" / "golden"
SAME = yaml.safe_load((ROOT / "fixtures" / "same.yaml").read_text())

sys.path.insert(0, str(Path(__file__).parent))
import harness  # noqa: E402

sys.path.pop(0)

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="replaying as several users needs root")


@pytest.fixture(scope="session")
def commands():
    """The commands of a cluster that mirrors the recorded one."""
    from slurm_compat.operator import throwaway

    for name, uid in (("alice", 2001), ("bob", 2002)):  # some output shows the number
        try:
            pwd.getpwnam(name)
        except KeyError:
            subprocess.run(["useradd", "-m", "-u", str(uid), "-s", "/bin/bash", name], check=True)
    probe = ["runuser", "-u", "alice", "--", sys.executable, "-c", "import slurm_compat.cli.main"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip(f"other users can't run {sys.executable} or read {ROOT}: put both where they can")
    with throwaway(str(ROOT / "fixtures" / "clusters" / "oracle.yaml")) as (folder, copy, _):
        before = os.environ.get("SLURM_CONF")
        os.environ["SLURM_CONF"] = str(copy)
        yield folder
        if before is None:
            del os.environ["SLURM_CONF"]
        else:
            os.environ["SLURM_CONF"] = before


def differences(step, result, patterns):
    """What differs between a recorded step and what we answered, as lines."""
    stdout, stderr, code = result
    wanted = step.get("compare") or ["stdout", "stderr", "rc"]
    lines = []
    for name, text in (("stdout", stdout), ("stderr", stderr)):
        if name in wanted:
            lines += harness.compare(step[name], harness.to_lines(text), patterns, step.get("sort"))
    if "rc" in wanted and step["rc"] != code:
        lines.append(f"exit code: slurm {step['rc']}, this {code}")
    return lines


@pytest.mark.parametrize("name", sorted(SAME))
def test_what_was_same_stays_same(commands, name):
    scenario = harness.load(str(GOLDEN / f"{name}.yaml"))
    runner = harness.Runner(scenario, bindir=str(commands), scale=2.0)
    bad = []
    try:
        for index, step in enumerate(scenario["steps"]):
            result = runner.do(step)
            if "rc" not in step or result is None or index not in SAME[name]:
                continue
            dropped = (scenario.get("drop") or []) + (step.get("drop") or [])
            result = (harness.drop_lines(result[0], dropped), harness.drop_lines(result[1], dropped), result[2])
            patterns = {key: list(values) for key, values in (scenario.get("patterns") or {}).items()}
            for key, value in runner.vars.items():
                patterns.setdefault(key, []).append(harness.re.escape(str(value)))
            if lines := differences(step, result, patterns):
                bad.append(f"step {index}: {step.get('run')}\n" + "\n".join(lines))
    finally:
        runner.close()
    assert not bad, "\n".join(bad)

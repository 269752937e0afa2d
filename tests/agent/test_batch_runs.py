"""Real agents running real scripts, driven by a controller that only plays one."""

import base64
import os
import re
import signal
import time
from pathlib import Path

import pytest

STAMP = r"\[20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\] error: "


def test_a_script_runs_and_its_status_is_told(pod):
    pod.run("#!/bin/sh\necho $0 $1; echo to stderr >&2; pwd; umask; exit 7", packet={"argv": ["a b"], "umask": 0o027})
    ended = pod.controller.wait("batch_ended")
    assert os.waitstatus_to_exitcode(ended["status"]) == 7
    assert (ended["reason"], ended["error"]) == ("", "")
    script, rest = pod.output().split(" a b\n")
    assert script.endswith("/job123/slurm_script") and script.startswith(str(pod.spool))
    assert rest == f"to stderr\n{pod.folder}\n0027\n"
    assert oct((pod.folder / "slurm-123.out").stat().st_mode & 0o777) == "0o640"
    assert pod.end() == 7


def test_the_hello_tells_who_calls(make_pod):
    pod = make_pod(SLURM_COMPAT_RANK="1", NVIDIA_VISIBLE_DEVICES="0,1", SLURM_COMPAT_POD_IP="10.0.0.9")
    hello = pod.controller.accept()
    assert (hello["job_id"], hello["rank"], hello["node"], hello["token"]) == (123, 1, "node01", "secret")
    assert (hello["gpus"], hello["address"], hello["pid"]) == (["0", "1"], "10.0.0.9", pod.process.pid)
    pod.controller.say("bye")
    assert pod.process.wait() == 0


def test_a_script_has_streams_and_group_of_its_own_and_nothing_else_open(pod):
    pod.run("#!/bin/sh\nls /proc/self/fd | wc -l; readlink /proc/$$/fd/0; ps -o pgid= -p $$ | tr -d ' '; echo $$")
    pod.controller.wait("batch_ended")
    # four: the three streams, and the folder that ls reads
    fds, stdin, group, pid = pod.output().split()
    assert (fds, stdin) == ("4", "/dev/null")
    assert group == pid
    pod.end()


@pytest.mark.parametrize(
    "script, status, words",
    [
        ("#!/no/such/interp\n", 2, r"execve\(\): bad interpreter\(/no/such/interp\): No such file or directory"),
        ("#! /no/such/x -a b\n", 2, r"execve\(\): bad interpreter\(/no/such/x -a b\): No such file or directory"),
        ("#!/etc\n", 13, r"execve\(\): /\S+/job123/slurm_script: Permission denied"),
    ],
)
def test_scripts_that_cannot_be_executed(pod, script, status, words):
    pod.run(script)
    assert os.waitstatus_to_exitcode(pod.controller.wait("batch_ended")["status"]) == status
    assert re.fullmatch(STAMP + words + "\n", pod.output())
    pod.end()


def test_output_error_and_input_files(pod):
    (pod.folder / "in.txt").write_text("from input\n")
    job = {"standard_input_given": "in.txt", "standard_output_given": "new/%x-%j.o", "standard_error_given": "%u.e"}
    pod.run("#!/bin/sh\ncat; echo err >&2", job=job)
    pod.controller.wait("batch_ended")
    assert pod.output("new/job.sh-123.o") == "from input\n"
    assert pod.output("alice.e") == "err\n"
    pod.end()


@pytest.mark.parametrize("mode, kept", [("append", "before\n"), ("truncate", ""), ("", "")])
def test_open_modes(pod, mode, kept):
    (pod.folder / "slurm-123.out").write_text("before\n")
    pod.run("#!/bin/sh\necho now; echo and >&2", packet={"open_mode": mode})
    pod.controller.wait("batch_ended")
    assert pod.output() == kept + "now\nand\n"
    pod.end()


@pytest.mark.parametrize(
    "job, reason",
    [
        ({"standard_input_given": "missing"}, "STDIN"),
        ({"standard_output_given": "."}, "STDOUT"),
        ({"standard_error_given": "/dev/null/x"}, "STDERR"),
    ],
)
def test_files_that_cannot_be_opened_end_the_job_before_it_starts(pod, helpers, job, reason):
    pod.controller.accept()
    pod.controller.say("launch", **helpers.packet(pod.folder, "#!/bin/sh\n", None, job))
    ended = pod.controller.wait("batch_ended")
    assert (ended["status"], ended["reason"]) == (53, reason)
    assert reason.lower() in ended["error"]
    assert pod.end() == 128 + 53


def test_a_missing_working_directory(pod):
    job = {"current_working_directory": "/no/such", "standard_output_given": str(pod.folder / "o")}
    pod.run("#!/bin/sh\npwd", job=job)
    pod.controller.wait("batch_ended")
    line = STAMP + "couldn't chdir to `/no/such': No such file or directory: going to /tmp instead\n"
    assert re.fullmatch(f"{line}{line}/tmp\n", pod.output("o"))
    pod.end()


def test_nothing_the_script_left_outlives_it(pod, helpers):
    nap = f"sleep {100_000 + os.getpid()}"  # nobody else's
    stubborn = f"(setsid bash -c 'trap \"\" TERM; {nap}' &)"
    # all three are what they are to be before they are counted
    ready = f"until [ $(pgrep -fxc '{nap}') -ge 3 ]; do sleep 0.02; done"
    pod.run(f"#!/bin/bash\n{nap} & setsid {nap} & {stubborn}\n{ready}\necho pids\nps -eo pid,args")
    pod.controller.wait("batch_ended")
    left = [int(line.split()[0]) for line in pod.output().splitlines() if nap in line and "job123" not in line]
    assert len(left) >= 3
    helpers.until(lambda: not any(helpers.alive(pid) for pid in left))
    pod.end()


def test_a_cancel_says_why_and_lets_the_script_clean_up(pod):
    pod.run("#!/bin/bash\ntrap 'echo cleaned; exit 3' TERM\necho ready\nwhile :; do sleep 0.02; done")
    pod.see("ready")
    pod.controller.say("terminate", reason="CANCELLED", text="", kill_wait=30)
    ended = pod.controller.wait("batch_ended")
    assert os.waitstatus_to_exitcode(ended["status"]) == 3
    assert ended["reason"] == "CANCELLED"
    line = (
        STAMP
        + r"\*\*\* JOB 123 ON node01 CANCELLED AT \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d DUE to SIGNAL Terminated \*\*\*\n"
    )
    assert re.search(line, pod.output())
    assert "cleaned\n" in pod.output()
    assert pod.end() == 3


def test_who_ignores_the_cancel_is_killed(pod):
    pod.run("#!/bin/bash\ntrap '' TERM\necho ready\nsleep 100")
    pod.see("ready")
    pod.controller.say("terminate", reason="JOB REQUEUE", text="", kill_wait=0.2)
    assert pod.controller.wait("batch_ended")["status"] == signal.SIGKILL
    assert "DUE TO JOB REQUEUE ***" in pod.output()
    assert pod.end() == 128 + signal.SIGKILL


def test_a_second_terminate_can_hurry_the_first(pod):
    pod.run("#!/bin/bash\ntrap '' TERM\necho ready\nsleep 100")
    pod.see("ready")
    pod.controller.say("terminate", reason="CANCELLED", text="", kill_wait=1000)
    pod.controller.say("terminate", reason="CANCELLED", text="", kill_wait=0)
    assert pod.controller.wait("batch_ended")["status"] == signal.SIGKILL
    assert pod.output().count("CANCELLED AT") == 1
    pod.end()


def test_the_time_limit_is_kept_by_the_agent_alone(pod):
    end = int(time.time()) + 1
    pod.run("#!/bin/sh\nexec sleep 100", packet={"end_time": end}, job={"time_limit": 1}, kill_wait=30)
    pod.controller.go_away()
    pod.see("DUE TO TIME LIMIT ***")
    pod.controller.listen()
    pod.controller.accept()
    ended = pod.controller.wait("batch_ended")
    assert (ended["reason"], ended["status"]) == ("TIME LIMIT", signal.SIGTERM)
    pod.end()


def test_a_later_end_is_obeyed(pod):
    packet = {"end_time": int(time.time()) + 3600}
    pod.run("#!/bin/sh\nexec sleep 100", packet=packet, job={"time_limit": 60}, kill_wait=0)
    pod.controller.say("update", end_time=int(time.time()))
    assert pod.controller.wait("batch_ended")["reason"] == "TIME LIMIT"
    pod.end()


def test_a_job_without_limit_can_be_given_one(pod):
    pod.run("#!/bin/sh\nexec sleep 100", kill_wait=0)
    pod.controller.say("update", end_time=int(time.time()))
    assert pod.controller.wait("batch_ended")["reason"] == "TIME LIMIT"
    pod.end()


def test_the_warning_signal_goes_to_the_shell(pod):
    warning = {"number": int(signal.SIGUSR1), "delay": 600, "batch": True}
    script = "#!/bin/bash\ntrap 'echo warned; exit 5' USR1\necho ready\nwhile :; do sleep 0.02; done"
    pod.run(script, packet={"end_time": int(time.time()) + 3600, "signal": warning}, job={"time_limit": 60})
    pod.see("ready")
    pod.controller.say("update", end_time=int(time.time()) + 600)
    assert os.waitstatus_to_exitcode(pod.controller.wait("batch_ended")["status"]) == 5
    assert pod.output() == "ready\nwarned\n"
    pod.end()


def test_a_signal_for_the_batch_shell_is_for_it_alone(pod):
    pod.run("#!/bin/bash\ntrap 'echo got it; kill %1; exit 5' USR1\nsleep 100 &\necho ready\nwhile :; do wait; done")
    pod.see("ready")
    pod.controller.say("signal", to="steps", signal=int(signal.SIGUSR2))  # has none: reaches nobody
    pod.controller.say("signal", to="batch", signal=int(signal.SIGUSR1))
    assert os.waitstatus_to_exitcode(pod.controller.wait("batch_ended")["status"]) == 5
    assert pod.output() == "ready\ngot it\n"
    pod.end()


def test_a_signal_for_all_reaches_the_whole_tree(pod):
    child = "bash -c 'trap \"echo child\" USR2; echo ready; while :; do sleep 0.02 & wait; done' &"
    script = f"#!/bin/bash\ntrap 'echo shell' USR2\n{child}\nwait; wait"
    pod.run(script)
    pod.see("ready")
    pod.controller.say("signal", to="all", signal=int(signal.SIGUSR2))
    pod.see("child")
    pod.see("shell")
    pod.controller.say("signal", to="all", signal=int(signal.SIGKILL))
    assert pod.controller.wait("batch_ended")["status"] == signal.SIGKILL
    assert "DUE to SIGNAL Killed ***" in pod.output()
    pod.end()


def test_suspended_it_stands_still_and_its_limit_waits(pod, helpers):
    packet = {"end_time": int(time.time()) + 2}
    started = pod.run("#!/bin/bash\nsleep 100", packet=packet, job={"time_limit": 1}, kill_wait=0)
    pod.controller.say("suspend")
    stat = Path(f"/proc/{started['pid']}/stat")
    helpers.until(lambda: ") T " in stat.read_text())
    pod.controller.say("resume")
    helpers.until(lambda: ") T " not in stat.read_text())
    assert pod.controller.wait("batch_ended")["reason"] == "TIME LIMIT"
    pod.end()


def test_a_lost_link_is_dialled_again_and_what_was_not_acknowledged_is_said_again(pod):
    os.mkfifo(pod.folder / "wait.fifo")
    pod.run("#!/bin/sh\nread x < wait.fifo; exit 4")
    pod.controller.acknowledge = False
    pod.controller.hang_up()
    pod.controller.accept()
    (pod.folder / "wait.fifo").write_text("go\n")
    first = pod.controller.wait("batch_ended")
    pod.controller.hang_up()
    pod.controller.acknowledge = True
    pod.controller.accept()
    again = pod.controller.wait("batch_ended")
    assert again == first
    assert [hello["pid"] for hello in pod.controller.hellos] == [pod.process.pid] * 3
    assert pod.end() == 4


def test_a_pod_that_is_to_stop_ends_its_job_and_tells(pod):
    pod.run("#!/bin/sh\nexec sleep 100")
    pod.process.send_signal(signal.SIGTERM)
    assert pod.controller.wait("batch_ended")["status"] == signal.SIGTERM
    assert pod.process.wait() == 128 + signal.SIGTERM
    assert list(pod.spool.iterdir()) == []


def test_a_pod_is_stopped_before_the_controller_was_ever_there(make_pod, helpers):
    pod = make_pod(SLURM_COMPAT_CONTROLLER="unix:/no/such/socket")
    status = Path(f"/proc/{pod.process.pid}/status")

    def ready():
        """It catches SIGTERM by now."""
        mask = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt"))
        return int(mask.split()[1], 16) >> (signal.SIGTERM - 1) & 1

    helpers.until(ready)
    pod.process.send_signal(signal.SIGTERM)
    assert pod.process.wait() == 0


def test_usage_of_a_run_that_samples_met(pod):
    script = "#!/bin/sh\nexec python3 -c 'b = bytearray(50 << 20); import time; time.sleep(100)'"
    pod.run(script, sample_interval=0.05)
    while pod.controller.wait("usage")["usage"].get("max_rss", 0) < 50 << 20:
        pass
    pod.controller.say("terminate", reason="CANCELLED", text="", kill_wait=5)
    used = pod.controller.wait("batch_ended")["usage"]
    assert used["max_rss"] >= 50 << 20 and used["max_vmsize"] >= used["max_rss"]
    assert used["max_rss_node"] == "node01" and used["user_cpu"] + used["system_cpu"] > 0
    pod.end()


def test_a_short_run_has_cpu_time_alone(pod):
    pod.run("#!/bin/sh\ntrue")
    used = pod.controller.wait("batch_ended")["usage"]
    assert set(used) == {"user_cpu", "system_cpu"} and used["user_cpu"] + used["system_cpu"] > 0
    pod.end()


def test_killed_for_memory(make_pod, tmp_path):
    events = tmp_path / "memory.events"
    events.write_text("low 0\noom_kill 2\n")
    pod = make_pod(SLURM_COMPAT_MEMORY_EVENTS=str(events))
    pod.run("#!/bin/sh\necho 'oom_kill 3' > memory.events; kill -9 $$")
    ended = pod.controller.wait("batch_ended")
    assert (ended["status"], ended["reason"]) == (signal.SIGKILL, "OUT OF MEMORY")
    assert "Detected 1 oom_kill event in StepId=123.batch. Some of the step tasks have been OOM Killed." in pod.output()
    pod.end()


def test_the_allocations_own_record_ends_with_the_script(pod):
    pod.run("#!/bin/sh\n", contain=True)
    pod.controller.wait("batch_ended")
    assert pod.controller.wait("extern_ended")["usage"] == {"user_cpu": 0, "system_cpu": 0}
    pod.end()


def test_an_allocation_runs_no_script(pod, helpers):
    pod.controller.accept()
    pod.controller.say("launch", **helpers.packet(pod.folder, "", {"role": "allocation"}, contain=True))
    pod.controller.say("terminate", reason="CANCELLED", text="", kill_wait=1)
    pod.controller.wait("extern_ended")
    assert pod.end() == 0
    assert pod.controller.messages == []


def test_cancelled_before_it_was_launched(pod, helpers):
    pod.controller.accept()
    pod.controller.say("terminate", reason="CANCELLED", text="", kill_wait=5)
    ended = pod.controller.wait("batch_ended")
    assert (ended["status"], ended["reason"]) == (signal.SIGTERM, "CANCELLED")
    pod.controller.say("launch", **helpers.packet(pod.folder, "#!/bin/sh\n"))
    assert pod.end() == 0
    assert not (pod.folder / "slurm-123.out").exists()


def test_a_launch_that_makes_no_sense_ends_the_job(pod, helpers):
    packet = helpers.packet(pod.folder, "#!/bin/sh\n")
    del packet["umask"]
    pod.controller.accept()
    pod.controller.say("launch", **packet)
    ended = pod.controller.wait("batch_ended")
    assert ended["reason"] == "LAUNCH" and "umask" in ended["error"]
    pod.controller.say("bye")
    pod.process.wait()


def test_no_room_for_the_script(make_pod, tmp_path, helpers):
    pod = make_pod(SLURM_COMPAT_SPOOL=str(tmp_path / "missing"))
    pod.controller.accept()
    pod.controller.say("launch", **helpers.packet(pod.folder, "#!/bin/sh\n"))
    ended = pod.controller.wait("batch_ended")
    assert (ended["status"], ended["reason"]) == (53, "LAUNCH")
    words = "error: Slurmd could not create a batch directory or file: No such file or directory\n"
    assert pod.output().endswith(words)
    pod.end()


def test_a_login_environment_when_it_was_asked_for(pod):
    (pod.folder / ".profile").write_text("export FROM_PROFILE=yes PATH=/from/profile:$PATH\n")
    sent = base64.b64encode(b"SLURM_GET_USER_ENV=1\0FOO=sent").decode()
    pod.run('#!/bin/sh\necho "$FROM_PROFILE $FOO $LOGNAME $HOME $PATH"', packet={"environment": sent})
    pod.controller.wait("batch_ended")
    words = pod.output().split()
    assert words[:4] == ["yes", "sent", "alice", str(pod.folder)]
    assert words[4].startswith("/from/profile:")
    pod.end()


def test_without_a_login_shell_the_job_runs_with_what_was_sent(pod, helpers):
    sent = base64.b64encode(b"SLURM_GET_USER_ENV=1\0FOO=sent").decode()
    packet = helpers.packet(pod.folder, "#!/bin/sh\necho $FOO $HOME", {"environment": sent})
    packet["user"]["shell"] = "/no/such/shell"
    pod.controller.accept()
    pod.controller.say("launch", **packet)
    pod.controller.wait("batch_ended")
    words = "Unable to get user's local environment, running only with passed environment"
    assert re.fullmatch(STAMP + words + f"\nsent {pod.folder}\n", pod.output())
    pod.end()


def test_a_refused_agent_ends(pod):
    pod.controller.accept()
    pod.controller.refuse(2017, "Invalid job id specified")
    assert pod.process.wait() == 0


def test_junk_from_the_controller_only_costs_the_link(pod):
    pod.controller.accept()
    pod.controller.link.sendall(b"\x00\x00\x00\x03{]}")
    pod.controller.accept()
    pod.controller.link.sendall(b"\xff\xff\xff\xff")
    pod.controller.accept()
    pod.controller.say("nothing we know")
    assert pod.end() == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may become anybody")
def test_another_user_is_refused(pod, helpers):
    packet = helpers.packet(pod.folder, "#!/bin/sh\n")
    packet["user"]["uid"] += 1
    pod.controller.accept()
    pod.controller.say("launch", **packet)
    ended = pod.controller.wait("batch_ended")
    assert ended["reason"] == "LAUNCH" and "can't run jobs of alice" in ended["error"]
    pod.controller.say("bye")
    pod.process.wait()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_becomes_the_user(make_pod, helpers, open_folder):
    pod = make_pod(open_folder)
    packet = helpers.packet(pod.folder, "#!/bin/sh\nid -u; id -g; id -G; test -w $0 && stat -c %u-%a $0")
    packet["user"] |= {"uid": 61234, "gid": 61235, "groups": [61235, 61236]}
    pod.controller.accept()
    pod.controller.say("launch", **packet)
    pod.controller.wait("batch_ended")
    assert pod.output() == "61234\n61235\n61235 61236\n61234-700\n"
    assert (pod.folder / "slurm-123.out").stat().st_uid == 61234
    pod.end()

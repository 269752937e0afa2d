"""Asks a real Slurm what it makes of the month of tests/history: run it inside the oracle, beside one of its own.

    ./world ./private python3 record_month.py recorded_month.yaml reports recorded_sreport.yaml
    ./world ./private python3 record_month.py recorded_month.yaml shares

`reports`: the jobs, nodes that were down and reservations are written into the accounting database, slurmdbd rolls them
up, and each command line of the last file is run again; the file's new text goes to stdout. `shares`: three minutes of
real jobs, and then the month's use of each user as the controller's own state; sshare's tables go to stdout.
"""

from __future__ import annotations

import calendar
import os
import shlex
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

STATE = Path(os.environ.get("ORACLE_DIR", "/tmp/slurm-oracle"))
USERS = {"alice": 2001, "bob": 2002, "root": 0}
QOS = {"normal": 1, "high": 2, "small": 3}
STATES = {"COMPLETED": 3, "CANCELLED": 4}
NO_TASK = 0xFFFFFFFE
NODE = "1=4,2=4000,5=4"
DOWN = (
    # node, from, to, state, as slurmdbd numbers it
    ("node03", "2026-10-05T01:10:00", "2026-10-05T03:20:00", 1),
    ("node02", "2026-10-06T01:10:00", "2026-10-06T03:20:00", 0x202),
    ("node01", "2026-10-06T05:10:00", "2026-10-06T05:40:00", 0x203),
)
RESERVED = (
    # number, name, from, to, flags, TRES, associations
    (11, "maint", "2026-10-07T10:00:00", "2026-10-07T12:00:00", 1, "1=4", ",2,"),
    (12, "course", "2026-10-08T10:00:00", "2026-10-08T12:00:00", 0, "1=8", ",7,"),
)
TABLE = "Account,User,RawShares,NormShares,RawUsage,NormUsage,EffectvUsage,FairShare,LevelFS"
WORK = (("alice", "project1", 1, 30), ("bob", "project2", 2, 45), ("root", "project1", 1, 20),
        ("alice", "project2", 4, 70), ("bob", "team", 1, 100), ("alice", "division", 2, 10))  # fmt: skip


def at(text: str) -> int:
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%S"))


def sql(text: str) -> list[list[str]]:
    argv = ["mariadb", "--no-defaults", "-uroot", "-S", str(STATE / "mysql/mysqld.sock"), "slurm_acct_db", "-N", "-B"]
    done = subprocess.run(argv, input=f"set sql_mode='';{text}", text=True, stdout=subprocess.PIPE, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


def sh(line: str) -> str:
    return subprocess.run(
        line, shell=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    ).stdout


def daemon(name: str, *settings: str) -> None:
    """Start it anew, with further lines in its configuration."""
    pid = (STATE / f"run/{name}.pidrec").read_text().split()[0]
    sh(f"kill {pid}; while [ -e /proc/{pid} ]; do sleep 0.1; done")
    with (STATE / f"etc/{'slurmdbd' if name == 'slurmdbd' else 'slurm'}.conf").open("a") as file:
        file.writelines(f"{line}\n" for line in settings)
    argv = ["unshare", "-u", "sh", "-c", f"hostname ctl01; exec {name} -D"]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    started = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
    (STATE / f"run/{name}.pidrec").write_text(f"{process.pid} {started}\n")
    while not sh("sacctmgr -nP show cluster") or "UP" not in sh("scontrol ping"):
        time.sleep(0.2)


def reports(month: dict[str, Any], wanted: list[dict[str, Any]]) -> None:
    daemon("slurmdbd", "TrackWCKey=yes")
    for user in USERS:
        sh(f"sacctmgr -i add user {user} wckeys=thesis,lab")
    keys = {(user, key): number for number, key, user in sql("select id_wckey,wckey_name,user from oracle_wckey_table")}
    owners = {
        (account, user): number for number, account, user in sql("select id_assoc,acct,user from oracle_assoc_table")
    }
    rows = []
    for place, job in enumerate(month["jobs"]):
        user, account, qos, wckey, submit, eligible, start, end, state, cpus, gpus, nodes = job
        amounts = f"1={cpus},2={500 * cpus},4={nodes},5={cpus}" + (f",1001={gpus}" if gpus else "")
        values = (10**15 + place, end, account, cpus, owners[account, user], NO_TASK, 30001 + place, QOS[qos],
                  keys.get((user, wckey), 0), USERS[user], USERS[user], NO_TASK, nodes if start else 0, "compute",
                  STATES[state], submit, eligible, start, end, wckey, amounts if start else "", amounts)  # fmt: skip
        rows.append("(" + ",".join(f"'{value}'" for value in values) + ")")
    names = ("job_db_inx,mod_time,account,cpus_req,id_assoc,id_array_task,id_job,id_qos,id_wckey,id_user,id_group,"
             "het_job_offset,nodes_alloc,`partition`,state,time_submit,time_eligible,time_start,time_end,wckey,tres_alloc,"
             "tres_req")  # fmt: skip
    sql(f"insert into oracle_job_table ({names}) values {','.join(rows)};")
    begin = at("2026-09-25T00:00:00")
    sql(f"update oracle_event_table set time_start={begin} where node_name=''")
    sql(f"update oracle_event_table set time_start={at('2026-10-20T12:00:00')} where node_name='node05'")
    for node, start, end, state in DOWN:
        sql("insert into oracle_event_table (time_start,time_end,node_name,reason,state,tres) values "
            f"({at(start)},{at(end)},'{node}','x',{state},'{NODE}')")  # fmt: skip
    columns = "id_resv,assoclist,flags,nodelist,node_inx,resv_name,time_start,time_end,tres"
    for number, name, start, end, flags, amounts, associations in RESERVED:
        values = (number, associations, flags, "node02", "1", name, at(start), at(end), amounts)
        sql(f"insert into oracle_resv_table ({columns}) values ({','.join(repr(value) for value in values)})")
    day = at("2026-10-08T00:00:00")
    first = f"select min(id_job) as job from oracle_job_table where id_user=2002 and time_start>{day}"
    sql(f"update oracle_job_table set id_resv=12 where id_job=(select job from ({first}) as x)")
    had = "1=4,2=2000,4=1,5=4"
    times = (day + 36000, day + 36000, day + 37800, day + 40500)
    whose = (10**15 + 39000, "project2", 4, 7, NO_TASK, 39000, 1, 2002, 2002, NO_TASK, 12)
    inside = (*whose, 1, "compute", 3, *times, had, had)
    names = (
        "job_db_inx,account,cpus_req,id_assoc,id_array_task,id_job,id_qos,id_user,id_group,het_job_offset,id_resv,"
        "nodes_alloc,`partition`,state,time_submit,time_eligible,time_start,time_end,tres_alloc,tres_req"
    )
    sql(f"insert into oracle_job_table ({names}) values ({','.join(repr(value) for value in inside)})")
    sql(f"delete from oracle_last_ran_table; insert into oracle_last_ran_table values ({begin},{begin},{begin})")
    sh("sacctmgr -i rollup")
    while not (last := sql("select hourly_rollup from oracle_last_ran_table")) or int(last[0][0]) < time.time() - 3700:
        time.sleep(0.3)
    for step in wanted:
        done = subprocess.run(
            shlex.split(step["run"]), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        step |= {"stdout": done.stdout, "stderr": done.stderr, "rc": done.returncode}
    yaml.safe_dump(wanted, sys.stdout, sort_keys=False)


def shares(month: dict[str, Any]) -> None:
    for words in ("account division fairshare=5", "account team parent=division fairshare=parent",
                  "user bob account=team fairshare=3", "user alice account=division fairshare=parent",
                  "account idle fairshare=7", "user bob account=idle fairshare=0"):  # fmt: skip
        sh(f"sacctmgr -i add {words}")
    table = f"sshare -l -a -P -o {TABLE}"
    for user, account, cpus, seconds in WORK:
        sh(f"runuser -u {user} -- sbatch -o /dev/null -A {account} -n{cpus} --wrap 'sleep {seconds}'")
    time.sleep(150)
    found = {
        "associations": sh("sacctmgr -nP show assoc format=id,account,user,fairshare,parentname,lineage"),
        "jobs": sh("sacct -a -X -P -n -o jobid,user,account,start,end,alloctres"),
        "jobs_at": int(time.time()), "jobs_table": sh(table),
    }  # fmt: skip
    numbers = {(row[1], row[2]): int(row[0]) for line in found["associations"].splitlines() if (row := line.split("|"))}
    # billing seconds at the month's end, of which half are left after a week
    used: dict[int, float] = {}
    for place, (user, account, _, _, _, _, start, end, _, cpus, *_) in enumerate(month["jobs"]):
        if account == "project2" and place % 3 == 0:
            account = "team" if user == "bob" else "division"
        weight = 0.5 ** ((at("2026-11-01T00:00:00") - end) / (7 * 86400)) if start else 0.0
        used[numbers[account, user]] = used.get(numbers[account, user], 0.0) + cpus * (end - start) * weight
    sh(f"kill $(cut -d' ' -f1 {STATE}/run/slurmctld.pidrec); sleep 2")
    data = struct.pack(">HQ", 0x2D00, int(time.time()))
    for number, seconds in used.items():
        text = b"%.6f\0" % seconds
        data += struct.pack(">II", number, len(text)) + text + struct.pack(">II", 0, 0)
    (STATE / "state/assoc_usage").write_bytes(data)
    daemon("slurmctld")
    time.sleep(65)  # the next time it is worked out
    yaml.safe_dump(found | {"month": sh(table)}, sys.stdout, sort_keys=False)


if __name__ == "__main__":
    recorded = yaml.safe_load(Path(sys.argv[1]).read_text())
    if sys.argv[2] == "reports":
        reports(recorded, yaml.safe_load(Path(sys.argv[3]).read_text()))
    else:
        shares(recorded)

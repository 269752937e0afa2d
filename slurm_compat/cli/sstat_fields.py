"""sstat's fields: name, width, what of a running step's record each reads, its text; in the order of --helpformat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from slurm_compat.cli import usagevalues as u
from slurm_compat.core import units
from slurm_compat.core.fieldprint import TEXT, WHOLE, Field

Record = Mapping[str, Any]


class View(NamedTuple):
    units: units.Units = units.EXACT


def _measured(name: str, width: int, shape: str, key: str) -> Field:
    def text(record: Record, view: View) -> str | None:
        usage = record["usage"]
        if shape == "seconds":
            return u.seconds(usage, key) or "00:00:00"
        if shape == "disk":
            return u.running_disk(usage, key, view.units)
        if shape == "name":
            return u.name(usage, key) or ("0" if key.endswith("_task") else record["nodes"].partition(",")[0])
        return u.memory(usage, key, view.units) or "0"

    return Field(name, width, ("usage", "nodes"), text, WHOLE if name.endswith("Task") else TEXT)


def _list(name: str, width: int, direction: str, which: str, of: str = "") -> Field:
    def text(record: Record, view: View) -> str | None:
        return u.tres_list(record["usage"], direction, which, of, view.units, record["tasks"], running=True)

    return Field(name, width, ("usage", "tasks"), text)


def _constant(name: str, width: int, value: str) -> Field:
    """No CPU frequencies are set and no energy is metered here: what Slurm shows then."""
    return Field(name, width, (), lambda record, view: value)


def _step_id(record: Record, view: View) -> str:
    return f"{record['job_id']}.{record['step_id']}"


def _pids(record: Record, view: View) -> str:
    return ",".join(str(pid) for _, _, pid in record["pids"])


def _alloc_tres(record: Record, view: View) -> str:
    return "" if record["step_id"] in ("batch", "extern") else record["tres_alloc_str"]


FIELDS = (
    Field("AllocTRES", 10, ("tres_alloc_str", "step_id"), _alloc_tres),
    _measured("AveCPU", 10, "seconds", "ave_cpu"),
    _constant("AveCPUFreq", 10, "0"),
    _measured("AveDiskRead", 12, "disk", "ave_disk_read"),
    _measured("AveDiskWrite", 12, "disk", "ave_disk_write"),
    _measured("AvePages", 10, "memory", "ave_pages"),
    _measured("AveRSS", 10, "memory", "ave_rss"),
    _measured("AveVMSize", 10, "memory", "ave_vmsize"),
    _constant("ConsumedEnergy", 14, "0"),
    _constant("ConsumedEnergyRaw", 17, "0"),
    Field("JobID", -12, ("job_id", "step_id"), _step_id),
    _measured("MaxDiskRead", 12, "disk", "max_disk_read"),
    _measured("MaxDiskReadNode", 15, "name", "max_disk_read_node"),
    _measured("MaxDiskReadTask", 15, "name", "max_disk_read_task"),
    _measured("MaxDiskWrite", 12, "disk", "max_disk_write"),
    _measured("MaxDiskWriteNode", 16, "name", "max_disk_write_node"),
    _measured("MaxDiskWriteTask", 16, "name", "max_disk_write_task"),
    _measured("MaxPages", 8, "memory", "max_pages"),
    _measured("MaxPagesNode", 12, "name", "max_pages_node"),
    _measured("MaxPagesTask", 14, "name", "max_pages_task"),
    _measured("MaxRSS", 10, "memory", "max_rss"),
    _measured("MaxRSSNode", 10, "name", "max_rss_node"),
    _measured("MaxRSSTask", 10, "name", "max_rss_task"),
    _measured("MaxVMSize", 10, "memory", "max_vmsize"),
    _measured("MaxVMSizeNode", 14, "name", "max_vmsize_node"),
    _measured("MaxVMSizeTask", 14, "name", "max_vmsize_task"),
    _measured("MinCPU", 10, "seconds", "min_cpu"),
    _measured("MinCPUNode", 10, "name", "min_cpu_node"),
    _measured("MinCPUTask", 10, "name", "min_cpu_task"),
    Field("Nodelist", 20, ("nodes",), lambda record, view: str(record["nodes"])),
    Field("NTasks", 8, ("tasks",), lambda record, view: str(record["tasks"]), WHOLE),
    Field("Pids", 20, ("pids",), _pids),
    _constant("ReqCPUFreq", 10, "Unknown"),
    _constant("ReqCPUFreqMin", 13, "Unknown"),
    _constant("ReqCPUFreqMax", 13, "Unknown"),
    _constant("ReqCPUFreqGov", 13, "Unknown"),
    Field("SLUID", 14, ("sluid",), lambda record, view: str(record["sluid"])),
    *(_list(*row) for row in u.TRES_LISTS),
)

DEFAULT = (
    "jobid,alloctres,maxvmsize,maxvmsizenode,maxvmsizetask,avevmsize,maxrss,maxrssnode,maxrsstask,averss,maxpages,"
    "maxpagesnode,maxpagestask,avepages,mincpu,mincpunode,mincputask,avecpu,ntasks,avecpufreq,reqcpufreqmin,"
    "reqcpufreqmax,reqcpufreqgov,consumedenergy,maxdiskread,maxdiskreadnode,maxdiskreadtask,avediskread,maxdiskwrite,"
    "maxdiskwritenode,maxdiskwritetask,avediskwrite,tresusageinave,tresusageinmax,tresusageinmaxnode,"
    "tresusageinmaxtask,tresusageinmin,tresusageinminnode,tresusageinmintask,tresusageintot,tresusageoutave,"
    "tresusageoutmax,tresusageoutmaxnode,tresusageoutmaxtask,tresusageoutmin,tresusageoutminnode,tresusageoutmintask,"
    "tresusageouttot"
)
PIDS = "jobid,nodelist,pids,"  # -i

"""Slurm's numbered errors: what a refused call carries, and what the commands print for it.

The texts are those `scontrol errnumstr N` of Slurm 26.05 prints. The names are those of slurm_errno.h without their
ESLURM_ prefix; only the numbers this project raises have one. Standard library only: agents use it too.
"""

from __future__ import annotations

from collections.abc import Iterable

PERMISSION_DENIED = 13  # of errno
UNEXPECTED_MESSAGE = 1000
AUTHENTICATION = 1007
CONNECT_FAILURE = 1800
INVALID_PARTITION_NAME = 2000
DEFAULT_PARTITION_NOT_SET = 2001
ACCESS_DENIED = 2002
TOO_MANY_REQUESTED_CPUS = 2005
INVALID_NODE_COUNT = 2006
MAX_JOB_COUNT = 2007
JOB_SCRIPT_MISSING = 2009
USER_ID_MISSING = 2010
PATHNAME_TOO_LONG = 2012
REQUESTED_NODE_CONFIG_UNAVAILABLE = 2014
REQUESTED_PART_CONFIG_UNAVAILABLE = 2015
NODES_BUSY = 2016
INVALID_JOB_ID = 2017
INVALID_NODE_NAME = 2018
TRANSITION_STATE_NO_UPDATE = 2020
ALREADY_DONE = 2021
JOB_PENDING = 2024
BAD_TASK_COUNT = 2025
INVALID_NODE_STATE = 2028
INVALID_FEATURE = 2029
NOT_SUPPORTED = 2036
DISABLED = 2037
DEPENDENCY = 2038
JOB_HELD = 2042
INVALID_TASK_MEMORY = 2044
INVALID_ACCOUNT = 2045
INVALID_LICENSES = 2048
ACCOUNTING_POLICY = 2050
INVALID_TIME_LIMIT = 2051
RESERVATION_ACCESS = 2052
RESERVATION_INVALID = 2053
INVALID_TIME_VALUE = 2054
RESERVATION_IN_USE = 2055
RESERVATION_OVERLAP = 2058
NO_WORKING_DIRECTORY = 2063
INVALID_QOS = 2066
NODE_NOT_AVAIL = 2068
INVALID_CPU_COUNT = 2069
PARTITION_NOT_AVAIL = 2070
CIRCULAR_DEPENDENCY = 2071
INVALID_GRES = 2072
JOB_NOT_PENDING = 2073
PARTITION_IN_USE = 2075
JOB_SUSPENDED = 2077
CAN_NOT_START_IMMEDIATELY = 2078
RESERVATION_EMPTY = 2080
INVALID_ARRAY = 2081
RESERVATION_NAME_DUP = 2082
JOB_FINISHED = 2084
JOB_NOT_RUNNING = 2085
JOB_NOT_SUSPENDED = 2087
INTERNAL = 2090
PRIORITY_RESET = 2095
PARTITION_DOWN = 2101
RESERVATION_STARTED = 2104
NOT_WHOLE_HET_JOB = 2108
CORE_RESERVATION_UPDATE = 2109
INVALID_GROUP_ID = 2113
INVALID_BATCH_FEATURES = 2114
INVALID_TRES = 2115
INVALID_GRES_TYPE = 2119
INVALID_NICE = 2123
INVALID_TIME_MIN = 2124
RESERVATION_NO_SKIP = 2128
RESERVATION_USERS_AND_GROUPS = 2129
INVALID_PREFER = 2133
INVALID_NODE_STATE_TRANSITION = 2180
INVALID_POWER_ACTION = 2187
BAD_ARGUMENT = 3001
INVALID_ACCTG_FREQ = 4003
TIMED_OUT = 5004
ZERO_BYTES = 5005
PLUGIN_NOT_LOADED = 8004

TEXT: dict[int, str] = {
    1000: "Unexpected message received",
    1001: "Communication connection failure",
    1002: "Message send failure",
    1003: "Message receive failure",
    1004: "Communication shutdown failure",
    1005: "Incompatible versions of client and server code",
    1006: "I/O stream version number error",
    1007: "Protocol authentication error",
    1008: "Insane message length",
    1009: "Invalid MPI plugin name",
    1010: "MPI plugin's pre-launch setup failed",
    1011: "Plugin initialization failed",
    1012: "Can't find an address, check slurm.conf",
    1013: "Unexpected missing socket error",
    1014: "Unable to process incoming file descriptor",
    1015: "Unable to process outgoing file descriptor",
    1016: "Unable to process incoming and outgoing file descriptors",
    1017: "Read would block",
    1018: "Write would block",
    1019: "Connection rejected by handler",
    1020: "Connection forced closed by quiesce timeout",
    1021: "Connection timed out establishing",
    1022: "Connection timed out writing",
    1023: "Connection timed out reading",
    1800: "Unable to contact slurm controller (connect failure)",
    1801: "Unable to contact slurm controller (send failure)",
    1802: "Unable to contact slurm controller (receive failure)",
    1803: "Unable to contact slurm controller (shutdown failure)",
    1804: "Rate limit exceeded, please retry momentarily",
    1805: "Rate limit exceeded, please retry later",
    1900: "Data has not changed since time specified",
    2000: "Invalid partition name specified",
    2001: "No partition specified or system default partition",
    2002: "Access/permission denied",
    2003: "User's group not permitted to use this partition",
    2004: "Requested nodes not in this partition",
    2005: "More processors requested than permitted",
    2006: "Node count specification invalid",
    2007: "MaxJobCount limit reached",
    2008: "Job size specification needs to be provided",
    2009: "Job script not specified",
    2010: "Invalid user id",
    2011: "Duplicate job id",
    2012: "Pathname of a file, directory or other parameter too long",
    2013: "Immediate execution impossible, insufficient priority",
    2014: "Requested node configuration is not available",
    2015: "Requested partition configuration not available now",
    2016: "Requested nodes are busy",
    2017: "Invalid job id specified",
    2018: "Invalid node name specified",
    2019: "I/O error writing script/environment to file",
    2020: "Job can not be altered now, try again later",
    2021: "Job/step already completing or completed",
    2022: "Error configuring interconnect",
    2023: "Task distribution specification invalid",
    2024: "Job is pending execution",
    2025: "Task count specification invalid",
    2026: "Error generating job credential",
    2027: "Slurm backup controller in standby mode",
    2028: "Invalid node state specified",
    2029: "Invalid feature specification",
    2030: "AuthType change requires restart of all Slurm daemons and commands to take effect",
    2031: "Active features not subset of available features",
    2032: "SchedulerType change requires restart of the slurmctld daemon to take effect",
    2033: "SelectType change requires restart of the slurmctld daemon to take effect",
    2034: "SwitchType change requires restart of all Slurm daemons and jobs to take effect",
    2035: "Immediate execution impossible, resources too fragmented for allocation",
    2036: "Requested operation not supported on this system",
    2037: "Requested operation is presently disabled",
    2038: "Job dependency problem",
    2039: "Only batch jobs are accepted or processed",
    2040: "Licenses currently unavailable",
    2041: "Unable to takeover, heartbeat file is missing",
    2042: "Job is in held state, pending scheduler release",
    2043: "CredType change requires restart of all Slurm daemons to take effect",
    2044: "Memory required by task is not available",
    2045: "Invalid account or account/partition combination specified",
    2046: "Invalid parent account specified",
    2047: "Account already child of parent account specified",
    2048: "Invalid license specification",
    2049: "The node configuration changes that were made require restart of the slurmctld daemon to take effect",
    2050: "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
    2051: "Requested time limit is invalid (missing or exceeds some limit)",
    2052: "Access denied to requested reservation",
    2053: "Requested reservation is invalid",
    2054: "Invalid time specified",
    2055: "Requested reservation is in use",
    2056: "Requested reservation not usable now",
    2057: "Invalid wckey specification",
    2058: "Requested reservation overlaps with another reservation",
    2059: "Required ports are in use",
    2060: "Requires more ports than can be reserved",
    2061: "PrologSlurmctld is still running",
    2062: "Job steps can not be run on this cluster",
    2063: "Job cannot be submitted without the current working directory specified.",
    2064: "No running or pending steps in the job",
    2066: "Invalid qos specification",
    2067: "QOS Preemption loop detected",
    2068: "Required node not available (down, drained or reserved)",
    2069: "CPU count specification invalid",
    2070: "Required partition not available (inactive or drain)",
    2071: "Circular job dependency",
    2072: "Invalid generic resource (gres) specification",
    2073: "Job is no longer pending execution",
    2074: "Requested account has breached requested QOS usage threshold",
    2075: "Partition is in use",
    2076: "Step limit reached for this job",
    2077: "Job is current suspended, requested operation disabled",
    2078: "Job can not start immediately",
    2080: "Reservation request lacks users, groups or accounts",
    2081: "Invalid job array specification",
    2082: "Duplicate reservation name",
    2083: "Job has already started",
    2084: "Job has already finished",
    2085: "Job is not running",
    2086: "Job is not pending nor running",
    2087: "Job is not suspended",
    2088: "Job is not finished",
    2089: "Duplicate event trigger",
    2090: "Slurm internal error, contact system administrator",
    2091: "BurstBufferType change requires restart of slurmctld daemon to take effect",
    2092: "Burst Buffer permission denied",
    2093: "Burst Buffer resource limit exceeded",
    2094: "Burst Buffer request invalid",
    2095: "Changes to job priority are not persistent, change nice instead",
    2096: "Cannot modify scrontab jobs through scontrol",
    2097: "NamespaceType change requires restart of all Slurm daemons and commands to take effect",
    2098: "Cannot cancel scrontab jobs without --cron flag.",
    2099: "Invalid mcs_label specified",
    2100: "Waiting for burst buffer",
    2101: "Partition in DOWN state",
    2102: "Duplicate generic resource (gres) specification",
    2104: "Reservation already started",
    2105: "System submissions disabled",
    2106: "Job not heterogeneous job",
    2107: "Job not heterogeneous job leader",
    2108: "Operation not permitted on individual component of heterogeneous job",
    2109: "Core-based reservation can not be updated",
    2110: "Duplicate job step id",
    2111: "Core count for reservation node list is not consistent!",
    2112: "X11 forwarding not available",
    2113: "Invalid group id",
    2114: "Job --batch option is invalid or not a subset of --constraint",
    2115: "Invalid Trackable RESource (TRES) specification",
    2116: "Invalid TRESBillingWeights specification",
    2117: "Invalid JobDefaults specification",
    2118: "Job can not start due to maintenance reservation.",
    2119: "Invalid GRES specification (with and without type identification)",
    2120: "Reboot already in progress",
    2121: "Multiple KNL NUMA and/or MCDRAM constraints require use of a heterogeneous job",
    2122: "Requested GRES option unsupported by configured SelectType plugin",
    2123: "Invalid --nice value",
    2124: "Invalid time-min specification (exceeds job's time or other limits)",
    2125: "Immediate execution impossible. Individual job submission scheduling attempts deferred",
    2126: "ConfigLess mode is disabled in slurm configuration.",
    2127: "Environment is missing in job",
    2128: "Reservation given is not skipable, try deleting instead",
    2129: "Reservations can't have users and groups specified, only one or the other",
    2130: "Multiple partition job request not supported when a partition is set in the association",
    2131: "Controller is in standby mode, try a different controller",
    2132: "Cannot request more threads per core than the job allocation",
    2133: "Invalid preferred feature specification",
    2134: "Insufficient GRES available in allocation",
    2135: "Invalid container id specified",
    2136: "JobID must not be an empty string",
    2137: "JobID can not be zero",
    2138: "JobID can not be a negative number",
    2139: "JobID larger than acceptable range",
    2140: "JobID includes unexpected non-numeric characters",
    2141: "Job Array ID must not be an empty string",
    2142: "Job Array ID can not be a negative number",
    2143: "Job Array ID larger than acceptable range",
    2144: "Job Array ID includes unexpected non-numeric characters",
    2146: "HetJob component must not be an empty string",
    2147: "HetJob component can not be a negative number",
    2148: "HetJob component larger than acceptable range",
    2150: "StepID must not be an empty string",
    2151: "StepID can not be a negative number",
    2152: "StepID larger than acceptable range",
    2153: "StepID includes unexpected non-numeric characters",
    2154: "HetStep component must not be an empty string",
    2155: "HetStep component can not be zero",
    2156: "HetStep component can not be a negative number",
    2157: "HetStep component larger than acceptable range",
    2158: "HetStep component includes unexpected non-numeric characters",
    2159: "HetJob can not Het step id",
    2160: "Job killed due hitting max wall clock limit",
    2161: "Job killed due node failure",
    2162: "Empty list",
    2163: "Invalid group ID",
    2164: "Unable to resolve group ID to group name",
    2165: "Invalid user ID",
    2166: "Unable to resolve user ID to user name",
    2167: "Invalid or unknown association",
    2168: "Node already exists in the node table",
    2169: "Unable to add node, node table is full",
    2170: "Invalid QOS specification, relative QOS can only be used in a single partition per cluster.",
    2171: "Invalid extra constraints specification",
    2172: "Cannot signal job",
    2173: "Invalid signal jobs request, at least one job id or filter is required.",
    2174: "RestrictedCoresPerGPU: Not enough unique cores per GPU",
    2175: "RestrictedCoresPerGPU: Missing core topology for GPUs",
    2176: "RestrictedCoresPerGPU: No GPUs configured on node",
    2177: "Max powered up nodes reached",
    2178: "Requested topology configuration is not available",
    2179: "Preemption is required but is disabled on this system",
    2180: "Invalid node state transition",
    2181: "Invalid job state",
    2185: "SLUID is invalid",
    2186: "Requested operation requires extern step",
    2187: "Invalid power action",
    2188: "Step queued as pending",
    2189: "Invalid configuration for external job",
    2190: "Unable to load file for reading",
    3000: "Generic error",
    3001: "Bad argument",
    3002: "Not in task context",
    3003: "Environment variable exists",
    3004: "No such environment variable",
    3005: "Buffer too small",
    3006: "Valid only in remote context",
    3007: "Id/PID does not exist on this node",
    3008: "Lookup by PID requested, but no tasks running",
    3009: "Item not available from this callback",
    3010: "Valid only in local or allocator context",
    4001: "Kill task failed",
    4003: "Invalid accounting frequency requested",
    4004: "Invalid job credential",
    4007: "Job credential expired",
    4008: "Job credential revoked",
    4009: "Job credential replayed",
    4010: "Slurmd could not create a batch directory or file",
    4014: "Slurmd could not set up environment for batch job",
    4016: "Slurmd could not set UID or GID",
    4020: "Slurmd could not execve job",
    4021: "Slurmd could not connect IO",
    4022: "Job prolog failed",
    4023: "Job epilog failed",
    4025: "Too many job steps on node",
    4026: "Job step already exists",
    4027: "Job step not running",
    4028: "Job step is suspended",
    4029: "Job step is not currently suspended",
    4030: "Unix socket name exceeded maximum length",
    4031: "Container runtime not configured or invalid",
    4032: "Unable to satisfy cpu bind request",
    4033: "Unable to layout tasks on given cpus",
    4035: "Unable to proxy slurmstepd message",
    5003: "Header lengths are longer than data received",
    5004: "Socket timed out on send/recv operation",
    5005: "Zero Bytes were transmitted or received",
    6000: "Invalid authentication credential",
    6001: "Authentication credential expired",
    6004: "Bad argument to plugin function",
    6007: "Cannot unpack credential",
    6008: "Authentication does not apply to request",
    6009: "Token Generation failed.",
    6010: "Rejecting authentication of user nobody or group nobody",
    6011: "Unable to query kernel for socket peer credential",
    7000: "Unable to connect to database",
    7001: "Job(s) active, cancel job(s) before remove",
    7002: "Cluster deleted, commit/rollback immediately",
    7003: "Can only change one at a time",
    7004: "Unacceptable name given. (No '.' in name allowed)",
    7005: "You can not allocate more than 100% of a resource",
    7006: "Query result exceeds size limit",
    7007: "Too wide of a date range in query",
    7008: "Database connection reference is invalid",
    7009: "You can not remove the default account of a user",
    7010: "There is something internally wrong with the SQL needed for this. Please consult the slurmdbd log for more info.",  # noqa: E501
    7011: "This request would make it so some associations would not have access to their default qos.",
    7012: "Coordinators can not increase job limits beyond the parent ones",
    7013: "No RPC stats are available",
    7014: "Invalid value for Allowed field when SharedPool enabled, must be 0 or 100% (without Absolute) or Count (with Absolute).",  # noqa: E501
    7015: "Usage rollup or archive in progress, retry later",
    8000: "Time limit specification required, but not provided",
    8002: "Plugin has invalid format or unable to be loaded",
    8003: "Plugin missing required symbol or function",
    8004: "Required plugin type not loaded or initialized",
    8005: "Plugin file not found",
    8006: "Plugin access denied",
    8007: "Dlopen of plugin file failed",
    8008: "Plugin init() callback failed",
    8009: "Plugin name/type/version symbol missing",
    8010: "Incompatible plugin version",
    9000: "Query empty or not RFC7320 compliant",
    9001: "Failure during parsing",
    9002: "Jobs description entry not found, empty or not dictionary or list",
    9003: "Nothing found with query",
    9004: "Missing UNIX user in the system",
    9005: "Missing UNIX group in the system",
    9006: "Unable to find requested URL endpoint. Please query the '/openapi/v3' endpoint or visit 'https://slurm.schedmd.com/rest_api.html' for the OpenAPI specification which includes a list of all possible slurmrestd endpoints.",  # noqa: E501
    9007: "Requested HTTP query method is not supported at URL endpoint. Please query the '/openapi/v3' endpoint or visit 'https://slurm.schedmd.com/rest_api.html' for the OpenAPI specification which includes a list of all possible slurmrestd endpoints.",  # noqa: E501
    9008: "Authentication failure",
    9009: "Query requirements not met",
}


class SlurmError(Exception):
    """A call the controller refused. `number` is Slurm's; `text` what a user reads after the command's own words.

    `notes`: lines that a command prints before that one, each as an error of its own.
    """

    def __init__(self, number: int, text: str = "", notes: Iterable[str] = ()) -> None:
        self.number = number
        self.text = text or TEXT.get(number, f"Unknown error {number}")
        self.notes = list(notes)
        super().__init__(self.text)


class CommandError(Exception):
    """Ends a command: `lines` go to stderr as they are (already prefixed), then it exits with `code`."""

    def __init__(self, *lines: str, code: int = 1) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
        self.code = code


class UsageError(CommandError):
    """getopt_long's words of an option. The first line begins with the command's name, and is shown with the path by
    which the command was called."""


class BadValue(ValueError):
    """A text that has none of the shapes its reader takes. The caller knows which option or key to name."""


class CannotCarry(CommandError):
    """An option that would change the result and has no counterpart here. Names it, and what to do instead."""

    def __init__(self, command: str, option: str, instead: str) -> None:
        super().__init__(f"{command}: error: {option} is not supported here; {instead}", code=1)
        self.option = option

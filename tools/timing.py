"""What the scripts of figures have in common: timing whole processes, alone and several at once. Standard library only:
it also runs where the real Slurm is.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time

NULL = subprocess.DEVNULL
results: dict[str, tuple[float, str]] = {}


def run(argv: list[str], **env: str) -> float:
    """Seconds of a whole process; a failed one ends the measuring."""
    began = time.perf_counter()
    done = subprocess.run(
        argv, stdout=NULL, stderr=subprocess.PIPE, stdin=NULL, env=os.environ | env if env else None, check=False
    )
    took = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{argv}: exit code {done.returncode}: {done.stderr.decode()[:500]}")
    return took


def note(name: str, value: float, unit: str) -> None:
    results[name] = (round(value, 3), unit)
    print(f"{name}: {value:.2f} {unit}", file=sys.stderr, flush=True)


def latency(name: str, argv: list[str], times: int, **env: str) -> None:
    run(argv, **env)
    note(name, statistics.median(run(argv, **env) for _ in range(times)) * 1000, "ms")


def together(argv: list[str], count: int, clients: int) -> float:
    """Times a second that `clients` at once run it, `count` times in all."""
    left = iter(range(count))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                if next(left, None) is None:
                    return
            run(argv)

    began = time.perf_counter()
    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return count / (time.perf_counter() - began)

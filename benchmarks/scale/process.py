"""What a process has taken so far, as the kernel counts it.

In: a process id. Out: memory in bytes, CPU in seconds.
"""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.scale.clock import Deadline

_TICKS = os.sysconf("SC_CLK_TCK")
_QUIET = 0.03
_QUIET_SECONDS = 2.0


def memory(pid: int) -> Mapping[str, int]:
    """Resident and proportional set size, and the most that was ever resident."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    lines += [line for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines() if "VmHWM" in line]
    sizes = {name: int(size.split()[0]) * 1024 for name, _, size in (line.partition(":") for line in lines)}
    return {"rss": sizes["Rss"], "pss": sizes["Pss"], "peak": sizes["VmHWM"]}


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used, its own and the system's for it."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def cpu_share(pids: Sequence[int], seconds: float) -> list[float]:
    """How much of a core each of some processes uses within the next seconds."""
    began, before = time.monotonic(), [cpu(pid) for pid in pids]
    time.sleep(seconds)
    passed = time.monotonic() - began
    return [(cpu(pid) - used) / passed for pid, used in zip(pids, before, strict=True)]


def wait_until_quiet(pids: Sequence[int], deadline: Deadline) -> float:
    """Wait until processes do next to nothing. Gives the seconds until then."""
    began = time.monotonic()
    while sum(cpu_share(pids, _QUIET_SECONDS)) > _QUIET:
        deadline.check("the controller and its Envoy to come to rest")
    return time.monotonic() - began - _QUIET_SECONDS


def child(pid: int, command: str) -> int | None:
    """The child of a process that runs a command, if it is there."""
    for each in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split():
        if Path(f"/proc/{each}/comm").read_text(encoding="utf-8").strip() == command:
            return int(each)
    return None

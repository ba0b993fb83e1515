"""What was measured on, and with: facts that a figure means nothing without.

In: the machine. Out: values for JSON.
"""

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from benchmarks.scale.cluster import ROOT
from benchmarks.scale.subjects import ENVOY

_CONTOUR = re.compile(r"github.com/projectcontour/contour (v\S+)")


def machine() -> Mapping[str, object]:
    """The machine, and how busy it is at the start."""
    processors = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = re.search(r"model name\s*: (.*)", processors)
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": os.cpu_count(),
        "processor": model[1] if model else platform.processor(),
        "memory": pages,
        "system": f"{platform.system()} {platform.release()}",
    }


def versions() -> Mapping[str, str]:
    """The versions of all that takes part."""
    modules = (ROOT / "tools" / "contour" / "go.mod").read_text(encoding="utf-8")
    contour = _CONTOUR.search(modules)
    return {
        "this controller": _output("git", "describe", "--always", "--dirty") or metadata.version("ingress-controller"),
        "Contour": contour[1] if contour else "",
        "Envoy": _output(str(ENVOY), "--version").rpartition("version: ")[2].split("/")[1],
        "Kubernetes": _output(str(ROOT / ".tools" / "kube-apiserver"), "--version").removeprefix("Kubernetes "),
        "Python": platform.python_version(),
    }


def load_average() -> float:
    """How many processes wanted to run, on average of the last minute."""
    return os.getloadavg()[0]


def _output(*command: str) -> str:
    finished = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    return finished.stdout.strip()

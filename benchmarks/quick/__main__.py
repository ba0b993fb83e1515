"""Measures the ratio.

Two programs with an Envoy each run side by side, one with `FEW` hosts and one with `MANY`. Changes are made to one and
the other in turn, so that whatever else the machine does meets both alike. A change is a line on the program's input
that gives an Ingress a new path; it has taken effect when Envoy has a route for that path. A block of such pairs gives
a ratio of medians, and the figure is the median of the blocks'.

A machine can be so busy that even this misleads. So a figure above `LIMIT` is measured again, up to `ATTEMPTS` times
in all and while there is time: it fails if all are above. The last line of the output is the least of them.
"""

import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from itertools import count

from benchmarks.scale import objects
from benchmarks.scale.client import Client, Sweep, Target, is_routed
from benchmarks.scale.clock import Deadline
from benchmarks.scale.cluster import ROOT
from tests.real_servers import Manifest

FEW, MANY = 100, 2000
LIMIT = 1.5
ATTEMPTS = 3
SECONDS = 110.0

_BLOCKS, _PAIRS, _WARM_UP = 9, 20, 20
_GAP = 0.01
_STOP_SECONDS = 10.0
_MARGIN = 1.5


class Program:
    """A running `benchmarks.quick.program` with a number of hosts.

    Attributes:
        size: how many.
    """

    def __init__(self, size: int, deadline: Deadline) -> None:
        """Start it; it has no hosts yet."""
        command = [sys.executable, "-m", "benchmarks.quick.program"]
        self.size = size
        self._deadline = deadline
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._paths = (f"/change-{number}" for number in count())
        self._random = random.Random(1)  # noqa: S311 (which host is changed; the same in each run)

    def fill(self) -> None:
        """Give it its hosts, and wait until all are served."""
        assert self._process.stdout  # noqa: S101 (it is piped)
        first = self._process.stdout.readline()
        if not first:
            raise RuntimeError("the program has ended; it says why above")
        port = int(first)
        manifests = (manifest for _, manifest in objects.objects_of(range(self.size), objects.SHARED_POLICIES))
        self._send(objects.cluster_objects()[1], *manifests)
        rest: Iterable[Target] = [objects.target(number) for number in range(self.size)]
        with closing(Sweep(port, objects.target(0).host)) as sweep:
            while rest := sweep.missing(rest):
                self._deadline.check("all hosts to be served")
        self._client = Client(port, objects.target(0).host)

    def change(self) -> float:
        """Change one host. Gives the seconds until that is served."""
        number, path = self._random.randrange(self.size), next(self._paths)
        wanted = objects.target(number, path)
        manifest = objects.make_numbered(number, objects.SHARED_POLICIES, (*objects.PATHS, path))
        if is_routed(self._client.status(wanted)):
            raise RuntimeError(f"{wanted} is served before it is there")
        began = time.perf_counter()
        self._send(manifest)
        self._deadline.wait(lambda: is_routed(self._client.status(wanted)), "a change to be served")
        return time.perf_counter() - began

    def _send(self, *manifests: Manifest) -> None:
        assert self._process.stdin  # noqa: S101 (it is piped)
        for manifest in manifests:
            line = json.dumps({"type": "ADDED", "object": manifest}) + "\n"
            self._process.stdin.write(line.encode())
        self._process.stdin.flush()

    def close(self) -> None:
        """End it, and wait for its end."""
        assert self._process.stdin  # noqa: S101 (it is piped)
        self._process.stdin.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def figure(few: Callable[[], float], many: Callable[[], float], blocks: int = _BLOCKS, pairs: int = _PAIRS) -> float:
    """The ratio of what two changes take, in turn: the median of the ratios of blocks."""
    ratios = []
    for _ in range(blocks):
        seconds: tuple[list[float], list[float]] = ([], [])
        for _ in range(pairs):
            for change, taken in zip((few, many), seconds, strict=True):
                taken.append(change())
                time.sleep(_GAP)
        small, large = (statistics.median(taken) * 1000 for taken in seconds)
        print(f"p50 at {FEW} hosts {small:.1f} ms, at {MANY:,} hosts {large:.1f} ms, ratio {large / small:.2f}")
        ratios.append(large / small)
    return statistics.median(ratios)


def main() -> None:
    """Measure, and fail above the limit."""
    print(f"this takes {SECONDS:.0f} seconds at most")
    deadline = Deadline(SECONDS)
    with closing(Program(FEW, deadline)) as few, closing(Program(MANY, deadline)) as many:
        for program in (few, many):
            program.fill()
        for _ in range(_WARM_UP):
            few.change()
            many.change()
        began = time.monotonic()
        least = figure(few.change, many.change)
        taken = time.monotonic() - began
        for _ in range(ATTEMPTS - 1):
            if least > LIMIT and deadline.left > _MARGIN * taken:
                print(f"{least:.2f} is above {LIMIT}; once more")
                least = min(least, figure(few.change, many.change))
    print(f"p50 of a change at {MANY:,} hosts over p50 at {FEW}, at most {LIMIT} is allowed: {least:.2f}")
    sys.exit(least > LIMIT)


if __name__ == "__main__":
    main()

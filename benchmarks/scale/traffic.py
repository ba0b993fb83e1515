"""Users who go on working while things change: a steady flow of requests, of which every one must be answered.

Run: `python -m benchmarks.scale.traffic PORT HOST [tls]`. Until it gets SIGTERM it asks 100 times a second over a
connection that is kept, and ten times a second over a new one. Then it prints what it saw as JSON.
"""

import json
import signal
import sys
import time
from collections.abc import Callable

from benchmarks.scale.client import NO_ANSWER, Connection, Target

_PER_SECOND = 100
_EVERY = 10
"""One of so many requests goes over a new connection."""
_MOST = 20


class Traffic:
    """The requests so far."""

    def __init__(self, port: int, host: str, *, tls: bool) -> None:
        self._port = port
        self._server_name = host if tls else ""
        self._target = Target(host, "/app")
        self._kept: Connection | None = None
        self._began = time.monotonic()
        self.asked = 0
        self.longest = 0.0
        self.failed = 0
        self.failures: list[str] = []

    def step(self) -> None:
        """Ask once."""
        self.asked += 1
        began = time.monotonic()
        try:
            status = self._ask_anew() if self.asked % _EVERY == 0 else self._ask()
            problem = "" if status == 200 else f"status {status}"
        except NO_ANSWER as error:
            problem = repr(error)
            self._kept = None
        self.longest = max(self.longest, time.monotonic() - began)
        if problem:
            self.failed += 1
            if len(self.failures) < _MOST:
                self.failures.append(f"after {began - self._began:.2f} s: {problem}")

    def _ask(self) -> int:
        if self._kept is None or not self._kept.is_open:
            self._kept = Connection(self._port, self._server_name)
        return self._kept.ask(self._target).status

    def _ask_anew(self) -> int:
        connection = Connection(self._port, self._server_name)
        try:
            return connection.ask(self._target).status
        finally:
            connection.close()


def run(traffic: Traffic, is_over: Callable[[], bool]) -> None:
    """Ask at the rate of this module until it is over."""
    following = time.monotonic()
    while not is_over():
        traffic.step()
        following = max(following + 1 / _PER_SECOND, time.monotonic() - 1)
        time.sleep(max(0.0, following - time.monotonic()))


def main() -> None:
    """Ask until SIGTERM."""
    ended = False

    def end(*_: object) -> None:
        nonlocal ended
        ended = True

    signal.signal(signal.SIGTERM, end)
    traffic = Traffic(int(sys.argv[1]), sys.argv[2], tls="tls" in sys.argv[3:])
    run(traffic, lambda: ended)
    seen = {
        "requests": traffic.asked,
        "failed": traffic.failed,
        "longest_ms": traffic.longest * 1000,
        "failures": traffic.failures,
    }
    sys.stdout.write(json.dumps(seen) + "\n")


if __name__ == "__main__":
    main()

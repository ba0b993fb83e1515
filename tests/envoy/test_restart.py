"""The program and Envoy are killed and come back; users notice nothing; with real processes."""

import json
import os
import signal
import stat
from functools import partial
from pathlib import Path
from typing import Any

from tests.clients import Connection, connect
from tests.envoy_process import EnvoyProcess, eventually, short_directory
from tests.hammer import Status, hammering
from tests.manifests import CLASS, PUBLIC, documents, make_ingress, make_service, make_web
from tests.program import Program, program
from tests.upstream import Upstream, upstream

HOSTS = [f"h{number}.test" for number in range(20)]


def objects(web: Upstream, *ingresses: str) -> str:
    return documents(CLASS, make_web(web.port), make_ingress("hosts", HOSTS), *ingresses)


def write(running: Program, content: str) -> None:
    draft = running.directory / "draft"
    draft.write_text(content)
    draft.replace(running.directory / "manifests" / "all.yaml")


def own_bootstrap(running: Program, directory: Path) -> dict[str, Any]:
    """What the program tells an operator to start Envoy with; only the admin socket is elsewhere."""
    bootstrap: dict[str, Any] = json.loads((running.directory / "data" / "bootstrap.json").read_text())
    return bootstrap | {"admin": {"address": {"pipe": {"path": str(directory / "admin.sock")}}}}


async def ask(running: Program, host: str) -> Status:
    async with connect(running.https_port, host) as connection:
        return (await connection.get(host)).status


async def ask_on(connection: Connection) -> Status:
    return (await connection.get(HOSTS[0])).status


async def is_served(running: Program, host: str) -> bool:
    async with connect(running.https_port, HOSTS[0]) as connection:
        return (await connection.get(host)).status == 200


async def test_killed_controller_is_not_noticed_and_comes_back_with_the_differences() -> None:
    with short_directory() as directory:
        async with upstream() as web, program(directory) as running:
            write(running, objects(web))
            await running.started()
            envoy_directory = directory / "envoy"
            async with EnvoyProcess(own_bootstrap(running, envoy_directory), envoy_directory) as envoy:
                await envoy.ready()
                await running.ready()
                # The certificates of all hosts but the last have been asked for.
                assert {await ask(running, host) for host in HOSTS[:-1]} == {200}
                async with connect(running.https_port, HOSTS[0]) as kept:
                    await kill_and_start_again(running, web, kept)


async def kill_and_start_again(running: Program, web: Upstream, kept: Connection) -> None:
    async with hammering(
        partial(ask, running, HOSTS[1]), partial(ask, running, HOSTS[2]), partial(ask_on, kept)
    ) as hammer:
        await running.kill()
        await hammer.more(50)
        write(running, objects(web, make_ingress("new", "new.test")))
        await running.start()
        await running.ready()
        await eventually(partial(is_served, running, "new.test"), "what was written meanwhile is served")
        # Everything else has the same version as before.
        assert await running.sent() == {"ScopedRouteConfiguration": 1}
        write(running, objects(web, make_ingress("newer", "newer.test")))
        await eventually(partial(is_served, running, "newer.test"), "changes flow again")
        assert await ask(running, HOSTS[-1]) == 200
        await hammer.more(10)
    assert set(hammer.statuses) == {200}


async def test_killed_envoy_is_started_again_with_the_same_configuration() -> None:
    with short_directory() as directory:
        async with upstream() as web, program(directory, "auto") as running:
            write(running, objects(web))
            await running.ready()
            await eventually(partial(is_ready, running), "served")
            admin, sockets = directory / "data" / "adm.sock", directory / "data"
            for socket in (admin, sockets / "xds.sock"):
                assert stat.S_IMODE(socket.stat().st_mode) == 0o600
            assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
            first = envoy_pid(running)
            os.kill(first, signal.SIGKILL)
            await eventually(partial(is_ready, running), "served again")
            assert envoy_pid(running) != first
            assert {await ask(running, host) for host in HOSTS} == {200}
            write(running, objects(web, make_ingress("new", "new.test")))
            await eventually(partial(is_served, running, "new.test"), "changes flow again")
            last = envoy_pid(running)
            assert await running.stop() == 0
            assert command_line(Path(f"/proc/{last}")) == b""


async def is_ready(running: Program) -> bool:
    try:
        return await ask(running, HOSTS[0]) == 200
    except OSError:
        return False


def envoy_pid(running: Program) -> int:
    """The Envoy that the program has started: the process whose command line names its bootstrap file."""
    bootstrap = str(running.directory / "data" / "bootstrap.json").encode()
    processes = (path for path in Path("/proc").iterdir() if path.name.isdigit())
    (found,) = (int(path.name) for path in processes if bootstrap in command_line(path).split(b"\0"))
    return found


def command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


async def test_edited_manifest_is_served_and_a_mistake_is_said() -> None:
    with short_directory() as directory:
        async with upstream() as web, program(directory, "auto") as running:
            write(running, objects(web))
            await running.ready()
            await eventually(partial(is_ready, running), "served")
            async with connect(running.https_port, HOSTS[0]) as kept:
                assert (await kept.get("new.test")).status == 404
                write(running, objects(web, make_ingress("new", "new.test", PUBLIC | {"timeout": "soon"})))

                async def is_said() -> bool:
                    return "timeout: must be a duration" in running.log

                await eventually(is_said, "the mistake is said")
                line = next(line for line in running.log.splitlines() if "timeout: must be" in line)
                assert (
                    "Warning UpdateError Ingress default/new: upsert routes: parsing ingress: annotations: "
                    "ingress.pomerium.io/timeout: must be a duration such as 30s, 1m30s or 1500ms, got 'soon'"
                ) in line

                async def is_closed() -> bool:
                    return (await kept.get("new.test")).body == b"503 invalid-annotation\n"

                await eventually(is_closed, "its paths are closed")
                write(running, objects(web, make_service("new"), make_ingress("new", "new.test")))
                await eventually(partial(is_served, running, "new.test"), "the corrected manifest is served")

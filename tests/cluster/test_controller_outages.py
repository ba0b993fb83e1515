"""What happens to requests while a part of the system is away."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from tests.clients import Connection
from tests.cluster.objects import apply, make_class, make_ingress, make_web
from tests.cluster.program import Program, pod, processes, running
from tests.envoy_process import EnvoyProcess, eventually, short_directory
from tests.hammer import Status, hammering
from tests.real_servers import ControlPlane

PACE = 0.01
"""Seconds between requests under load, which leave the processor to what is tested."""


async def ask(program: Program, host: str) -> Status:
    await asyncio.sleep(PACE)
    return (await program.get(host)).status


async def ask_on(connection: Connection, host: str) -> Status:
    await asyncio.sleep(PACE)
    return (await connection.get(host)).status


@asynccontextmanager
async def running_beside_envoy(
    control_plane: ControlPlane, rights: Path, namespace: str
) -> AsyncIterator[tuple[Program, EnvoyProcess]]:
    """A controller for a class of its own, which starts no Envoy, and an Envoy that it serves."""
    await apply(control_plane, make_class(namespace, f"example.com/{namespace}"))
    async with running(rights, "--envoy=none", f"--name=example.com/{namespace}") as program:
        await program.logged("no Envoy is started; start one with this bootstrap configuration")
        bootstrap = json.loads((program.data_dir / "bootstrap.json").read_text(encoding="utf-8"))
        with short_directory() as home:
            admin = {"address": {"pipe": {"path": str(home / "admin.sock")}}}
            async with EnvoyProcess(bootstrap | {"admin": admin}, home) as envoy:
                await program.ready()
                yield program, envoy


async def test_the_api_server_goes_and_comes_back(
    control_plane: ControlPlane, namespace: str, program: Program
) -> None:
    """Requests are served meanwhile. Its memory is gone, so everything is listed again, and what differs is served."""
    stays, goes, comes = (f"{name}.{namespace}.example.com" for name in ("stays", "goes", "comes"))
    async with pod() as address:
        await apply(control_plane, make_web(namespace, address))
        await apply(control_plane, make_ingress(namespace, "stays", stays), make_ingress(namespace, "goes", goes))
        await program.until_status(200, stays)
        await program.until_status(200, goes)
        async with (
            program.connect(stays) as connection,
            hammering(partial(ask, program, stays), partial(ask_on, connection, stays)) as hammer,
        ):
            control_plane.kill_api_server()
            await program.logged("request failed")
            control_plane.remove_unseen("ingress", namespace, "goes")
            control_plane.compact()
            await hammer.more(20)
            assert (await program.get(goes)).status == 200
            await control_plane.start_api_server()
            await apply(control_plane, make_ingress(namespace, "comes", comes))
            await program.until_status(200, comes)
            await program.until_refused(goes)
            await hammer.more(20)
        assert set(hammer.statuses) == {200}
    await program.logged("the server has forgotten the version; listing again")


async def test_a_controller_that_is_killed_is_not_missed(
    control_plane: ControlPlane, rights: Path, namespace: str
) -> None:
    """Envoy goes on. A controller that comes back sends it only what has changed meanwhile."""
    host, later = f"{namespace}.example.com", f"later.{namespace}.example.com"
    make = partial(make_ingress, namespace, ingressClassName=namespace)
    async with pod() as address, running_beside_envoy(control_plane, rights, namespace) as (program, _):
        await apply(control_plane, make_web(namespace, address), make("web", host), make("gone", f"gone.{host}"))
        await program.until_status(200, host)
        await program.until_status(200, f"gone.{host}")
        async with (
            program.connect(host) as connection,
            hammering(partial(ask, program, host), partial(ask_on, connection, host)) as hammer,
        ):
            program.kill()
            await apply(control_plane, make("later", later))
            await control_plane.kubectl("delete", "ingress", "gone", "-n", namespace)
            await hammer.more(20)
            program.start()
            await program.until_status(200, later)
            await program.until_refused(f"gone.{host}")
            await hammer.more(20)
        assert set(hammer.statuses) == {200}
        assert (await program.sent())["ScopedRouteConfiguration"] == 2


async def test_a_controller_that_starts_while_the_api_server_is_away(
    control_plane: ControlPlane, rights: Path, namespace: str
) -> None:
    """It knows nothing, and says nothing to Envoy until it does."""
    host, later = f"{namespace}.example.com", f"later.{namespace}.example.com"
    make = partial(make_ingress, namespace, ingressClassName=namespace)
    async with pod() as address, running_beside_envoy(control_plane, rights, namespace) as (program, envoy):
        await apply(control_plane, make_web(namespace, address), make("web", host))
        await program.until_status(200, host)

        async def is_waiting() -> object:
            # A stream to the controller, which has not answered yet.
            return re.search(r"^xds::.*::rq_active::1$", await envoy.admin_get("/clusters"), re.MULTILINE)

        async def is_up() -> bool:
            return await program.readyz() == "the objects have not been read yet\n"

        async with hammering(partial(ask, program, host)) as hammer:
            control_plane.kill_api_server()
            program.kill()
            program.start()
            await eventually(is_up, "the new controller is up")
            await eventually(is_waiting, "Envoy asks the new controller")
            await hammer.more(20)
            assert await is_up()
            await control_plane.start_api_server()
            await apply(control_plane, make("later", later))
            await program.until_status(200, later)
            await hammer.more(20)
        assert set(hammer.statuses) == {200}


async def test_the_controller_ends_in_order(rights: Path) -> None:
    async with running(rights) as program:
        await program.ready()
        (envoy,) = (process for process, parent in processes().items() if parent == program.pid)
        await asyncio.to_thread(program.stop)
        assert program.status == 0
        assert envoy not in processes()
        assert not [line for line in program.log() if line["level"] in {"error", "critical"}]


async def test_the_controller_ends_in_order_before_it_has_begun(control_plane: ControlPlane, rights: Path) -> None:
    control_plane.kill_api_server()
    try:
        async with running(rights) as program:
            await program.logged("request failed")
            await asyncio.to_thread(program.stop)
            assert program.status == 0
    finally:
        await control_plane.start_api_server()

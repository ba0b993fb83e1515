"""When the program says that it is ready; with a real Envoy."""

import socket

from tests.manifests import CLASS
from tests.running import running


async def test_ready_once_envoy_has_everything() -> None:
    async with running({"class.yaml": CLASS}) as c:
        assert not c.controller.missing()


async def test_not_ready_while_an_address_is_taken_by_somebody_else() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        async with running({"class.yaml": CLASS}, https_address=address) as c:
            assert "Envoy refuses a listener" in c.controller.missing()[0]
            assert "Envoy refused a resource" in c.said

"""``explain`` and ``routes`` on a real cluster, with the rights of the controller."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from tests.cluster.objects import apply, make_ingress, make_web
from tests.network_namespace import pod_address
from tests.real_servers import ControlPlane


async def ask(kubeconfig: Path, namespace: str, *arguments: str) -> Any:
    """What the program answers about a namespace, as JSON."""
    program = Path(sys.executable).with_name("ingress-controller")
    flags = ("--kubeconfig", str(kubeconfig), "--namespaces", namespace, "-o", "json")
    process = await asyncio.create_subprocess_exec(
        program, *arguments, *flags, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    return json.loads(output)


async def test_a_request_is_explained_and_routes_are_listed(
    control_plane: ControlPlane, namespace: str, rights: Path
) -> None:
    host = f"{namespace}.test"
    await apply(
        control_plane,
        make_web(namespace, pod_address()),
        make_ingress(namespace, "team", host, {"allowed_domains": '["example.com"]'}),
        make_ingress(namespace, "open", host, paths=[("/open", "Exact", "web:80")]),
    )
    listed = await ask(rights, namespace, "routes", "--namespace", namespace)
    assert [(route["ingress"], route.get("path") or route["prefix"]) for route in listed["routes"]] == [
        (f"{namespace}/open", "/open"),
        (f"{namespace}/team", "/"),
    ]
    url = f"https://{host}/x"
    denied = await ask(rights, namespace, "explain", "--url", url, "--user", "ann@other.example")
    assert [tried["matches"] for tried in denied["routes_tried"]] == [False, True]
    assert {answer["status"] for answer in denied["answers"]} == {403}
    allowed = await ask(rights, namespace, "explain", "--url", url, "--user", "ann@example.com")
    assert allowed["decision"]["name"] == "allow:allowed_domains"
    assert {answer["text"] for answer in allowed["answers"]} == {f"forwarded to {namespace}/web:80"}

"""A terminal for the commands of the documentation, in a network of its own.

In: whether a cluster is wanted, and a command. Out: the command runs in a network namespace where every port is free
and nothing outside can be reached. With a cluster, kubectl finds a real API server through ``~/.kube/config``, with a
Service ``hello`` and a pod behind it.

It is a program of its own (``python -m tests.docs.sandbox [--cluster] COMMAND...``), because a process cannot leave a
network namespace again.
"""

import asyncio
import shutil
import subprocess
import sys
import threading
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.network_namespace import enter_network_namespace, pod_address
from tests.real_servers import ControlPlane, make_endpoint_slice

_SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "hello", "namespace": "default"},
    "spec": {"ports": [{"name": "http", "port": 80}]},
}


class _Pod(BaseHTTPRequestHandler):
    """Says hello."""

    def do_GET(self) -> None:
        body = b"hello from a pod\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Requests are not logged."""


def _make_cluster(running: ExitStack) -> None:
    control_plane = running.enter_context(ControlPlane())
    address = pod_address()
    pod = running.enter_context(ThreadingHTTPServer((address, 8000), _Pod))
    threading.Thread(target=pod.serve_forever, daemon=True).start()
    slices = make_endpoint_slice("default", "hello", [address], port=8000, name="http")
    asyncio.run(control_plane.apply(_SERVICE, slices))
    kubeconfig = Path.home() / ".kube" / "config"
    kubeconfig.parent.mkdir()
    shutil.copyfile(control_plane.admin, kubeconfig)


def main(arguments: list[str]) -> int:
    """Run the command and return its exit status."""
    enter_network_namespace()
    with ExitStack() as running:
        if arguments[0] == "--cluster":
            _make_cluster(running)
            arguments = arguments[1:]
        return subprocess.run(arguments, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The two that are compared: this controller and Contour, each as a user starts it, with an Envoy of the same build.

In: a folder for files, and a kubeconfig. Out: a `Subject`: start and end it, where to ask, what runs, what was sent.

- This controller starts its Envoy itself, and ends it. To see what its restart does to requests, it can be had with an
  Envoy that somebody else runs, as `Detached`.
- Contour's Envoy has the bootstrap that ``contour bootstrap`` writes. It is started once Contour serves xDS, which
  Contour does when it has read the cluster: an Envoy that asks in vain pauses, which would be held against Contour.
"""

import http.client
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Protocol

from benchmarks.scale.client import Client, Sweep, Target
from benchmarks.scale.clock import Deadline
from benchmarks.scale.objects import CLASS
from benchmarks.scale.process import child
from ingress_controller.supervisor import find_program
from tests.real_servers import Server, free_port, tool

ENVOY = find_program("auto")
_PAUSE = 0.005


class Subject(Protocol):
    """One of the two, ready to be started. Times count from `start`.

    Attributes:
        port: where its Envoy takes requests, on 127.0.0.1.
        tls: whether these need TLS.
        changes: the kinds of changes that can be measured with it.
    """

    port: int
    tls: bool
    changes: tuple[str, ...]

    def start(self, deadline: Deadline) -> None:
        """Start controller and Envoy; they need not serve on return."""

    def restart_controller(self, deadline: Deadline) -> None:
        """End the controller in good order and start it again, while its Envoy goes on."""

    def stop(self) -> None:
        """End both."""

    def check(self) -> None:
        """Fail if one of them has ended."""

    def processes(self) -> Mapping[str, int]:
        """The process ids of ``controller`` and ``envoy``."""

    def sent(self) -> int:
        """How many bytes Envoy has been sent so far."""


def client(subject: Subject, target: Target) -> Client:
    """A client whose connection is made to the host of a target."""
    return Client(subject.port, target.host if subject.tls else "")


def sweep(subject: Subject, target: Target) -> Sweep:
    """A sweep whose connections are made to the host of a target."""
    return Sweep(subject.port, target.host if subject.tls else "")


def _envoy(bootstrap: Path, log: Path) -> Server:
    """An Envoy with the options that this controller gives to its own, and the names that Contour's manifests give."""
    options = (
        "--disable-hot-restart",
        "--log-level",
        "warning",
        "--service-node",
        "bench",
        "--service-cluster",
        "bench",
    )
    return Server([ENVOY, "--config-path", bootstrap, *options], log)


class Controller:
    """This controller, with the Envoy that it starts."""

    tls = True
    changes: tuple[str, ...] = ("route", "host", "certificate", "endpoints")

    def __init__(self, home: Path, kubeconfig: Path, envoy: str = "auto") -> None:
        self._data = home / "data"
        self.port, http, health, self._metrics = (free_port() for _ in range(4))
        flags = {
            "kubeconfig": kubeconfig,
            "data-dir": self._data,
            "envoy": envoy,
            "https-address": f"127.0.0.1:{self.port}",
            "http-address": f"127.0.0.1:{http}",
            "health-probe-bind-address": f"127.0.0.1:{health}",
            "metrics-bind-address": f"127.0.0.1:{self._metrics}",
        }
        program = str(Path(sys.executable).with_name("ingress-controller"))
        words = [f"--{name}={value}" for name, value in flags.items()]
        self._program = Server([program, "run", *words], home / "controller.log")

    def start(self, deadline: Deadline) -> None:  # noqa: ARG002 (there is nothing to wait for)
        """Start it; it starts Envoy."""
        self._program.start()

    def restart_controller(self, deadline: Deadline) -> None:
        """Not possible: its Envoy ends with it."""
        raise NotImplementedError("only a detached controller can be restarted alone")

    def stop(self) -> None:
        """End it; it ends Envoy."""
        self._program.stop()

    def check(self) -> None:
        """Fail if the controller has ended; it looks after Envoy."""
        self._program.check()

    def processes(self) -> Mapping[str, int]:
        """The program, and its child."""
        envoy = child(self._program.pid, "envoy")
        if envoy is None:
            raise RuntimeError("the controller runs no Envoy")
        return {"controller": self._program.pid, "envoy": envoy}

    def sent(self) -> int:
        """By the controller's metrics: Envoy keeps no statistics of clusters here."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._metrics}/metrics", timeout=10) as response:
            text = response.read().decode()
        return sum(
            int(float(value)) for value in re.findall(r"^\w+_xds_response_bytes_total\{.*\} (\S+)$", text, re.MULTILINE)
        )


class Detached(Controller):
    """This controller, with an Envoy that outlives it."""

    def __init__(self, home: Path, kubeconfig: Path) -> None:
        super().__init__(home, kubeconfig, envoy="none")
        self._bootstrap = self._data / "bootstrap.json"
        self._proxy = _envoy(self._bootstrap, home / "envoy.log")

    def start(self, deadline: Deadline) -> None:
        """Start it, and Envoy as soon as it has been told how."""
        super().start(deadline)
        deadline.wait(self._bootstrap.exists, "the bootstrap configuration", _PAUSE)
        self._proxy.start()

    def restart_controller(self, deadline: Deadline) -> None:  # noqa: ARG002 (it need not serve on return)
        """End it in good order and start it again."""
        self._program.stop()
        self._program.start()

    def stop(self) -> None:
        """End both."""
        self._program.stop()
        self._proxy.stop()

    def check(self) -> None:
        """Fail if one of them has ended."""
        self._program.check()
        self._proxy.check()

    def processes(self) -> Mapping[str, int]:
        """The two processes."""
        return {"controller": self._program.pid, "envoy": self._proxy.pid}


class Contour:
    """Contour with its Envoy, plain HTTP, no leader election; all else as it comes."""

    tls = False
    changes: tuple[str, ...] = ("route", "host", "endpoints")

    def __init__(self, home: Path, kubeconfig: Path) -> None:
        self.port, https, stats, self._xds, health, metrics, debug = (free_port() for _ in range(7))
        self._admin = home / "admin.sock"
        bootstrap = home / "bootstrap.json"
        program = tool("contour")
        xds = ("--xds-address=127.0.0.1", f"--xds-port={self._xds}")
        written: list[str | Path] = [
            program,
            "bootstrap",
            *xds,
            f"--admin-address={self._admin}",
            f"--resources-dir={home}",
            bootstrap,
        ]
        subprocess.run(written, check=True, capture_output=True)
        ports = {
            "envoy-service-http": self.port,
            "envoy-service-https": https,
            "stats": stats,
            "health": health,
            "http": metrics,
            "debug-http": debug,
        }
        addresses = (
            f"--{name}-{word}" for name, port in ports.items() for word in ("address=127.0.0.1", f"port={port}")
        )
        flags = (*xds, *addresses, "--insecure", "--disable-leader-election", f"--ingress-class-name={CLASS}")
        self._program = Server([program, "serve", f"--kubeconfig={kubeconfig}", *flags], home / "contour.log")
        self._proxy = _envoy(bootstrap, home / "envoy.log")

    def start(self, deadline: Deadline) -> None:
        """Start it, and Envoy when it serves xDS."""
        self._start_controller(deadline)
        self._proxy.start()

    def _start_controller(self, deadline: Deadline) -> None:
        self._program.start()
        deadline.wait(self._serves_xds, "Contour to serve xDS", _PAUSE)

    def _serves_xds(self) -> bool:
        self._program.check()
        with socket.socket() as attempt:
            return attempt.connect_ex(("127.0.0.1", self._xds)) == 0

    def restart_controller(self, deadline: Deadline) -> None:
        """End it in good order and start it again."""
        self._program.stop()
        self._start_controller(deadline)

    def stop(self) -> None:
        """End both."""
        self._program.stop()
        self._proxy.stop()

    def check(self) -> None:
        """Fail if one of them has ended."""
        self._program.check()
        self._proxy.check()

    def processes(self) -> Mapping[str, int]:
        """The two processes."""
        return {"controller": self._program.pid, "envoy": self._proxy.pid}

    def sent(self) -> int:
        """By Envoy's statistics of the cluster that leads to Contour."""
        statistics = _admin_get(self._admin, "/stats?filter=projectcontour_contour_.*upstream_cx_rx_bytes_total")
        return sum(int(line.rpartition(": ")[2]) for line in statistics.splitlines())


def _admin_get(path: Path, target: str) -> str:
    """Ask an Envoy's admin interface on a Unix socket."""
    with closing(http.client.HTTPConnection("admin", timeout=30)) as connection:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(path))
        connection.request("GET", target)
        return connection.getresponse().read().decode()

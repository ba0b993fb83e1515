"""What it takes to encode a host of two routes and a cluster: put together from parts, and by the message library.

Each is encoded in turn in three ways: as the program does it; as messages, by the library as the program has fitted it
(``ingress_controller.envoy.library``); and as messages by the library as it comes. The messages are those that the
program's bytes mean, so making them is not counted, only encoding them is. Times are of the process, as ratios.

Run: `.venv/bin/python -m benchmarks.encode`. Bounded: a few seconds.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import betterproto2
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.route.v3 import ScopedRouteConfiguration

DEFAULT = betterproto2.Message._get_field_default  # noqa: SLF001

from ingress_controller.envoy import cluster, host, library  # noqa: E402 (after the methods were noted)
from ingress_controller.envoy.encoding import Encoded  # noqa: E402
from ingress_controller.envoy.options import Options  # noqa: E402
from ingress_controller.model.certificate import Certificate  # noqa: E402
from ingress_controller.model.host import Host  # noqa: E402
from ingress_controller.model.private import PrivateBytes  # noqa: E402
from ingress_controller.model.reference import ObjectRef  # noqa: E402
from ingress_controller.model.route import Forward, Prefix, Route  # noqa: E402
from ingress_controller.model.upstream import Address, ServicePort, Upstream  # noqa: E402
from ingress_controller.policy.parse import parse  # noqa: E402

ROUNDS, NUMBER, POLICIES = 7, 200, 50

_ANY = Address("127.0.0.1", 0)
_OPTIONS = Options(_ANY, _ANY, 443, "https://issuer", "{}", Certificate("", b"", PrivateBytes(b"")), "/ca.pem")


@dataclass(frozen=True, slots=True)
class Subject:
    """What is encoded.

    Attributes:
        name: for people.
        message: its class.
        encodings: how the program encodes all of them.
    """

    name: str
    message: type[betterproto2.Message]
    encodings: Callable[[], Iterable[Encoded]]


def uninstall() -> None:
    """Give the encoding back as it came; messages stay plain."""
    betterproto2.Message._get_field_default = DEFAULT  # type: ignore[method-assign]  # noqa: SLF001


def make_host(name: str, team: int = 0) -> Host:
    """A host of two routes with the policy of a team."""
    policy = parse(
        f'[{{"allow":{{"and":[{{"domain":{{"is":"example.com"}}}},{{"groups":{{"has":"team-{team}"}}}}]}}}}]'
    )
    forward = Forward("app/web:80", "web.app.svc", None, timedelta(seconds=30))
    ref = ObjectRef("Ingress", "app", "web")
    routes = tuple(Route(f"{name}{p}", name, ref, Prefix(p), policy, forward) for p in ("/admin", "/"))
    return Host(name, routes, None)


def encode_host(name: str) -> Mapping[str, Encoded]:
    """The resources of such a host."""
    return host.scopes(make_host(name), 443)


def subjects() -> tuple[Subject, ...]:
    """What is measured."""
    hosts = [make_host(f"host-{number}.example.com", number % POLICIES) for number in range(NUMBER)]
    ports = [ServicePort(ObjectRef("Service", "app", f"web-{number}"), 80, "") for number in range(NUMBER)]
    upstreams = [Upstream(str(port), port) for port in ports]
    return (
        Subject(
            "host of two routes",
            ScopedRouteConfiguration,
            lambda: (scope for each in hosts for scope in host.scopes(each, 443).values()),
        ),
        Subject("cluster", Cluster, lambda: (cluster.encode(each, _OPTIONS) for each in upstreams)),
    )


def milliseconds(work: Callable[[], object]) -> float:
    """The process's time for one of ``NUMBER``."""
    started = time.process_time()
    work()
    return (time.process_time() - started) / NUMBER * 1000


def retained(encodings: Iterable[Encoded]) -> float:
    """Bytes of memory that one encoding adds to those before it."""
    pieces = {id(piece): sys.getsizeof(piece) for encoding in encodings for piece in encoding}
    return sum(pieces.values()) / NUMBER


def measure(subject: Subject) -> str:
    """Medians of times and of ratios, as a line."""
    made = list(subject.encodings())
    messages = [subject.message.parse(b"".join(encoding)) for encoding in made]
    times = []
    for _ in range(ROUNDS):
        parts = milliseconds(lambda: list(subject.encodings()))
        library.install()
        fitted = milliseconds(lambda: list(map(bytes, messages)))
        uninstall()
        times.append((parts, fitted, milliseconds(lambda: list(map(bytes, messages)))))
        library.install()
    parts, fitted, as_it_comes = (statistics.median(column) for column in zip(*times, strict=True))
    return (
        f"{subject.name}: from parts {parts:.3f} ms; as a message {fitted:.3f} ms, as the library comes"
        f" {as_it_comes:.3f} ms; ratios {statistics.median(row[1] / row[0] for row in times):.1f} and"
        f" {statistics.median(row[2] / row[0] for row in times):.1f};"
        f" {sum(map(len, (b''.join(encoding) for encoding in made))) / NUMBER:.0f} bytes, {retained(made):.0f} kept"
    )


def main() -> None:
    """Print a line for each."""
    for subject in subjects():
        print(measure(subject))


if __name__ == "__main__":
    main()

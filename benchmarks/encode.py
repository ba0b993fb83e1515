"""What `ingress_controller.envoy.library` saves: a host encoded with and without it, in turn, as a ratio.

Run: `.venv/bin/python benchmarks/encode.py`. Bounded: a few seconds.
"""

import statistics
import time
from collections.abc import Callable
from datetime import timedelta

import betterproto2

DEFAULT = betterproto2.Message._get_field_default  # noqa: SLF001

from ingress_controller.envoy import host, library  # noqa: E402 (after the methods were noted)
from ingress_controller.model.host import Host  # noqa: E402
from ingress_controller.model.reference import ObjectRef  # noqa: E402
from ingress_controller.model.route import Forward, Prefix, Route  # noqa: E402
from ingress_controller.policy.parse import parse  # noqa: E402

ROUNDS, HOSTS = 7, 40


def uninstall() -> None:
    """Give the encoding back as it came, but for stand-ins, which the program makes; messages stay plain."""
    betterproto2.Message._get_field_default = DEFAULT  # type: ignore[method-assign]  # noqa: SLF001


def make_host(name: str) -> Host:
    """A host of two routes with a policy."""
    policy = parse('[{"allow":{"and":[{"domain":{"is":"example.com"}},{"groups":{"has":"admins"}}]}}]')
    forward = Forward("app/web:80", "web.app.svc", None, timedelta(seconds=30))
    ref = ObjectRef("Ingress", "app", "web")
    routes = tuple(Route(f"{name}{p}", name, ref, Prefix(p), policy, forward) for p in ("/admin", "/"))
    return Host(name, routes, None)


def seconds(install: Callable[[], None]) -> float:
    """The time to make and encode the hosts once."""
    install()
    started = time.perf_counter()
    for number in range(HOSTS):
        for scope in host.scopes(make_host(f"host-{number}.example.com"), 443):
            bytes(scope)
    return time.perf_counter() - started


def main() -> None:
    """Print the median of each and of their ratio."""
    pairs = [(seconds(uninstall), seconds(library.install)) for _ in range(ROUNDS)]
    as_it_comes, fitted = (statistics.median(times) / HOSTS * 1000 for times in zip(*pairs, strict=True))
    ratio = statistics.median(slow / fast for slow, fast in pairs)
    print(f"a host as the library comes: {as_it_comes:.2f} ms; fitted: {fitted:.2f} ms; ratio {ratio:.1f}")


if __name__ == "__main__":
    main()

"""What is measured of one controller at one size.

In: a cluster that is filled, and a `Subject` that does not run yet. Out: figures, by name, for JSON: seconds where the
name ends in ``_s``, milliseconds in ``_ms``, bytes otherwise. The order of the steps is that of `measure`.
"""

import json
import random
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from benchmarks.scale import objects, process
from benchmarks.scale.client import Answer, Client, Connection, Target, is_routed
from benchmarks.scale.clock import Change, Deadline, time_change
from benchmarks.scale.cluster import CERTIFIED, PUBLIC, ROOT, Cluster
from benchmarks.scale.subjects import Subject, client, sweep
from tests.manifests import make_certificate
from tests.real_servers import Manifest

BURST = 1000
_GAP = 0.6
"""Seconds between two changes. One that comes within half a second of another is held back by Contour, to take both."""
_IDLE_SECONDS = 10.0
_SWEEP_PAUSE = 0.02
_AFTER_RESTART = 3.0
_BURST_LIMIT = 60.0
_TRAFFIC_LIMIT = 20.0
_PUBLIC = Target(objects.host_of(PUBLIC), "/app")

Request = tuple[str, str, Manifest]
_numbers = count()
_random = random.Random(1)  # noqa: S311 (which Ingress is changed; the same in each run)

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """One controller at one size.

    Attributes:
        subject: the controller.
        cluster: what it reads.
        changes: how many changes of each kind are measured.
        deadline: when all of it must have ended.
        patience: seconds after which a change counts as lost.
    """

    subject: Subject
    cluster: Cluster
    changes: int
    deadline: Deadline
    patience: float = 20.0


def measure(run: Run, figures: Figures) -> None:
    """Start the controller, measure, and end it. What has been measured before something fails is in ``figures``."""
    subject = run.subject
    try:
        figures.update(cold_start(run))
        figures["quiet_s"] = process.wait_until_quiet(_pids(subject), run.deadline)
        figures["memory"] = _memory(subject)
        figures["idle"] = _idle(subject)
        with traffic(subject) as seen:
            figures["changes"] = {}
            for kind in subject.changes:
                figures["changes"][kind] = _series(run, kind)
            figures["burst"] = burst(run)
        figures["requests"] = seen
        process.wait_until_quiet(_pids(subject), run.deadline)
        figures["memory_after"] = _memory(subject)
        subject.check()
    finally:
        subject.stop()


def measure_restart(run: Run) -> Figures:
    """What a restart of the controller does to requests, and how long it takes until a change is served again."""
    subject = run.subject
    try:
        cold_start(run)
        process.wait_until_quiet(_pids(subject), run.deadline)
        with traffic(subject) as seen:
            began = time.perf_counter()
            subject.restart_controller(run.deadline)
            # It takes another cold start.
            _change_route(replace(run, patience=run.deadline.left))
            figures: Figures = {"changed_s": time.perf_counter() - began}
            time.sleep(_AFTER_RESTART)
        subject.check()
        return {**figures, "requests": seen}
    finally:
        subject.stop()


def cold_start(run: Run) -> Figures:
    """From the start of the processes until all hosts are served."""
    targets = [objects.target(number) for number in range(run.cluster.size)]
    began = time.perf_counter()
    run.subject.start(run.deadline)
    _sweep(run, targets[-1:], run.deadline)
    first = time.perf_counter()
    _sweep(run, targets, run.deadline)
    return {"first_served_s": first - began, "last_served_s": time.perf_counter() - began}


def _sweep(run: Run, targets: Sequence[Target], limit: Deadline) -> None:
    """Ask for targets until all are routed."""
    with closing(sweep(run.subject, targets[-1])) as asking:
        rest: Sequence[Target] = targets
        while rest := asking.missing(rest):
            run.subject.check()
            limit.check(f"{len(rest)} of {len(targets)} hosts to be served")
            time.sleep(_SWEEP_PAUSE)


def _series(run: Run, kind: str) -> Figures:
    """Some changes of one kind, one after the other."""
    change = _CHANGES[kind]
    before, series = run.subject.sent(), []
    for _ in range(run.changes):
        time.sleep(_GAP)
        series.append(change(run))
    time.sleep(_GAP)
    return {
        "answered_ms": [one.answered * 1000 for one in series],
        "served_ms": [one.served * 1000 for one in series],
        "bytes": (run.subject.sent() - before) / run.changes,
    }


def _change_route(run: Run) -> Change:
    """A new path in an Ingress that is there."""
    changed, path = _random.randrange(run.cluster.size), f"/change-{next(_numbers)}"
    wanted = objects.target(changed, path)
    return _until_routed(run, client(run.subject, wanted), wanted, run.cluster.put_of(changed, path))


def _change_host(run: Run) -> Change:
    """A new Ingress with a new host, which goes again. Asked for over a connection that was made to another."""
    number = next(_numbers)
    name = f"new-{number}"
    manifest = objects.make_ingress(name, objects.policy_of(number, run.cluster.policies), service=PUBLIC)
    asking = client(run.subject, _PUBLIC)
    change = _until_routed(run, asking, Target(objects.host_of(name), "/app"), ("POST", objects.INGRESSES, manifest))
    run.cluster.writer.send("DELETE", f"{objects.INGRESSES}/{name}")
    return change


def _until_routed(run: Run, asking: Client, wanted: Target, request: Request) -> Change:
    with closing(asking):
        if is_routed(asking.status(wanted)):
            raise RuntimeError(f"{wanted} is served before it is there")
        return _time(run, request, lambda: is_routed(asking.status(wanted)))


def _change_certificate(run: Run) -> Change:
    """Another certificate in a Secret. It takes a handshake to see it."""
    certificate, key = make_certificate(objects.host_of(CERTIFIED))
    wanted = ssl.PEM_cert_to_DER_cert(certificate.decode())
    request = ("PUT", f"{objects.SECRETS}/{CERTIFIED}", objects.make_secret(CERTIFIED, certificate, key))
    return _time(run, request, lambda: _shown(run.subject.port, objects.host_of(CERTIFIED)) == wanted)


def _shown(port: int, host: str) -> bytes:
    with closing(Connection(port, host)) as connection:
        return connection.certificate


def _change_endpoints(run: Run) -> Change:
    """Another pod in an EndpointSlice."""
    pod, request = run.cluster.next_pod()
    wanted = Answer(200, str(pod).encode())
    with closing(client(run.subject, _PUBLIC)) as asking:
        return _time(run, request, lambda: asking.ask(_PUBLIC) == wanted)


def _time(run: Run, request: Request, is_served: Callable[[], object]) -> Change:
    method, path, manifest = request
    body = json.dumps(manifest).encode()
    run.cluster.writer.prepare()
    return time_change(
        lambda: run.cluster.writer.send(method, path, body), is_served, run.deadline.within(run.patience)
    )


_CHANGES: Mapping[str, Callable[[Run], Change]] = {
    "route": _change_route,
    "host": _change_host,
    "certificate": _change_certificate,
    "endpoints": _change_endpoints,
}


def burst(run: Run) -> Figures:
    """Many Ingresses changed as fast as the API server takes it, until each change is served."""
    changed = _random.sample(range(run.cluster.size), min(BURST, run.cluster.size))
    path = f"/change-{next(_numbers)}"
    began = time.perf_counter()
    run.cluster.write([run.cluster.put_of(number, path) for number in changed])
    answered = time.perf_counter()
    _sweep(run, [objects.target(number, path) for number in changed], run.deadline.within(_BURST_LIMIT))
    served = time.perf_counter()
    return {"changes": len(changed), "answered_s": answered - began, "served_s": served - answered}


@contextmanager
def traffic(subject: Subject) -> Iterator[Figures]:
    """Ask for a page steadily while the block runs. What was seen is in the figures after it."""
    words = [str(subject.port), _PUBLIC.host, *(["tls"] if subject.tls else [])]
    command = [sys.executable, "-m", "benchmarks.scale.traffic", *words]
    seen: Figures = {}
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as asking:
        try:
            yield seen
            asking.send_signal(signal.SIGTERM)
            output, _ = asking.communicate(timeout=_TRAFFIC_LIMIT)
            seen.update(json.loads(output))
        finally:
            asking.kill()


def _pids(subject: Subject) -> Sequence[int]:
    return tuple(subject.processes().values())


def _memory(subject: Subject) -> Figures:
    return {name: process.memory(pid) for name, pid in subject.processes().items()}


def _idle(subject: Subject) -> Figures:
    """The share of a core that each uses while nothing happens."""
    processes = subject.processes()
    shares = process.cpu_share(tuple(processes.values()), _IDLE_SECONDS)
    return dict(zip(processes, shares, strict=True))

"""What would be served, worked out once.

In: the settings, and manifests or a cluster. Out: ``State``, the hosts, upstreams and problems that a controller with
these settings would have. Nothing is served, and nothing is written.
"""

import asyncio
import os
import socket
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from ingress_controller.errors import StartError
from ingress_controller.kubernetes_api import connect
from ingress_controller.lint.check import Result, check
from ingress_controller.lint.positions import Document
from ingress_controller.model.host import Host, covering
from ingress_controller.model.problem import Problem
from ingress_controller.model.reference import ObjectRef
from ingress_controller.model.upstream import Endpoints, Upstream
from ingress_controller.objects.change import Batch
from ingress_controller.objects.read import Malformed
from ingress_controller.objects.store import Store
from ingress_controller.objects.views import Ingress
from ingress_controller.settings import Settings
from ingress_controller.sources.cluster import Cluster
from ingress_controller.sources.directory import Directory, manifest_files
from ingress_controller.sources.manifests import parse_located
from ingress_controller.translate.graph import Graph, Update
from ingress_controller.translate.options import Options

_CLUSTER_SECONDS = 30
_STANDARD_INPUT = "stdin"
_Key = TypeVar("_Key", bound=ObjectRef | str)
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class State:
    """What would be served.

    Attributes:
        update: what the first state of the objects makes of nothing.
        malformed: what could not be read.
        ours: the Ingresses that are served, as far as they can be.
        foreign: the Ingresses that are there, and are not ours.
    """

    update: Update
    malformed: tuple[Malformed, ...]
    ours: tuple[Ingress, ...]
    foreign: tuple[Ingress, ...]

    @property
    def hosts(self) -> dict[str, Host]:
        """Hosts by name."""
        return _there(self.update.hosts)

    @property
    def upstreams(self) -> dict[str, Upstream]:
        """Upstreams by name."""
        return _there(self.update.upstreams)

    @property
    def endpoints(self) -> dict[str, Endpoints]:
        """Endpoints, by the name of the upstream that leads to them."""
        return _there(self.update.endpoints)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with each Ingress of ours, in the order of their names."""
        return tuple(
            problem for _, outcome in sorted(_there(self.update.outcomes).items()) for problem in outcome.problems
        )

    def problem_lines(self) -> tuple[str, ...]:
        """A line for each thing that is wrong."""
        return (*map(str, self.malformed), *(f"{problem.object}: {problem.message}" for problem in self.problems))


def _there(values: Mapping[_Key, _Value | None]) -> dict[_Key, _Value]:
    return {key: value for key, value in values.items() if value is not None}


def read_state(paths: Sequence[Path], settings: Settings) -> State:
    """What would be served of manifests, or where none are named of the cluster.

    Raises:
        StartError: the cluster cannot be read.
    """
    return from_manifests(paths, settings) if paths else asyncio.run(from_cluster(settings))


def from_manifests(paths: Sequence[Path], settings: Settings) -> State:
    """Read manifests, and compile what they hold."""
    return compile_batch(Directory(paths).read(), translate_options(settings))


def lint(
    paths: Sequence[Path], settings: Settings, standard_input: bytes | None, *, complete: bool
) -> tuple[Result, int]:
    """Check manifests. Returns what was found, and the number of files.

    Args:
        paths: files and folders; ``-`` stands for standard input.
        settings: as for a controller.
        standard_input: what comes from there; ``None`` if nobody asks for it.
        complete: whether the manifests are all there is.

    Raises:
        StartError: a file cannot be read.
    """
    named = [path for path in paths if str(path) != "-"]
    files = {str(path): _read(path) for path in sorted(set(manifest_files(named)))}
    if standard_input is not None:
        files[_STANDARD_INPUT] = standard_input
    documents = [
        Document(name, lines, located)
        for name, text in files.items()
        for lines in [text.decode(errors="replace").split("\n")]
        for located in parse_located(text, name)
    ]
    return check(documents, translate_options(settings), complete=complete), len(files)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartError(f"{path}: cannot be read: {error.strerror}") from error


async def from_cluster(settings: Settings) -> State:
    """List the objects of a cluster once, and compile them.

    Raises:
        StartError: the cluster cannot be reached, or is not read within half a minute.
    """
    async with connect(settings.kubeconfig) as api:
        batches: asyncio.Queue[Batch] = asyncio.Queue()
        watching = asyncio.create_task(Cluster(api, namespaces=settings.namespaces).run(batches.put_nowait))
        try:
            async with asyncio.timeout(_CLUSTER_SECONDS):
                first = await batches.get()
        except TimeoutError:
            message = f"the cluster was not read within {_CLUSTER_SECONDS} seconds; the lines above say what failed"
            raise StartError(message) from None
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    return compile_batch(first, translate_options(settings))


def compile_batch(batch: Batch, options: Options) -> State:
    """Compile everything in a batch."""
    store = Store()
    graph = Graph(options, store)
    update = graph.apply(batch.changes)
    ingresses = sorted(store.all(Ingress), key=lambda ingress: ingress.ref)
    return State(
        update,
        batch.malformed,
        ours=tuple(ingress for ingress in ingresses if graph.serves(ingress.ref)),
        foreign=tuple(ingress for ingress in ingresses if not graph.serves(ingress.ref)),
    )


def select(hosts: Mapping[str, Host], names: Iterable[str], namespaces: Collection[str]) -> list[Host]:
    """The hosts that answer for these names, each with its routes of these namespaces; none named is all."""
    asked = [name.lower() for name in names]
    found = (next((hosts[known] for known in (name, *covering(name)) if known in hosts), None) for name in asked)
    chosen = {host.name: host for host in found if host} if asked else hosts
    if not namespaces:
        return list(chosen.values())
    return [
        replace(host, routes=tuple(route for route in host.routes if route.ingress.namespace in namespaces))
        for host in chosen.values()
    ]


def translate_options(settings: Settings) -> Options:
    """What the translation needs of the settings."""
    return Options(
        controller_name=settings.name,
        prefix=settings.prefix,
        namespaces=settings.namespaces,
        allow_local_external_names=settings.allow_external_name_local or bool(settings.manifests),
        own_addresses=_own_addresses(),
    )


def _own_addresses() -> frozenset[str]:
    """The names and addresses by which this machine or pod reaches itself."""
    name = socket.gethostname()
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(name, None)}
    except OSError:
        found = set()
    return frozenset({name, os.environ.get("POD_IP", name), *found})

"""The wiring: which parts there are, and what each is given.

In: settings. Out: a running controller, or the translation of some manifests. This is the only place where the stages
meet; tests use it as the program does.
"""

import asyncio
import gc
import json
import os
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
import structlog

from ingress_controller import bootstrap_certificate, health, offline, session, supervisor
from ingress_controller.admission.server import ServerCertificate, webhook_app
from ingress_controller.envoy import dump
from ingress_controller.envoy.bootstrap import bootstrap
from ingress_controller.envoy.encoder import CLUSTER, EXTENSION, LISTENER, ROUTES, SCOPE, TYPES, Encoder
from ingress_controller.envoy.options import Options as EnvoyOptions
from ingress_controller.errors import StartError
from ingress_controller.kubernetes_api import connect
from ingress_controller.metrics import Metrics
from ingress_controller.model.certificate import Certificate
from ingress_controller.model.private import PrivateBytes
from ingress_controller.model.upstream import Address
from ingress_controller.objects.store import Store
from ingress_controller.pipeline import Pipeline, StatusSource
from ingress_controller.private_file import write_private
from ingress_controller.report.conditions import ConditionReporter
from ingress_controller.report.events import EventReporter
from ingress_controller.report.log import LogReporter
from ingress_controller.report.outcome import Reporter, Reporters
from ingress_controller.report.status import StatusReporter
from ingress_controller.settings import Settings, UnixSocket, make_data_directory
from ingress_controller.sources.cluster import Cluster
from ingress_controller.sources.directory import Directory
from ingress_controller.translate.graph import Graph
from ingress_controller.translate.render import routes_yaml
from xds import GRPC_OPTIONS, Cache, Proxy, Server

log = structlog.get_logger(__name__)

_STOP_SECONDS = 1.0
_YOUNG = 10_000
"""Objects after which the collector looks at the new ones. Python's 700 are few for pages of hundreds of objects."""


@dataclass(frozen=True, slots=True)
class Translation:
    """What manifests become: routes as YAML, Envoy's resources as JSON, and a line for each problem."""

    routes_yaml: str
    envoy_json: str
    problems: tuple[str, ...]


class Controller:
    """The parts of a running controller that do not depend on where objects come from."""

    def __init__(self, settings: Settings, reporter: Reporter, status: StatusSource | None = None) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.cache = Cache(complete=False)
        store = Store()
        self.graph = Graph(offline.translate_options(settings), store)
        encoder = Encoder(envoy_options(settings))
        self.pipeline = Pipeline(store, self.graph, encoder, self.cache, reporter, self.metrics, status)
        self.xds = Server(self.cache, TYPES, self.pipeline.offer, self.metrics)
        self._was_ready = False

    def missing(self) -> Sequence[str]:
        """What is not there yet before requests can be served. Once ready, it stays ready: Envoy goes on by itself."""
        if self._was_ready:
            return ()
        if not self.cache.is_complete:
            return ("the objects have not been read yet",)
        proxies = self.xds.proxies()
        self._was_ready = any(_serves(proxy, self.pipeline.transaction) for proxy in proxies)
        if self._was_ready:
            return ()
        if any(LISTENER in proxy.types and proxy.types[LISTENER].refused for proxy in proxies):
            return ("Envoy refuses a listener, perhaps because its address is in use; the log says more",)
        return ("no Envoy has taken over the configuration yet",)


def _serves(proxy: Proxy, transaction: int) -> bool:
    """Whether a proxy has everything up to a transaction. One that starts asks for one type after the other."""
    asked = proxy.types.keys() >= {CLUSTER, EXTENSION, LISTENER, ROUTES, SCOPE}
    return asked and proxy.settled >= transaction and not proxy.types[LISTENER].refused


async def run(settings: Settings) -> None:
    """Run a controller until cancelled.

    Raises:
        StartError: it cannot be started like this.
    """
    make_data_directory(settings.data_dir)
    if isinstance(settings.access_log, Path) and settings.envoy != "none":
        _make_access_log(settings.access_log)
    async with AsyncExitStack() as stack:
        if settings.manifests:
            source: Directory | Cluster = Directory(settings.manifests)
            controller = Controller(settings, reporter := LogReporter())
            tasks = [reporter.run()]
        else:
            api = await stack.enter_async_context(connect(settings.kubeconfig))
            watched = [service.namespace] if (service := settings.update_status_from_service) else []
            source = Cluster(api, namespaces=settings.namespaces, service_namespaces=watched)
            events = EventReporter(api, socket.gethostname(), settings.namespaces)
            status = _status(settings, StatusReporter(api))
            reporters = Reporters(events, ConditionReporter(api))
            controller = Controller(settings, reporters, status)
            tasks = [reporters.run(), *([status.reporter.run()] if status else [])]
        await stack.enter_async_context(_endpoints(controller))
        async with asyncio.TaskGroup() as group:
            gc.set_threshold(_YOUNG)
            for task in (
                *tasks,
                controller.pipeline.run(),
                source.run(controller.pipeline.offer),
                _pass_over(controller),
            ):
                group.create_task(task)
            if (envoy := _envoy(settings)) is not None:
                group.create_task(envoy.run())


async def _pass_over(controller: Controller) -> None:
    """Take what a first complete state is made of out of the collector's sight.

    A full pass would look at all of it for nothing, since it has no cycles, and everything else would wait meanwhile.
    """
    await controller.pipeline.complete()
    gc.freeze()


def translate_manifests(paths: Sequence[Path], settings: Settings) -> Translation:
    """Translate manifests without serving them; equal input gives equal text."""
    state = offline.from_manifests(paths, settings)
    update = state.update
    encoder = Encoder(_offline_envoy_options(settings))
    cache = Cache()
    cache.update(encoder.start())
    cache.update(encoder.encode(update.hosts, update.upstreams, update.secrets, update.endpoints))
    resources = {kind.url: cache.resources(kind.url) for kind in TYPES}
    return Translation(
        routes_yaml=routes_yaml(state.hosts.values(), state.upstreams, state.endpoints),
        envoy_json=json.dumps(dump.readable(resources), indent=2, ensure_ascii=False) + "\n",
        problems=state.problem_lines(),
    )


def envoy_options(settings: Settings) -> EnvoyOptions:
    """What Envoy is told of the settings, with the keys of the data directory, which are made if need be."""
    key = session.signing_key(settings.data_dir, settings.signing_key_file)
    return _envoy_options(settings, session.jwks([key]), bootstrap_certificate.load(settings.data_dir))


def _offline_envoy_options(settings: Settings) -> EnvoyOptions:
    """The same without a data directory: keys and certificate are left out."""
    placeholder = Certificate("", b"(the bootstrap certificate)", PrivateBytes(b""))
    return _envoy_options(settings, '{"keys": []}', placeholder)


def _envoy_options(settings: Settings, jwks: str, certificate: Certificate) -> EnvoyOptions:
    return EnvoyOptions(
        http=_listening(settings.http_address),
        https=_listening(settings.https_address),
        external_https_port=settings.external_https_port,
        issuer=settings.authenticate_service_url,
        jwks=jwks,
        bootstrap_certificate=certificate,
        upstream_ca_file=str(settings.upstream_ca_file),
        access_log=settings.access_log,
    )


def _listening(address: Address) -> Address:
    return Address(address.host or "0.0.0.0", address.port)  # noqa: S104 (the operator's choice)


def _status(settings: Settings, reporter: StatusReporter) -> StatusSource | None:
    service = settings.update_status_from_service
    return StatusSource(service, reporter) if service else None


@asynccontextmanager
async def _endpoints(controller: Controller) -> AsyncIterator[None]:
    """Answer Envoy, the kubelet and Prometheus while the block runs."""
    settings = controller.settings
    probes = health.health_app(controller.missing)
    metrics = health.metrics_app(controller.metrics.registry)
    webhook = webhook_app(controller.graph.examine, lambda: controller.pipeline.synced)
    async with (
        health.serve(settings.health_probe_bind_address, probes, "--health-probe-bind-address"),
        health.serve(settings.metrics_bind_address, metrics, "--metrics-bind-address"),
        health.serve(settings.webhook_bind_address, webhook, "--webhook-bind-address", _webhook_tls(settings)),
        serve_xds(controller),
    ):
        yield


def _webhook_tls(settings: Settings) -> ssl.SSLContext | None:
    certificate, key = settings.webhook_tls_cert_file, settings.webhook_tls_key_file
    return ServerCertificate(certificate, key).context if certificate and key else None


@asynccontextmanager
async def serve_xds(controller: Controller) -> AsyncIterator[None]:
    """Serve the controller's resources on ``--xds-address`` while the block runs.

    Raises:
        StartError: the address cannot be listened on.
    """
    address = controller.settings.xds_address
    server = grpc.aio.server(options=GRPC_OPTIONS)
    controller.xds.register(server)
    target = f"unix:{address.path}" if isinstance(address, UnixSocket) else str(address)
    # A socket is made with the process's mask: it must never be there with wider rights.
    mask = os.umask(0o177)
    try:
        server.add_insecure_port(target)
        await server.start()
    except RuntimeError as error:
        raise StartError(f"--xds-address: {target} cannot be listened on") from error
    finally:
        os.umask(mask)
    try:
        yield
    finally:
        await server.stop(_STOP_SECONDS)


def _envoy(settings: Settings) -> supervisor.Supervisor | None:
    """Write the bootstrap configuration, and prepare an Envoy with it unless somebody else runs it."""
    address = settings.xds_address
    xds = address.path if isinstance(address, UnixSocket) else address
    file = settings.data_dir / "bootstrap.json"
    text = json.dumps(bootstrap(xds, settings.data_dir / "adm.sock", socket.gethostname()), indent=2)
    if settings.envoy == "none":
        write_private(file, text)
        log.info("no Envoy is started; start one with this bootstrap configuration", file=str(file))
        return None
    return supervisor.Supervisor(supervisor.Envoy(supervisor.find_program(settings.envoy), text, file))


def _make_access_log(path: Path) -> None:
    """Make the file, which tells who asked for what, closed to others; one that is there stays as it is."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK, 0o600))
    except OSError as error:
        raise StartError(f"--access-log: {path} cannot be written: {error.strerror}") from error

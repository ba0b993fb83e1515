"""The golden cases: outputs are as accepted, Envoy takes them all, and neither order nor history changes them."""

import asyncio
import difflib
import json
import random
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

import xds
from ingress_controller import app, offline
from ingress_controller.envoy.bootstrap import bootstrap
from ingress_controller.envoy.encoder import CLUSTER, MESSAGES, TYPES, Encoder
from ingress_controller.envoy.options import Options as EnvoyOptions
from ingress_controller.model.host import CATCH_ALL, Host
from ingress_controller.model.upstream import Address
from ingress_controller.objects.change import Batch, Change
from ingress_controller.objects.store import Store
from ingress_controller.pipeline import pieces
from ingress_controller.settings import Settings
from ingress_controller.sources.directory import Directory
from ingress_controller.translate.graph import Graph
from tests import golden_suite
from tests.envoy_process import DEADLINE, EnvoyProcess, eventually, short_directory
from tests.golden_suite import Case

CASES = golden_suite.cases()
HISTORIES = 2

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def test_every_file_belongs_to_a_case() -> None:
    assert CASES
    assert golden_suite.orphans() == [], "no input makes these files; `make golden` removes them"


@each_case
def test_outputs_are_as_accepted(case: Case) -> None:
    differences = "\n".join(differences_of(golden_suite.on_disk(case), golden_suite.render(case)))
    if differences:
        pytest.fail(f"{case.name} changed; if that is wanted, `make golden` rewrites it:\n{differences}", pytrace=False)


def differences_of(accepted: dict[str, str], made: dict[str, str]) -> Iterable[str]:
    for name in sorted(accepted.keys() | made.keys()):
        before, after = (outputs.get(name, "").splitlines() for outputs in (accepted, made))
        yield from difflib.unified_diff(before, after, f"{name} as accepted", f"{name} now", lineterm="")


def test_rewriting_makes_the_outputs_of_each_input_and_removes_all_else(tmp_path: Path) -> None:
    for name in ("web/plain/in.yaml", "web/plain/envoy/Orphan.json", "web/gone/routes.yaml", "web/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("kind: GoldenSettings\nnamespaces: [app]\n---\n---\n5\n")
    made = ["web/plain/problems.txt", "web/plain/routes.yaml"]
    removed = ["web/gone/routes.yaml", "web/notes.txt"]
    assert list(golden_suite.rewrite(tmp_path)) == ["web/plain/envoy/Orphan.json", *made, *removed]
    assert list(golden_suite.rewrite(tmp_path)) == []
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == [
        "web/plain/in.yaml",
        *made,
    ]
    assert (tmp_path / made[0]).read_text().startswith("in.yaml, document 3: not a Kubernetes object")


def test_an_input_in_the_wrong_place_is_not_taken_for_an_orphan(tmp_path: Path) -> None:
    (tmp_path / "in.yaml").touch()
    with pytest.raises(ValueError, match="a case is"):
        list(golden_suite.rewrite(tmp_path))


@each_case
def test_the_order_of_documents_means_nothing(case: Case, tmp_path: Path) -> None:
    if read(case, tmp_path).malformed:
        return  # messages number the documents, and of duplicates the first counts
    documents = case.manifests.removesuffix(b"\n").split(b"\n---\n")
    turned = b"\n---\n".join(reversed(documents)) + b"\n"
    assert golden_suite.render(replace(case, manifests=turned)) == golden_suite.on_disk(case)


# --- History.


class Served:
    """Everything that is served, kept up to date by applying updates as the pipeline does."""

    def __init__(self, settings: Settings, envoy: EnvoyOptions, *, in_pieces: bool = False) -> None:
        self.hosts: dict[str, Host] = {}
        self.problems: dict[object, list[str]] = {}
        self._cache = xds.Cache()
        self._graph = Graph(offline.translate_options(settings), Store())
        self._encoder = Encoder(envoy)
        self._in_pieces = in_pieces
        self._cache.update(self._encoder.start())

    def apply(self, changes: Iterable[Change]) -> None:
        update = self._graph.apply(changes)
        if self._in_pieces:
            for piece in pieces(self._encoder, update, {}):
                self._cache.update(piece)
        else:
            self._cache.update(self._encoder.encode(update.hosts, update.upstreams, update.secrets, update.endpoints))
        self.hosts = {name: host for name, host in {**self.hosts, **update.hosts}.items() if host}
        for ref, outcome in update.outcomes.items():
            self.problems.pop(ref, None)
            if outcome:
                self.problems[ref] = [problem.message for problem in outcome.problems]

    @property
    def resources(self) -> dict[str, dict[str, xds.Resource]]:
        return {kind.url: dict(self._cache.resources(kind.url)) for kind in TYPES}


def read(case: Case, directory: Path) -> Batch:
    (directory / golden_suite.INPUT).write_bytes(case.manifests)
    return Directory([directory]).read()


@pytest.fixture(scope="module")
def envoy_options(tmp_path_factory: pytest.TempPathFactory) -> EnvoyOptions:
    made = app.envoy_options(Settings(data_dir=tmp_path_factory.mktemp("data")))
    return replace(made, http=Address("127.0.0.1", 0), https=Address("127.0.0.1", 0))


@each_case
def test_resources_say_which_clusters_they_refer_to(case: Case, envoy_options: EnvoyOptions, tmp_path: Path) -> None:
    served = Served(case.settings(), envoy_options)
    served.apply(read(case, tmp_path).changes)
    for kind in TYPES:
        if CLUSTER in kind.named:
            for resource in served.resources[kind.url].values():
                message = MESSAGES[kind.url].parse(b"".join(resource.parts))
                assert set(resource.needs or ()) == set(_clusters(message.to_dict())), resource.name


def _clusters(value: Any) -> Iterator[str]:
    """The clusters that are named anywhere in a message."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in {"cluster", "clusterName"} and isinstance(inner, str):
                yield inner
            yield from _clusters(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _clusters(inner)


@each_case
def test_history_means_nothing(case: Case, envoy_options: EnvoyOptions, tmp_path: Path) -> None:
    wanted = read(case, tmp_path).changes
    at_once = Served(case.settings(), envoy_options)
    nothing = at_once.resources
    at_once.apply(wanted)
    for seed in range(HISTORIES):
        chance = random.Random(f"{case.name} {seed}")  # noqa: S311 (chooses an order)
        served = Served(case.settings(), envoy_options, in_pieces=chance.random() < 0.5)
        served.apply(before := read(chance.choice(CASES), tmp_path).changes)
        for batch in make_history(before, wanted, chance):
            served.apply(batch)
        assert served.hosts == at_once.hosts, f"history {seed}"
        assert served.problems == at_once.problems, f"history {seed}"
        assert served.resources == at_once.resources, f"history {seed}"
        for change in chance.sample(wanted, len(wanted)):
            served.apply([Change(change.ref, None)])
        assert (served.hosts, served.problems, served.resources) == ({}, {}, nothing), f"history {seed}"


def make_history(before: Sequence[Change], wanted: Sequence[Change], chance: random.Random) -> Iterable[list[Change]]:
    """Batches that lead from one state to another on a way with detours: objects go and come back."""
    gone = {change.ref: Change(change.ref, None) for change in (*before, *wanted)}
    ways = [[change, *([gone[change.ref], change] * chance.choice((0, 0, 1, 2)))] for change in wanted]
    ways += [[gone[ref]] for ref in gone.keys() - {change.ref for change in wanted}]
    while ways:
        batch = []
        for _ in range(chance.choice((1, 1, 2, 5))):
            if ways:
                way = chance.choice(ways)
                batch.append(way.pop(0))
                ways = [way for way in ways if way]
        yield batch


# --- A real Envoy.


UNVERIFIED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
UNVERIFIED.check_hostname, UNVERIFIED.verify_mode = False, ssl.CERT_NONE


class Proxy:
    """An Envoy that is given one case after the other, each in place of the one before."""

    def __init__(self, envoy: EnvoyProcess) -> None:
        self.envoy = envoy
        self.refused: list[xds.Refusal] = []
        self._cache = xds.Cache()
        self._server = xds.Server(self._cache, TYPES, self.refused.append)

    def register(self, server: grpc.aio.Server) -> None:
        self._server.register(server)

    async def take(self, resources: dict[str, dict[str, xds.Resource]]) -> None:
        """Serve these resources and no others, in one transaction, and wait until Envoy has answered."""
        old = {url: dict.fromkeys(self._cache.resources(url)) for url in resources}
        transaction = self._cache.update({url: {**old[url], **resources[url]} for url in resources})
        async with asyncio.timeout(DEADLINE):
            await self._server.settled(transaction)

    async def port(self) -> int:
        """The port of the https listener."""
        listeners = json.loads(await self.envoy.admin_get("/listeners?format=json"))["listener_statuses"]
        ports = {each["name"]: each["local_address"]["socket_address"]["port_value"] for each in listeners}
        return int(ports["https"])

    async def shows(self, certificate: str, name: str) -> None:
        """Wait until a client that asks for a name gets the certificate with this fingerprint.

        An accepted listener is in force only when its secrets are there too, and nothing tells when that is.
        """
        port = await self.port()

        async def is_shown() -> bool:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=UNVERIFIED, server_hostname=name)
            except OSError:
                return False
            shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            writer.transport.abort()
            return sha256(shown).hexdigest() == certificate

        await eventually(is_shown, f"{name} shows its certificate")


@asynccontextmanager
async def running_proxy() -> AsyncIterator[Proxy]:
    with short_directory() as directory:
        text = bootstrap(directory / "xds.sock", directory / "admin.sock", "golden")
        proxy = Proxy(EnvoyProcess({**text, **UNRESOLVED}, directory))
        server = grpc.aio.server(options=xds.GRPC_OPTIONS)
        proxy.register(server)
        server.add_insecure_port(f"unix:{directory}/xds.sock")
        await server.start()
        async with proxy.envoy:
            yield proxy
        await server.stop(None)


# Names of upstreams are asked of a port where nobody answers: nothing leaves this machine.
UNRESOLVED = {
    "typed_dns_resolver_config": {
        "name": "envoy.network.dns_resolver.cares",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
            "resolvers": [{"socket_address": {"address": "127.0.0.1", "port_value": 1}}],
            "dns_resolver_options": {"no_default_search_domain": True},
        },
    }
}


async def test_envoy_takes_every_case(envoy_options: EnvoyOptions, tmp_path: Path) -> None:
    refused = []
    async with running_proxy() as proxy:
        await proxy.take(Served(Settings(), envoy_options).resources)
        await proxy.envoy.ready()
        for case in CASES:
            served = Served(case.settings(), envoy_options)
            served.apply(read(case, tmp_path).changes)
            try:
                await proxy.take(served.resources)
                for host in served.hosts.values():
                    certificate = host.certificate or envoy_options.bootstrap_certificate
                    await proxy.shows(certificate.fingerprint, name_under(host.name))
            except TimeoutError as error:
                raise AssertionError(f"{case.name}: {error}") from error
            refused += [f"{case.name}: {refusal}" for refusal in proxy.refused]
            proxy.refused.clear()
    assert not refused, "\n".join(refused)


def name_under(host: str) -> str:
    """A name that the host answers for."""
    return "anything.invalid" if host == CATCH_ALL else host.replace("*", "anything")

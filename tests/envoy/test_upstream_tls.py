"""TLS to upstreams: what is verified, what is shown and what a rotation costs; real servers, through a real Envoy."""

import ssl
from collections.abc import AsyncIterator
from functools import partial

import pytest
import pytest_asyncio

from ingress_controller.envoy.encoder import SECRET
from tests.authority import Authority
from tests.clients import Answer
from tests.envoy_process import short_directory
from tests.hammer import hammering
from tests.manifests import (
    CLASS,
    PUBLIC,
    documents,
    make_ingress,
    make_secret,
    make_secret_of,
    make_service,
    make_slice,
    make_web,
)
from tests.running import Running, running
from tests.upstream import Upstream, upstream
from xds import Refusal

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOST = "up.test"
OWN_NAME = "web.default.svc.cluster.local"
SECURE = PUBLIC | {"secure_upstream": "true"}
SYSTEM, OTHER, CLIENTS = Authority("system"), Authority("other"), Authority("clients")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def c() -> AsyncIterator[Running]:
    with short_directory() as directory:
        (directory / "ca.pem").write_bytes(SYSTEM.pem)
        async with running({"class.yaml": CLASS}, upstream_ca_file=directory / "ca.pem") as c:
            yield c


async def ask(c: Running, server: Upstream, annotations: dict[str, str], *more: str) -> Answer:
    """Serve ``HOST`` with these annotations from this server, and ask for it."""
    web = make_web(server.port)
    await c.write("app.yaml", documents(make_ingress("app", HOST, SECURE | annotations), web, *more))
    return await c.get(HOST)


def make_authorities(name: str, authority: Authority) -> str:
    return make_secret_of({"ca.crt": authority.pem}, name)


def make_client(name: str, authority: Authority, subject: str) -> str:
    issued = authority.issue(subject)
    return make_secret(name, issued.certificate, issued.key)


# --- The name.


async def test_the_own_name_is_asked_for_and_verified(c: Running) -> None:
    async with upstream("web", SYSTEM.issue(OWN_NAME).context()) as web:
        assert (await ask(c, web, {})).echo.upstream == "web"
    assert web.server_names == [OWN_NAME]


async def test_another_name_is_asked_for_and_verified(c: Running) -> None:
    async with upstream("web", SYSTEM.issue("elsewhere.test").context()) as web:
        assert (await ask(c, web, {})).status == 503
        assert (await ask(c, web, {"tls_server_name": "elsewhere.test"})).echo.upstream == "web"
        assert web.server_names[-1] == "elsewhere.test"
        assert (await ask(c, web, {"tls_server_name": "evil.test"})).status == 503
        assert (await ask(c, web, {"tls_server_name": "sub.elsewhere.test"})).status == 503
    assert len(web.seen) == 1


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7", "::ffff:192.0.2.7"])
async def test_an_address_is_verified_and_not_sent_as_a_name(c: Running, address: str) -> None:
    async with upstream("web", SYSTEM.issue(address).context()) as web:
        assert (await ask(c, web, {"tls_server_name": address.upper()})).echo.upstream == "web"
        assert set(web.server_names) == {None}
        assert (await ask(c, web, {"tls_server_name": "192.0.2.8"})).status == 503


async def test_an_external_address_is_verified_as_one() -> None:
    with short_directory() as directory:
        (directory / "ca.pem").write_bytes(SYSTEM.pem)
        async with (
            running({"class.yaml": CLASS}, upstream_ca_file=directory / "ca.pem", allow_external_name_local=True) as c,
            upstream("right", SYSTEM.issue("127.0.0.1").context()) as right,
            upstream("wrong", SYSTEM.issue("127.0.0.2").context()) as wrong,
        ):
            for server, status in ((right, 200), (wrong, 503)):
                service = make_service("ext", type="ExternalName", externalName="127.0.0.1")
                ingress = make_ingress("ext", HOST, SECURE, paths=[("/", "Prefix", f"ext:{server.port}")])
                await c.write("ext.yaml", documents(service, ingress))
                assert (await c.get(HOST)).status == status
            assert set(right.server_names) == {None}


# --- The certificate.


async def test_expired_certificate_is_refused(c: Running) -> None:
    async with upstream("web", SYSTEM.issue(OWN_NAME, expired=True).context()) as web:
        assert (await ask(c, web, {})).status == 503
    assert web.seen == []


async def test_other_authority_is_refused_unless_it_is_named(c: Running) -> None:
    async with upstream("web", OTHER.issue(OWN_NAME).context()) as web:
        assert (await ask(c, web, {})).status == 503
        named = {"tls_custom_ca_secret": "ca"}
        assert (await ask(c, web, named, make_authorities("ca", CLIENTS))).status == 503
        assert (await ask(c, web, named, make_authorities("ca", OTHER))).echo.upstream == "web"
        evil = named | {"tls_server_name": "evil.test"}
        assert (await ask(c, web, evil, make_authorities("ca", OTHER))).status == 503
    assert len(web.seen) == 1
    # It stands in for the system's authorities, not beside them.
    async with upstream("web", SYSTEM.issue(OWN_NAME).context()) as web:
        assert (await ask(c, web, named, make_authorities("ca", OTHER))).status == 503


async def test_skipping_takes_anything_and_still_sends_the_name(c: Running) -> None:
    async with upstream("web", OTHER.issue("whatever.test", expired=True).context()) as web:
        assert (await ask(c, web, {"tls_skip_verify": "true"})).echo.upstream == "web"
        assert web.server_names == [OWN_NAME]
        assert (await ask(c, web, {"tls_skip_verify": "false"})).status == 503


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_each_safe_version_is_spoken(c: Running, version: ssl.TLSVersion) -> None:
    context = SYSTEM.issue(OWN_NAME).context()
    context.minimum_version = context.maximum_version = version
    async with upstream("web", context) as web:
        assert (await ask(c, web, {})).echo.upstream == "web"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1(_1)? is deprecated:DeprecationWarning")
async def test_an_unsafe_version_is_not_spoken(c: Running) -> None:
    context = SYSTEM.issue(OWN_NAME).context()
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    async with upstream("web", context) as web:
        assert (await ask(c, web, {})).status == 503


# --- The client's certificate.


async def test_client_certificate_is_shown_to_who_demands_it(c: Running) -> None:
    async with upstream("web", SYSTEM.issue(OWN_NAME).context(clients=CLIENTS)) as web:
        assert (await ask(c, web, {})).status == 503
        named = {"tls_client_secret": "client"}
        assert (await ask(c, web, named, make_client("client", OTHER, "proxy"))).status == 503
        assert (await ask(c, web, named, make_client("client", CLIENTS, "proxy"))).echo.client == "proxy"
    async with upstream("web", SYSTEM.issue(OWN_NAME).context()) as web:
        assert (await ask(c, web, named, make_client("client", CLIENTS, "proxy"))).echo.client is None


async def test_rotating_a_client_certificate_is_one_secret_and_drops_nothing(c: Running) -> None:
    async with upstream("web", SYSTEM.issue(OWN_NAME).context(clients=CLIENTS)) as web:
        await c.write("client.yaml", make_client("client", CLIENTS, "first"))
        assert (await ask(c, web, {"tls_client_secret": "client"})).echo.client == "first"
        before = c.sent
        async with hammering(partial(status, c), partial(status, c)) as hammer:
            for number in range(5):
                await c.write("client.yaml", make_client("client", CLIENTS, f"next{number}"))
            await hammer.more(10)
        assert set(hammer.statuses) == {200}
        assert dict(c.sent - before) == {"Secret": 5}
        await until_new_connections(c)
        assert (await c.get(HOST)).echo.client == "next4"
    await c.remove("client.yaml")


async def test_rotating_an_authority_is_one_secret_and_drops_nothing(c: Running) -> None:
    issued = OTHER.issue(OWN_NAME)
    async with upstream("web", issued.context()) as web:
        await c.write("ca.yaml", make_authorities("ca", OTHER))
        assert (await ask(c, web, {"tls_custom_ca_secret": "ca"})).status == 200
        before = c.sent
        both = make_secret_of({"ca.crt": SYSTEM.pem + OTHER.pem}, "ca")
        async with hammering(partial(status, c), partial(status, c)) as hammer:
            for content in (both, make_authorities("ca", OTHER), both):
                await c.write("ca.yaml", content)
            await hammer.more(10)
        assert set(hammer.statuses) == {200}
        assert dict(c.sent - before) == {"Secret": 3}
    await c.remove("ca.yaml")


async def test_authority_that_is_taken_away_counts_for_new_connections(c: Running) -> None:
    async with upstream("web", OTHER.issue(OWN_NAME).context()) as web:
        named = {"tls_custom_ca_secret": "ca"}
        assert (await ask(c, web, named, make_authorities("ca", OTHER))).status == 200
        before = c.sent
        await ask(c, web, named, make_authorities("ca", SYSTEM))
        assert dict(c.sent - before) == {"Secret": 1}
        await until_new_connections(c)
        assert (await c.get(HOST)).status == 503


async def test_secret_that_disappears_and_comes_back(c: Running) -> None:
    client = make_client("client", CLIENTS, "proxy")
    authorities = make_authorities("ca", OTHER)
    annotations = {"tls_client_secret": "client", "tls_custom_ca_secret": "ca"}
    async with upstream("web", OTHER.issue(OWN_NAME).context(clients=CLIENTS)) as web, upstream("plain") as plain:
        others = documents(
            make_web(plain.port, "plain"), make_ingress("o", "o.test", paths=[("/", "Prefix", "plain:80")])
        )
        assert (await ask(c, web, annotations, client, authorities, others)).echo.client == "proxy"
        async with hammering(partial(status, c, "o.test")) as hammer:
            for kept, missing in ((client, "ca"), (authorities, "client")):
                gone = await ask(c, web, annotations, kept, others)
                assert (gone.status, gone.text) == (503, "503 secret-not-found\n")
                assert f"Secret default/{missing} not found" in c.said_of("app")[-1]
                assert (await ask(c, web, annotations, client, authorities, others)).echo.client == "proxy"
        assert set(hammer.statuses) == {200}


async def test_secrets_are_shared_by_clusters_that_name_them(c: Running) -> None:
    """A second cluster that refers to a secret Envoy has, and one that is changed, wait for nothing."""
    files = documents(make_client("client", CLIENTS, "proxy"), make_authorities("ca", OTHER))
    annotations = {"tls_client_secret": "client", "tls_custom_ca_secret": "ca"}
    async with upstream("web", OTHER.issue(OWN_NAME, "b.test").context(clients=CLIENTS)) as web:
        assert (await ask(c, web, annotations, files)).echo.client == "proxy"
        before = c.sent
        other = make_ingress("b", "b.test", SECURE | annotations | {"tls_server_name": "b.test"})
        await c.write("b.yaml", other)
        assert dict(c.sent - before) == {"Cluster": 1, "ClusterLoadAssignment": 1, "ScopedRouteConfiguration": 1}
        assert (await c.get("b.test")).echo.client == "proxy"
        limited = annotations | {"circuit_breaker_thresholds": "{max_requests: 7}"}
        assert (await ask(c, web, limited, files)).echo.client == "proxy"
        await c.remove("b.yaml")
        assert (await c.get(HOST)).echo.client == "proxy"


async def test_private_values_are_not_in_the_dump(c: Running) -> None:
    issued = CLIENTS.issue("proxy")
    async with upstream("web", SYSTEM.issue(OWN_NAME).context(clients=CLIENTS)) as web:
        await ask(c, web, {"tls_client_secret": "client"}, make_secret("client", issued.certificate, issued.key))
    dump = await c.envoy.admin_get("/config_dump?include_eds")
    assert "tls_client/default/client" in dump
    assert issued.key.decode().splitlines()[1] not in dump.replace("\\n", "\n")


async def status(c: Running, host: str = HOST) -> int:
    return (await c.get(host)).status


async def until_new_connections(c: Running) -> None:
    """Have Envoy end its connections to the upstream, as it does when an endpoint goes away."""
    web = (c.manifests / "app.yaml").read_text()
    port = int(web.split('"name": "http", "port": ')[-1].split("}")[0])
    await c.write("app.yaml", web.replace(make_slice(port), make_slice(1)))
    await c.write("app.yaml", web)


async def test_what_envoy_refuses_of_a_secret_is_told_to_who_names_it(c: Running) -> None:
    """No Secret is known that passes the controller's own checks and not Envoy's: the refusal is made up."""
    named = {"tls_client_secret": "client"}
    async with upstream("web", SYSTEM.issue(OWN_NAME).context(clients=CLIENTS)) as web:
        assert (await ask(c, web, named, make_client("client", CLIENTS, "good"))).status == 200
        name = "tls_client/default/client/".ljust(256, "/")
        c.controller.pipeline.offer(Refusal(SECRET, name, "1", "it is odd", "test"))
        await c.settled()
        assert c.said_of("app")[-1] == (
            "Warning UpdateError upsert routes: Envoy refused secret tls_client/default/client, "
            "whose last good configuration stays: it is odd"
        )
        assert (await ask(c, web, named, make_client("client", CLIENTS, "other"))).status == 200
        assert c.said_of("app")[-1] == "Normal Updated updated pomerium configuration"

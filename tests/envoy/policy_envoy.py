"""A real Envoy that serves many policies at once, each on a route of its own, and says how each decided.

In: policies with their hosts. Out: the status and the name of the decision for one request. The filters are the
product's, in the product's order; only the listener around them is made for the test: the header ``x-case`` chooses the
route, so that host, path and method are free, and every client is asked for a certificate.
"""

import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from envoy_data_plane.google.protobuf import Any as Packed
from jwt.algorithms import ECAlgorithm
from yarl import URL

from ingress_controller.envoy.filters import policy as policy_filter
from ingress_controller.envoy.filters import session_jwt, session_state
from ingress_controller.envoy.policy import per_route
from ingress_controller.model.policy import Policy
from tests.envoy.client_certificates import Client, make_authority, make_certificate, make_client
from tests.envoy_process import EnvoyProcess, short_directory

ISSUER = "https://authenticate.example.com"
_KEY = ec.generate_private_key(ec.SECP256R1())
_AUTHORITY = make_authority()
_EXAMPLE_COM = make_certificate(_AUTHORITY)
NOBODY = make_client()
TRUSTED = make_client(make_certificate(_AUTHORITY), valid=True)
EXPIRED = make_client(make_certificate(_AUTHORITY, expired=True))
FORGED = make_client(make_certificate(make_authority()))
"""As trusted as the first in every name, but by an authority that has only the name of the right one."""

_FILTERS = "type.googleapis.com/envoy.extensions.filters"
_NAME = "%DYNAMIC_METADATA(envoy.filters.http.rbac:enforced_effective_policy_id)%"


def make_token(payload: Mapping[str, object]) -> str:
    """A session as the sign-in service signs it, good for an hour unless the payload says otherwise."""
    return jwt.encode({"iss": ISSUER, "exp": int(time.time()) + 3600, **payload}, _KEY, "ES256", {"kid": "k"})


class PolicyEnvoy:
    """A client of the running Envoy, with a connection for each address it asks from."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._sessions: dict[tuple[str, Client, str], aiohttp.ClientSession] = {}
        self._stack = AsyncExitStack()

    async def ask(
        self,
        case: int,
        *,
        method: str = "GET",
        target: str = "/",
        host: str = "app.example.com",
        source: str = "127.0.0.1",
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        client: Client = NOBODY,
        server_name: str = "app.example.com",
    ) -> tuple[int, str]:
        """Send one request; the status and the name of the step that decided."""
        sent = {"host": host, "x-case": str(case), **(headers or {})}
        if token is not None:
            sent["cookie"] = f"{session_jwt.COOKIE}={token}"
        session = await self._session(source, client, server_name)
        url = URL(f"https://127.0.0.1:{self._port}{target}", encoded=True)
        async with session.request(method, url, headers=sent, server_hostname=server_name) as response:
            decided = response.headers.get("x-decision") or await response.text()
            return response.status, decided.removeprefix("rbac_access_denied_matched_policy[").removesuffix("]")

    async def _session(self, source: str, client: Client, server_name: str) -> aiohttp.ClientSession:
        key = (source, client, server_name)
        if key not in self._sessions:
            connector = aiohttp.TCPConnector(local_addr=(source, 0), ssl=client.context)
            self._sessions[key] = await self._stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        return self._sessions[key]

    async def close(self) -> None:
        await self._stack.aclose()


def compiled_policy(policy: Policy, host: str, *, server_name_must_match: bool = False) -> dict[str, Any]:
    """The filter's configuration for a route, as in Envoy's JSON."""
    encoding = per_route(policy, host, server_name_must_match=server_name_must_match)
    return Packed.parse(b"".join(encoding)).to_dict()


@asynccontextmanager
async def serving(
    policies: Sequence[tuple[Policy, str]], *, server_name_must_match: bool = False
) -> AsyncIterator[PolicyEnvoy]:
    """Run an Envoy that serves these policies for these hosts, until the block ends."""
    compiled = [compiled_policy(*policy, server_name_must_match=server_name_must_match) for policy in policies]
    with short_directory() as directory:
        async with EnvoyProcess(_bootstrap([_route(*each) for each in enumerate(compiled)]), directory) as envoy:
            await envoy.ready()
            listeners = json.loads(await envoy.admin_get("/listeners?format=json"))
            port = listeners["listener_statuses"][0]["local_address"]["socket_address"]["port_value"]
            client = PolicyEnvoy(port)
            try:
                yield client
            finally:
                await client.close()


def _bootstrap(routes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    manager = {
        "@type": f"{_FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "test",
        "use_remote_address": True,
        "normalize_path": True,
        "local_reply_config": {"body_format": {"text_format_source": {"inline_string": "%RESPONSE_CODE_DETAILS%"}}},
        "http_filters": _filters(),
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
    }
    chain = {"filters": [{"name": "manager", "typed_config": manager}], "transport_socket": _tls()}
    inspector = "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
    listener = {
        "name": "test",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "listener_filters": [{"name": "inspector", "typed_config": {"@type": inspector}}],
        "filter_chains": [chain],
    }
    return {"static_resources": {"listeners": [listener]}}


def _tls() -> dict[str, Any]:
    """As for a host with authorities of its own: certificates are asked for, and policies judge the answer."""
    certificate = {
        "certificate_chain": {"inline_string": _EXAMPLE_COM.pem},
        "private_key": {"inline_string": _EXAMPLE_COM.key_pem},
    }
    validation = {"trusted_ca": {"inline_string": _AUTHORITY.pem}, "trust_chain_verification": "ACCEPT_UNTRUSTED"}
    context = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {"tls_certificates": [certificate], "validation_context": validation},
        "require_client_certificate": False,
        "disable_stateless_session_resumption": True,
        "disable_stateful_session_resumption": True,
    }
    return {"name": "tls", "typed_config": context}


def _filters() -> list[dict[str, Any]]:
    jwks = json.dumps({"keys": [{**json.loads(ECAlgorithm.to_jwk(_KEY.public_key())), "kid": "k", "alg": "ES256"}]})
    session = session_jwt.extension_config(ISSUER, jwks).to_dict()
    router = {"name": "router", "typed_config": {"@type": f"{_FILTERS}.http.router.v3.Router"}}
    return [session, session_state.FILTER.to_dict(), policy_filter.FILTER.to_dict(), router]


def _route(case: int, compiled: dict[str, Any]) -> dict[str, Any]:
    return {
        "match": {"prefix": "/", "headers": [{"name": "x-case", "string_match": {"exact": str(case)}}]},
        "direct_response": {"status": 200, "body": {"inline_string": "allowed"}},
        "response_headers_to_add": [{"header": {"key": "x-decision", "value": _NAME}}],
        "typed_per_filter_config": {
            policy_filter.NAME: compiled,
        },
    }

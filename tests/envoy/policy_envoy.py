"""A real Envoy that serves many policies at once, each on a route of its own, and says how each decided.

In: policies with their hosts. Out: the status and the name of the decision for one request. The filters are the
product's, in the product's order; only the listener around them is made for the test: the header ``x-case`` chooses the
route, so that host, path and method are free.
"""

import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from yarl import URL

from ingress_controller.envoy.filters import policy as policy_filter
from ingress_controller.envoy.filters import session_jwt, session_state
from ingress_controller.envoy.policy import rbac_per_route
from ingress_controller.model.policy import Policy
from tests.envoy_process import EnvoyProcess, short_directory

ISSUER = "https://authenticate.example.com"
_KEY = ec.generate_private_key(ec.SECP256R1())
_FILTERS = "type.googleapis.com/envoy.extensions.filters"
_NAME = "%DYNAMIC_METADATA(envoy.filters.http.rbac:enforced_effective_policy_id)%"


def make_token(payload: Mapping[str, object]) -> str:
    """A session as the sign-in service signs it, good for an hour unless the payload says otherwise."""
    return jwt.encode({"iss": ISSUER, "exp": int(time.time()) + 3600, **payload}, _KEY, "ES256", {"kid": "k"})


class PolicyEnvoy:
    """A client of the running Envoy, with a connection for each address it asks from."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._sessions: dict[str, aiohttp.ClientSession] = {}
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
    ) -> tuple[int, str]:
        """Send one request; the status and the name of the step that decided."""
        sent = {"host": host, "x-case": str(case), **(headers or {})}
        if token is not None:
            sent["cookie"] = f"{session_jwt.COOKIE}={token}"
        session = await self._session(source)
        url = URL(f"http://127.0.0.1:{self._port}{target}", encoded=True)
        async with session.request(method, url, headers=sent) as response:
            decided = response.headers.get("x-decision") or await response.text()
            return response.status, decided.removeprefix("rbac_access_denied_matched_policy[").removesuffix("]")

    async def _session(self, source: str) -> aiohttp.ClientSession:
        if source not in self._sessions:
            connector = aiohttp.TCPConnector(local_addr=(source, 0))
            session = aiohttp.ClientSession(connector=connector)
            self._sessions[source] = await self._stack.enter_async_context(session)
        return self._sessions[source]

    async def close(self) -> None:
        await self._stack.aclose()


@asynccontextmanager
async def serving(policies: Sequence[tuple[Policy, str]]) -> AsyncIterator[PolicyEnvoy]:
    """Run an Envoy that serves these policies for these hosts, until the block ends."""
    with short_directory() as directory:
        async with EnvoyProcess(_bootstrap(policies), directory) as envoy:
            await envoy.ready()
            listeners = json.loads(await envoy.admin_get("/listeners?format=json"))
            port = listeners["listener_statuses"][0]["local_address"]["socket_address"]["port_value"]
            client = PolicyEnvoy(port)
            try:
                yield client
            finally:
                await client.close()


def _bootstrap(policies: Sequence[tuple[Policy, str]]) -> dict[str, Any]:
    routes = [_route(case, *policy) for case, policy in enumerate(policies)]
    manager = {
        "@type": f"{_FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "test",
        "use_remote_address": True,
        "normalize_path": True,
        "local_reply_config": {"body_format": {"text_format_source": {"inline_string": "%RESPONSE_CODE_DETAILS%"}}},
        "http_filters": _filters(),
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
    }
    chain = {"filters": [{"name": "manager", "typed_config": manager}]}
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    return {"static_resources": {"listeners": [{"name": "test", "address": address, "filter_chains": [chain]}]}}


def _filters() -> list[dict[str, Any]]:
    jwks = json.dumps({"keys": [{**json.loads(ECAlgorithm.to_jwk(_KEY.public_key())), "kid": "k", "alg": "ES256"}]})
    session = session_jwt.extension_config(ISSUER, jwks).to_dict()
    router = {"name": "router", "typed_config": {"@type": f"{_FILTERS}.http.router.v3.Router"}}
    return [session, session_state.FILTER.to_dict(), policy_filter.FILTER.to_dict(), router]


def _route(case: int, policy: Policy, host: str) -> dict[str, Any]:
    compiled = rbac_per_route(policy, host).to_dict()
    return {
        "match": {"prefix": "/", "headers": [{"name": "x-case", "string_match": {"exact": str(case)}}]},
        "direct_response": {"status": 200, "body": {"inline_string": "allowed"}},
        "response_headers_to_add": [{"header": {"key": "x-decision", "value": _NAME}}],
        "typed_per_filter_config": {
            policy_filter.NAME: {"@type": f"{_FILTERS}.http.rbac.v3.RBACPerRoute", **compiled},
        },
    }

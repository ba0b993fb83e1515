"""The way to a Kubernetes API server: configuration, credentials, requests, and when to try again.

In: a kubeconfig file or the surroundings of a pod. Out: :class:`KubernetesApi`, which answers paths with raw JSON.
Configuration, authentication (certificates, tokens, exec plugins, OpenID Connect) and transport are those of
`kubernetes.aio`; its generated models are not used, because building them costs an order of magnitude more than
the typed views of `ingress_controller.objects`.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import msgspec
import structlog
import yaml
from kubernetes.aio import config as kubernetes_config
from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject
from tenacity import wait_exception, wait_random_exponential

from ingress_controller.errors import StartError

log = structlog.get_logger(__name__)

_config: Any = kubernetes_config  # Its functions have no types.
_DEFAULT_FILES: str = kubernetes_config.KUBE_CONFIG_DEFAULT_LOCATION

Query = Mapping[str, str | int]

UNREACHABLE = (aiohttp.ClientError, OSError, TimeoutError)
"""What is raised when no whole answer came, whatever the reason."""

_REQUEST_LIMITS = aiohttp.ClientTimeout(total=60, sock_connect=10)


class ApiError(Exception):
    """The API server answered, and refused.

    Attributes:
        status: the HTTP status code.
        reason: the machine-readable reason of the Status object, such as ``Expired``; may be empty.
        message: the sentence of the Status object, or the body when it is none.
        retry_after: seconds that the server asks to wait; 0 when it asks for nothing.
    """

    def __init__(self, status: int, reason: str, message: str, retry_after: float = 0) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after

    @property
    def transient(self) -> bool:
        """Whether the same request may well succeed later."""
        return self.status in (401, 408, 410, 429) or self.status >= 500 or self.reason == "Conflict"


class Status(msgspec.Struct, frozen=True):
    """meta/v1 Status: what the API server says instead of an object."""

    code: int = 0
    reason: str = ""
    message: str = ""


def is_transient(error: BaseException) -> bool:
    """Whether the same request may well succeed later."""
    return error.transient if isinstance(error, ApiError) else isinstance(error, UNREACHABLE)


def _asked_wait(error: BaseException) -> float:
    return error.retry_after if isinstance(error, ApiError) else 0


RETRY_WAIT = wait_random_exponential(multiplier=0.5, max=30) + wait_exception(_asked_wait)
"""Full jitter up to half a second at first and half a minute at last, beyond what the server asks for."""


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    query: Query
    body: object = None

    @property
    def target(self) -> str:
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path

    @property
    def headers(self) -> Mapping[str, str]:
        content_type = "application/merge-patch+json" if self.method == "PATCH" else "application/json"
        return {"Content-Type": content_type, "Accept": "application/json"}


class KubernetesApi:
    """A client of one API server, for any number of concurrent requests."""

    def __init__(self, configuration: Configuration, load: Callable[[], Awaitable[Configuration]]) -> None:
        """Wrap a configuration; ``load`` gives it anew when the server no longer accepts the credentials."""
        # One watch holds one connection, and there can be many: one for each kind in each namespace.
        configuration.connection_pool_maxsize = 0
        self._configuration = configuration
        self._load = load
        self._rest: Any = RESTClientObject(configuration)
        self._renewal = asyncio.Lock()

    async def request(self, method: str, path: str, query: Query | None = None, body: object = None) -> bytes:
        """Send a request and return the whole answer's body.

        Args:
            method: the HTTP method; the body of a ``PATCH`` is a JSON merge patch (RFC 7396).
            path: where to.
            query: the query parameters.
            body: what to encode as JSON.

        Raises:
            ApiError: the server refused.
            aiohttp.ClientError, OSError, TimeoutError: there was no whole answer.
        """
        response = await self._send(_Request(method, path, query or {}, body), _REQUEST_LIMITS)
        try:
            return await response.read()
        finally:
            response.release()

    @asynccontextmanager
    async def stream(self, path: str, query: Query, seconds: float, idle: float) -> AsyncIterator[aiohttp.StreamReader]:
        """A GET whose body is read as it comes.

        Args:
            path: where to.
            query: the query parameters.
            seconds: the longest that the answer may take as a whole.
            idle: the longest that may pass without a byte.

        Raises:
            ApiError: the server refused.
            aiohttp.ClientError, OSError, TimeoutError: no answer, or (from the reader) no more of it.
        """
        limits = aiohttp.ClientTimeout(total=seconds, sock_connect=10, sock_read=idle)
        response = await self._send(_Request("GET", path, query), limits)
        try:
            yield response.content
        finally:
            response.close()

    async def _send(self, request: _Request, limits: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        """Send a request, if need be a second time with new credentials."""
        used = self._configuration
        response = await self._try(request, limits)
        if response.status == 401:
            response.release()
            await self._renew(used)
            response = await self._try(request, limits)
        if response.status >= 400:
            raise await _read_error(response)
        return response

    async def _try(self, request: _Request, limits: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        url = self._configuration.host + request.target
        headers = {**request.headers, **await self._credentials()}
        answer = await self._rest.request(
            request.method, url, headers=headers, body=request.body, _request_timeout=limits
        )
        response: aiohttp.ClientResponse = answer.response
        return response

    async def _credentials(self) -> Mapping[str, str]:
        """The Authorization header, if there is one. A projected token is read from its file each minute."""
        try:
            auth: Mapping[str, Any] = await self._configuration.auth_settings()
        except _config.ConfigException as error:
            raise OSError(f"cannot read the token: {error}") from error
        return {setting["key"]: setting["value"] for setting in auth.values() if setting["in"] == "header"}

    async def _renew(self, used: Configuration) -> None:
        """Load the configuration again, unless somebody else has since it was ``used``."""
        async with self._renewal:
            if self._configuration is not used:
                return
            try:
                configuration = await self._load()
                if configuration.cert_file:
                    self._rest.ssl_context.load_cert_chain(configuration.cert_file, configuration.key_file)
            except (StartError, OSError) as error:
                log.warning("cannot renew credentials", error=str(error))
            else:
                self._configuration = configuration

    async def close(self) -> None:
        """Close the connections."""
        await self._rest.close()


async def _read_error(response: aiohttp.ClientResponse) -> ApiError:
    try:
        body = await response.read()
    finally:
        response.release()
    asked = response.headers.get("Retry-After", "")
    retry_after = float(asked) if asked.isdigit() else 0.0
    try:
        status = msgspec.json.decode(body, type=Status)
    except msgspec.DecodeError:
        # A proxy or load balancer in between does not speak in Status objects.
        status = Status(message=body[:200].decode(errors="replace"))
    return ApiError(response.status, status.reason or response.reason or "", status.message, retry_after)


@asynccontextmanager
async def connect(kubeconfig: Path | None = None) -> AsyncIterator[KubernetesApi]:
    """A client for as long as the context lasts. No request is made yet.

    Args:
        kubeconfig: the file to read. Without one: the file that ``KUBECONFIG`` names, else the ServiceAccount of
            the pod, else ``~/.kube/config``.

    Raises:
        StartError: there is no usable configuration.
    """
    in_pod = not (kubeconfig or os.environ.get("KUBECONFIG")) and "KUBERNETES_SERVICE_HOST" in os.environ
    load = _load_from_pod if in_pod else partial(_load_from_files, str(kubeconfig or _DEFAULT_FILES))
    configuration = await load()
    with _explained("API server credentials"):
        api = KubernetesApi(configuration, load)
    try:
        yield api
    finally:
        await api.close()


async def _load_from_pod() -> Configuration:
    configuration = Configuration()
    with _explained("the pod's ServiceAccount"):
        _config.load_incluster_config(client_configuration=configuration)
    return configuration


async def _load_from_files(files: str) -> Configuration:
    """Load kubeconfig files, several of which may be joined as in ``KUBECONFIG``."""
    configuration = Configuration()
    configuration.host = ""
    with _explained(f"kubeconfig {files}"):
        if not _exist(files):
            raise FileNotFoundError("no such file; name one with --kubeconfig or KUBECONFIG")
        await _config.load_kube_config(config_file=files, client_configuration=configuration)
        if not configuration.host:
            raise ValueError("the cluster of the current context has no server")
    return configuration


def _exist(files: str) -> bool:
    return any(Path(file).expanduser().exists() for file in files.split(os.pathsep))


@contextmanager
def _explained(origin: str) -> Iterator[None]:
    """Turn what the library raises for unusable configuration into an error that says where it is."""
    try:
        yield
    except (_config.ConfigException, OSError, yaml.YAMLError, ValueError) as error:
        raise StartError(f"{origin}: {error}") from error
    except (TypeError, AttributeError, LookupError) as error:
        # The library takes the structure of the file for granted.
        raise StartError(f"{origin}: not a kubeconfig file ({error})") from error

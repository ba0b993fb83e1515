"""The typed settings of one Ingress, as its annotations give them.

In: values from ``table``. Out: frozen groups with the defaults that hold where an annotation is absent.
"""

from dataclasses import dataclass, field
from datetime import timedelta

from ingress_controller.model.headers import PrefixRewrite, Template
from ingress_controller.model.load_balancing import LoadBalancing
from ingress_controller.model.policy import Policy


@dataclass(frozen=True, slots=True)
class Access:
    """Who may: the annotations that are combined into one policy."""

    policy: Policy | None = None
    public: bool = False
    any_authenticated: bool = False
    users: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    claims: tuple[tuple[str, tuple[str, ...]], ...] = ()
    cors_preflight: bool = False


@dataclass(frozen=True, slots=True)
class Matching:
    """Which requests."""

    path_regex: bool = False
    allow_empty_host: bool = False


@dataclass(frozen=True, slots=True)
class Connection:
    """How the upstream is reached. ``server_name`` is ``None`` for the upstream's own name."""

    secure: bool = False
    service_proxy: bool = False
    server_name: str | None = None
    skip_verify: bool = False


@dataclass(frozen=True, slots=True)
class Forwarding:
    """How a request is sent on. A duration of zero is no limit, ``None`` the default."""

    prefix_rewrite: str | None = None
    regex_rewrite_pattern: str | None = None
    regex_rewrite_substitution: str | None = None
    timeout: timedelta | None = None
    idle_timeout: timedelta | None = None
    websockets: bool = False
    spdy: bool = False


@dataclass(frozen=True, slots=True)
class HostHeader:
    """The Host header that is sent to the upstream: its own name, or one of these."""

    preserve: bool = False
    rewrite: str | None = None
    from_header: str | None = None
    path_pattern: str | None = None
    path_substitution: str | None = None


@dataclass(frozen=True, slots=True)
class SetResponseHeaders:
    """Headers that responses get, and whether they get the default ones besides."""

    values: tuple[tuple[str, str], ...] = ()
    defaults: bool = True


@dataclass(frozen=True, slots=True)
class Headers:
    """Other headers, of requests and of responses."""

    set_request: tuple[tuple[str, Template], ...] = ()
    remove_request: tuple[str, ...] = ()
    set_response: SetResponseHeaders = SetResponseHeaders()
    rewrite_response: tuple[PrefixRewrite, ...] = ()
    pass_identity: bool = False


@dataclass(frozen=True, slots=True)
class SignIn:
    """What needs the identity provider of sign-in. Only the defaults can be honoured as long as there is none."""

    bearer_token_format: str = "default"  # noqa: S105 (no secret)
    access_token_audiences: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Description:
    """What people are told of the routes."""

    name: str = ""
    description: str = ""
    logo_url: str = ""


@dataclass(frozen=True, slots=True)
class SecretNames:
    """Secrets of the Ingress's own namespace, by what they are for."""

    set_request_headers: str | None = None
    set_response_headers: str | None = None
    tls_client: str | None = None
    tls_custom_ca: str | None = None
    tls_downstream_client_ca: str | None = None
    service_account_token: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that annotations say about an Ingress."""

    access: Access = field(default_factory=Access)
    matching: Matching = field(default_factory=Matching)
    connection: Connection = field(default_factory=Connection)
    load_balancing: LoadBalancing = field(default_factory=LoadBalancing)
    forwarding: Forwarding = field(default_factory=Forwarding)
    host_header: HostHeader = field(default_factory=HostHeader)
    headers: Headers = field(default_factory=Headers)
    sign_in: SignIn = field(default_factory=SignIn)
    description: Description = field(default_factory=Description)
    secrets: SecretNames = field(default_factory=SecretNames)

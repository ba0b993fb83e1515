"""The typed settings of one Ingress, as its annotations give them.

In: values from ``table``. Out: frozen groups with the defaults that hold where an annotation is absent.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from ingress_controller.model.load_balancing import LoadBalancing
from ingress_controller.model.policy import Policy
from ingress_controller.model.reference import ObjectRef


@dataclass(frozen=True, slots=True)
class Access:
    """Who may: the annotations that are combined into one policy.

    With ``mode`` shadow, what ``policy`` and ``policy_ref`` say is tried and not enforced. A reference without a
    namespace is to the Ingress's own.
    """

    policy: Policy | None = None
    policy_ref: tuple[ObjectRef, ...] = ()
    mode: Literal["enforce", "shadow"] = "enforce"
    public: bool = False
    any_authenticated: bool = False
    users: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    claims: tuple[tuple[str, tuple[str, ...]], ...] = ()


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
    """What is sent to the upstream. ``timeout`` of zero is no limit."""

    prefix_rewrite: str | None = None
    preserve_host: bool = False
    timeout: timedelta = timedelta(seconds=30)
    set_request_headers: tuple[tuple[str, str], ...] = ()
    remove_request_headers: tuple[str, ...] = ()
    set_response_headers: tuple[tuple[str, str], ...] = ()


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
    secrets: SecretNames = field(default_factory=SecretNames)

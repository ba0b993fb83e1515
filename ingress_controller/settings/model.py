"""The settings: one model, from which the command line's options, help and error messages are made.

In: for each field its text, wherever it came from (or a value already of the field's type). Out: a frozen
:class:`Settings`, every path absolute and every default filled in. Making one reads no environment variable
and writes nothing; it only looks whether files that are named exist.

pydantic-settings is not used: it merges sources without telling which of them a value came from, and an error
has to name that. The command line library keeps it.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, Self

import certifi
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    SecretBytes,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from ingress_controller.model.reference import ObjectRef
from ingress_controller.model.upstream import Address
from ingress_controller.settings.values import (
    RedisStore,
    SqliteStore,
    UnixSocket,
    parse_access_log,
    parse_certificates,
    parse_certificates_file,
    parse_choice,
    parse_controller_name,
    parse_databroker_url,
    parse_directory,
    parse_envoy,
    parse_file,
    parse_issuer,
    parse_listener_address,
    parse_namespace,
    parse_optional_address,
    parse_path,
    parse_port,
    parse_prefix,
    parse_service,
    parse_shared_secret,
    parse_switch,
    parse_xds_address,
)

SYSTEM_CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # RHEL, CentOS
    "/etc/ssl/cert.pem",  # Alpine, macOS, BSD
)
"""Where systems keep the certificates of public authorities, in the order they are looked for."""

LONGEST_SOCKET_PATH = 107
"""Bytes that fit into ``sockaddr_un.sun_path`` with its final NUL (unix(7))."""


@dataclass(frozen=True, slots=True)
class Setting:
    """How one field is given as text and shown in help.

    Attributes:
        group: the heading in help.
        metavar: what stands for the value in help; empty for a switch.
        parse: text to value, raising :class:`ValueError`.
        kind: the types of a parsed value, which is taken as it is.
        default: the default as help says it, where it is not the value itself.
        separator: for a field of several values, what separates them in an environment variable.
        commas: whether one flag may also hold several values, separated by commas.
    """

    group: str
    metavar: str
    parse: Callable[[str], Any]
    kind: type | tuple[type, ...] = str
    default: str = ""
    separator: str = ""
    commas: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate with ``parse`` alone, so that every message is this project's own."""
        return core_schema.no_info_plain_validator_function(self._values if self.separator else self._value)

    def _value(self, given: Any) -> Any:
        if isinstance(given, str):
            try:
                return self.parse(given)
            except OSError as error:  # a path that is too long, a folder that cannot be entered
                raise ValueError(f"cannot be used: {error.strerror}") from None
        if not isinstance(given, self.kind):
            raise ValueError(f"must be text, got {type(given).__name__}")
        return given

    def _values(self, given: Any) -> tuple[Any, ...]:
        """All values of a field of several, each once, in the order given."""
        items = given if isinstance(given, list | tuple) else (given,)
        texts = (
            text for item in items for text in (item.split(",") if self.commas and isinstance(item, str) else (item,))
        )
        return tuple(dict.fromkeys(self._value(text.strip() if isinstance(text, str) else text) for text in texts))


CLUSTER, MANIFESTS = "Cluster", "Without a cluster"
LISTEN, WEBHOOK, ENVOY = "Addresses", "Validation webhook", "Envoy"
STATE, SESSIONS, LOG = "State and secrets", "Sessions", "Log"


# Defaults are given as text and read by the field's own parser; hence their type.
def default_data_dir() -> Any:
    """Where the XDG base directory specification puts state."""
    state = os.environ.get("XDG_STATE_HOME", "")
    return f"{state if state.startswith('/') else '~/.local/state'}/ingress-controller"


def default_upstream_ca_file() -> Any:
    """The system's public authorities, or the ones that came with this program."""
    return next((file for file in SYSTEM_CA_FILES if os.access(file, os.R_OK)), certifi.where())


def local(port: int) -> Callable[[dict[str, Any]], Any]:
    """Make the default of an address: only this machine with --manifests, every interface in a cluster."""
    return lambda given: f"{'127.0.0.1' if given['manifests'] else ''}:{port}"


class Settings(BaseModel):
    """Everything an operator can set; the text under each field is its help."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True, use_attribute_docstrings=True
    )

    name: Annotated[str, Setting(CLUSTER, "DOMAIN/NAME", parse_controller_name)] = "pomerium.io/ingress-controller"
    """Serve Ingresses whose IngressClass has this spec.controller."""
    prefix: Annotated[str, Setting(CLUSTER, "DOMAIN", parse_prefix)] = "ingress.pomerium.io"
    """Prefix of the annotations that are read."""
    namespaces: Annotated[
        tuple[str, ...], Setting(CLUSTER, "NAME,...", parse_namespace, default="all", separator=",", commas=True)
    ] = ()
    """Namespaces to watch; repeatable."""
    kubeconfig: Annotated[
        Path | None, Setting(CLUSTER, "FILE", parse_file, (Path, NoneType), "$KUBECONFIG, else the pod's own account")
    ] = None
    """How to reach the cluster."""
    update_status_from_service: Annotated[
        ObjectRef | None, Setting(CLUSTER, "NAMESPACE/NAME", parse_service, (ObjectRef, NoneType))
    ] = None
    """Copy the load balancer status of this Service to every Ingress served."""
    allow_external_name_local: Annotated[bool, Setting(CLUSTER, "", parse_switch, bool)] = False
    """Let Services of type ExternalName name loopback, link-local and the controller's own addresses."""

    manifests: Annotated[tuple[Path, ...], Setting(MANIFESTS, "DIR", parse_directory, Path, separator=os.pathsep)] = ()
    """Serve the Kubernetes objects of this folder's YAML files, and no cluster; repeatable."""

    http_address: Annotated[
        Address,
        Setting(
            LISTEN, "HOST:PORT", parse_listener_address, Address, "127.0.0.1:8080 with --manifests, else 0.0.0.0:8080"
        ),
    ] = Field(default_factory=local(8080))
    """Where Envoy listens for HTTP: redirects to https and ACME challenges."""
    https_address: Annotated[
        Address,
        Setting(
            LISTEN, "HOST:PORT", parse_listener_address, Address, "127.0.0.1:8443 with --manifests, else 0.0.0.0:8443"
        ),
    ] = Field(default_factory=local(8443))
    """Where Envoy listens for HTTPS."""
    external_https_port: Annotated[
        int, Setting(LISTEN, "PORT", parse_port, int, "the port of --https-address with --manifests, else 443")
    ] = Field(default_factory=lambda given: given["https_address"].port if given["manifests"] else 443)
    """The HTTPS port that users see, which redirects name."""
    health_probe_bind_address: Annotated[
        Address | None,
        Setting(
            LISTEN,
            "HOST:PORT",
            parse_optional_address,
            (Address, NoneType),
            "127.0.0.1:8081 with --manifests, else :8081",
        ),
    ] = Field(default_factory=local(8081))
    """Where /healthz and /readyz are answered; 0 for nowhere."""
    metrics_bind_address: Annotated[
        Address | None,
        Setting(
            LISTEN,
            "HOST:PORT",
            parse_optional_address,
            (Address, NoneType),
            "127.0.0.1:9090 with --manifests, else :9090",
        ),
    ] = Field(default_factory=local(9090))
    """Where /metrics is answered; 0 for nowhere."""

    webhook_bind_address: Annotated[
        Address | None, Setting(WEBHOOK, "HOST:PORT", parse_optional_address, (Address, NoneType), "0, nowhere")
    ] = None
    """Where the API server can have Ingresses validated, by HTTPS at /validate-ingress; 0 for nowhere."""
    webhook_tls_cert_file: Annotated[Path | None, Setting(WEBHOOK, "FILE", parse_file, (Path, NoneType))] = None
    """PEM certificate chain of that address; read anew when it changes."""
    webhook_tls_key_file: Annotated[Path | None, Setting(WEBHOOK, "FILE", parse_file, (Path, NoneType))] = None
    """Its private key, PEM, unencrypted."""

    envoy: Annotated[Path | Literal["auto", "none"], Setting(ENVOY, "auto|none|PATH", parse_envoy, Path)] = "auto"
    """The Envoy to start: the one installed with this program or found on PATH, none, or this program."""
    upstream_ca_file: Annotated[
        Path, Setting(ENVOY, "FILE", parse_certificates_file, Path, "the system's, else the one of certifi")
    ] = Field(default_factory=default_upstream_ca_file)
    """PEM certificates of the authorities that upstreams reached by https are checked with."""

    data_dir: Annotated[Path, Setting(STATE, "DIR", parse_path, Path, "~/.local/state/ingress-controller")] = Field(
        default_factory=default_data_dir
    )
    """Folder of what outlives a restart; made when absent, closed to other users."""
    xds_address: Annotated[
        UnixSocket | Address,
        Setting(ENVOY, "unix:PATH|HOST:PORT", parse_xds_address, (UnixSocket, Address), "unix:DATA_DIR/xds.sock"),
    ] = Field(default_factory=lambda given: UnixSocket(given["data_dir"] / "xds.sock"))
    """Where Envoy asks for its configuration, which includes private keys: a Unix socket, or a loopback address."""
    shared_secret: Annotated[
        SecretBytes | None, Setting(STATE, "BASE64", parse_shared_secret, (SecretBytes, NoneType))
    ] = None
    """32 bytes that replicas share to protect one another's tokens; prefer the environment variable to the flag."""
    databroker_service_url: Annotated[
        SqliteStore | RedisStore,
        Setting(STATE, "URL", parse_databroker_url, (SqliteStore, RedisStore), "sqlite:///sessions.db"),
    ] = SqliteStore(Path("sessions.db"))
    """Where sessions are kept: sqlite:///NAME, sqlite:////PATH, redis://HOST or rediss://HOST."""
    databroker_tls_ca: Annotated[
        bytes | None, Setting(STATE, "BASE64", parse_certificates, (bytes, NoneType), "the system's")
    ] = None
    """PEM certificates that the databroker's TLS certificate is checked with."""
    databroker_tls_ca_file: Annotated[
        Path | None, Setting(STATE, "FILE", parse_certificates_file, (Path, NoneType), "the system's")
    ] = None
    """The same, from a file."""

    signing_key_file: Annotated[
        Path | None, Setting(SESSIONS, "FILE", parse_file, (Path, NoneType), "made and kept in the data directory")
    ] = None
    """EC P-256 private key, PEM, that signs sessions."""
    authenticate_service_url: Annotated[str, Setting(SESSIONS, "URL", parse_issuer)] = "https://authenticate.localhost"
    """The sign-in service, which sessions name as their issuer."""

    log_format: Annotated[Literal["text", "json"], Setting(LOG, "text|json", parse_choice("text", "json"))] = "text"
    """How log lines are written to standard error."""
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Setting(LOG, "debug|info|warning|error", parse_choice("debug", "info", "warning", "error")),
    ] = "info"
    """The least severe messages that are written."""
    access_log: Annotated[Path | Literal["stdout", "off"], Setting(LOG, "stdout|off|FILE", parse_access_log, Path)] = (
        "stdout"
    )
    """Where Envoy writes a line of JSON for each request: its standard output, nowhere, or this file."""

    @field_validator("databroker_service_url")
    @classmethod
    def _in_data_dir(cls, store: SqliteStore | RedisStore, given: ValidationInfo) -> SqliteStore | RedisStore:
        """Place a file given without a folder (joined to a folder, an absolute path stays as it is)."""
        if isinstance(store, SqliteStore) and "data_dir" in given.data:
            return SqliteStore(given.data["data_dir"] / store.file)
        return store

    @model_validator(mode="after")
    def _without_conflicts(self) -> Self:
        if conflicts := "\n".join(conflicts_of(self)):
            raise ValueError(conflicts)
        return self


def setting(name: str) -> Setting:
    """How the field of this name is given as text."""
    return next(mark for mark in Settings.model_fields[name].metadata if isinstance(mark, Setting))


def conflicts_of(settings: Settings) -> Iterator[str]:
    """What is wrong with settings that are each right alone, a line each."""
    if settings.manifests and settings.kubeconfig:
        yield "--manifests and --kubeconfig: only one can be given, manifests are served without a cluster"
    if settings.manifests and settings.update_status_from_service:
        yield "--manifests and --update-status-from-service: only one can be given, a status needs a cluster"
    if settings.databroker_tls_ca and settings.databroker_tls_ca_file:
        yield "--databroker-tls-ca and --databroker-tls-ca-file: only one can be given"
    yield from webhook_conflicts(settings)
    bound = {
        "--http-address": settings.http_address,
        "--https-address": settings.https_address,
        "--health-probe-bind-address": settings.health_probe_bind_address,
        "--metrics-bind-address": settings.metrics_bind_address,
        "--webhook-bind-address": settings.webhook_bind_address,
        "--xds-address": settings.xds_address,
    }
    for (flag, one), (other_flag, other) in combinations(bound.items(), 2):
        if isinstance(one, Address) and isinstance(other, Address) and collide(one, other):
            yield f"{flag} and {other_flag}: {one} and {other} cannot both be listened on"
    yield from socket_conflict(settings)


def webhook_conflicts(settings: Settings) -> Iterator[str]:
    """What the webhook cannot be served without, or with."""
    files = {
        "--webhook-tls-cert-file": settings.webhook_tls_cert_file,
        "--webhook-tls-key-file": settings.webhook_tls_key_file,
    }
    if settings.webhook_bind_address:
        yield from (f"--webhook-bind-address: needs {flag} too" for flag, file in files.items() if not file)
        if settings.manifests:
            yield "--manifests and --webhook-bind-address: only one can be given, no API server would ask"


def collide(one: Address, other: Address) -> bool:
    """Whether two addresses have a port in common on some interface."""
    every = {"", "0.0.0.0", "::"}  # noqa: S104 - compared, not bound
    return one.port == other.port != 0 and (one.host == other.host or one.host in every or other.host in every)


def socket_conflict(settings: Settings) -> Iterator[str]:
    """A socket's path that the kernel would refuse."""
    if isinstance(settings.xds_address, UnixSocket):
        length = len(os.fsencode(settings.xds_address.path))
        if length > LONGEST_SOCKET_PATH:
            flag = "--xds-address" if "xds_address" in settings.model_fields_set else "--data-dir"
            yield (
                f"{flag}: the xDS socket {settings.xds_address.path} has a path of {length} bytes, "
                f"a Unix socket has at most {LONGEST_SOCKET_PATH}: choose a shorter one"
            )

"""``ingress-controller explain``: what one request would be answered, and why.

In: a URL, who asks, and manifests or a cluster. Out: the choice of the host and the route, every criterion of the
policy, and the answers, on standard output; exit status 2 for a question that is none, or objects that cannot be read.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Literal, TypedDict, Unpack

import click

from ingress_controller import logs
from ingress_controller.cli.options import SettingsCommand, with_settings
from ingress_controller.cli.session import Claim, gathered
from ingress_controller.errors import StartError
from ingress_controller.explain.data import to_data
from ingress_controller.explain.decision import Served, Visitor
from ingress_controller.explain.decision import explain as explain_request
from ingress_controller.explain.notes import notes
from ingress_controller.explain.text import to_text
from ingress_controller.explain.url import TUNNEL, Target, normal_host, parse_url
from ingress_controller.policy.certificates import normal_fingerprint
from ingress_controller.policy.evaluate import Session, ShownCertificate
from ingress_controller.settings import Settings


class Url(click.ParamType[Target]):
    """A URL as it stands in a browser."""

    name = "url"

    def convert(self, value: str | Target, param: click.Parameter | None, ctx: click.Context | None) -> Target:
        """The host and path, or a usage error that names the flag."""
        if isinstance(value, Target):
            return value
        try:
            return parse_url(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class IpAddress(click.ParamType[IPv4Address | IPv6Address]):
    """An address."""

    name = "address"

    def convert(
        self, value: str | IPv4Address | IPv6Address, param: click.Parameter | None, ctx: click.Context | None
    ) -> IPv4Address | IPv6Address:
        """The address, or a usage error that names the flag."""
        try:
            return ip_address(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Instant(click.ParamType[datetime]):
    """A date and time in ISO 8601; without a zone it is UTC."""

    name = "time"

    def convert(self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The instant, or a usage error that names the flag."""
        if isinstance(value, datetime):
            return value
        try:
            given = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"must be a date and time such as 2026-12-24T18:00:00+01:00, got {value!r}", param, ctx)
        return given if given.tzinfo else given.replace(tzinfo=UTC)


class Fingerprint(click.ParamType[str]):
    """SHA-256 of a certificate."""

    name = "fingerprint"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The fingerprint as policies compare it, or a usage error that names the flag."""
        try:
            return normal_fingerprint(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Asking(TypedDict):
    """The options about who asks, and how."""

    user: str
    user_id: str
    groups: tuple[str, ...]
    claims: tuple[tuple[str, str], ...]
    method: str | None
    source_ip: IPv4Address | IPv6Address
    time: datetime | None
    headers: tuple[tuple[str, str], ...]
    client_certificate: str | None
    server_name: str | None


@click.command(
    cls=SettingsCommand,
    epilog="""
    Without PATH, the cluster is read once. Somebody who is named has a good session for the host of the URL;
    without --user and --user-id, nobody is signed in.

    \b
    Examples:
      ingress-controller explain --url https://hello.localhost.pomerium.io/ examples/quickstart
      ingress-controller explain --url https://app.example.com/a --user ann@example.com --group admins
      ingress-controller explain --url https://app.example.com/ --method POST --source-ip 10.1.2.3 -o json ingress.yaml
      ingress-controller explain --url tcp+https://db.example.com:5432 --user ann@example.com manifests/
    """,
)
@click.argument("paths", nargs=-1, metavar="[PATH...]", type=click.Path(exists=True, readable=True, path_type=Path))
@click.option("--url", required=True, type=Url(), metavar="URL", help="What is asked for.")
@click.option("--user", default="", metavar="EMAIL", help="E-mail address of who asks.")
@click.option("--user-id", default="", metavar="ID", help="Id of who asks.  [default: the e-mail address]")
@click.option("--group", "groups", multiple=True, metavar="NAME", help="A group of the user; repeatable.")
@click.option(
    "--claim", "claims", multiple=True, type=Claim(), metavar="NAME=VALUE", help="A claim; one name twice is a list."
)
@click.option("--method", metavar="METHOD", help="The request's method.  [default: GET, or CONNECT for tcp+https]")
@click.option(
    "--source-ip", default="192.0.2.1", show_default=True, type=IpAddress(), metavar="IP", help="The client's address."
)
@click.option("--time", type=Instant(), metavar="TIME", help="When, in ISO 8601.  [default: now]")
@click.option(
    "--header",
    "headers",
    multiple=True,
    type=Claim(),
    metavar="NAME=VALUE",
    help="A header of the request; repeatable.",
)
@click.option(
    "--client-certificate",
    type=Fingerprint(),
    metavar="SHA256",
    help="Fingerprint of the certificate that the client shows, and that the host's authorities vouch for.",
)
@click.option(
    "--server-name",
    metavar="NAME",
    help="What the client names in the TLS handshake; empty for nothing.  [default: the host of the URL]",
)
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print it."
)
@with_settings("name", "prefix", "namespaces", "allow_external_name_local", "kubeconfig", "external_https_port")
def explain(
    *,
    settings: Settings,
    paths: tuple[Path, ...],
    url: Target,
    output: Literal["text", "json"],
    **asking: Unpack[Asking],
) -> None:
    """Explain what a request is answered: which route, which rule of its policy, and why not another."""
    # Brings in the Kubernetes client, which help and completion do not need.
    from ingress_controller import offline  # noqa: PLC0415

    url = target_of(url, asking["method"])
    visitor = visitor_of(asking, url)
    if not paths:
        # Says what keeps the cluster from being read.
        logs.configure("text", "warning")
    state = offline.read_state(paths, settings)
    served = Served(state.hosts, state.upstreams, state.endpoints, settings.external_https_port)
    found = explain_request(served, url, visitor)
    about = notes(found.routing.names, state.ours, state.foreign, state.problems)
    noted = [*map(str, state.malformed), *about]
    if output == "json":
        click.echo(json.dumps(to_data(found, noted), indent=2, ensure_ascii=False))
    else:
        click.echo(to_text(found, noted), nl=False)


def target_of(url: Target, method: str | None) -> Target:
    """What is asked for: CONNECT asks for a tunnel, and nothing else does.

    Raises:
        StartError: the method does not go with the URL.
    """
    connects = (method or "").upper() == "CONNECT"
    if url.scheme == TUNNEL and method and not connects:
        raise StartError(f"--method: {TUNNEL} is for CONNECT alone, got {method[:80]!r}")
    if not connects and url.scheme != TUNNEL:
        return url
    if url.scheme == "http":
        raise StartError(f"--url: CONNECT is over TLS: write {TUNNEL}://{url.host}:{url.port}")
    if url.written_path != "/" or url.query is not None:
        raise StartError(f"--url: CONNECT has no path: write {TUNNEL}://{url.host}:{url.port}")
    return replace(url, scheme=TUNNEL)


def visitor_of(asking: Asking, url: Target) -> Visitor:
    """Who asks for something, and how.

    Raises:
        StartError: nobody can ask like that.
    """
    shown, server_name = asking["client_certificate"], asking["server_name"]
    return Visitor(
        "CONNECT" if url.scheme == TUNNEL else (asking["method"] or "GET").upper(),
        asking["source_ip"],
        session_of(asking, url.host),
        time=asking["time"] or datetime.now(UTC),
        headers={name.lower(): value for name, value in asking["headers"]},
        certificate=ShownCertificate(shown, valid=True) if shown else None,
        server_name=None if server_name is None else normal_host(server_name),
    )


def session_of(asking: Asking, host: str) -> Session | None:
    """The session for a host of somebody who is named; ``None`` for nobody.

    Raises:
        StartError: somebody is described and not named.
    """
    email, groups = asking["user"].lower(), asking["groups"]
    subject = asking["user_id"] or asking["user"]
    if subject:
        return Session(subject, (host,), email or None, groups or None, gathered(asking["claims"]))
    if groups or asking["claims"]:
        raise StartError("--group and --claim are of somebody who is signed in: name who, with --user or --user-id")
    return None

"""Annotations about forwarding that contradict one another, or miss one another.

In: settings, each read well by itself. Out: the name of an annotation and what is wrong with it. An annotation that
would be ignored is a mistake too: whoever wrote it expects otherwise.
"""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from graphlib import CycleError, TopologicalSorter

from ingress_controller.annotations.patterns import check_groups
from ingress_controller.annotations.settings import Forwarding, Headers, HostHeader, Settings
from ingress_controller.annotations.table import TABLE
from ingress_controller.model.headers import RequestHeader, Template

Conflict = tuple[str, str]


def conflicts(settings: Settings, written: AbstractSet[str], prefix: str) -> Iterator[Conflict]:
    """What is wrong among the annotations about forwarding; names come without the prefix.

    Args:
        settings: those that could be read.
        written: the names of all annotations that are there, whether they could be read or not.
        prefix: what names begin with in messages.
    """
    yield from _of_host(settings.host_header, written, prefix)
    yield from _of_path(settings.forwarding, written, prefix)
    yield from _of_headers(settings.headers, prefix)
    if settings.secrets.service_account_token:
        yield from _of_kubernetes(settings, prefix)
    if settings.connection.tcp:
        yield from ((name, f"means nothing to {prefix}/tcp_upstream") for name in _http_only(settings))


def _of_kubernetes(settings: Settings, prefix: str) -> Iterator[Conflict]:
    token = f"{prefix}/kubernetes_service_account_token"
    if settings.access.public:
        yield "allow_public_unauthenticated_access", f"contradicts {token}, which needs a user to impersonate"
    if any(name.lower() == _TOKEN_HEADER for name, _ in settings.headers.set_request):
        yield "set_request_headers", f"Authorization is set by {token} already"
    if _TOKEN_HEADER in map(str.lower, settings.headers.remove_request):
        yield "remove_request_headers", f"Authorization is set by {token}"


_TOKEN_HEADER = "authorization"  # noqa: S105 (the name of a header)
_OF_TUNNELS = frozenset(
    {
        ("matching", "allow_empty_host"),
        ("connection", "tcp"),
        ("connection", "service_proxy"),
        ("forwarding", "timeout"),
        ("forwarding", "idle_timeout"),
        ("secrets", "tls_downstream_client_ca"),
    }
)
"""What a tunnel of bytes can do, besides who may and what people are told of it."""


def _http_only(settings: Settings) -> Iterator[str]:
    """The annotations in use that say something about requests and responses."""
    default = Settings()
    for (group, field), name in {row.lands: row.name for row in TABLE}.items():
        given, usual = (getattr(getattr(each, group), field) for each in (settings, default))
        if given != usual and group not in {"access", "sign_in", "description"} and (group, field) not in _OF_TUNNELS:
            yield name


def reading_order(headers: tuple[tuple[str, Template], ...]) -> tuple[tuple[str, Template], ...]:
    """The headers in an order in which each still finds the client's value of those that it reads.

    Raises:
        CycleError: there is none, since headers read one another.
    """
    by_name = {name.lower(): (name, value) for name, value in headers}
    sorter: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(by_name, ()))
    for name, (_, value) in by_name.items():
        for read in (part.name.lower() for part in value if isinstance(part, RequestHeader)):
            if read in by_name and read != name:
                sorter.add(read, name)
    return tuple(by_name[name] for name in sorter.static_order())


def _of_host(host: HostHeader, written: AbstractSet[str], prefix: str) -> Iterator[Conflict]:
    given = {
        "preserve_host_header": host.preserve,
        "host_rewrite": host.rewrite,
        "host_rewrite_header": host.from_header,
        "host_path_regex_rewrite_pattern": host.path_pattern or host.path_substitution,
    }
    yield from _at_most_one(given, "sets the Host header", prefix)
    yield from _missing("host_path_regex_rewrite", written, prefix)
    yield from _groups("host_path_regex_rewrite", host.path_pattern, host.path_substitution)


def _of_path(forwarding: Forwarding, written: AbstractSet[str], prefix: str) -> Iterator[Conflict]:
    pattern, substitution = forwarding.regex_rewrite_pattern, forwarding.regex_rewrite_substitution
    given = {"prefix_rewrite": forwarding.prefix_rewrite, "regex_rewrite_pattern": pattern or substitution}
    yield from _at_most_one(given, "rewrites the path", prefix)
    yield from _missing("regex_rewrite", written, prefix)
    yield from _groups("regex_rewrite", pattern, substitution)


def _at_most_one(given: Mapping[str, object], does: str, prefix: str) -> Iterator[Conflict]:
    first, *others = [name for name, value in given.items() if value] or [""]
    yield from ((other, f"{prefix}/{first} {does} already; only one annotation may") for other in others)


def _missing(name: str, written: AbstractSet[str], prefix: str) -> Iterator[Conflict]:
    pair = {f"{name}_pattern", f"{name}_substitution"}
    if len(pair & written) == 1:
        (missing,) = pair - written
        yield from ((other, f"{prefix}/{missing} is needed besides") for other in pair & written)


def _groups(name: str, pattern: str | None, substitution: str | None) -> Iterator[Conflict]:
    if pattern is not None and substitution is not None:
        try:
            check_groups(pattern, substitution)
        except ValueError as error:
            yield f"{name}_substitution", str(error)


def _of_headers(headers: Headers, prefix: str) -> Iterator[Conflict]:
    removed = {name.lower() for name in headers.remove_request}
    for name, _ in headers.set_request:
        if name.lower() in removed:
            yield "remove_request_headers", f"{name} is also set, by {prefix}/set_request_headers"
    rewritten = {rewrite.header.lower() for rewrite in headers.rewrite_response}
    for name, _ in headers.set_response.values:
        if name.lower() in rewritten:
            yield "rewrite_response_headers", f"{name} is also set, by {prefix}/set_response_headers"
    try:
        reading_order(headers.set_request)
    except CycleError as error:
        names = ", ".join(sorted(set(error.args[1])))
        yield "set_request_headers", f"{names} read one another's values, which leaves no order to set them in"

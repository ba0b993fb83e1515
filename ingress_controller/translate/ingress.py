"""One Ingress and what it refers to, compiled.

In: an Ingress that is ours, and the store to look up what it names. Out: ``Compiled``: its routes by host, the
upstreams and certificates they need, what is wrong with it, and the objects that this result depends on.

A mistake in an annotation concerns every path, so all of them answer 503. A mistake in one path, or a backend that is
missing, concerns that path alone.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from msgspec import structs

from ingress_controller.annotations.parse import Parsed, parse
from ingress_controller.annotations.settings import SecretNames, Settings
from ingress_controller.model.certificate import Certificate
from ingress_controller.model.host import covering
from ingress_controller.model.policy import AuthenticatedUser, Not, Policy, Rule
from ingress_controller.model.problem import Problem, Reason
from ingress_controller.model.reference import ObjectRef
from ingress_controller.model.route import Connect, Forward, PathMatch, Route, Unavailable
from ingress_controller.model.secret import Material
from ingress_controller.model.upstream import Upstream
from ingress_controller.objects.store import Store
from ingress_controller.objects.views import Ingress, IngressBackend, Secret
from ingress_controller.policy.certificates import resolve as resolve_certificates
from ingress_controller.translate import access, certificates, secrets
from ingress_controller.translate.backends import Backend, BackendError, resolve, service_of
from ingress_controller.translate.claims import Claim, claims
from ingress_controller.translate.forwarding import about, forward
from ingress_controller.translate.matching import check_tunnel, parse_host, parse_path
from ingress_controller.translate.options import Options
from ingress_controller.translate.secrets import Named
from ingress_controller.translate.shared import Shared

_CONTEXT = "parsing ingress: "
_NEEDS_USER = Rule("deny", "kubernetes_service_account_token", Not(AuthenticatedUser()))
"""Without a user there is nobody to impersonate, whatever the policy says about those who are not signed in."""
NOBODY = Policy(allow=(), deny=())
_NONE: Final[Mapping[str, Certificate]] = {}


@dataclass(frozen=True, slots=True)
class Compiled:
    """What one Ingress contributes.

    Attributes:
        ingress: which one.
        created: its creation time (RFC 3339), by which conflicts are settled; empty in manifests.
        routes: by host, those of the host in the order of the spec. A host of which no path could be read is there
            without routes: it is claimed, and must not be served by a wildcard.
        upstreams: those that its routes forward to.
        certificates: by host, for the hosts that it serves and has a valid Secret for.
        client_ca: which of the secrets has the authorities of clients' certificates; ``None`` if they show none.
        secrets: what the Secrets that its annotations name hold, by the name under which Envoy asks for it.
        problems: everything that is wrong with it on its own.
        depends: the objects whose change means that it must be compiled again.
        annotations: what its annotations say. They are held here so that other Ingresses that say the same share them.
    """

    ingress: ObjectRef
    created: str
    routes: Mapping[str, tuple[Route, ...]]
    upstreams: tuple[Upstream, ...]
    certificates: Mapping[str, Certificate]
    client_ca: str | None
    secrets: Mapping[str, Material]
    problems: tuple[Problem, ...]
    depends: tuple[ObjectRef, ...]
    annotations: Parsed | None = field(default=None, compare=False, repr=False)


def compile_ingress(ingress: Ingress, store: Store, options: Options, shared: Mapping[ObjectRef, Shared]) -> Compiled:
    """Compile an Ingress as far as it can be; ``shared`` are the rules of other objects that it may use."""
    asked = tuple(claims(ingress))
    annotations = parsed = _parse_annotations(ingress, asked, options)
    who = access.resolve(ingress, parsed, store, shared, options)
    names = parsed.settings.secrets
    named = secrets.resolve(ingress, names, parsed.settings.headers, store, options.prefix)
    closing = (*who.closing, *named.problems)
    parsed = replace(parsed, policy=_bound(who.policy, names), problems=closing)
    shadow = _bound(who.shadow, names) if who.shadow else None
    builder = _Builder(ingress, parsed, shadow, named, store, options)
    for claim in asked:
        builder.add(claim)
    chosen, missing = _certificates(ingress, sorted(builder.routes), store)
    return Compiled(
        ingress=ingress.ref,
        created=ingress.metadata.creation_timestamp or "",
        routes={host: tuple(routes) for host, routes in builder.routes.items()},
        upstreams=tuple(sorted(builder.upstreams.values(), key=lambda upstream: upstream.name)),
        certificates=chosen or _NONE,
        client_ca=named.the("tls_downstream_client_ca"),
        secrets=named.materials,
        problems=(*closing, *who.tried, *builder.problems, *missing),
        depends=tuple(dict.fromkeys((*who.depends, *_dependencies(ingress, asked, names)))),
        annotations=annotations,
    )


class _Builder:
    """Turns the claims of one Ingress into routes; collects problems and upstreams on the way."""

    def __init__(
        self,
        ingress: Ingress,
        parsed: Parsed,
        shadow: Policy | None,
        named: Named,
        store: Store,
        options: Options,
    ) -> None:
        self.problems: list[Problem] = []
        self.routes: dict[str, list[Route]] = {}
        self.upstreams: dict[str, Upstream] = {}
        self._ingress = ingress
        self._parsed = parsed
        self._shadow = shadow
        self._named = named
        self._store = store
        self._options = options
        self._ref = ingress.ref
        self._about = about(parsed.settings.description)
        self._actions: dict[IngressBackend | None, Forward] = {}
        self._seen: set[tuple[str, PathMatch]] = set()
        self._bad_hosts: set[tuple[str, str]] = set()

    def add(self, claim: Claim) -> None:
        """Take in a claim: its host, and a route if its path can be matched."""
        matching = self._parsed.settings.matching
        try:
            host = parse_host(claim.host, allow_empty=matching.allow_empty_host)
        except ValueError as error:
            if (claim.host_field, claim.host) not in self._bad_hosts:
                self._bad_hosts.add((claim.host_field, claim.host))
                self._problem(claim.host_field, "invalid-host", str(error))
            return
        routes = self.routes.setdefault(host, [])
        try:
            match = self._match(claim)
        except BackendError as error:
            self._backend_problem(claim, error)
            return
        except ValueError as error:
            self._problem(f"{claim.field}.path", "invalid-path", str(error))
            return
        if (host, match) in self._seen:
            path = _shown(match, claim)
            self._problem(claim.field, "conflict", f"host {host} has the path {path} twice; the first is served")
            return
        self._seen.add((host, match))
        routes.append(self._route(claim, host, match))

    def _match(self, claim: Claim) -> PathMatch:
        settings = self._parsed.settings
        if not settings.connection.tcp:
            return parse_path(claim.path, claim.path_type, path_regex=settings.matching.path_regex)
        check_tunnel(claim.path, claim.path_type)
        if claim.backend and claim.backend.service and claim.backend.service.port.number:
            return Connect(claim.backend.service.port.number)
        return Connect(self._backend(claim).upstream.target.port)

    def _route(self, claim: Claim, host: str, match: PathMatch) -> Route:
        ref = self._ref
        name = f"{ref.namespace}/{ref.name}/{host}/{type(match).__name__}{_shown(match, claim)}"
        if self._parsed.problems:
            reason = self._parsed.problems[0].reason
            return Route(name, host, ref, match, NOBODY, Unavailable(reason))
        try:
            action = self._actions.get(claim.backend) or self._action(claim)
        except BackendError as error:
            self._backend_problem(claim, error)
            return Route(name, host, ref, match, NOBODY, Unavailable(error.reason))
        return Route(name, host, ref, match, self._parsed.policy, action, self._about, self._shadow)

    def _action(self, claim: Claim) -> Forward:
        """The treatment of requests for a backend, which is the same for all claims of it."""
        backend = self._backend(claim)
        self.upstreams[backend.upstream.name] = backend.upstream
        return self._actions.setdefault(claim.backend, forward(self._parsed.settings, self._named, backend))

    def _backend(self, claim: Claim) -> Backend:
        if claim.backend is None:
            raise BackendError("service-not-found", "the rule names no path and there is no spec.defaultBackend")
        namespace, settings = self._ingress.metadata.namespace, self._parsed.settings
        return resolve(claim.backend, namespace, settings, self._named, self._store, self._options)

    def _backend_problem(self, claim: Claim, error: BackendError) -> None:
        self._problem(f"{claim.field}.backend" if claim.backend else claim.field, error.reason, str(error))

    def _problem(self, field: str, reason: Reason, message: str) -> None:
        self.problems.append(Problem(self._ref, field, reason, f"{_CONTEXT}{field}: {message}"))


def _shown(match: PathMatch, claim: Claim) -> str:
    """The path as it is written, or the port of a tunnel."""
    return match.path if isinstance(match, Connect) else claim.path


def _parse_annotations(ingress: Ingress, asked: Sequence[Claim], options: Options) -> Parsed:
    parsed = parse(ingress.ref, ingress.annotations, options.prefix)
    settings = parsed.settings
    problems = list(parsed.problems)
    for name, message in _misfits(settings, asked):
        key = f"{options.prefix}/{name}"
        text = f"{_CONTEXT}annotations: {key} {message}"
        problems.append(Problem(ingress.ref, f"metadata.annotations[{key}]", "invalid-annotation", text))
    return replace(parsed, problems=tuple(problems)) if len(problems) > len(parsed.problems) else parsed


def _bound(policy: Policy, names: SecretNames) -> Policy:
    """A policy as it counts for an Ingress that names these Secrets."""
    bound = resolve_certificates(policy, asked=names.tls_downstream_client_ca is not None)
    return structs.replace(bound, deny=(_NEEDS_USER, *bound.deny)) if names.service_account_token else bound


def _misfits(settings: Settings, asked: Sequence[Claim]) -> Iterator[tuple[str, str]]:
    """Annotations that do not fit the rules of the Ingress, and why."""
    if settings.matching.path_regex and all(claim.path_type != "ImplementationSpecific" for claim in asked):
        # Paths meant as patterns would be served as plain prefixes.
        yield "path_regex", "has no effect, since no path is of type ImplementationSpecific"
    if settings.connection.tcp and not all(claim.host for claim in asked):
        yield "tcp_upstream", "needs a host in every rule, which clients name with the port"
    if settings.secrets.tls_downstream_client_ca and not all(claim.host for claim in asked):
        # Envoy may choose the chain of a wildcard with other authorities for a name that no host has.
        yield "tls_downstream_client_ca_secret", "needs a host in every rule; it cannot be for every other host"


def _certificates(ingress: Ingress, hosts: Sequence[str], store: Store) -> tuple[dict[str, Certificate], list[Problem]]:
    chosen: dict[str, Certificate] = {}
    problems: list[Problem] = []
    for index, tls in enumerate(ingress.spec.tls):
        named = frozenset(tls.hosts)
        wanted = [host for host in hosts if _is_meant_for(named, host)]
        if not tls.secret_name or not wanted:
            continue
        field = f"spec.tls[{index}].secretName"
        secret = store.get(Secret, ingress.metadata.namespace, tls.secret_name)
        if secret is None:
            message = f"Secret {ingress.metadata.namespace}/{tls.secret_name} not found"
            problems.append(_certificate_problem(ingress, field, "secret-not-found", message))
            continue
        try:
            certificate = certificates.from_secret(secret)
        except ValueError as error:
            message = f"Secret {tls.secret_name}: {error}"
            problems.append(_certificate_problem(ingress, field, "invalid-certificate", message))
            continue
        names = certificates.dns_names(certificate)
        covered = {host for host in wanted if certificates.covers(names, host)}
        for host in wanted:
            if host in covered:
                chosen.setdefault(host, certificate)
        if len(covered) < len(wanted) and (tls.hosts or not covered):
            missing = ", ".join(host for host in wanted if host not in covered)
            message = f"Secret {tls.secret_name}: tls.crt has no DNS name for {missing[:253]}"
            problems.append(_certificate_problem(ingress, field, "invalid-certificate", message))
    return chosen, problems


def _is_meant_for(named: frozenset[str], host: str) -> bool:
    return not named or host in named or any(wildcard in named for wildcard in covering(host))


def _certificate_problem(ingress: Ingress, field: str, reason: Reason, message: str) -> Problem:
    return Problem(
        ingress.ref, field, reason, f"{_CONTEXT}{field}: {message}; the self-signed bootstrap certificate is served"
    )


def _dependencies(ingress: Ingress, asked: Iterable[Claim], names: SecretNames) -> Iterator[ObjectRef]:
    namespace = ingress.metadata.namespace
    yield from secrets.references(names, namespace)
    for claim in asked:
        if claim.backend and (service := service_of(claim.backend, namespace)):
            yield service
    for tls in ingress.spec.tls:
        if tls.secret_name:
            yield ObjectRef(Secret.KIND, namespace, tls.secret_name)

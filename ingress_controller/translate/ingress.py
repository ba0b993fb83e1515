"""One Ingress and what it refers to, compiled.

In: an Ingress that is ours, and the store to look up what it names. Out: ``Compiled``: its routes by host, the
upstreams and certificates they need, what is wrong with it, and the objects that this result depends on.

A mistake in an annotation concerns every path, so all of them answer 503. A mistake in one path, or a backend that is
missing, concerns that path alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ingress_controller.annotations.parse import Parsed, parse
from ingress_controller.annotations.settings import SecretNames
from ingress_controller.model.certificate import Certificate
from ingress_controller.model.host import covering
from ingress_controller.model.policy import Policy
from ingress_controller.model.problem import Problem, Reason
from ingress_controller.model.reference import ObjectRef
from ingress_controller.model.route import Forward, PathMatch, Route, Unavailable
from ingress_controller.model.secret import Material
from ingress_controller.model.upstream import Upstream
from ingress_controller.objects.store import Store
from ingress_controller.objects.views import Ingress, Secret
from ingress_controller.translate import certificates, secrets
from ingress_controller.translate.backends import BackendError, resolve, service_of
from ingress_controller.translate.claims import Claim, claims
from ingress_controller.translate.forwarding import about, forward
from ingress_controller.translate.matching import parse_host, parse_path
from ingress_controller.translate.options import Options
from ingress_controller.translate.secrets import Named

_CONTEXT = "parsing ingress: "
NOBODY = Policy(allow=(), deny=())


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
        secrets: what the Secrets that its annotations name hold, by the name under which Envoy asks for it.
        problems: everything that is wrong with it on its own.
        depends: the objects whose change means that it must be compiled again.
    """

    ingress: ObjectRef
    created: str
    routes: Mapping[str, tuple[Route, ...]]
    upstreams: tuple[Upstream, ...]
    certificates: Mapping[str, Certificate]
    secrets: Mapping[str, Material]
    problems: tuple[Problem, ...]
    depends: frozenset[ObjectRef]


def compile_ingress(ingress: Ingress, store: Store, options: Options) -> Compiled:
    """Compile an Ingress as far as it can be."""
    parsed = _parse_annotations(ingress, options)
    named = secrets.resolve(ingress, parsed.settings.secrets, parsed.settings.headers, store, options.prefix)
    builder = _Builder(ingress, replace(parsed, problems=(*parsed.problems, *named.problems)), named, store, options)
    for claim in claims(ingress):
        builder.add(claim)
    chosen, missing = _certificates(ingress, sorted(builder.routes), store)
    return Compiled(
        ingress=ingress.ref,
        created=ingress.metadata.creation_timestamp or "",
        routes={host: tuple(routes) for host, routes in builder.routes.items()},
        upstreams=tuple(sorted(builder.upstreams.values(), key=lambda upstream: upstream.name)),
        certificates=chosen,
        secrets=named.materials,
        problems=(*parsed.problems, *named.problems, *builder.problems, *missing),
        depends=frozenset(_dependencies(ingress, parsed.settings.secrets)),
    )


class _Builder:
    """Turns the claims of one Ingress into routes; collects problems and upstreams on the way."""

    def __init__(self, ingress: Ingress, parsed: Parsed, named: Named, store: Store, options: Options) -> None:
        self.problems: list[Problem] = []
        self.routes: dict[str, list[Route]] = {}
        self.upstreams: dict[str, Upstream] = {}
        self._ingress = ingress
        self._parsed = parsed
        self._named = named
        self._store = store
        self._options = options
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
            match = parse_path(claim.path, claim.path_type, path_regex=matching.path_regex)
        except ValueError as error:
            self._problem(f"{claim.field}.path", "invalid-path", str(error))
            return
        if (host, match) in self._seen:
            self._problem(claim.field, "conflict", f"host {host} has the path {claim.path} twice; the first is served")
            return
        self._seen.add((host, match))
        routes.append(self._route(claim, host, match))

    def _route(self, claim: Claim, host: str, match: PathMatch) -> Route:
        ref = self._ingress.ref
        name = f"{ref.namespace}/{ref.name}/{host}/{type(match).__name__}{claim.path}"
        if self._parsed.problems:
            reason = self._parsed.problems[0].reason
            return Route(name, host, ref, match, NOBODY, Unavailable(reason))
        try:
            action = self._forward(claim)
        except BackendError as error:
            self._problem(f"{claim.field}.backend" if claim.backend else claim.field, error.reason, str(error))
            return Route(name, host, ref, match, NOBODY, Unavailable(error.reason))
        shown = about(self._parsed.settings.description)
        return Route(name, host, ref, match, self._parsed.policy, action, shown)

    def _forward(self, claim: Claim) -> Forward:
        if claim.backend is None:
            raise BackendError("service-not-found", "the rule names no path and there is no spec.defaultBackend")
        namespace, settings = self._ingress.metadata.namespace, self._parsed.settings
        backend = resolve(claim.backend, namespace, settings, self._named, self._store, self._options)
        self.upstreams[backend.upstream.name] = backend.upstream
        return forward(settings, self._named, backend)

    def _problem(self, field: str, reason: Reason, message: str) -> None:
        self.problems.append(Problem(self._ingress.ref, field, reason, f"{_CONTEXT}{field}: {message}"))


def _parse_annotations(ingress: Ingress, options: Options) -> Parsed:
    parsed = parse(ingress.ref, ingress.annotations, options.prefix)
    patterns = any(claim.path_type == "ImplementationSpecific" for claim in claims(ingress))
    if parsed.settings.matching.path_regex and not patterns:
        # Paths meant as patterns would be served as plain prefixes.
        key = f"{options.prefix}/path_regex"
        message = f"{_CONTEXT}annotations: {key} has no effect, since no path is of type ImplementationSpecific"
        problem = Problem(ingress.ref, f"metadata.annotations[{key}]", "invalid-annotation", message)
        return replace(parsed, problems=(*parsed.problems, problem))
    return parsed


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


def _dependencies(ingress: Ingress, names: SecretNames) -> Iterator[ObjectRef]:
    namespace = ingress.metadata.namespace
    yield from secrets.references(names, namespace)
    for claim in claims(ingress):
        if claim.backend and (service := service_of(claim.backend, namespace)):
            yield service
    for tls in ingress.spec.tls:
        if tls.secret_name:
            yield ObjectRef(Secret.KIND, namespace, tls.secret_name)

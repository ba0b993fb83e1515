"""All findings about a set of manifests.

In: documents with their places, and the options of the translation. Out: findings, in the order of their places. What
manifests do not hold may still be in the cluster, so something that is missing counts only where they hold others of
its kind in that namespace: a folder of Ingresses alone says nothing about Services. With ``complete`` the manifests are
all there is, as for a controller that serves them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from msgspec import structs

from ingress_controller.annotations.parse import parse
from ingress_controller.annotations.settings import Access
from ingress_controller.lint.finding import Finding, Suspicion
from ingress_controller.lint.ingresses import has_ours, of_foreign, of_ingress, of_upstreams
from ingress_controller.lint.policies import of_certificates, of_policy
from ingress_controller.lint.positions import Document, Positions, in_document
from ingress_controller.lint.shadow import unreachable
from ingress_controller.model.host import CATCH_ALL, Host
from ingress_controller.model.policy import Policy, Rule
from ingress_controller.model.problem import Problem
from ingress_controller.model.reference import ObjectRef
from ingress_controller.model.route import Forward, Route
from ingress_controller.model.upstream import Upstream
from ingress_controller.objects.change import Change
from ingress_controller.objects.read import Malformed
from ingress_controller.objects.store import Store
from ingress_controller.objects.views import (
    Ingress,
    IngressClass,
    IngressClassParameters,
    IngressClassSpec,
    KubernetesObject,
    Metadata,
    Secret,
    Service,
    SharedPolicy,
)
from ingress_controller.translate.claims import claims
from ingress_controller.translate.classes import CLASS_ANNOTATION, DEFAULT_CLASS_ANNOTATION
from ingress_controller.translate.graph import Graph
from ingress_controller.translate.options import Options
from ingress_controller.translate.shared import compile_shared

_CONTEXT = "parsing ingress: "
_CERTIFICATES_MADE = "cert-manager.io/"
_FIELD = re.compile(r"`\$\.([^`]+)`|\b(metadata\.\w+)\b")
_MADE_UP = "(the default class)"


@dataclass(frozen=True, slots=True)
class Result:
    """What was found, and how many Ingresses were looked at."""

    findings: tuple[Finding, ...]
    ingresses: int


def check(documents: Sequence[Document], options: Options, *, complete: bool = False) -> Result:
    """Find everything that is wrong, or likely wrong."""
    objects = _objects(documents)
    store = Store()
    graph = Graph(options, store)
    changes = [Change(ref, found) for ref, found in objects.items()]
    made_up = [] if complete else _classes(objects.values(), options)
    update = graph.apply([*changes, *(Change(each.ref, each) for each in made_up)])
    positions = Positions(documents)
    ours = [found for found in objects.values() if isinstance(found, Ingress) and graph.serves(found.ref)]
    problems = [problem for outcome in update.outcomes.values() if outcome for problem in outcome.problems]
    hosts = [host for host in update.hosts.values() if host]
    findings = [
        *_of_documents(documents),
        *(_of_problem(each, positions) for each in problems if complete or _counts(each, store)),
        *(_of_suspicion(each, positions) for each in _suspicions(objects, ours, hosts, update.upstreams, options)),
    ]
    return Result(tuple(sorted(findings, key=lambda found: (found.position, found.rule, found.message))), len(ours))


def _objects(documents: Iterable[Document]) -> dict[ObjectRef, KubernetesObject]:
    objects: dict[ObjectRef, KubernetesObject] = {}
    for document in documents:
        if not isinstance(found := document.located.found, Malformed):
            objects.setdefault(found.ref, found)
    return objects


def _classes(objects: Iterable[KubernetesObject], options: Options) -> Iterator[IngressClass]:
    """Classes that the manifests do not hold, and that must be ours, since Ingresses with our annotations name them."""
    objects = list(objects)
    known = {found.metadata.name for found in objects if isinstance(found, IngressClass)}
    for ingress in objects:
        if isinstance(ingress, Ingress) and has_ours(ingress, options.prefix):
            name = ingress.annotations.get(CLASS_ANNOTATION) or ingress.spec.ingress_class_name
            spec = IngressClassSpec(controller=options.controller_name)
            if name and name not in known:
                yield IngressClass(metadata=Metadata(name=name), spec=spec)
            elif not name and not known:
                default = Metadata(name=_MADE_UP, annotations={DEFAULT_CLASS_ANNOTATION: "true"})
                yield IngressClass(metadata=default, spec=spec)


def _of_documents(documents: Iterable[Document]) -> Iterator[Finding]:
    """What cannot be read, and what is there twice."""
    first: dict[ObjectRef, Document] = {}
    for document in documents:
        found = document.located.found
        if isinstance(found, Malformed):
            field = _FIELD.search(found.message)
            position = in_document(document, field[1] or field[2] if field else "")
            yield Finding(position, "error", "invalid-manifest", found.message, found.ref)
        elif (other := first.setdefault(found.ref, document)) is not document:
            where = f"{other.file}:{other.position.line}"
            position = in_document(document, "metadata.name")
            yield Finding(position, "error", "duplicate-object", f"given twice; the one at {where} counts", found.ref)


def _counts(problem: Problem, store: Store) -> bool:
    """Whether something that is missing would be among the manifests; all other problems count."""
    namespace = problem.object.namespace
    match problem.reason:
        case "service-not-found":
            # A rule without a backend lacks it anywhere.
            return not problem.field.endswith(".backend") or _holds(store, Service, namespace)
        case "secret-not-found":
            ingress = store.get(Ingress, namespace, problem.object.name)
            made = any(key.startswith(_CERTIFICATES_MADE) for key in ingress.annotations) if ingress else False
            return _holds(store, Secret, namespace) and not (made and problem.field.startswith("spec.tls"))
        case "policy-not-found":
            return _holds(store, SharedPolicy, namespace)
        case "policy-not-granted":
            return bool(store.all(SharedPolicy))
        case "class-parameters-not-found":
            return bool(store.all(IngressClassParameters))
        case "endpoints-not-found":
            # A cluster makes the EndpointSlices of most Services by itself.
            service = problem.message.removeprefix(f"{Service.KIND} {namespace}/").partition(" ")[0]
            return bool(store.slices(ObjectRef(Service.KIND, namespace, service)))
        case _:
            return True


def _holds(store: Store, kind: type[Service | Secret | SharedPolicy], namespace: str) -> bool:
    return any(found.metadata.namespace == namespace for found in store.all(kind))


def _of_problem(problem: Problem, positions: Positions) -> Finding:
    position = positions.find(problem.object, problem.field, problem.message)
    message = problem.message.removeprefix(_CONTEXT)
    return Finding(position, "error", problem.reason, message, problem.object, problem.field)


def _suspicions(
    objects: dict[ObjectRef, KubernetesObject],
    ours: Sequence[Ingress],
    hosts: Iterable[Host],
    upstreams: Mapping[str, Upstream | None],
    options: Options,
) -> Iterator[Suspicion]:
    covered = {host for ingress in ours for tls in ingress.spec.tls for host in tls.hosts}
    served_hosts = tuple(hosts)
    # With what Policies and the class add; an Ingress of which no path is served has none.
    whole: dict[ObjectRef, Policy] = {}
    reached: dict[ObjectRef, list[Upstream | None]] = {}
    for route in (route for host in served_hosts for route in host.routes):
        if isinstance(route.action, Forward):
            whole[route.ingress] = route.policy
            reached.setdefault(route.ingress, []).append(upstreams[route.action.upstream])
    for ingress in ours:
        yield from of_ingress(ingress, options.prefix, covered)
        parsed = parse(ingress.ref, ingress.annotations, options.prefix)
        if not parsed.problems:
            yield from of_upstreams(ingress, parsed.settings, reached.get(ingress.ref, ()), options.prefix)
            referred = _referred(parsed.settings.access, objects, ingress.metadata.namespace)
            yield from of_certificates(ingress.ref, parsed.settings, referred, options.prefix)
        if not parsed.problems and (ingress.ref in whole or not parsed.settings.access.policy_ref):
            parsed = replace(parsed, policy=whole.get(ingress.ref, parsed.policy))
            yield from of_policy(ingress.ref, parsed, ingress.annotations, options.prefix)
    for host in served_hosts:
        for route, message in unreachable(host.routes):
            yield Suspicion(route.ingress, _field_of(route, objects), "unreachable-route", message)
    classes = {found.metadata.name: found for found in objects.values() if isinstance(found, IngressClass)}
    served = {ingress.ref for ingress in ours}
    for found in objects.values():
        looked_at = options.serves(found.metadata.namespace)
        if isinstance(found, Ingress) and found.ref not in served and looked_at and has_ours(found, options.prefix):
            yield of_foreign(found, classes)


def _referred(access: Access, objects: Mapping[ObjectRef, KubernetesObject], namespace: str) -> Iterator[Rule]:
    """The rules of the Policies that an Ingress of a namespace refers to, as far as they are among the manifests."""
    for ref in access.policy_ref:
        found = objects.get(structs.replace(ref, namespace=ref.namespace or namespace))
        if isinstance(found, SharedPolicy):
            yield from compile_shared(found).rules.get("rules", ())


def _field_of(route: Route, objects: dict[ObjectRef, KubernetesObject]) -> str:
    """Where a route's path is written; its id ends with the host and the path."""
    ingress = objects[route.ingress]
    kind = type(route.match).__name__
    for claim in claims(ingress) if isinstance(ingress, Ingress) else ():
        if route.id.endswith(f"/{claim.host or CATCH_ALL}/{kind}{claim.path}"):
            return f"{claim.field}.path"
    return "spec.rules"


def _of_suspicion(suspicion: Suspicion, positions: Positions) -> Finding:
    position = positions.find(suspicion.ingress, suspicion.field, suspicion.message)
    return Finding(position, "warning", suspicion.rule, suspicion.message, suspicion.ingress, suspicion.field)

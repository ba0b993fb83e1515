"""The compiled cluster, kept up to date by what has changed.

In: changes of objects, in batches. Out: for each batch an ``Update`` with just the values that differ from before.
The cost of a change is the size of the change: an object marks the Ingresses that depend on it, an Ingress marks its
hosts, and only those are compiled again, by the pure functions of this package. Offline translation is one batch of
everything.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from ingress_controller.annotations.parse import parse
from ingress_controller.model.host import Host
from ingress_controller.model.outcome import Outcome
from ingress_controller.model.problem import OF_THE_OBJECT, Problem
from ingress_controller.model.reference import ObjectRef
from ingress_controller.model.secret import Material
from ingress_controller.model.upstream import Endpoints, ServicePort, Upstream
from ingress_controller.objects.change import Change
from ingress_controller.objects.store import Store
from ingress_controller.objects.views import (
    EndpointSlice,
    Ingress,
    IngressClass,
    IngressClassParameters,
    Shareable,
    SharedPolicy,
)
from ingress_controller.translate import shared
from ingress_controller.translate.classes import Ours, is_ours, our_classes
from ingress_controller.translate.endpoints import resolve
from ingress_controller.translate.host import assemble
from ingress_controller.translate.index import Index
from ingress_controller.translate.ingress import Compiled, compile_ingress
from ingress_controller.translate.options import Options
from ingress_controller.translate.shared import Shared, compile_shared


@dataclass(frozen=True, slots=True)
class Update:
    """What a batch of changes changed, by name; ``None`` means gone.

    Endpoints stand under the names of the upstreams that lead to them, and with each upstream that changed.
    """

    hosts: Mapping[str, Host | None]
    upstreams: Mapping[str, Upstream | None]
    secrets: Mapping[str, Material | None]
    endpoints: Mapping[str, Endpoints | None]
    outcomes: Mapping[ObjectRef, Outcome | None]


Refused = Literal["host", "upstream", "secret"]
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class _Touched:
    """The names of what a batch may have changed."""

    hosts: set[str] = field(default_factory=set)
    upstreams: set[str] = field(default_factory=set)
    secrets: set[str] = field(default_factory=set)


class Graph:
    """Ingresses, hosts, upstreams and endpoints, with who depends on whom."""

    def __init__(self, options: Options, store: Store) -> None:
        self._options = options
        self._store = store
        self._classes: Ours = {}
        self._shared: dict[ObjectRef, Shared] = {}
        self._compiled: dict[ObjectRef, Compiled] = {}
        self._hosts: dict[str, Host] = {}
        self._conflicts: dict[str, tuple[Problem, ...]] = {}
        self._upstreams: dict[str, Upstream] = {}
        self._secrets: dict[str, Material] = {}
        self._endpoints: dict[ServicePort, Endpoints] = {}
        self._refusals: dict[tuple[Refused, str], str] = {}
        self._fingerprints: dict[ObjectRef, str] = {}
        self._outcomes: dict[ObjectRef, Outcome] = {}
        self._dependents: Index[ObjectRef, ObjectRef] = Index()
        self._claimants: Index[ObjectRef, str] = Index()
        self._users: Index[ObjectRef, str] = Index()
        self._secret_users: Index[ObjectRef, str] = Index()
        self._port_users: Index[str, ServicePort] = Index()
        self._ports: Index[ServicePort, ObjectRef] = Index()

    def apply(self, changes: Iterable[Change]) -> Update:
        """Take in changes and compile what they concern."""
        ingresses: set[ObjectRef] = set()
        services: set[ObjectRef] = set()
        rules: set[ObjectRef] = set()
        for change in changes:
            before = self._store.apply(change)
            if change.ref.kind in shared.KINDS:
                rules.add(change.ref)
                continue
            ingresses.update(self._dependents.of(change.ref))
            if change.ref.kind == Ingress.KIND:
                ingresses.add(change.ref)
            for found in (before, change.object):
                if isinstance(found, EndpointSlice) and found.service:
                    services.add(found.service)
        ingresses |= self._reclassified() | self._compile_shared(rules)
        touched = self._compile(ingresses)
        upstreams, ports = self._settle_upstreams(touched.upstreams)
        reached = {name for port in self._resolve(ports, services) for name in self._port_users.of(port)}
        endpoints = {name: self._endpoints_of(name) for name in reached.union(upstreams)}
        secrets = self._settle_secrets(touched.secrets)
        hosts, disputed = self._assemble(touched.hosts)
        concerned = (self._users.of(name) for name in reached)
        outcomes = self._judge(ingresses.union(rules, disputed, *concerned))
        return Update(hosts, upstreams, secrets, endpoints, outcomes)

    def serves(self, ingress: ObjectRef) -> bool:
        """Whether an Ingress is ours."""
        return ingress in self._compiled

    def examine(self, found: Ingress | Shareable) -> tuple[Problem, ...]:
        """What is wrong with an object by itself, if it were applied: nothing is looked up, and nothing changes.

        One that is not ours has no problems. ``policy-not-tried`` is told where the Ingress itself is to blame. May be
        called from another thread.
        """
        if not isinstance(found, Ingress):
            return self._examine_shared(found)
        if not is_ours(found, self._classes, self._options):
            return ()
        written = {problem.message for problem in parse(found.ref, found.annotations, self._options.prefix).problems}
        return tuple(
            problem
            for problem in _compile(found, Store(), self._options, {}).problems
            if problem.reason in OF_THE_OBJECT or (problem.reason == "policy-not-tried" and problem.message in written)
        )

    def _examine_shared(self, found: Shareable) -> tuple[Problem, ...]:
        if found.metadata.namespace and not self._options.serves(found.metadata.namespace):
            return ()
        problem = _compile_shared(found).problem
        return (problem,) if problem and problem.reason != "internal-error" else ()

    def outcome(self, ref: ObjectRef) -> Outcome | None:
        """What became of an Ingress, or of rules that Ingresses use; ``None`` if it is not there or not ours."""
        return self._outcomes.get(ref)

    def refuse(self, kind: Refused, name: str, message: str) -> Update:
        """Take note that Envoy refused something; that holds until it changes."""
        self._refusals[kind, name] = message
        owners = {"host": self._claimants, "upstream": self._users, "secret": self._secret_users}[kind]
        return Update({}, {}, {}, {}, self._judge(owners.of(name)))

    def delivers(self, secret: str) -> bool:
        """Whether a name is that of a secret which annotations name."""
        return secret in self._secrets

    def _reclassified(self) -> set[ObjectRef]:
        """All Ingresses, when the set of our classes has changed."""
        classes = our_classes(self._store.all(IngressClass), self._options)
        if classes == self._classes:
            return set()
        self._classes = classes
        return {ingress.ref for ingress in self._store.all(Ingress)}

    def _compile_shared(self, refs: Iterable[ObjectRef]) -> set[ObjectRef]:
        """Compile rules that Ingresses share. Returns the Ingresses for which that makes a difference."""
        users: set[ObjectRef] = set()
        for ref in refs:
            after = self._compile_one_shared(ref)
            if _replace(self._shared, ref, after):
                _replace(self._fingerprints, ref, _fingerprint(after) if after else None)
                users.update(self._dependents.of(ref))
        return users

    def _compile_one_shared(self, ref: ObjectRef) -> Shared | None:
        found = self._store.find(ref)
        return _compile_shared(found) if isinstance(found, SharedPolicy | IngressClassParameters) else None

    def _compile(self, ingresses: Iterable[ObjectRef]) -> _Touched:
        """Compile Ingresses. Returns the names of what this concerns."""
        touched = _Touched()
        for ref in ingresses:
            before, after = self._compiled.get(ref), self._compile_one(ref)
            if not _replace(self._compiled, ref, after):
                continue
            _replace(self._fingerprints, ref, _fingerprint(after) if after else None)
            for compiled in filter(None, (before, after)):
                touched.hosts.update(compiled.routes)
                touched.upstreams.update(upstream.name for upstream in compiled.upstreams)
                touched.secrets.update(compiled.secrets)
            self._dependents.set(ref, after.depends if after else ())
            self._claimants.set(ref, after.routes if after else ())
            self._users.set(ref, {upstream.name for upstream in after.upstreams} if after else ())
            self._secret_users.set(ref, after.secrets if after else ())
        return touched

    def _compile_one(self, ref: ObjectRef) -> Compiled | None:
        ingress = self._store.get(Ingress, ref.namespace, ref.name)
        if ingress is None or not is_ours(ingress, self._classes, self._options):
            return None
        return _compile(ingress, self._store, self._options, self._shared)

    def _settle_upstreams(self, names: Iterable[str]) -> tuple[dict[str, Upstream | None], set[ServicePort]]:
        """Find the upstreams that changed, and the Service ports that they came to use or no longer do."""
        changed: dict[str, Upstream | None] = {}
        ports: set[ServicePort] = set()
        for name in names:
            # All users of a name have compiled it from the same Service and settings: any one of them will do.
            user = next(iter(self._users.of(name)), None)
            after = next((u for u in self._compiled[user].upstreams if u.name == name), None) if user else None
            before = self._upstreams.get(name)
            if not _replace(self._upstreams, name, after):
                continue
            changed[name] = after
            self._refusals.pop(("upstream", name), None)
            ports |= {u.target for u in (before, after) if u and isinstance(u.target, ServicePort)}
            self._port_users.set(name, {after.target} if after and isinstance(after.target, ServicePort) else ())
        return changed, ports

    def _settle_secrets(self, names: Iterable[str]) -> dict[str, Material | None]:
        """Find the secrets that changed. All users of a name have read the same Secret: any one of them will do."""
        changed: dict[str, Material | None] = {}
        for name in names:
            user = next(iter(self._secret_users.of(name)), None)
            after = self._compiled[user].secrets[name] if user else None
            if _replace(self._secrets, name, after):
                changed[name] = after
                self._refusals.pop(("secret", name), None)
        return changed

    def _resolve(self, ports: set[ServicePort], services: Iterable[ObjectRef]) -> set[ServicePort]:
        """Resolve the endpoints of ports that came into or out of use, and of Services whose slices changed."""
        changed: set[ServicePort] = set()
        for port in ports | {port for service in services for port in self._ports.of(service)}:
            used = bool(self._port_users.of(port))
            after = resolve(port, self._store.slices(port.service)) if used else None
            if not _replace(self._endpoints, port, after):
                continue
            changed.add(port)
            self._ports.set(port, (port.service,) if used else ())
        return changed

    def _endpoints_of(self, upstream: str) -> Endpoints | None:
        found = self._upstreams.get(upstream)
        return self._endpoints[found.target] if found and isinstance(found.target, ServicePort) else None

    def _assemble(self, names: Iterable[str]) -> tuple[dict[str, Host | None], set[ObjectRef]]:
        """Assemble hosts. Returns those that changed, and the Ingresses whose conflicts did."""
        changed: dict[str, Host | None] = {}
        disputed: set[ObjectRef] = set()
        for name in names:
            claimants = (self._compiled[ref] for ref in self._claimants.of(name))
            after, conflicts = assemble(name, claimants)
            before = self._conflicts.pop(name, ())
            if conflicts:
                self._conflicts[name] = conflicts
            disputed |= {problem.object for problem in set(before) ^ set(conflicts)}
            if _replace(self._hosts, name, after):
                changed[name] = after
                if self._refusals.pop(("host", name), None):
                    disputed.update(self._claimants.of(name))
        return changed, disputed

    def _judge(self, ingresses: Iterable[ObjectRef]) -> dict[ObjectRef, Outcome | None]:
        changed: dict[ObjectRef, Outcome | None] = {}
        for ref in ingresses:
            after = Outcome(self._fingerprints[ref], self._problems_of(ref)) if ref in self._fingerprints else None
            if _replace(self._outcomes, ref, after):
                changed[ref] = after
        return changed

    def _problems_of(self, ref: ObjectRef) -> tuple[Problem, ...]:
        if ref in self._shared:
            return tuple(filter(None, (self._shared[ref].problem,)))
        return tuple(self._problems(self._compiled[ref]))

    def _problems(self, compiled: Compiled) -> Iterator[Problem]:
        """Everything that is wrong with an Ingress: on its own, with others, with its endpoints, and to Envoy."""
        yield from compiled.problems
        for host in compiled.routes:
            yield from (problem for problem in self._conflicts.get(host, ()) if problem.object == compiled.ingress)
        for upstream in compiled.upstreams:
            if isinstance(upstream.target, ServicePort) and not self._endpoints[upstream.target].addresses:
                yield _no_endpoints(compiled.ingress, upstream.target)
        if not self._refusals:
            return
        names: list[tuple[Refused, str]] = [("host", host) for host in compiled.routes]
        names += [("upstream", upstream.name) for upstream in compiled.upstreams]
        names += [("secret", name) for name in compiled.secrets]
        for kind, name in names:
            if message := self._refusals.get((kind, name)):
                text = f"Envoy refused {kind} {name.rstrip('/')}, whose last good configuration stays: {message}"
                yield Problem(compiled.ingress, "", "refused-by-envoy", text)


def _no_endpoints(ingress: ObjectRef, port: ServicePort) -> Problem:
    return Problem(
        ingress,
        "",
        "endpoints-not-found",
        f"Service {port.service.namespace}/{port.service.name} has no ready endpoint for port "
        f"{f'{port.port} ({port.name})' if port.name else port.port}; its paths answer 503 until there is one",
    )


def _compile(ingress: Ingress, store: Store, options: Options, shared_rules: Mapping[ObjectRef, Shared]) -> Compiled:
    try:
        return compile_ingress(ingress, store, options, shared_rules)
    except Exception as error:  # noqa: BLE001 (a mistake of ours in one object's case must not stop the others)
        return _failed(ingress, error)


def _compile_shared(found: Shareable) -> Shared:
    try:
        return compile_shared(found)
    except Exception as error:  # noqa: BLE001 (as for an Ingress)
        return shared.failed(found.ref, error)


def _failed(ingress: Ingress, error: Exception) -> Compiled:
    """Nothing is served for an Ingress that this program cannot handle."""
    message = f"parsing ingress: a mistake in this controller, please report it: {error!r}"
    problem = Problem(ingress.ref, "", "internal-error", message)
    return Compiled(ingress.ref, "", {}, (), {}, None, {}, (problem,), ())


def _fingerprint(compiled: Compiled | Shared) -> str:
    if isinstance(compiled, Compiled):
        made: object = (compiled.routes, compiled.upstreams, compiled.certificates, compiled.client_ca)
    else:
        made = compiled
    return hashlib.sha256(repr(made).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _replace(values: dict[_Key, _Value], key: _Key, after: _Value | None) -> bool:
    """Put a value in its place, or take it away. Returns whether that made a difference."""
    before = values.get(key)
    if after is None:
        values.pop(key, None)
    else:
        values[key] = after
    return before != after

"""Ingresses that are served, and hardly as was meant.

In: an Ingress of ours, with what others of the same hosts have. Out: suspicions about its paths, hosts and annotations.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from ingress_controller.annotations.settings import Settings
from ingress_controller.annotations.table import BY_NAME, TABLE
from ingress_controller.lint.finding import Suspicion
from ingress_controller.model.host import covering
from ingress_controller.model.upstream import Upstream
from ingress_controller.objects.views import Ingress, IngressClass
from ingress_controller.translate.classes import CLASS_ANNOTATION

_TOKENS = [row.name for row in TABLE if row.lands == ("secrets", "service_account_token")]
_PATTERN_LIKE = re.compile(r"\.[*+]|\(\?|\[\w-|\(.*\|.*\)|\$$")


def has_ours(ingress: Ingress, prefix: str) -> bool:
    """Whether an Ingress has an annotation of ours."""
    return any(key.startswith(f"{prefix}/") for key in ingress.annotations)


def of_ingress(ingress: Ingress, prefix: str, covered: Collection[str]) -> Iterator[Suspicion]:
    """What is suspicious about one Ingress; ``covered`` are the hosts in ``spec.tls`` of any Ingress."""
    yield from _paths(ingress, prefix)
    yield from _tls(ingress, covered)
    for key in ingress.annotations:
        other, _, name = key.partition("/")
        # Names of one word are anybody's.
        if other != prefix and "_" in name and name in BY_NAME and f"{prefix}/{name}" not in ingress.annotations:
            message = f"{key} is not read: annotations of this controller begin with {prefix}/"
            yield Suspicion(ingress.ref, f"metadata.annotations[{key}]", "foreign-prefix", message)


def _paths(ingress: Ingress, prefix: str) -> Iterator[Suspicion]:
    patterns = ingress.annotations.get(f"{prefix}/path_regex", "").strip().lower() == "true"
    for number, rule in enumerate(ingress.spec.rules):
        for index, path in enumerate(rule.http.paths if rule.http else ()):
            if patterns and path.path_type == "ImplementationSpecific":
                continue
            if found := _PATTERN_LIKE.search(path.path):
                field = f"spec.rules[{number}].http.paths[{index}].path"
                message = f"{path.path} is taken literally, {found[0]} included"
                yield Suspicion(ingress.ref, field, "path-looks-like-pattern", message)


def _tls(ingress: Ingress, covered: Collection[str]) -> Iterator[Suspicion]:
    spec = ingress.spec
    hosts = {rule.host for rule in spec.rules}
    if any(not tls.hosts for tls in spec.tls):
        # A certificate without hosts is for all of them.
        return
    for number, rule in enumerate(spec.rules):
        if spec.tls and rule.host and not any(name in covered for name in (rule.host, *covering(rule.host))):
            field = f"spec.rules[{number}].host"
            yield Suspicion(ingress.ref, field, "host-without-tls", f"{rule.host} is in no hosts of spec.tls")
    wanted = {name for host in hosts if host for name in (host, *covering(host))}
    for number, tls in enumerate(spec.tls if not spec.default_backend else ()):
        for index, host in enumerate(tls.hosts):
            if host not in wanted:
                field = f"spec.tls[{number}].hosts[{index}]"
                yield Suspicion(ingress.ref, field, "tls-host-without-rule", f"no rule is for the host {host}")


def of_upstreams(
    ingress: Ingress, settings: Settings, reached: Iterable[Upstream | None], prefix: str
) -> Iterator[Suspicion]:
    """What is suspicious about where requests of an Ingress are sent; ``reached`` are the upstreams that are known."""
    if settings.connection.skip_verify:
        message = f"{prefix}/tls_skip_verify: whoever is between may read and change everything"
        yield Suspicion(
            ingress.ref, f"metadata.annotations[{prefix}/tls_skip_verify]", "upstream-not-verified", message
        )
    if settings.secrets.service_account_token and any(upstream and not upstream.tls for upstream in reached):
        name = next(name for name in _TOKENS if f"{prefix}/{name}" in ingress.annotations)
        message = f"{prefix}/{name}: the token is sent in plain text, since the upstream does not speak TLS"
        yield Suspicion(ingress.ref, f"metadata.annotations[{prefix}/{name}]", "token-in-plain-text", message)


def of_foreign(ingress: Ingress, classes: Mapping[str, IngressClass]) -> Suspicion:
    """Why an Ingress with our annotations is not ours."""
    old = ingress.annotations.get(CLASS_ANNOTATION)
    name = old or ingress.spec.ingress_class_name
    if name is None:
        message = "it names no class, and no class of ours is the default one; it is not served"
        return Suspicion(ingress.ref, "spec", "foreign-class", message)
    field = f"metadata.annotations[{CLASS_ANNOTATION}]" if old else "spec.ingressClassName"
    found = classes.get(name)
    whose = f"is of the controller {found.spec.controller}" if found else "is not among the manifests"
    return Suspicion(ingress.ref, field, "foreign-class", f"the class {name} {whose}; the Ingress is not served")

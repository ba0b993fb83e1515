"""What an Ingress asks for, path by path.

In: the spec of an Ingress. Out: one ``Claim`` a path and host, with the field it comes from; rules, default backend and
hosts of ``spec.tls`` become the same thing here.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ingress_controller.objects.views import HTTPIngressPath, Ingress, IngressBackend

_DEFAULT_FIELD = "spec.defaultBackend"


@dataclass(frozen=True, slots=True)
class Claim:
    """A wish to serve one path of one host; both are still text as written.

    Attributes:
        field: where the path is asked for.
        host_field: where the host is named.
        backend: ``None`` for a rule that names no path where there is no default backend.
    """

    field: str
    host_field: str
    host: str
    path: str
    path_type: str
    backend: IngressBackend | None


def claims(ingress: Ingress) -> Iterator[Claim]:
    """All claims of an Ingress, in the order of the spec.

    The default backend serves the hosts whose rules name no path, and the hosts of ``spec.tls`` that no rule names; an
    Ingress without rules and hosts claims every host for it.
    """
    spec = ingress.spec
    with_paths = {rule.host for rule in spec.rules if rule.http and rule.http.paths}
    named = {rule.host for rule in spec.rules}
    for index, rule in enumerate(spec.rules):
        where = f"spec.rules[{index}]"
        for number, path in enumerate(rule.http.paths if rule.http else ()):
            yield _of_path(f"{where}.http.paths[{number}]", f"{where}.host", rule.host, path)
        if rule.host not in with_paths:
            with_paths.add(rule.host)
            yield Claim(where, f"{where}.host", rule.host, "/", "Prefix", spec.default_backend)
    if spec.default_backend:
        hosts = {
            host: f"spec.tls[{n}].hosts" for n, tls in enumerate(spec.tls) for host in tls.hosts if host not in named
        }
        for host, where in hosts.items() if hosts or named else (("", _DEFAULT_FIELD),):
            yield Claim(_DEFAULT_FIELD, where, host, "/", "Prefix", spec.default_backend)


def _of_path(field: str, host_field: str, host: str, path: HTTPIngressPath) -> Claim:
    return Claim(field, host_field, host, path.path, path.path_type, path.backend)

"""What Envoy is told that no object of the cluster says.

In: the program's settings and key material. Out: a frozen value for the modules that make listeners and clusters.
"""

from dataclasses import dataclass
from pathlib import Path

from ingress_controller.model.certificate import Certificate
from ingress_controller.model.upstream import Address


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of the proxy.

    Attributes:
        http: where plain HTTP is accepted, to be redirected.
        https: where TLS is accepted.
        external_https_port: the port that redirects name; what clients use, whatever the listener's own is.
        issuer: ``iss`` of the sessions that are accepted.
        jwks: the public keys of sessions, as a JSON Web Key Set.
        bootstrap_certificate: what hosts without a certificate of their own show.
        upstream_ca_file: PEM file of the authorities that upstreams' certificates are verified with, as Envoy sees it.
        access_log: ``stdout`` for Envoy's standard output, ``off``, or a file, as Envoy sees it.
    """

    http: Address
    https: Address
    external_https_port: int
    issuer: str
    jwks: str
    bootstrap_certificate: Certificate
    upstream_ca_file: str
    access_log: Path | str = "stdout"

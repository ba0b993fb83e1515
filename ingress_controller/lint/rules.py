"""The table of findings: what each is called, and what it means.

In: nothing. Out: ``RULES``, from which SARIF and the reference page are made. Errors of Ingresses bear the reasons of
``model.problem``; those of manifests, which a cluster does not have, and all warnings are named here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ingress_controller.model.problem import REASONS

Level = Literal["error", "warning"]

MANIFEST_ERRORS: Mapping[str, str] = {
    "invalid-manifest": "The file or document is not YAML, no Kubernetes object, or not what its kind demands.",
    "duplicate-object": "The object is given twice; the first counts.",
}

WARNINGS: Mapping[str, str] = {
    "admits-nobody": "No annotation admits anybody, so all requests are denied. Where that is meant, write the "
    "annotation `policy: '[]'`, which says so. With `policy_mode: shadow`, what `policy` and `policy_ref` say is "
    "only tried, and others have to say who may meanwhile.",
    "admits-everybody": "The policy admits everybody, signed in or not, and there is no annotation "
    "`allow_public_unauthenticated_access` that says so.",
    "rule-without-effect": "The policy admits everybody who is signed in, so its criteria for some users or groups "
    "change nothing.",
    "rule-never-holds": "A block of the policy can never hold: it is empty or rejects, or asks that one value be two "
    "things at once. A `deny` like this denies nothing.",
    "no-certificate-asked-for": "The policy asks about the client's certificate, and no annotation "
    "`tls_downstream_client_ca_secret` has clients asked for one: nobody has a certificate, valid or not, so the "
    "criterion never holds.",
    "duplicate-rule": "The policy has the same block, or the same criterion in one list, twice.",
    "not-lower-case": "E-mail addresses and domains are compared in lower case; what is written is not how it counts.",
    "upstream-not-verified": "With `tls_skip_verify`, whoever is between the proxy and the upstream may read and "
    "change everything. To verify with authorities of your own, write `tls_custom_ca_secret`.",
    "token-in-plain-text": "The token of `kubernetes_service_account_token` is sent to the upstream without TLS. Write "
    "`secure_upstream`, or have the Service's port say `appProtocol: https`.",
    "unreachable-route": "No request comes to this route: another that is tried before it serves all of its paths, or "
    "its pattern asks for what no path has in its normal form, such as a query.",
    "path-looks-like-pattern": "The path is taken literally, and looks as if it were meant as a pattern, which takes "
    "the annotation `path_regex` and the type ImplementationSpecific.",
    "host-without-tls": "The Ingress has `spec.tls`, which does not name this host; it shows the self-signed bootstrap "
    "certificate.",
    "tls-host-without-rule": "No rule of the Ingress is for this host of `spec.tls`.",
    "foreign-class": "The Ingress has our annotations, and a class that is not ours: it is not served.",
    "foreign-prefix": "The annotation has the name of one of ours under another prefix, where it is not read.",
}


@dataclass(frozen=True, slots=True)
class RuleInfo:
    """One kind of finding."""

    id: str
    level: Level
    doc: str


RULES = (
    *(RuleInfo(name, "error", doc) for table in (REASONS, MANIFEST_ERRORS) for name, doc in table.items()),
    *(RuleInfo(name, "warning", doc) for name, doc in WARNINGS.items()),
)

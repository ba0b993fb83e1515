"""The table of annotations.

In: nothing. Out: ``TABLE``, one row an annotation: its name under the prefix, the parser of its value, the field of
``settings`` it sets, and its documentation, from which the reference pages are made. An annotation is added by adding a
row (and, for a new setting, a field).
"""

import builtins
from collections.abc import Callable
from dataclasses import dataclass

from ingress_controller.annotations import policies, structs, values
from ingress_controller.model.load_balancing import CircuitBreakerThresholds, HealthCheck, OutlierDetection
from ingress_controller.policy.parse import parse as parse_policy


@dataclass(frozen=True, slots=True)
class Annotation:
    """One row.

    Attributes:
        name: what follows the prefix and a slash.
        parse: text to value; raises ``ValueError`` with what was wrong and what is allowed.
        lands: the group and field of ``Settings`` that it sets.
        type: what may be written, with its limits, for people.
        example: a value that may be written.
        doc: one sentence for people.
        empty_is_unset: whether empty text means that the annotation is absent, rather than a mistake.
        needs: the annotation without which it has no effect, and is a mistake.
        struct: the table of the fields of a value that is a map, or a list of maps.
    """

    name: str
    parse: Callable[[str], object]
    lands: tuple[str, str]
    type: str
    example: str
    doc: str
    empty_is_unset: bool = True
    needs: str | None = None
    struct: builtins.type | None = None


_POLICY = "Pomerium Policy Language, JSON or YAML, at most 1 MiB"
_POLICY_NAMES = "NAME or NAMESPACE/NAME of a Policy, or a list of them, at most 100"
_BOOLEAN = "true or false"
_STRINGS = "a list of strings, JSON or YAML"
_CLAIMS = "a map from claim names to lists of strings, whole numbers or booleans"
_PATH = "a path in its normal form that begins with /, without query or fragment"
_DURATION = "a duration of the units ns, us, ms, s, m and h: 0s, or from 1ms to 8760h"
_HEADERS = "a map from header names to values, at most 1000; none that frames or routes a message or tells an identity"
_NAMED = "the name of a Secret in the namespace of the Ingress"
_SERVER_NAME = "a DNS name or an IP address"
_FIELDS = "a map of the fields below"
_HEADER_NAMES = "a list of header names, with the same exceptions"

TABLE = (
    Annotation(
        "policy", parse_policy, ("access", "policy"),
        _POLICY, '[{"allow": {"or": [{"email": {"is": "ann@example.com"}}]}}]',
        "Who may, in Pomerium Policy Language.",
        empty_is_unset=False,
    ),
    Annotation(
        "policy_ref", policies.references, ("access", "policy_ref"),
        _POLICY_NAMES, "[office, platform/on-call]",
        "Who may, by Policy objects; those of another namespace have to name this one in spec.usableFrom.",
        empty_is_unset=False,
    ),
    Annotation(
        "policy_mode", policies.mode, ("access", "mode"),
        "enforce or shadow", "shadow",
        "With shadow, count and log what policy and policy_ref would deny, and enforce the other annotations alone.",
        empty_is_unset=False,
    ),
    Annotation(
        "allow_public_unauthenticated_access", values.boolean, ("access", "public"),
        _BOOLEAN, "true",
        "Admit everybody, signed in or not.",
    ),
    Annotation(
        "allow_any_authenticated_user", values.boolean, ("access", "any_authenticated"),
        _BOOLEAN, "true",
        "Admit everybody who is signed in.",
    ),
    Annotation(
        "allowed_users", values.strings, ("access", "users"),
        _STRINGS, '["ann@example.com", "bob@example.com"]',
        "Admit these users, by e-mail address or user id.",
    ),
    Annotation(
        "allowed_domains", values.strings, ("access", "domains"),
        _STRINGS, '["example.com"]',
        "Admit users whose e-mail address is in one of these domains.",
    ),
    Annotation(
        "allowed_groups", values.strings, ("access", "groups"),
        _STRINGS, '["admins", "auditors"]',
        "Admit the members of these groups.",
    ),
    Annotation(
        "allowed_idp_claims", values.claims, ("access", "claims"),
        _CLAIMS, '{"department": ["sales", "support"]}',
        "Admit users with one of these values in a claim.",
    ),
    Annotation(
        "path_regex", values.boolean, ("matching", "path_regex"),
        _BOOLEAN, "true",
        "Read paths of type ImplementationSpecific as RE2 patterns, from ^/ to $, that match the whole path.",
    ),
    Annotation(
        "subtle_allow_empty_host", values.boolean, ("matching", "allow_empty_host"),
        _BOOLEAN, "true",
        "Accept rules without a host; they serve every host that nothing else claims.",
    ),
    Annotation(
        "secure_upstream", values.boolean, ("connection", "secure"),
        _BOOLEAN, "true",
        "Speak TLS to the upstream, and verify its certificate.",
    ),
    Annotation(
        "service_proxy_upstream", values.boolean, ("connection", "service_proxy"),
        _BOOLEAN, "true",
        "Connect to the Service's cluster IP rather than to its endpoints, as a service mesh wants.",
    ),
    Annotation(
        "tls_server_name", values.server_name, ("connection", "server_name"),
        _SERVER_NAME, "web.internal.example.com",
        "Expect this name in the upstream's certificate, and send it (SNI) unless it is an address, rather than "
        "the upstream's own name.",
        needs="secure_upstream",
    ),
    Annotation(
        "tls_skip_verify", values.boolean, ("connection", "skip_verify"),
        _BOOLEAN, "true",
        "Take any certificate of the upstream: whoever is between may read and change everything.",
        needs="secure_upstream",
    ),
    Annotation(
        "load_balancing_policy", values.load_balancing_policy, ("load_balancing", "policy"),
        "round_robin, least_request, random, ring_hash or maglev", "least_request",
        "Choose endpoints in this way. ring_hash and maglev send a user's requests, and those of an address that "
        "nobody has signed in from, to the same endpoint.",
    ),
    Annotation(
        "outlier_detection", structs.outlier_detection, ("load_balancing", "outlier_detection"),
        _FIELDS, "{consecutive_5xx: 3, base_ejection_time: 1m, max_ejection_percent: 50}",
        "Leave out endpoints for a while whose answers show that they fail.",
        struct=OutlierDetection,
    ),
    Annotation(
        "health_checks", structs.health_checks, ("load_balancing", "health_check"),
        f"a list of one: {_FIELDS}",
        "[{timeout: 1s, interval: 10s, unhealthy_threshold: 2, healthy_threshold: 1, "
        "http_health_check: {path: /healthz}}]",
        "Ask endpoints regularly how they are, and leave out those that are not healthy.",
        struct=HealthCheck,
    ),
    Annotation(
        "circuit_breaker_thresholds", structs.circuit_breaker_thresholds,
        ("load_balancing", "circuit_breaker_thresholds"),
        _FIELDS, "{max_connections: 100, max_requests: 200}",
        "Answer 503 at once to what is more than the upstream can take.",
        struct=CircuitBreakerThresholds,
    ),
    Annotation(
        "prefix_rewrite", values.path, ("forwarding", "prefix_rewrite"),
        _PATH, "/v2",
        "Put this path in place of the one that matched.",
    ),
    Annotation(
        "preserve_host_header", values.boolean, ("forwarding", "preserve_host"),
        _BOOLEAN, "true",
        "Send the Host header of the request, rather than the upstream's own name.",
    ),
    Annotation(
        "timeout", values.duration, ("forwarding", "timeout"),
        _DURATION, "1m30s",
        "Limit the time for the whole response; 0s is no limit.",
    ),
    Annotation(
        "set_request_headers", values.headers, ("forwarding", "set_request_headers"),
        _HEADERS, '{"X-Team": "blue"}',
        "Set these headers, as literal text, on requests to the upstream.",
    ),
    Annotation(
        "remove_request_headers", values.header_names, ("forwarding", "remove_request_headers"),
        _HEADER_NAMES, '["X-Debug"]',
        "Remove these headers from requests to the upstream.",
    ),
    Annotation(
        "set_request_headers_secret", values.secret_name, ("secrets", "set_request_headers"),
        _NAMED, "upstream-credentials",
        "Set a header on requests to the upstream for each key of this Secret of type Opaque.",
    ),
    Annotation(
        "set_response_headers_secret", values.secret_name, ("secrets", "set_response_headers"),
        _NAMED, "response-headers",
        "Set a header on responses for each key of this Secret of type Opaque.",
    ),
    Annotation(
        "tls_client_secret", values.secret_name, ("secrets", "tls_client"),
        _NAMED, "upstream-client",
        "Show the upstream the certificate of this Secret of type kubernetes.io/tls.",
        needs="secure_upstream",
    ),
    Annotation(
        "tls_custom_ca_secret", values.secret_name, ("secrets", "tls_custom_ca"),
        _NAMED, "upstream-ca",
        "Verify the upstream's certificate with ca.crt of this Secret, rather than with the system's authorities.",
        needs="secure_upstream",
    ),
    Annotation(
        "tls_downstream_client_ca_secret", values.secret_name, ("secrets", "tls_downstream_client_ca"),
        _NAMED, "client-ca",
        "Ask clients for a certificate, and deny those whose certificate ca.crt of this Secret has not signed.",
    ),
    Annotation(
        "kubernetes_service_account_token", values.secret_name, ("secrets", "service_account_token"),
        _NAMED, "kube-apiserver-token",
        "Speak to a kube-apiserver with the token of this Secret of type kubernetes.io/service-account-token, "
        "and impersonate the user.",
    ),
    Annotation(
        "kubernetes_service_account_token_secret", values.secret_name, ("secrets", "service_account_token"),
        _NAMED, "kube-apiserver-token",
        "The newer name of kubernetes_service_account_token.",
    ),
)  # fmt: skip

BY_NAME = {row.name: row for row in TABLE}

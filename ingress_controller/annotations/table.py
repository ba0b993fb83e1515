"""The table of annotations.

In: nothing. Out: ``TABLE``, one row an annotation: its name under the prefix, the parser of its value, the field of
``settings`` it sets, and its documentation, from which the reference pages are made. An annotation is added by adding a
row (and, for a new setting, a field).
"""

import builtins
from collections.abc import Callable
from dataclasses import dataclass

from ingress_controller.annotations import headers, patterns, sign_in, structs, values
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
        example: a value that may be written; empty where nothing but the default can be honoured.
        doc: one sentence for people.
        empty_is_unset: whether empty text means that the annotation is absent, rather than a mistake.
        default: what holds without it, where the default of the field does not say that.
        besides: other annotations that the example needs, with their values.
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
    default: str = ""
    besides: tuple[tuple[str, str], ...] = ()
    needs: str | None = None
    struct: builtins.type | None = None


_POLICY = "Pomerium Policy Language, JSON or YAML, at most 1 MiB"
_BOOLEAN = "true or false"
_STRINGS = "a list of strings, JSON or YAML"
_CLAIMS = "a map from claim names to lists of strings, whole numbers or booleans"
_PATH = "a path in its normal form that begins with /, without query or fragment"
_DURATION = "a duration of the units ns, us, ms, s, m and h: 0s, or from 1ms to 8760h"
_PATTERN = "an RE2 pattern, as plain text"
_GROUPS = ", in which \\0 is the whole match and \\1 to \\9 are groups of the pattern"
_EXCEPT = "; none that frames or routes a message or tells an identity"
_HEADERS = f"a map from header names to values, at most 1000{_EXCEPT}"
_LINE = "one line of at most 1024 characters"
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
        "cors_allow_preflight", values.boolean, ("access", "cors_preflight"),
        _BOOLEAN, "true",
        "Admit everybody's CORS preflight requests, to which browsers add no session, and nothing else.",
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
        "regex_rewrite_pattern", patterns.pattern, ("forwarding", "regex_rewrite_pattern"),
        _PATTERN, "^/service/([^/]+)(/.*)$",
        "Rewrite the path, without the query, wherever this pattern matches; needs regex_rewrite_substitution.",
        besides=(("regex_rewrite_substitution", "\\2/instance/\\1"),),
    ),
    Annotation(
        "regex_rewrite_substitution", patterns.path_substitution, ("forwarding", "regex_rewrite_substitution"),
        f"a part of a path{_GROUPS}", "\\2/instance/\\1",
        "Put this in place of each match of regex_rewrite_pattern.",
        besides=(("regex_rewrite_pattern", "^/service/([^/]+)(/.*)$"),),
    ),
    Annotation(
        "preserve_host_header", values.boolean, ("host_header", "preserve"),
        _BOOLEAN, "true",
        "Send the Host header of the request, rather than the upstream's own name.",
    ),
    Annotation(
        "host_rewrite", values.authority, ("host_header", "rewrite"),
        "a host name or address, with a port or without", "legacy.example.com",
        "Send this Host header.",
    ),
    Annotation(
        "host_rewrite_header", headers.source_header, ("host_header", "from_header"),
        f"the name of a header{_EXCEPT}", "X-Upstream-Host",
        "Send the value of this header of the request as the Host header; without it, the request's own.",
    ),
    Annotation(
        "host_path_regex_rewrite_pattern", patterns.pattern, ("host_header", "path_pattern"),
        _PATTERN, "^/([^/]+)/.*$",
        "Make the Host header of the path, without the query, by what this pattern matches; needs "
        "host_path_regex_rewrite_substitution. A path that does not match is sent as Host, unchanged: match any path.",
        besides=(("host_path_regex_rewrite_substitution", "\\1.example.com"),),
    ),
    Annotation(
        "host_path_regex_rewrite_substitution", patterns.host_substitution, ("host_header", "path_substitution"),
        f"a host name{_GROUPS}", "\\1.example.com",
        "Put this in place of each match of host_path_regex_rewrite_pattern.",
        besides=(("host_path_regex_rewrite_pattern", "^/([^/]+)/.*$"),),
    ),
    Annotation(
        "allow_websockets", values.boolean, ("forwarding", "websockets"),
        _BOOLEAN, "true",
        "Let clients change to websocket.",
    ),
    Annotation(
        "allow_spdy", values.boolean, ("forwarding", "spdy"),
        _BOOLEAN, "true",
        "Let clients change to SPDY/3.1, as older kubectl does for exec and port-forward.",
    ),
    Annotation(
        "timeout", values.duration, ("forwarding", "timeout"),
        _DURATION, "1m30s",
        "Limit the time for the whole response; 0s is no limit.",
        default="30s; no limit with allow_websockets or allow_spdy",
    ),
    Annotation(
        "idle_timeout", values.duration, ("forwarding", "idle_timeout"),
        _DURATION, "10m",
        "Limit the time in which nothing is sent either way; 0s is no limit.",
        default="5m; no limit with allow_websockets or allow_spdy",
    ),
    Annotation(
        "set_request_headers", headers.request_headers, ("headers", "set_request"),
        _HEADERS, '{"X-Team": "blue", "X-Assertion": "${pomerium.jwt}"}',
        "Set these headers on requests to the upstream. A value is literal text, except for "
        "`${pomerium.jwt}`, the assertion of pass_identity_headers; `${pomerium.client_cert_fingerprint}`, SHA-256 of "
        'the client\'s certificate in hex; `${pomerium.request.headers["NAME"]}`, a header as the client sent it; and '
        "`$$`, a dollar sign. What a request does not have is empty.",
    ),
    Annotation(
        "remove_request_headers", headers.header_names, ("headers", "remove_request"),
        _HEADER_NAMES, '["X-Debug"]',
        "Remove these headers from requests to the upstream.",
    ),
    Annotation(
        "pass_identity_headers", values.boolean, ("headers", "pass_identity"),
        _BOOLEAN, "true",
        "Tell the upstream who is signed in, by a JWT in X-Pomerium-Jwt-Assertion.",
    ),
    Annotation(
        "set_response_headers", headers.response_headers, ("headers", "set_response"),
        f"{_HEADERS}, nor Set-Cookie or Server; or {{disable: true}}", '{"Cache-Control": "no-store"}',
        "Set these headers, as literal text, on the upstream's responses. `{disable: true}`, alone, sets none, nor "
        "X-Frame-Options and X-XSS-Protection, which responses get where the upstream does not send them.",
        default="X-Frame-Options: SAMEORIGIN and X-XSS-Protection: 1; mode=block, where absent",
    ),
    Annotation(
        "rewrite_response_headers", headers.rewrites, ("headers", "rewrite_response"),
        "a list of at most 100 maps of header, prefix and value, JSON or YAML",
        '[{"header": "Location", "prefix": "http://internal/", "value": "https://app.example.com/"}]',
        "In the upstream's responses, put the value in place of the prefix where a header begins with it. Of several "
        "entries for a header the first that fits counts.",
    ),
    Annotation(
        "name", values.line, ("description", "name"),
        _LINE, "Wiki",
        "Name the routes for people.",
    ),
    Annotation(
        "description", values.prose, ("description", "description"),
        "text of at most 1024 characters", "Notes and decisions of the team",
        "Describe the routes for people.",
    ),
    Annotation(
        "logo_url", values.https_url, ("description", "logo_url"),
        "a URL that begins with https://", "https://static.example.com/wiki.png",
        "Show the routes with this picture.",
    ),
    Annotation(
        "depends_on", sign_in.depends_on, ("sign_in", "depends_on"),
        "an empty list, JSON or YAML", "",
        "Hosts, at most 5, that a user is signed in to as well. Needs sign-in, so any host is refused for now.",
    ),
    Annotation(
        "bearer_token_format", sign_in.bearer_token_format, ("sign_in", "bearer_token_format"),
        "default", "",
        "What a bearer token is: `default` is a session. The identity provider's tokens, `idp_access_token` and "
        "`idp_identity_token`, need sign-in, and are refused for now.",
        default="default",
    ),
    Annotation(
        "idp_access_token_allowed_audiences", sign_in.audiences, ("sign_in", "access_token_audiences"),
        "an empty list, JSON or YAML", "",
        "Audiences of the identity provider's access tokens. Needs sign-in, so any audience is refused for now.",
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

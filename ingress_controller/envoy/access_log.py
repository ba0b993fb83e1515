"""The access log: a line of JSON for each request, on both listeners.

In: where it goes. Out: ``AccessLog`` messages for connection managers; ``FIELDS``, from which the reference page is
made. Envoy fills the fields in: it escapes whatever clients send, so that a request is always just one line, and what
has no value is ``null``.

A line tells who asked for what, and which rule decided. It is read by more people than may act in a user's place, so
nothing that admits anybody is in it: no query, since queries carry tokens; no cookie, no ``Authorization``, no
``Referer``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from envoy_data_plane.envoy.config.accesslog.v3 import AccessLog
from envoy_data_plane.envoy.config.core.v3 import SubstitutionFormatString
from envoy_data_plane.envoy.extensions.access_loggers.file.v3 import FileAccessLog
from envoy_data_plane.envoy.extensions.access_loggers.stream.v3 import StdoutAccessLog
from envoy_data_plane.google.protobuf import Struct

from ingress_controller.envoy.filters import session_jwt
from ingress_controller.envoy.messages import pack
from ingress_controller.envoy.replies import SIGN_IN_STEPS

METADATA: Final = "ingress-controller"
"""The part of a route's metadata that is for this log."""
INGRESS: Final = "ingress"
"""The key in it: ``namespace/name`` of the Ingress that the route comes from."""

# Envoy's RBAC filter writes its decision here, whatever the filter is called in the chain.
_RBAC: Final = "envoy.filters.http.rbac"
_SESSION: Final = f"{session_jwt.METADATA}:{session_jwt.PAYLOAD}"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a line.

    Attributes:
        name: its key.
        value: Envoy's command for it; text that a client chooses has a limit, in bytes.
        doc: what it tells, for people.
    """

    name: str
    value: str
    doc: str


# No command tells sign-in from denial; an expression costs more than one, so there is no second.
_DECISION: Final = (
    f"%CEL(metadata.filter_metadata['{_RBAC}'].enforced_effective_policy_id in {list(SIGN_IN_STEPS)} ? 'sign_in'"
    f" : metadata.filter_metadata['{_RBAC}'].enforced_engine_result)%"
)

FIELDS: Final = (
    Field("time", "%START_TIME%", "when the request began, UTC, to the millisecond"),
    Field("request_id", "%STREAM_ID%", "names the request: the upstream sees it in `X-Request-Id`, the body of a 401 "
          "or 403 shows it; a client's own `X-Request-Id` does not count"),
    Field("method", "%REQ(:METHOD):32%", "method"),
    Field("authority", "%REQ(X-ENVOY-ORIGINAL-HOST?:AUTHORITY):259%", "host that was asked for, with a port only if "
          "it is not the listener's"),
    Field("path", "%PATH(NQ:ORIG_OR_PATH):2048%", "path that was asked for, in its normal form, before any rewrite; "
          "the query is left out, since queries carry tokens"),
    Field("protocol", "%PROTOCOL%", "`HTTP/1.0`, `HTTP/1.1` or `HTTP/2`"),
    Field("status", "%RESPONSE_CODE%", "status of the answer; 0 if the client was sent none"),
    Field("response_code_details", "%RESPONSE_CODE_DETAILS%", "why it has that status: `via_upstream`, or Envoy's "
          "reason"),
    Field("response_flags", "%RESPONSE_FLAGS%", "Envoy's flags of what went wrong, `-` if nothing did: `UH` no healthy "
          "endpoint, `UF` no connection to it, `UT` timeout, `DC` the client left, `DPE` no proper HTTP"),
    Field("bytes_received", "%BYTES_RECEIVED%", "size of the request's body"),
    Field("bytes_sent", "%BYTES_SENT%", "size of the answer's body"),
    Field("duration_ms", "%DURATION%", "milliseconds until the answer was sent as a whole"),
    Field("client_address", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "address of the connection; what a client "
          "writes into `X-Forwarded-For` does not count"),
    Field("user_agent", "%REQ(USER-AGENT):256%", "what the client calls itself"),
    Field("tls_server_name", "%REQUESTED_SERVER_NAME%", "name that the client asked for in the TLS handshake"),
    Field("tls_version", "%DOWNSTREAM_TLS_VERSION%", "`TLSv1.2` or `TLSv1.3`; `null` on the HTTP listener"),
    Field("ingress", f"%METADATA(ROUTE:{METADATA}:{INGRESS})%", "Ingress of the route, `namespace/name`"),
    Field("route", "%ROUTE_NAME%", "route, as `translate` prints its `id`; `null` if there is none"),
    Field("upstream_cluster", "%UPSTREAM_CLUSTER%", "upstream of the route, asked or not: a Service and its port"),
    Field("upstream_host", "%UPSTREAM_HOST%", "address of the endpoint that was asked; `null` if none was"),
    Field("decision", _DECISION, "the policy's decision: `allowed`, `denied` or `sign_in`; `null` where no policy was "
          "asked, as there is no route or the route answers by itself"),
    Field("rule", f"%DYNAMIC_METADATA({_RBAC}:enforced_effective_policy_id)%", "rule that decided, as the body of a "
          "403 names it: `deny:policy.1.deny`, `default_deny`; `unauth` for no session, `wrong-aud` for a session of "
          "another host"),
    Field("shadow_decision", f"%DYNAMIC_METADATA({_RBAC}:shadow_engine_result)%", "what a policy that is only "
          "tried would have decided: `allowed` or `denied`"),
    Field("shadow_rule", f"%DYNAMIC_METADATA({_RBAC}:shadow_effective_policy_id)%", "its rule"),
    Field("user_id", f"%DYNAMIC_METADATA({_SESSION}:sub)%", "user's id, of a session that was verified, also if it is "
          "for another host"),
    Field("user_email", f"%DYNAMIC_METADATA({_SESSION}:email)%", "user's e-mail address, of the same session"),
)  # fmt: skip
"""All fields; Envoy writes them in the order of their names."""


def access_log(sink: Path | str) -> Iterator[AccessLog]:
    """The loggers of a connection manager: one, or none for ``off``.

    Args:
        sink: ``stdout`` for Envoy's standard output, ``off``, or the path of a file that lines are added to.
    """
    line = SubstitutionFormatString(json_format=Struct.from_dict({field.name: field.value for field in FIELDS}))
    if isinstance(sink, Path):
        yield AccessLog(
            name="envoy.access_loggers.file", typed_config=pack(FileAccessLog(path=str(sink), log_format=line))
        )
    elif sink == "stdout":
        yield AccessLog(name="envoy.access_loggers.stdout", typed_config=pack(StdoutAccessLog(log_format=line)))

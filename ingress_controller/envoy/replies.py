"""What a client is told when the policy filter denies.

In: the name of the step that denied, and what kind of client asks. Out: ``LocalReplyConfig``: 404 where there is no
route, 421 on another host's connection, a redirect to sign-in for browsers, 401 for programs, 403 with the name of the
rule. Nothing in a body comes from the client or from anybody's session.
"""

from envoy_data_plane.envoy.config.accesslog.v3 import AccessLogFilter, AndFilter, ExtensionFilter, HeaderFilter
from envoy_data_plane.envoy.config.core.v3 import (
    DataSource,
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
    SubstitutionFormatString,
)
from envoy_data_plane.envoy.config.route.v3 import HeaderMatcher
from envoy_data_plane.envoy.extensions.access_loggers.filters.cel.v3 import ExpressionFilter
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    LocalReplyConfig,
    ResponseMapper,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.google.protobuf import Struct

from ingress_controller.envoy.filters import request_headers, session_jwt
from ingress_controller.envoy.messages import pack, regex
from ingress_controller.envoy.policy import MISDIRECTED
from ingress_controller.model.host import SIGN_IN_PATH

_DENIED = "rbac_access_denied_matched_policy["
SIGN_IN_STEPS = ("unauth", "wrong-aud")
_FORBIDDEN_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>403 Forbidden</title>
<h1>Forbidden</h1>
<p>You are not allowed to see this page.</p>
<p>Reason: <code>%RESPONSE_CODE_DETAILS%</code></p>
<p>Request: <code>%STREAM_ID%</code></p>
</html>
"""


def _is(*steps: str) -> AccessLogFilter:
    return _details(" || ".join(f"response.code_details == '{_DENIED}{step}]'" for step in steps))


def _details(expression: str) -> AccessLogFilter:
    config = pack(ExpressionFilter(expression=expression))
    return AccessLogFilter(extension_filter=ExtensionFilter(name="cel", typed_config=config))


def _header(name: str, match: StringMatcher) -> AccessLogFilter:
    return AccessLogFilter(header_filter=HeaderFilter(header=HeaderMatcher(name=name, string_match=match)))


def _all(*filters: AccessLogFilter) -> AccessLogFilter:
    return AccessLogFilter(and_filter=AndFilter(filters=list(filters)))


def _set(name: str, value: str) -> HeaderValueOption:
    return HeaderValueOption(
        header=HeaderValue(key=name, value=value),
        append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
    )


def _json(**fields: str | int) -> SubstitutionFormatString:
    return SubstitutionFormatString(json_format=Struct.from_dict(fields))


def _html(page: str) -> SubstitutionFormatString:
    return SubstitutionFormatString(
        text_format_source=DataSource(inline_string=page), content_type="text/html; charset=utf-8"
    )


_BROWSER = _header("accept", StringMatcher(contains="text/html"))
_READS = _header(":method", StringMatcher(safe_regex=regex("GET|HEAD")))
_ANY_DENIAL = _details(f"response.code_details.startsWith('{_DENIED}')")
_NO_STORE = _set("cache-control", "no-store")

LOCAL_REPLIES = LocalReplyConfig(
    mappers=[
        ResponseMapper(
            filter=_is("none"), status_code=404, body_format_override=_json(status=404, reason="no such route")
        ),
        ResponseMapper(
            # Browsers that share one connection among hosts try again on another.
            filter=_is(MISDIRECTED),
            status_code=421,
            body_format_override=_json(status=421, reason="misdirected request"),
        ),
        ResponseMapper(
            filter=_is(request_headers.UNDELIVERED),
            status_code=503,
            body_format_override=SubstitutionFormatString(
                text_format_source=DataSource(inline_string="503 secret-not-found\n")
            ),
        ),
        ResponseMapper(
            filter=_all(_is(*SIGN_IN_STEPS), _BROWSER, _READS),
            status_code=302,
            headers_to_add=[
                # Relative, so that no other host can be named and the port that the browser used is kept. The path is
                # the last parameter: sign-in takes all that follows, since nothing here can escape it.
                _set("location", f"{SIGN_IN_PATH}?redirect_uri=%REQ(:PATH)%"),
                _NO_STORE,
                _set("vary", "Accept, Cookie"),
            ],
            body_format_override=_html(""),
        ),
        ResponseMapper(
            filter=_is(*SIGN_IN_STEPS),
            status_code=401,
            headers_to_add=[_set("www-authenticate", 'Bearer realm="pomerium"'), _NO_STORE],
            body_format_override=_json(
                status=401,
                reason="login required",
                request_id="%STREAM_ID%",
                session=f"%DYNAMIC_METADATA({session_jwt.METADATA}:{session_jwt.FAILURE}:message)%",
            ),
        ),
        ResponseMapper(
            filter=_all(_ANY_DENIAL, _BROWSER),
            headers_to_add=[_NO_STORE],
            body_format_override=_html(_FORBIDDEN_PAGE),
        ),
        ResponseMapper(
            filter=_ANY_DENIAL,
            headers_to_add=[_NO_STORE],
            body_format_override=_json(status=403, reason="%RESPONSE_CODE_DETAILS%", request_id="%STREAM_ID%"),
        ),
    ]
)

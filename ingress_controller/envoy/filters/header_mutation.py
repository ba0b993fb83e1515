"""Changes to headers by Envoy's ``header_mutation`` filter.

In: headers and their values. Out: ``HeaderMutationPerRoute``. Its values can be secrets, which Envoy gets by name,
apart from the route. envoy-data-plane lacks the field that this needs, so the filter's messages are defined here.
"""

from collections.abc import Iterable, Mapping

import betterproto2
from envoy_data_plane.envoy.config.common.mutation_rules.v3 import HeaderMutation as Mutation
from envoy_data_plane.envoy.config.core.v3 import (
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
    TypedExtensionConfig,
)
from envoy_data_plane.envoy.extensions.formatter.generic_secret.v3 import GenericSecret
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import SdsSecretConfig
from envoy_data_plane.google.protobuf import Any
from envoy_data_plane.message_pool import default_message_pool
from pydantic.dataclasses import dataclass

from ingress_controller.envoy.filters import session_jwt
from ingress_controller.envoy.messages import ADS, literal, pack
from ingress_controller.model.headers import Part, RequestHeader, RequestHeaders, ResponseHeaders, Variable

ASSERTION_HEADER = "x-pomerium-jwt-assertion"


@dataclass(eq=False, repr=False, config={"extra": "forbid"})
class HeaderMutation(betterproto2.Message):
    """``envoy.extensions.filters.http.header_mutation.v3.HeaderMutation``, which changes nothing by itself."""


@dataclass(eq=False, repr=False, config={"extra": "forbid"})
class Mutations(betterproto2.Message):
    """``envoy.extensions.filters.http.header_mutation.v3.Mutations``, as far as it is used."""

    request_mutations: list[Mutation] = betterproto2.field(1, betterproto2.TYPE_MESSAGE, repeated=True)
    response_mutations: list[Mutation] = betterproto2.field(2, betterproto2.TYPE_MESSAGE, repeated=True)
    formatters: list[TypedExtensionConfig] = betterproto2.field(6, betterproto2.TYPE_MESSAGE, repeated=True)


@dataclass(eq=False, repr=False, config={"extra": "forbid"})
class HeaderMutationPerRoute(betterproto2.Message):
    """``envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute``."""

    mutations: Mutations | None = betterproto2.field(1, betterproto2.TYPE_MESSAGE, optional=True)


for _message in (HeaderMutation, Mutations, HeaderMutationPerRoute):
    default_message_pool.register_message(
        "envoy.extensions.filters.http.header_mutation.v3", _message.__name__, _message
    )

_SESSION = f"metadata.filter_metadata['{session_jwt.METADATA}']['{session_jwt.PAYLOAD}']"
# A public route lets sessions of other hosts pass; what they say of the user is not for this upstream.
_ASSERTION = f"%CEL(request.host in {_SESSION}.aud ? {_SESSION}.assertion : '')%"
_VARIABLES: Mapping[Variable, str] = {
    Variable.ASSERTION: _ASSERTION,
    Variable.CLIENT_CERTIFICATE: "%DOWNSTREAM_PEER_FINGERPRINT_256%",
}


def of_request(headers: RequestHeaders) -> Any:
    """What is done to requests. The client's own header of the same name never stays, even where a value is empty."""
    made = [_set(name, "".join(map(_part, value))) for name, value in headers.set]
    if headers.identity:
        # Whatever a client sends under this name is gone by now, so that nothing is better than an empty header.
        made.append(_set(ASSERTION_HEADER, _ASSERTION, keep_empty=False))
    made += _secrets(headers.secret)
    return _packed(Mutations(request_mutations=made, formatters=_formatters(headers.secret)))


def of_response(headers: ResponseHeaders) -> Any:
    """What is done to responses."""
    made = [_set(name, literal(value)) for name, value in headers.set]
    made += _secrets(headers.secret)
    return _packed(Mutations(response_mutations=made, formatters=_formatters(headers.secret)))


def _packed(mutations: Mutations) -> Any:
    return pack(HeaderMutationPerRoute(mutations=mutations))


def _part(part: Part) -> str:
    match part:
        case str():
            return literal(part)
        case RequestHeader(name):
            return f"%REQ({name})%"
        case Variable():
            return _VARIABLES[part]


def _set(name: str, value: str, *, keep_empty: bool = True) -> Mutation:
    return Mutation(
        append=HeaderValueOption(
            header=HeaderValue(key=name, value=value),
            append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
            keep_empty_value=keep_empty,
        )
    )


def _secrets(headers: Iterable[tuple[str, str]]) -> list[Mutation]:
    return [_set(name, f"%SECRET({number})%") for number, (name, _) in enumerate(headers)]


def _formatters(headers: tuple[tuple[str, str], ...]) -> list[TypedExtensionConfig]:
    """What resolves secrets. They are numbered, since no sign in a name may then mean anything to the formatter."""
    if not headers:
        return []
    configs = {str(number): SdsSecretConfig(name=secret, sds_config=ADS) for number, (_, secret) in enumerate(headers)}
    typed = pack(GenericSecret(secret_configs=configs))
    return [TypedExtensionConfig(name="envoy.formatter.generic_secret", typed_config=typed)]

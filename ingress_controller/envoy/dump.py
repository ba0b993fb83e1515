"""Resources as text, for people.

In: encoded resources. Out: the messages as dictionaries for JSON, with every private value replaced by
``[redacted]``. Secrets are replaced before anything is made readable.
"""

from collections.abc import Mapping
from typing import Any

from envoy_data_plane.envoy.config.core.v3 import DataSource
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import Secret

from ingress_controller.envoy.encoder import MESSAGES
from xds import Resource

_REDACTED = DataSource(inline_string="[redacted]")


def readable(resources: Mapping[str, Mapping[str, Resource]]) -> dict[str, dict[str, Any]]:
    """All resources, by the short name of their type and by name, in order."""
    return {
        url.rpartition(".")[2]: {name: _readable(url, of_type[name]) for name in sorted(of_type)}
        for url, of_type in resources.items()
    }


def _readable(url: str, resource: Resource) -> dict[str, Any]:
    message = MESSAGES[url].parse(b"".join(resource.parts))
    if isinstance(message, Secret):
        if message.tls_certificate:
            message.tls_certificate.private_key = _REDACTED
        if message.generic_secret:
            message.generic_secret.secret = _REDACTED
    return message.to_dict()

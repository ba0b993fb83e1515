"""What the server encodes by hand is what the message library encodes."""

from envoy_data_plane.envoy.config.core.v3 import Node
from envoy_data_plane.envoy.service.discovery.v3 import DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource
from envoy_data_plane.google.protobuf import Any
from hypothesis import given
from hypothesis import strategies as st

from xds import wire

words = st.text(max_size=200)
resources = st.tuples(words, words, st.lists(st.binary(max_size=300), max_size=3))


@given(
    type_url=words,
    nonce=words,
    version=words,
    sent=st.lists(resources, max_size=4),
    removed=st.lists(words.filter(bool)),
)
def test_response_is_the_library_encoding(
    type_url: str, nonce: str, version: str, sent: list[tuple[str, str, list[bytes]]], removed: list[str]
) -> None:
    message = DeltaDiscoveryResponse(
        system_version_info=version,
        resources=[
            Resource(name=name, version=mark, resource=Any(type_url=type_url, value=b"".join(parts)))
            for name, mark, parts in sent
        ],
        type_url=type_url,
        removed_resources=removed,
        nonce=nonce,
    )
    chunks = [chunk for name, mark, parts in sent for chunk in wire.resource(type_url, name, mark, parts)]
    assert wire.response(type_url, nonce, version, chunks, removed) == bytes(message)


@given(node=words, type_url=words.filter(bool))
def test_request_without_its_node_is_the_same_request(node: str, type_url: str) -> None:
    bare = DeltaDiscoveryRequest(type_url=type_url, response_nonce="1")
    full = DeltaDiscoveryRequest(node=Node(id=node), type_url=type_url, response_nonce="1")
    assert DeltaDiscoveryRequest.parse(wire.without_leading(bytes(full), 1)) == bare
    assert wire.without_leading(bytes(bare), 1) == bytes(bare)

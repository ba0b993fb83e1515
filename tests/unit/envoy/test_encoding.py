"""What is put together from values is what the message library encodes of a message with these values."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import betterproto2
import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterDiscoveryType
from envoy_data_plane.envoy.config.core.v3 import DataSource, HeaderValue, HeaderValueOption, Metadata
from envoy_data_plane.envoy.config.core.v3 import HeaderValueOptionHeaderAppendAction as Append
from envoy_data_plane.envoy.config.route.v3 import Route, RouteAction, RouteMatch, VirtualHost
from envoy_data_plane.google.protobuf import Any as Packed
from envoy_data_plane.google.protobuf import Struct
from hypothesis import given
from hypothesis import strategies as st

from ingress_controller.envoy.encoding import Shared, encoded, packed, shared

Fields = Mapping[str, Any]

CASES: tuple[tuple[type[betterproto2.Message], Fields], ...] = (
    (Route, {}),
    (Route, {"name": "", "match": RouteMatch()}),
    (RouteMatch, {"prefix": ""}),
    (RouteMatch, {"case_sensitive": False}),
    (RouteAction, {"cluster": "web", "append_x_forwarded_host": True, "timeout": timedelta(), "upgrade_configs": []}),
    (RouteAction, {"timeout": timedelta(seconds=1.5), "idle_timeout": None}),
    (Cluster, {"name": "x" * 300, "type": ClusterDiscoveryType.EDS, "connect_timeout": timedelta(seconds=5)}),
    (Cluster, {"type": ClusterDiscoveryType.STATIC}),
    (DataSource, {"inline_bytes": b"\0\xff"}),
    (HeaderValueOption, {"append_action": Append.ADD_IF_ABSENT, "keep_empty_value": True}),
    (HeaderValueOption, {"append_action": Append.APPEND_IF_EXISTS_OR_ADD}),
    (VirtualHost, {"domains": ["*", ""], "routes": [Route(), Route(name="a")]}),
    (Metadata, {"filter_metadata": {"a": Struct.from_dict({"b": [True, "c", 1.5]}), "": Struct()}}),
)


@pytest.mark.parametrize(("message", "fields"), CASES, ids=lambda value: getattr(value, "__name__", ""))
def test_encoding_is_the_librarys(message: type[betterproto2.Message], fields: Fields) -> None:
    assert b"".join(encoded(message, **fields)) == bytes(message(**fields))


@given(st.text(max_size=300), st.lists(st.text()), st.dictionaries(st.text(), st.text(max_size=200)))
def test_texts_of_any_length(name: str, texts: list[str], values: dict[str, str]) -> None:
    whole = VirtualHost(name=name, domains=texts, metadata=Metadata(filter_metadata={"": Struct.from_dict(values)}))
    metadata = encoded(Metadata, filter_metadata={"": Struct.from_dict(values)})
    assert b"".join(encoded(VirtualHost, name=name, domains=texts, metadata=metadata)) == bytes(whole)


def test_an_encoding_stands_for_its_message() -> None:
    header = HeaderValue(key="a", value="b")
    by_parts = encoded(HeaderValueOption, header=encoded(HeaderValue, key="a", value="b"))
    assert b"".join(by_parts) == bytes(HeaderValueOption(header=header))
    assert b"".join(packed(HeaderValue, encoded(HeaderValue, key="a", value="b"))) == bytes(Packed.pack(header))


def test_what_is_shared_is_never_copied() -> None:
    piece = shared(Route(name="common"))
    routes = [encoded(VirtualHost, name=name, routes=[piece, Route(name=name)]) for name in ("a", "b")]
    assert [type(part) for part in routes[0]] == [bytes, Shared, bytes]
    assert routes[0][1] is routes[1][1]
    whole = VirtualHost(name="a", routes=[Route(name="common"), Route(name="a")])
    assert b"".join(routes[0]) == bytes(whole)


def test_nothing_shared_is_nothing() -> None:
    assert shared(()) == shared(Route()) == ()


def test_a_field_that_is_not_there_is_refused() -> None:
    with pytest.raises(KeyError):
        encoded(Route, nam="a")


@pytest.mark.parametrize("value", [1, ["a"], {"a": "b"}])
def test_a_value_of_another_type_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        encoded(Route, name=value)

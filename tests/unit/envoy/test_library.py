"""The fitted message library encodes what the library as it comes would."""

from collections.abc import Iterator

import betterproto2
import pytest

from benchmarks import encode
from ingress_controller.envoy import host, library
from ingress_controller.envoy.filters import CHAIN
from ingress_controller.envoy.replies import LOCAL_REPLIES

MESSAGES: tuple[betterproto2.Message, ...] = (
    *host.scopes(encode.make_host("a.example.com"), 443),
    LOCAL_REPLIES,
    *CHAIN,
)


@pytest.fixture
def _as_it_comes() -> Iterator[None]:
    encode.uninstall()
    yield
    library.install()


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_encoding_is_the_same(message: betterproto2.Message, request: pytest.FixtureRequest) -> None:
    fitted = bytes(message)
    request.getfixturevalue("_as_it_comes")
    assert bytes(message) == fitted
    assert type(message).parse(fitted) == message


def test_a_stand_in_encodes_to_what_it_stands_for() -> None:
    message, *_ = host.scopes(encode.make_host("a.example.com"), 443)
    (virtual_host,) = message.route_configuration.virtual_hosts  # type: ignore[union-attr]
    whole = bytes(message)
    virtual_host.routes = [library.pinned(route) for route in virtual_host.routes]
    assert bytes(message) == whole

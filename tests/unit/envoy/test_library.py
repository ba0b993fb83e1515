"""The fitted message library encodes what the library as it comes would."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import betterproto2
import pytest

from benchmarks import encode
from ingress_controller.envoy import host, library
from ingress_controller.envoy.filters import CHAIN
from ingress_controller.envoy.replies import LOCAL_REPLIES

ROOT = Path(__file__).parents[3]

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


VALIDATED = """
import sys
import pydantic.dataclasses
validating = pydantic.dataclasses.dataclass
import ingress_controller.envoy
pydantic.dataclasses.dataclass = validating  # The messages are imported after this.
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from tests import golden_suite
assert pydantic.dataclasses.is_pydantic_dataclass(Cluster)
for case in golden_suite.cases():
    golden_suite._translate(case.manifests, case.settings())
"""


def test_messages_are_what_their_validators_accept() -> None:
    subprocess.run([sys.executable, "-c", VALIDATED], check=True, cwd=ROOT)

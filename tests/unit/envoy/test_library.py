"""The fitted message library encodes what the library as it comes would."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import betterproto2
import pytest
from envoy_data_plane.envoy.config.route.v3 import ScopedRouteConfiguration

from benchmarks import encode
from ingress_controller.envoy import library
from ingress_controller.envoy.filters import CHAIN
from ingress_controller.envoy.replies import LOCAL_REPLIES

ROOT = Path(__file__).parents[3]

MESSAGES: tuple[betterproto2.Message, ...] = (
    *(ScopedRouteConfiguration.parse(b"".join(scope)) for scope in encode.encode_host("a.example.com").values()),
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

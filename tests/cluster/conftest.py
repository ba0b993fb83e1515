"""Fixtures of the tests against a real API server, and the network namespace that they run in."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from ingress_controller.kubernetes_api import KubernetesApi, connect
from tests.cluster.objects import STATUS_SERVICE
from tests.cluster.program import Program, running
from tests.network_namespace import enter_network_namespace
from tests.real_servers import ControlPlane

MANIFESTS = Path(__file__).parents[2] / "manifests"

_FOLDER = Path(__file__).parent
_refused = pytest.StashKey[str]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Move to a network namespace if tests of this folder are about to run.

    That is possible while there is one thread only, so it is done before the first test of any folder. The others
    use loopback addresses alone and see no difference.
    """
    if session.config.option.collectonly or not any(_FOLDER in item.path.parents for item in session.items):
        return
    try:
        enter_network_namespace()
    except PermissionError as error:
        session.config.stash[_refused] = str(error)


@pytest.fixture(scope="session")
def control_plane(pytestconfig: pytest.Config) -> Iterator[ControlPlane]:
    """The API server that all tests share."""
    if refusal := pytestconfig.stash.get(_refused, ""):
        pytest.fail(refusal, pytrace=False)
    with ControlPlane() as running:
        yield running


@pytest.fixture
async def namespace(control_plane: ControlPlane) -> str:
    """A namespace of the test's own."""
    return await control_plane.make_namespace()


@pytest.fixture
async def api(control_plane: ControlPlane) -> AsyncIterator[KubernetesApi]:
    """A client with all rights."""
    async with connect(control_plane.admin) as client:
        yield client


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def rights(control_plane: ControlPlane) -> Path:
    """The kubeconfig of a user with the rights of the project's manifests, and no others."""
    await control_plane.kubectl("apply", "--kustomize", str(MANIFESTS))
    return await control_plane.make_user("pomerium-ingress-controller")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def program(rights: Path) -> AsyncIterator[Program]:
    """A controller with its Envoy, which the tests of a module share. It must not log an error."""
    async with running(rights, f"--update-status-from-service={STATUS_SERVICE}") as shared:
        await shared.ready()
        yield shared
        assert not [line for line in shared.log() if line["level"] in {"error", "critical"}]

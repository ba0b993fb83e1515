"""The cluster that both controllers read: a real API server, filled with the objects of a run.

In: how many Ingresses, with how many policies. Out: `Cluster`: objects made and changed, users for the controllers.
"""

import asyncio
import subprocess
from collections.abc import Iterable
from pathlib import Path

from benchmarks.scale import api, objects
from tests.network_namespace import pod_address
from tests.real_servers import ControlPlane, Manifest

ROOT = Path(__file__).parents[2]
_CONTOUR_CRDS = "examples/contour/01-crds.yaml"

PUBLIC = "public"
"""An Ingress that everybody may use, with pods: for what is seen only in answers of an upstream."""

CERTIFIED = "certified"
"""An Ingress with a certificate of its own."""


class Cluster:
    """An API server with some number of Ingresses.

    Attributes:
        control_plane: the servers.
        size: how many numbered Ingresses there are.
        policies: how many distinct policies these have.
        pods: the addresses of two pods, of which `PUBLIC` has one at a time.
        writer: a connection for changes that are timed.
    """

    def __init__(self, control_plane: ControlPlane, *, with_contour: bool) -> None:
        """Install what the controllers need."""
        self.control_plane = control_plane
        self.size = 0
        self.policies = objects.SHARED_POLICIES
        self.pods = (pod_address(), pod_address())
        self._pod = 0
        self._kubectl("apply", "--kustomize", str(ROOT / "manifests"))
        if with_contour:
            self._kubectl("apply", "--server-side", "--filename", str(contour_folder() / _CONTOUR_CRDS))
        asyncio.run(control_plane.apply(*objects.cluster_objects()))
        self.kubeconfig = asyncio.run(control_plane.make_user("pomerium-ingress-controller"))
        self.writer = api.Writer(control_plane.admin)

    def _kubectl(self, *arguments: str) -> None:
        asyncio.run(self.control_plane.kubectl(*arguments))

    def grow(self, size: int) -> None:
        """Create what is missing for so many Ingresses."""
        made = objects.objects_of(range(self.size, size), self.policies)
        self.write(("POST", path, manifest) for path, manifest in made)
        self.size = size

    def change_policies(self, policies: int) -> None:
        """Give the Ingresses so many distinct policies."""
        self.policies = policies
        self.write(self.put_of(number) for number in range(self.size))

    def put_of(self, number: int, *paths: str) -> tuple[str, str, Manifest]:
        """The request that gives a numbered Ingress further paths, in place of others that it was given before."""
        manifest = objects.make_numbered(number, self.policies, (*objects.PATHS, *paths))
        return "PUT", f"{objects.INGRESSES}/{objects.name_of(number)}", manifest

    def write(self, requests: Iterable[tuple[str, str, Manifest | None]]) -> None:
        """Send requests, several at a time."""
        api.write_all(self.control_plane.admin, requests)

    def next_pod(self) -> tuple[int, tuple[str, str, Manifest]]:
        """The number of the other pod, and the request that takes it in place of the present one."""
        self._pod = 1 - self._pod
        return self._pod, ("PUT", f"{objects.SLICES}/{PUBLIC}-1", objects.make_slice(PUBLIC, self.pods[self._pod]))

    def make_special(self, certificate: tuple[bytes, bytes]) -> None:
        """Create the Ingresses of this module."""
        public = objects.make_ingress(PUBLIC, objects.PUBLIC)
        certified = objects.make_ingress(CERTIFIED, objects.PUBLIC, service=PUBLIC, secret=CERTIFIED)
        self.write(
            [
                ("POST", objects.SERVICES, objects.make_service(PUBLIC)),
                ("POST", objects.SLICES, objects.make_slice(PUBLIC, self.pods[self._pod])),
                ("POST", objects.SECRETS, objects.make_secret(CERTIFIED, *certificate)),
                ("POST", objects.INGRESSES, public),
                ("POST", objects.INGRESSES, certified),
            ]
        )


def contour_folder() -> Path:
    """The source of the Contour that is built, which has its resource definitions."""
    command = [str(ROOT / ".venv" / "bin" / "go"), "list", "-m", "-f", "{{.Dir}}", "github.com/projectcontour/contour"]
    listed = subprocess.run(command, cwd=ROOT / "tools" / "contour", check=True, capture_output=True, text=True)
    return Path(listed.stdout.strip())

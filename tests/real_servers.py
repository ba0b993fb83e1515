"""A real Kubernetes control plane for tests: etcd, kube-apiserver and kubectl, without a container engine.

:class:`ControlPlane` starts and ends the servers. One serves all tests of a session, so each test takes a namespace,
and an IngressClass, of its own. It must run in a network namespace (`tests.network_namespace`), and so must all that
talks to it: Envoy, the controller, clients. ``tests/cluster/conftest.py`` moves the whole test process there before
the first test, and has the fixtures. A test then reads like this::

    async def test_something(control_plane: ControlPlane, namespace: str) -> None:
        await control_plane.kubectl("apply", "--namespace", namespace, "--filename", "-", stdin=MANIFEST)
        address = pod_address()                         # From tests.network_namespace: bind an upstream here.
        await control_plane.apply(make_endpoint_slice(namespace, "web", [address], port=8080))
        kubeconfig = await control_plane.make_user([{"apiGroups": [""], ...}], namespaces=[namespace])
        ...                                             # Start the controller with it.
        await eventually(condition, "what it waits for")

What there is not: a controller manager and a kubelet. Namespaces are not removed, Services get no EndpointSlices,
ServiceAccounts no tokens by Secret. Tests write such objects themselves.

The programs are built by ``make tools``; a missing one fails the tests that need it.
"""

import asyncio
import base64
import itertools
import json
import os
import secrets
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from socket import create_server
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ingress_controller import die_with_parent
from tests.manifests import make_certificate
from tests.network_namespace import pod_address

TOOLS = Path(__file__).parent.parent / ".tools"

START_SECONDS = 60.0
"""How long a server may take to become ready; many times what it needs, for a busy machine."""

SERVICE_NAME = "kubernetes.default.svc.cluster.local"
"""The name that pods know the API server by."""

_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.02
_USERS = 64

Manifest = Mapping[str, Any]


def tool(name: str) -> Path:
    """The path of a program that ``make tools`` builds."""
    path = TOOLS / name
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: run `make tools`")
    return path


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on now."""
    with create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class Server:
    """A program that runs for as long as it is needed, its output in a file.

    Should the tests be killed, the kernel kills it too; also when the thread that started it ends.
    """

    def __init__(self, command: Sequence[str | Path], log: Path) -> None:
        self._command = [str(word) for word in command]
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id. It must have been started."""
        assert self._process, "started"
        return self._process.pid

    def start(self) -> None:
        """Start it; it is not ready yet."""
        # No proxy of the surroundings is to be asked for addresses of this namespace.
        environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        guarded = [sys.executable, "-I", "-S", die_with_parent.__file__, str(os.getpid()), *self._command]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                guarded, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=environment
            )

    def check(self) -> None:
        """Fail, with the end of its output, if it is no longer running."""
        if self._process is None or self._process.poll() is not None:
            output = self._log.read_text(errors="replace")[-4000:]
            raise RuntimeError(f"{self._command[0]} has ended:\n{output}")

    def kill(self) -> None:
        """End it without warning, as a crash would."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """End it in good order, or without if that takes too long."""
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()


class ControlPlane:
    """etcd and kube-apiserver, ready to use inside its context.

    Attributes:
        server: the URL of the API server.
        admin: a kubeconfig file of a user with all rights.
        certificate: what the API server shows to those who ask for ``SERVICE_NAME``; PEM, an authority of its own.
    """

    def __init__(self) -> None:
        self._etcd_program, self._api_server_program, self._kubectl = map(tool, ("etcd", "kube-apiserver", "kubectl"))
        self._cleanup = ExitStack()
        self._home = Path(tempfile.mkdtemp(prefix="k8s-", dir="/tmp"))
        self._cleanup.callback(shutil.rmtree, self._home, ignore_errors=True)
        self.certificate = self._home / "service.crt"
        self._etcd_url = f"http://127.0.0.1:{free_port()}"
        port = free_port()
        self.server = f"https://127.0.0.1:{port}"
        self._tokens = {name: secrets.token_hex() for name in ("admin", *(f"user-{n}" for n in range(_USERS)))}
        self._users = (name for name in self._tokens if name != "admin")
        self._names = itertools.count(1)
        self._write_credentials()
        self._etcd = Server(self._etcd_command(), self._home / "etcd.log")
        self._api_server = Server(self._api_server_command(port), self._home / "kube-apiserver.log")
        self.admin = self._home / "admin.kubeconfig"

    def __enter__(self) -> Self:
        """Start both servers."""
        with ExitStack() as undo:
            undo.push(self._cleanup.__exit__)
            self._etcd.start()
            self._cleanup.callback(self._etcd.stop)
            self._api_server.start()
            self._cleanup.callback(self._api_server.stop)
            self._wait_until_ready()
            undo.pop_all()
        self._write_kubeconfig("admin")
        return self

    def __exit__(self, *_: object) -> None:
        """End both servers and remove their files."""
        self._cleanup.close()

    def _write_credentials(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        (self._home / "sa.key").write_bytes(pem)
        certificate, private = make_certificate(SERVICE_NAME)
        self.certificate.write_bytes(certificate)
        (self._home / "service.key").write_bytes(private)
        lines = (
            f'{token},{name},{name},"{"system:masters" if name == "admin" else "testers"}"\n'
            for name, token in self._tokens.items()
        )
        (self._home / "tokens.csv").write_text("".join(lines), encoding="ascii")

    def _etcd_command(self) -> Sequence[str | Path]:
        peer = f"http://127.0.0.1:{free_port()}"
        return (
            self._etcd_program,
            f"--data-dir={self._home / 'etcd'}",
            f"--listen-client-urls={self._etcd_url}",
            f"--advertise-client-urls={self._etcd_url}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
        )

    def _api_server_command(self, port: int) -> Sequence[str | Path]:
        key = self._home / "sa.key"
        return (
            self._api_server_program,
            f"--etcd-servers={self._etcd_url}",
            f"--cert-dir={self._home}",
            f"--secure-port={port}",
            f"--tls-sni-cert-key={self.certificate},{self._home / 'service.key'}:{SERVICE_NAME}",
            "--bind-address=127.0.0.1",
            f"--advertise-address={pod_address()}",  # There is no default route to find one by.
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            f"--token-auth-file={self._home / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--disable-admission-plugins=ServiceAccount",  # There is no controller that makes ServiceAccounts.
            "--endpoint-reconciler-type=none",
        )

    async def start_api_server(self) -> None:
        """Start the API server again, after `kill_api_server`, and wait until it is ready."""
        self._api_server.start()
        await asyncio.to_thread(self._wait_until_ready)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            self._etcd.check()
            self._api_server.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"kube-apiserver is not ready after {START_SECONDS} s")
            time.sleep(_POLL_SECONDS)

    def kill_api_server(self) -> None:
        """End the API server as a crash would; etcd keeps running."""
        self._api_server.kill()

    def _is_ready(self) -> bool:
        certificate = self._home / "apiserver.crt"
        if not certificate.exists():
            return False
        try:
            context = ssl.create_default_context(cafile=str(certificate))
            request = urllib.request.Request(  # noqa: S310 (a URL of our own)
                f"{self.server}/readyz", headers={"Authorization": f"Bearer {self._tokens['admin']}"}
            )
            with urllib.request.urlopen(request, context=context, timeout=5) as response:  # noqa: S310
                return bool(response.status == 200)
        except (OSError, ssl.SSLError):
            return False

    def _write_kubeconfig(self, user: str) -> Path:
        path = self._home / f"{user}.kubeconfig"
        cluster = {"server": self.server, "certificate-authority": str(self._home / "apiserver.crt")}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": self._tokens[user]}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
            "current-context": "test",
        }
        path.write_text(json.dumps(config), encoding="utf-8")
        return path

    async def kubectl(self, *arguments: str, stdin: str = "", kubeconfig: Path | None = None) -> str:
        """Run kubectl and return what it prints.

        Args:
            arguments: its command line.
            stdin: what it reads; name it with ``--filename -``.
            kubeconfig: as whom; the admin if not given.

        Raises:
            RuntimeError: it failed; with its error output.
        """
        process = await asyncio.create_subprocess_exec(
            str(self._kubectl),
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"HOME": str(self._home), "KUBECONFIG": str(kubeconfig or self.admin)},
        )
        output, errors = await process.communicate(stdin.encode())
        if process.returncode:
            raise RuntimeError(f"kubectl {' '.join(arguments)}: {errors.decode()}")
        return output.decode()

    async def apply(self, *objects: Manifest) -> None:
        """Create objects, or change them to what is given."""
        manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        await self.kubectl("apply", "--filename", "-", stdin=manifest)

    async def make_namespace(self) -> str:
        """A new namespace; the name, which no other test has."""
        name = f"test-{next(self._names)}"
        await self.kubectl("create", "namespace", name)
        return name

    async def make_user(self, role: str | Sequence[Manifest], namespaces: Sequence[str] = ()) -> Path:
        """A user with given rights and no others.

        Args:
            role: the name of a ClusterRole, or the rules for a new one.
            namespaces: where the user has these rights, by RoleBindings; everywhere when empty.

        Returns:
            the user's kubeconfig file.
        """
        user = next(self._users)
        objects: list[Manifest] = []
        if not isinstance(role, str):
            objects.append(_rbac("ClusterRole", user, rules=list(role)))
        binding: dict[str, object] = {
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": role if isinstance(role, str) else user,
            },
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        }
        if namespaces:
            objects += (_rbac("RoleBinding", user, namespace, **binding) for namespace in namespaces)
        else:
            objects.append(_rbac("ClusterRoleBinding", user, **binding))
        await self.apply(*objects)
        return self._write_kubeconfig(user)

    def compact(self) -> None:
        """Have etcd forget all earlier revisions, as the API server does every five minutes."""
        revision = self._ask_etcd("kv/range", {"key": _encode("/registry/")})["header"]["revision"]
        self._ask_etcd("kv/compaction", {"revision": revision, "physical": True})

    def remove_unseen(self, resource: str, namespace: str, name: str) -> None:
        """Remove an object from etcd, so that it has gone when the API server, now away, comes back.

        Args:
            resource: the folder in etcd: ``ingress`` for Ingresses, ``secrets`` for Secrets.
            namespace: the object's namespace.
            name: its name.
        """
        key = f"/registry/{resource}/{namespace}/{name}"
        if self._ask_etcd("kv/deleterange", {"key": _encode(key)}).get("deleted") != "1":
            raise LookupError(f"etcd has no {key}")

    def _ask_etcd(self, method: str, body: Manifest) -> Any:
        request = urllib.request.Request(f"{self._etcd_url}/v3/{method}", json.dumps(body).encode())  # noqa: S310
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 (a URL of our own)
            return json.load(response)


def make_endpoint_slice(namespace: str, service: str, addresses: Sequence[str], port: int, name: str = "") -> Manifest:
    """An EndpointSlice of a Service's port, as the controller manager would write it.

    Args:
        namespace: of both.
        service: the name of the Service.
        addresses: IPv4 addresses of the endpoints, all ready.
        port: the number of the target port.
        name: the name of the Service's port.
    """
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{service}-1",
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
        "ports": [{"name": name, "port": port, "protocol": "TCP"}],
    }


def _rbac(kind: str, name: str, namespace: str = "", /, **fields: object) -> Manifest:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata, **fields}


def _encode(key: str) -> str:
    return base64.b64encode(key.encode()).decode()

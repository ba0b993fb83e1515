"""The ways of signing in to a real API server, and what happens when credentials are replaced."""

import json
from pathlib import Path

import pytest
from kubernetes.aio.config import incluster_config
from structlog.testing import capture_logs

from ingress_controller.kubernetes_api import ApiError, KubernetesApi, connect
from tests.real_servers import ControlPlane

WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


async def who(api: KubernetesApi) -> str:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    name: str = json.loads(await api.request("POST", WHO, body=body))["status"]["userInfo"]["username"]
    return name


def read_kubeconfig(path: Path) -> tuple[str, str]:
    """The token and the file of the CA."""
    config = json.loads(path.read_text(encoding="utf-8"))
    return config["users"][0]["user"]["token"], config["clusters"][0]["cluster"]["certificate-authority"]


async def test_a_pods_service_account(
    control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its token is read again when the server refuses it, as after a rotation."""
    token, authority = read_kubeconfig(control_plane.admin)
    host, port = control_plane.server.removeprefix("https://").split(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", authority)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    (tmp_path / "token").write_text("old")
    async with connect() as api:
        with pytest.raises(ApiError, match="401"):
            await who(api)
        (tmp_path / "token").write_text(token)
        assert await who(api) == "admin"


async def test_an_exec_plugin(control_plane: ControlPlane, tmp_path: Path) -> None:
    """It is run again when the server refuses its token."""
    token, _ = read_kubeconfig(control_plane.admin)
    config = json.loads(control_plane.admin.read_text())
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "cat", "args": [str(tmp_path / "credential")]}
    config["users"][0]["user"] = {"exec": {**plugin, "interactiveMode": "Never"}}
    (tmp_path / "config").write_text(json.dumps(config))
    credential = {"apiVersion": plugin["apiVersion"], "kind": "ExecCredential", "status": {"token": "old"}}
    (tmp_path / "credential").write_text(json.dumps(credential))
    async with connect(tmp_path / "config") as api:
        with pytest.raises(ApiError, match="401"):
            await who(api)
        credential["status"] = {"token": token}
        (tmp_path / "credential").write_text(json.dumps(credential))
        assert await who(api) == "admin"


async def test_a_kubeconfig_that_cannot_be_read_again(control_plane: ControlPlane) -> None:
    """That is logged, and tried again with the next request."""
    kubeconfig = await control_plane.make_user("view")
    good = kubeconfig.read_text()
    kubeconfig.write_text(good.replace('"token": "', '"token": "0'))
    async with connect(kubeconfig) as api:
        kubeconfig.unlink()
        with capture_logs() as logs, pytest.raises(ApiError, match="401"):
            await who(api)
        assert [line["event"] for line in logs] == ["cannot renew credentials"]
        kubeconfig.write_text(good)
        assert await who(api) == kubeconfig.stem

"""Configuration that cannot be used is an error at the start that says where it is."""

from pathlib import Path

import pytest

from ingress_controller.errors import StartError
from ingress_controller.kubernetes_api import connect

HEAD = "apiVersion: v1\nkind: Config\ncurrent-context: t\ncontexts: [{name: t, context: {cluster: c, user: u}}]\n"
NO_USER = HEAD.replace(", user: u", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a kubeconfig file"),
        ("[]", "not a kubeconfig file"),
        ("{", "while parsing"),
        ("\udcff", "can't decode"),
        ("a: b", "current-context"),
        (HEAD + "clusters: []\nusers: []\n", "Expected object with name c"),
        (NO_USER + "clusters: [{name: c, cluster: {}}]\n", "no server"),
        (NO_USER + "clusters: [{name: c, cluster: {server: 'https://x', certificate-authority: /none}}]\n", "/none"),
        (
            HEAD + "clusters: [{name: c, cluster: {server: 'https://x'}}]\n"
            "users: [{name: u, user: {client-certificate-data: YWJj, client-key-data: YWJj}}]\n",
            "PEM",
        ),
    ],
)
async def test_an_unusable_kubeconfig(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(StartError, match=message):
        async with connect(path):
            pass


async def test_no_kubeconfig(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=f"kubeconfig {tmp_path}/absent: no such file"):
        async with connect(tmp_path / "absent"):
            pass


async def test_a_pod_without_service_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(StartError, match="the pod's ServiceAccount: Service token file does not exist"):
        async with connect():
            pass

"""The first example, from ``kubectl apply`` to an answer, with the rights of the manifests."""

import re

from tests.cluster.objects import apply, make_slice
from tests.cluster.program import BROWSER, Program, pod
from tests.envoy_process import eventually
from tests.real_servers import ControlPlane

HOST = "hello.localhost.pomerium.io"
EXAMPLE = f"""
apiVersion: v1
kind: Service
metadata:
  name: nginx-hello
spec:
  ports:
  - name: http
    port: 80
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: hello
  annotations:
    ingress.pomerium.io/policy: '[{{"allow":{{"and":[{{"email":{{"is":"user@yourdomain.com"}}}}]}}}}]' # or a YAML block
spec:
  ingressClassName: pomerium
  rules:
  - host: {HOST}
    http:
      paths:
      - backend:
          service:
            name: nginx-hello
            port:
              name: http
        path: /
        pathType: Prefix
"""
UPDATED = r"  Normal +Updated +\d+s +pomerium-ingress +updated pomerium configuration"
REFUSED = (
    r"  Warning +UpdateError +\d+s +pomerium-ingress +upsert routes: parsing ingress: annotations: applying policy "
    r"annotations: parsing policy: invalid rules in policy: unsupported conditional \"maybe\", only and, or, not, nor "
    r"and action are allowed \(at policy\[0\]\.allow\.maybe\)"
)
AGAIN = r"  Normal +Updated +\d+s \(x2 over \d+s\) +pomerium-ingress +updated pomerium configuration"


async def eventually_described(control_plane: ControlPlane, namespace: str, *lines: str) -> None:
    """Wait until the last Events that ``kubectl describe`` shows match these."""
    shown: list[str] = []

    async def is_so() -> bool:
        nonlocal shown
        text = await control_plane.kubectl("describe", "ingress", "hello", "--namespace", namespace)
        shown = text[text.index("Events:") :].splitlines()[3:][-len(lines) :]
        return len(shown) == len(lines) and all(map(re.fullmatch, lines, shown))

    try:
        await eventually(is_so, f"Events like {lines}")
    except TimeoutError as error:
        error.add_note(f"shown: {shown}")
        raise


async def annotate(control_plane: ControlPlane, namespace: str, policy: str) -> None:
    await control_plane.kubectl(
        "annotate", "ingress", "hello", "-n", namespace, "--overwrite", f"ingress.pomerium.io/policy={policy}"
    )


async def test_the_first_example(control_plane: ControlPlane, namespace: str, program: Program) -> None:
    async with pod("nginx-hello") as address:
        await apply(control_plane, make_slice(namespace, [address], "nginx-hello"))
        await control_plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=EXAMPLE)
        await program.until_status(401, HOST)
        browser = await program.get(HOST, "/a?b=c", headers=BROWSER)
        assert (browser.status, browser.header("location")) == (302, "/.pomerium/sign_in?redirect_uri=/a?b=c")
        session = program.mint(HOST, "user@yourdomain.com")
        answer = await program.until_status(200, HOST, session=session)
        assert answer.echo.upstream == "nginx-hello"
        assert (await program.get(HOST, session=program.mint(HOST, "other@yourdomain.com"))).status == 403
        await eventually_described(control_plane, namespace, UPDATED)

        await annotate(control_plane, namespace, '[{"allow":{"maybe":[{"email":{"is":"user@yourdomain.com"}}]}}]')
        assert "invalid-policy" in (await program.until_status(503, HOST, session=session)).text
        await eventually_described(control_plane, namespace, UPDATED, REFUSED)

        await annotate(control_plane, namespace, '[{"allow":{"or":[{"domain":{"is":"yourdomain.com"}}]}}]')
        await program.until_status(200, HOST, session=session)
        await eventually_described(control_plane, namespace, AGAIN, REFUSED)
    events = await control_plane.kubectl("get", "events", "-n", namespace, "--no-headers")
    assert sorted(line.split()[1:4] for line in events.splitlines()) == [
        ["Normal", "Updated", "ingress/hello"],
        ["Warning", "UpdateError", "ingress/hello"],
    ]

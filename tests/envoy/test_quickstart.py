"""The quick start, on a real Envoy: its manifests as they are, except for the port of the upstream."""

import re
from pathlib import Path

from tests.running import running
from tests.upstream import upstream

_EXAMPLE = Path(__file__).parents[2] / "examples" / "quickstart"
_PORT = re.compile(r"(?<=^  - name: http\n    port: )\d{4,}", re.MULTILINE)
_BROWSER = [("accept", "text/html,*/*")]


async def test_quick_start_shows_what_it_promises() -> None:
    async with upstream() as web:
        files = {file.name: file.read_text() for file in _EXAMPLE.glob("*.yaml")}
        files["upstream.yaml"], found = _PORT.subn(str(web.port), files["upstream.yaml"])
        assert found == 1
        async with running(files) as c:
            public = await c.get("public.localhost.pomerium.io", "/x")
            assert public.echo.target == "/x"

            hello = "hello.localhost.pomerium.io"
            asked = await c.get(hello, "/x", headers=_BROWSER)
            assert (asked.status, asked.header("location")) == (302, "/.pomerium/sign_in?redirect_uri=/x")
            admitted = await c.get(hello, "/x", session=c.mint(hello, "user@yourdomain.com"))
            assert admitted.echo.target == "/x"
            assert (await c.get(hello, session=c.mint(hello, "other@yourdomain.com"))).status == 403

            denied = "denied.localhost.pomerium.io"
            assert (await c.get(denied)).status == 403
            assert (await c.get(denied, session=c.mint(denied, "user@yourdomain.com"))).status == 403

            assert sorted(c.said) == [
                f"Normal Updated Ingress default/{name}: updated pomerium configuration"
                for name in ("denied", "hello", "public")
            ]

"""CORS preflights, to which browsers add no session; on a real Envoy."""

from tests.manifests import CLASS, documents, make_ingress, make_web
from tests.running import running
from tests.upstream import upstream

ORIGIN = ("origin", "https://other.test")
PREFLIGHT = [ORIGIN, ("access-control-request-method", "PUT")]
ANN = {"allowed_users": '["ann@example.com"]'}


async def test_preflight_is_admitted_where_an_annotation_says_so_and_nothing_else_is() -> None:
    async with upstream() as web:
        asking = make_ingress("asking", "asking.test", ANN | {"cors_allow_preflight": "true"})
        objects = documents(CLASS, make_web(web.port), asking, make_ingress("plain", "plain.test", ANN))
        async with running({"a.yaml": objects}) as c:
            answer = await c.get("asking.test", "/api", method="OPTIONS", headers=PREFLIGHT)
            assert (answer.status, answer.echo.method, answer.echo.values("origin")) == (200, "OPTIONS", [ORIGIN[1]])
            web.seen.clear()
            for host, method, headers in (
                ("plain.test", "OPTIONS", PREFLIGHT),
                ("asking.test", "OPTIONS", [ORIGIN]),
                ("asking.test", "OPTIONS", PREFLIGHT[1:]),
                ("asking.test", "PUT", PREFLIGHT),
                ("asking.test", "GET", []),
            ):
                assert (await c.get(host, method=method, headers=headers)).status == 401, (host, method, headers)
            assert web.seen == []
            assert (await c.get("asking.test", session=c.mint("asking.test"))).status == 200

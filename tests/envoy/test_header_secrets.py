"""Headers whose values Secrets hold: sent, rotated, and seen nowhere else; on a real Envoy."""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from ingress_controller import app
from ingress_controller.envoy import encoder
from tests.manifests import CLASS, PUBLIC, SIGNED_IN, documents, make_ingress, make_opaque, make_web
from tests.running import Running, running
from tests.upstream import Upstream, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

APP, OTHER = "app.test", "other.test"
BOTH = {"set_request_headers_secret": "request", "set_response_headers_secret": "response"}
FIRST, SECOND = "Bearer first-s3cret", "Bearer second-s3cret"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def web() -> AsyncIterator[Upstream]:
    async with upstream() as web:
        yield web


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def c(web: Upstream) -> AsyncIterator[Running]:
    files = {
        "web.yaml": documents(CLASS, make_web(web.port)),
        "app.yaml": make_ingress("app", APP, SIGNED_IN | BOTH),
        "others.yaml": documents(*(make_ingress(f"o{n}", f"o{n}.test", PUBLIC | BOTH) for n in range(5))),
        "request.yaml": make_opaque("request", {"Authorization": FIRST, "X-Team.a": "%REQ(cookie)% 100%"}),
        "response.yaml": make_opaque("response", {"X-Answer": "answer-s3cret"}),
    }
    async with running(files) as c:
        yield c


async def test_headers_are_set_and_replace_what_is_there(c: Running, web: Upstream) -> None:
    web.says[:] = [("X-Answer", "upstream's")]
    answer = await c.get(APP, session=c.mint(APP), headers=[("authorization", "Basic eA=="), ("cookie", "a=1")])
    assert answer.echo.values("authorization") == [FIRST]
    assert answer.echo.values("x-team.a") == ["%REQ(cookie)% 100%"]
    assert [value for name, value in answer.headers if name == "x-answer"] == ["answer-s3cret"]
    web.says.clear()


async def test_answer_that_denies_has_no_secret(c: Running) -> None:
    for accept in ("text/html", "*/*"):
        answer = await c.get(APP, headers=[("accept", accept)])
        assert answer.status in {302, 401}
        assert "s3cret" not in repr(answer)


async def test_many_routes_share_a_secret_and_rotation_sends_it_alone(c: Running) -> None:
    async with c.connect("o1.test") as connection:
        assert (await connection.get("o1.test")).echo.values("authorization") == [FIRST]
        before = c.sent
        await c.write("request.yaml", make_opaque("request", {"Authorization": SECOND, "X-Team.a": "x"}))
        # Two keys of the Secret have changed.
        assert dict(c.sent - before) == {"Secret": 2}
        assert (await connection.get("o1.test")).echo.values("authorization") == [SECOND]
    assert (await c.get("o4.test")).echo.values("x-team.a") == ["x"]
    before = c.sent
    await c.write("response.yaml", make_opaque("response", {"X-Answer": "another-s3cret"}))
    assert dict(c.sent - before) == {"Secret": 1}
    assert (await c.get("o3.test")).header("x-answer") == "another-s3cret"


async def test_values_are_seen_nowhere(c: Running) -> None:
    dump = await c.envoy.admin_get("/config_dump?include_eds")
    assert "set_request_headers/default/request/Authorization" in dump
    translation = app.translate_manifests([c.manifests], c.settings)
    shown = [dump, *c.said, c.envoy.log_end(), translation.routes_yaml, translation.envoy_json, *translation.problems]
    assert not [text for text in shown if "s3cret" in text]
    assert "Authorization: '[redacted]'" in translation.routes_yaml


async def test_path_answers_503_without_its_secret(c: Running, web: Upstream) -> None:
    kept = (c.manifests / "request.yaml").read_text()
    await c.remove("request.yaml")
    web.seen.clear()
    assert (await c.get("o1.test")).text == "503 secret-not-found\n"
    assert web.seen == []
    await c.write("request.yaml", kept)
    assert (await c.get("o1.test")).echo.values("authorization") == [SECOND]


async def test_request_is_never_sent_without_the_header(web: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Envoy asks for a secret when it has the route: until the answer is there, it has none."""
    objects = documents(CLASS, make_web(web.port), make_ingress("app", APP, PUBLIC | BOTH), make_ingress("o", OTHER))
    secrets = documents(make_opaque("request", {"X-Key": "v1", "X-More": "m"}), make_opaque("response", {"X-A": "b"}))
    with monkeypatch.context() as withheld:
        withheld.setattr(encoder, "_secret", lambda *_: None)
        async with running({"a.yaml": objects, "secrets.yaml": secrets}) as c:
            web.seen.clear()
            for host in (APP, APP.upper(), f"{APP}:1"):
                async with c.connect(APP) as connection:
                    answer = await connection.get(host, headers=[("x-key", ""), ("x-more", "mine")])
                    assert (answer.status, answer.text) == (503, "503 secret-not-found\n")
            assert web.seen == []
            assert (await c.get(OTHER)).status == 200
            withheld.undo()
            await c.write("secrets.yaml", secrets.replace(make_opaque("request", {"X-Key": "v1", "X-More": "m"}),
                          make_opaque("request", {"X-Key": "v2", "X-More": "n"})))  # fmt: skip
            echo = (await c.get(APP)).echo
            assert (echo.values("x-key"), echo.values("x-more")) == (["v2"], ["n"])


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({"Set-Cookie": "__Host-pomerium=x"}, "Set-Cookie: this header cannot be set by an annotation"),
        ({"Server": "x"}, "Server: this header cannot be set by an annotation"),
        ({"Content-Length": "5"}, "Content-Length: this header cannot be set or removed by an annotation"),
        ({"X-Rewritten": "5"}, "X-Rewritten: another key or annotation sets, rewrites or removes this header too"),
    ],
)
async def test_response_headers_that_must_not_be_set(c: Running, values: dict[str, str], wrong: str) -> None:
    rewrite = json.dumps([{"header": "x-rewritten", "prefix": "a", "value": "b"}])
    annotations = PUBLIC | {"set_response_headers_secret": "bad", "rewrite_response_headers": rewrite}
    await c.write("bad.yaml", documents(make_opaque("bad", values), make_ingress("bad", OTHER, annotations)))
    assert c.said_of("bad")[-1].endswith(f"Secret default/bad: {wrong}")
    assert (await c.get(OTHER)).text == "503 invalid-secret\n"

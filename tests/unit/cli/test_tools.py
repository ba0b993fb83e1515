"""``lint``, ``explain`` and ``routes``, as a user starts them, on manifests."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ingress_controller import logs, offline
from ingress_controller.cli import main
from tests.envoy.client_certificates import make_authority
from tests.manifests import (
    CLASS,
    PUBLIC,
    SIGNED_IN,
    documents,
    make_authorities,
    make_ingress,
    make_opaque,
    make_policy,
    make_service,
    make_slice,
)
from tests.running import free_port

QUICKSTART = "examples/quickstart"
HELLO = "https://hello.localhost.pomerium.io/"


def invoke(*arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(main, arguments, input=stdin)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    policy = make_policy({"domain": "example.com"}, deny=[{"email": "bob@example.com"}])
    (tmp_path / "a.yaml").write_text(
        documents(
            CLASS,
            make_service(),
            make_slice(8080),
            make_ingress(
                "public", "a.test", PUBLIC, paths=[("/public", "Prefix", "web:80"), ("/one", "Exact", "web:80")]
            ),
            make_ingress("team", "a.test", policy, paths=[("/", "Prefix", "web:80")]),
            make_ingress("broken", "b.test", SIGNED_IN, paths=[("/", "Prefix", "gone:80")], namespace="other"),
            make_ingress("wild", "*.a.test", SIGNED_IN),
            make_ingress("foreign", "c.test", SIGNED_IN, ingressClassName="nginx"),
        )
    )
    return tmp_path


@pytest.mark.parametrize("command", ["lint", "explain", "routes"])
def test_help_has_examples(command: str) -> None:
    result = invoke(command, "-h")
    assert result.exit_code == 0
    assert f"  ingress-controller {command} " in result.stdout


# --- lint


def test_lint_of_what_is_well(folder: Path) -> None:
    (folder / "a.yaml").write_text(documents(CLASS, make_service(), make_ingress("web", "a.test", SIGNED_IN)))
    result = invoke("lint", str(folder))
    assert (result.exit_code, result.stdout) == (0, "no problems in 1 Ingress of 1 file\n")


def test_lint_tells_errors_with_their_place_and_status_1(folder: Path) -> None:
    result = invoke("lint", str(folder), "--complete")
    file = folder / "a.yaml"
    assert result.exit_code == 1
    assert f"{file}:" in result.stdout
    assert (
        "error: Ingress other/broken: spec.rules[0].http.paths[0].backend: Service other/gone not found"
        in result.stdout
    )
    assert "warning: Ingress default/foreign: the class nginx is not among the manifests" in result.stdout
    assert result.stdout.endswith("1 error, 1 warning in 4 Ingresses of 1 file\n")
    assert "\x1b" not in result.stdout


def test_lint_warnings_count_if_that_is_wanted() -> None:
    assert invoke("lint", QUICKSTART).exit_code == 0
    assert invoke("lint", "--strict", QUICKSTART).exit_code == 1


def test_lint_reads_standard_input() -> None:
    result = invoke("lint", "-", stdin=make_ingress("web", "a.test", {"timeout": "soon"}))
    assert result.exit_code == 1
    assert result.stdout.startswith("stdin:1:")


def test_lint_as_json_and_sarif(folder: Path) -> None:
    found = json.loads(invoke("lint", "--complete", "-o", "json", str(folder)).stdout)
    assert {(each["level"], each["rule"], each["object"]) for each in found} == {
        ("error", "service-not-found", "Ingress other/broken"),
        ("warning", "foreign-class", "Ingress default/foreign"),
    }
    log = json.loads(invoke("lint", "--complete", "-o", "sarif", str(folder)).stdout)
    assert [each["ruleId"] for each in log["runs"][0]["results"]] == [each["rule"] for each in found]


def test_lint_of_what_is_not_there_is_status_2() -> None:
    assert invoke("lint", "/nowhere").exit_code == 2
    assert invoke("lint").exit_code == 2


# --- explain


def explain(folder: Path, *arguments: str) -> str:
    result = invoke("explain", str(folder), *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_explain_tells_the_route_the_policy_and_the_answers(folder: Path) -> None:
    text = explain(folder, "--url", "https://A.test:8443/public/../x?y=1", "--user", "Bob@example.com")
    for line in (
        "GET /x?y=1 of a.test, from 192.0.2.1, signed in as Bob@example.com <bob@example.com>",
        "written /public/../x; routes and policies see /x",
        "no   Exact /one (Ingress default/public): another path",
        "no   Prefix /public (Ingress default/public): the path is not below it",
        "yes  Prefix / (Ingress default/team): to default/web:80",
        "yes  email bob@example.com: it is bob@example.com",
        "=    denied, by deny:policy.0.deny",
        "program: 403 denied by deny:policy.0.deny",
    ):
        assert line in text, text


@pytest.mark.parametrize(
    ("arguments", "browser", "program"),
    [
        (("--url", "https://a.test/public/x"), "forwarded to default/web:80", "forwarded to default/web:80"),
        (("--url", "https://a.test/"), "302 to /.pomerium/sign_in?redirect_uri=/", "401 login required"),
        (("--url", "https://a.test/", "--method", "post"), "401 login required", "401 login required"),
        (("--url", "https://a.test/", "--user-id", "u1"), "403 denied by default_deny", "403 denied by default_deny"),
        (("--url", "https://a.test/a%2fb"), "400 the path has", "400 the path has"),
        (("--url", "https://x.a.test/.pomerium/x"), "503 sign-in", "503 sign-in"),
        (("--url", "https://b.test/"), "503 service-not-found", "503 service-not-found"),
        (("--url", "https://y.x.a.test/"), "404 no host", "404 no host"),
        (("--url", "https://x.a.test/", "--user", "a@b", "--group", "g", "--claim", "a=b"), "forwarded", "forwarded"),
    ],
)
def test_explain_tells_each_answer(folder: Path, arguments: tuple[str, ...], browser: str, program: str) -> None:
    answers = {answer["client"]: answer for answer in json.loads(explain(folder, "-o", "json", *arguments))["answers"]}
    for client, expected in (("browser", browser), ("program", program)):
        told = f"{answers[client]['status'] or ''} {answers[client]['text']}".strip()
        assert told.startswith(expected), told


def test_explain_knows_whose_ingress_names_the_host(folder: Path) -> None:
    assert "Ingress default/foreign names this host and is not served" in explain(folder, "--url", "https://c.test/")
    assert "Service other/gone not found" in explain(folder, "--url", "https://b.test/")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--url", "ftp://x/"), "must begin with https://, http:// or tcp+https://"),
        (("--url", "https://x/", "--source-ip", "x"), "--source-ip"),
        (("--url", "https://x/", "--group", "a"), "name who, with --user or --user-id"),
        (("--url", "https://x/a", "--method", "CONNECT"), "CONNECT has no path: write tcp+https://x:443"),
        (("--url", "tcp+https://x:1/?a", "--method", "connect"), "CONNECT has no path"),
        (("--url", "http://x/", "--method", "CONNECT"), "CONNECT is over TLS: write tcp+https://x:80"),
        (("--url", "tcp+https://x:1", "--method", "GET"), "is for CONNECT alone, got 'GET'"),
        (("--url", "tcp+https://x"), "must name a port"),
        (("--url", "https://x/", "--client-certificate", "ab:cd"), "expected the SHA-256 fingerprint"),
        ((), "Missing option '--url'"),
    ],
)
def test_explain_of_a_question_that_is_none(arguments: tuple[str, ...], message: str) -> None:
    result = invoke("explain", QUICKSTART, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_kubeconfig_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    (file := tmp_path / "config").write_text("nothing: here\n")
    for command in (("explain", "--url", HELLO), ("routes",)):
        result = invoke(*command, "--kubeconfig", str(file))
        assert result.exit_code == 2
        assert result.stderr.startswith("Error: "), result.output


def test_a_cluster_that_does_not_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (file := tmp_path / "config").write_text(
        json.dumps(
            {
                "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{free_port()}"}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "users": [{"name": "u", "user": {"token": "x"}}],
                "current-context": "c",
            }
        )
    )
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    monkeypatch.setattr(offline, "_CLUSTER_SECONDS", 0.5)
    result = invoke("routes", "--kubeconfig", str(file))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: the cluster was not read within 0.5 seconds" in result.stderr


@pytest.fixture
def special(tmp_path: Path) -> Path:
    """A tunnel, a host that asks for certificates, and a policy that is tried."""
    tcp = {"allowed_users": '["ann@example.com"]', "tcp_upstream": "true"}
    tried = PUBLIC | {"policy_mode": "shadow"} | make_policy({"email": "bob@example.com"})
    much = {
        "prefix_rewrite": "/v2",
        "set_request_headers": '{"X-Team": "blue"}',
        "set_request_headers_secret": "hidden",
        "remove_request_headers": '["X-Debug"]',
        "pass_identity_headers": "true",
        "allow_websockets": "true",
        "timeout": "1m",
        "set_response_headers": '{"X-Frame-Options": "DENY"}',
    }
    (tmp_path / "special.yaml").write_text(
        documents(
            CLASS,
            make_service(),
            make_slice(8080),
            make_opaque("hidden", {"X-Key": "hunter2"}),
            make_authorities("authority", make_authority().pem),
            make_ingress("db", "db.test", tcp, paths=[("", "ImplementationSpecific", "web:80")]),
            make_ingress("tried", "db.test", tried | much, paths=[("/pages", "Prefix", "web:80")]),
            make_ingress("cert", "cert.test", PUBLIC | {"tls_downstream_client_ca_secret": "authority"}),
        )
    )
    return tmp_path


FINGERPRINT = ":".join(["AB"] * 32)


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (
            ("--url", "tcp+https://db.test:80", "--user", "ann@example.com"),
            (
                "CONNECT port 80 of db.test",
                "no   Prefix /pages (Ingress default/tried): no tunnel",
                "yes  Connect :80 (Ingress default/db): to default/web:80",
                "program: forwarded",
            ),
        ),
        (("--url", "https://db.test:80", "--method", "connect"), ("browser: 401 login", "program: 401 login")),
        (
            ("--url", "tcp+https://db.test:81"),
            ("Connect :80 (Ingress default/db): another port", "404 no tunnel of db.test leads to port 81"),
        ),
        (
            ("--url", "https://cert.test/"),
            ("asks for a client certificate: there is none", "403 denied by deny:invalid_client_certificate"),
        ),
        (
            ("--url", "https://cert.test/", "--client-certificate", FINGERPRINT),
            (f"asks for a client certificate: {'ab' * 32}", "program: forwarded"),
        ),
        (
            ("--url", "https://cert.test/", "--client-certificate", FINGERPRINT, "--server-name", "DB.test"),
            ("421 misdirected: cert.test asks for client certificates, and the TLS handshake was for db.test",),
        ),
        (("--url", "https://cert.test/", "--server-name", ""), ("the TLS handshake was without a name",)),
        (
            ("--url", "http://db.test/x/../pages?y", "--external-https-port", "8443"),
            ("redirect (308) to https://db.test:8443/pages?y;", "program: forwarded"),
        ),
        (
            ("--url", "https://db.test/pages/x", "--user", "ann@example.com"),
            (
                "Policy that is only tried",
                "=    denied (default_deny)",
                "upgrades: websocket",
                "path: /v2 in place of /pages",
                "set_request_headers: X-Team, X-Key ([redacted])",
                "remove_request_headers: X-Debug",
                "pass_identity_headers: ",
                "set_response_headers: X-Frame-Options",
                "timeout: 60s",
                "program: forwarded",
            ),
        ),
    ],
)
def test_explain_of_what_is_special(special: Path, arguments: tuple[str, ...], lines: tuple[str, ...]) -> None:
    text = explain(special, *arguments)
    for line in lines:
        assert line in text, text
    assert "hunter2" not in text + explain(special, "-o", "json", *arguments)


def test_explain_as_json_has_the_same(special: Path) -> None:
    found = json.loads(explain(special, "-o", "json", "--url", "http://db.test/pages"))
    assert found["redirect"] == {"status": 308, "location": "https://db.test/pages"}
    assert (found["decision"]["outcome"], found["shadow_decision"]["outcome"]) == ("allow", "sign_in")
    assert found["forwarded"]["set_request_headers"] == ["X-Team", "X-Key ([redacted])"]
    found = json.loads(explain(special, "-o", "json", "--url", "tcp+https://db.test:80"))
    assert (found["request"]["port"], found["request"]["path"], found["route"]["match"]) == (80, None, "Connect")


# --- routes


def test_routes_tell_what_is_special(special: Path) -> None:
    short, wide = (invoke("routes", str(special), "-o", form).stdout.splitlines() for form in ("table", "wide"))
    cells = [re.split(" {2,}", line) for line in short]
    modes = [(row[0], row[1], row[cells[0].index("MODE")]) for row in cells[1:]]
    assert modes == [
        ("cert.test", "Prefix /", "client-certificate"),
        ("db.test", "Prefix /pages", "shadow"),
        ("db.test", "Connect :80", "tcp"),
    ]
    assert re.split(" {2,}", wide[0])[-3:] == ["ENDPOINTS", "TRIED", "CLIENT-CA"]
    assert [re.split(" {2,}", line)[-2:] for line in wide[1:]] == [
        ["-", "default/authority"],
        ["email bob@example.com", "-"],
        ["-", "-"],
    ]
    listed = json.loads(invoke("routes", str(special), "-o", "json").stdout)["routes"]
    assert [route["client_ca_secret"] for route in listed] == ["default/authority", None, None]
    assert [route["from"] for route in listed] == ["https://cert.test", "https://db.test", "tcp+https://db.test:80"]


def test_routes_are_listed_in_serving_order(folder: Path) -> None:
    result = invoke("routes", str(folder))
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [tuple(re.split(" {2,}", line)) for line in lines] == [
        ("HOST", "MATCH", "UPSTREAM", "POLICY", "INGRESS", "PROBLEMS"),
        ("*.a.test", "Prefix /", "default/web:80", "everybody signed in", "default/wild", "-"),
        ("a.test", "Exact /one", "default/web:80", "everybody", "default/public", "-"),
        ("a.test", "Prefix /public", "default/web:80", "everybody", "default/public", "-"),
        (
            "a.test",
            "Prefix /",
            "default/web:80",
            "domain example.com, but not email bob@example.com",
            "default/team",
            "-",
        ),
        ("b.test", "Prefix /", "503 service-not-found", "-", "other/broken", "service-not-found"),
    ]
    assert len({line.index("default/") for line in lines[1:4]}) == 1
    assert result.stderr.startswith("Ingress other/broken: ")


@pytest.mark.parametrize(
    ("arguments", "hosts"),
    [
        (("--host", "a.test"), {"a.test"}),
        (("--host", "X.a.test"), {"*.a.test"}),
        (("--host", "*.a.test", "--host", "b.test"), {"*.a.test", "b.test"}),
        (("--host", "nowhere"), set()),
        (("-n", "other"), {"b.test"}),
        (("-n", "other", "--host", "a.test"), set()),
    ],
)
def test_routes_are_chosen_by_host_and_namespace(folder: Path, arguments: tuple[str, ...], hosts: set[str]) -> None:
    listed = json.loads(invoke("routes", str(folder), "-o", "json", *arguments).stdout)["routes"]
    assert {route["from"].removeprefix("https://") for route in listed} == hosts


def test_wide_leaves_nothing_out(folder: Path) -> None:
    many = make_ingress(
        "many", "many.test", {"allowed_domains": json.dumps([f"long-{n}.example.com" for n in range(3)])}
    )
    (folder / "many.yaml").write_text(many)
    short, wide = (invoke("routes", str(folder), "-o", form).stdout for form in ("table", "wide"))
    assert "long-1.example.com, ..." in short
    assert "domain long-0.example.com, long-1.example.com, long-2.example.com" in wide
    assert "127.0.0.1:8080" in wide


def test_yaml_is_that_of_translate(folder: Path) -> None:
    assert invoke("routes", str(folder), "-o", "yaml").stdout == invoke("translate", str(folder)).stdout


def test_the_installed_program_does_not_wrap_lines_or_colour_them() -> None:
    program = Path(sys.executable).parent / "ingress-controller"
    done = subprocess.run([program, "lint", QUICKSTART], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("examples/quickstart/denied.yaml:4:1: warning: Ingress default/denied: ")

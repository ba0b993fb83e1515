"""The commands, as a user starts them."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import jwt
import pytest
from click.testing import CliRunner, Result

from ingress_controller.cli import main
from ingress_controller.cli.run import until_signalled
from ingress_controller.errors import StartError
from ingress_controller.session import jwks, signing_key
from ingress_controller.settings import Settings


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def mint(folder: Path, *arguments: str) -> Result:
    return invoke("session", "mint", "--data-dir", str(folder / "state"), *arguments)


def test_a_session_is_printed_that_the_key_of_the_data_directory_verifies(tmp_path: Path) -> None:
    result = mint(
        tmp_path,
        *("--host", "App.example.com", "--email", "Ann@example.com", "--sub", "u1", "--ttl", "1h30m"),
        *("--group", "admins", "--group", "staff", "--claim", "team=a=b", "--claim", "n=1", "--claim", "n=2"),
        *("--authenticate-service-url", "https://sso.example.com"),
    )
    assert result.exit_code == 0, result.output
    public = jwt.PyJWKSet.from_json(jwks([signing_key(tmp_path / "state")])).keys[0]
    claims = jwt.decode(
        result.stdout.strip(), public, ["ES256"], audience="app.example.com", issuer="https://sso.example.com"
    )
    assert claims["exp"] - claims["iat"] == 5400
    assert len(claims.pop("sid")) >= 22
    told = jwt.decode(claims.pop("assertion"), public, ["ES256"], audience="app.example.com", issuer="app.example.com")
    assert told["email"] == "ann@example.com"
    assert claims | {"iat": 0, "exp": 0} == {
        "iss": "https://sso.example.com",
        "aud": ["app.example.com"],
        "sub": "u1",
        "email": "ann@example.com",
        "groups": ["admins", "staff"],
        "claims": {"team": "a=b", "n": ["1", "2"]},
        "iat": 0,
        "exp": 0,
    }


def test_the_data_directory_is_made_closed_to_others(tmp_path: Path) -> None:
    assert mint(tmp_path, "--host", "a", "--email", "a@b").exit_code == 0
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--host", "a:1", "--email", "a@b"), "Error: --host: must be a host name without port or wildcard, got 'a:1'"),
        (("--host", "a", "--email", "ann"), "Error: --email: must be one e-mail address, got 'ann'"),
        (("--host", "a", "--email", "a@b", "--group", ""), "Error: --group: must not be empty"),
        (("--host", "a", "--email", "a@b", "--claim", "x"), "Invalid value for '--claim': must be NAME=VALUE"),
        (("--host", "a", "--email", "a@b", "--ttl", "1d"), "Invalid value for '--ttl': must be a duration"),
        (("--host", "a", "--email", "a@b", "--ttl", "0s"), "Error: --ttl: must be from one second"),
        (("--host", "a"), "Missing option '--email'"),
    ],
)
def test_a_session_that_nobody_may_have(tmp_path: Path, arguments: Sequence[str], message: str) -> None:
    result = mint(tmp_path, *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert message in result.stderr


def test_the_installed_program_prints_one_error_line_and_nothing_of_a_secret() -> None:
    program = Path(sys.executable).parent / "ingress-controller"
    done = subprocess.run(
        [program, "run"],
        env={**os.environ, "INGRESS_CONTROLLER_SHARED_SECRET": "aHVudGVyMg=="},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == ("Error: INGRESS_CONTROLLER_SHARED_SECRET: must be base64 of exactly 32 bytes, got 7 bytes\n")


@pytest.mark.parametrize("command", [(), ("run",), ("translate",), ("session",), ("session", "mint")])
def test_help(command: Sequence[str]) -> None:
    for flag in ("-h", "--help"):
        result = invoke(*command, flag)
        assert result.exit_code == 0
        assert result.stdout.startswith("Usage: ")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ingress-controller run --log-format ", {"text", "json"}),
        ("ingress-controller run --log-level d", {"debug"}),
        ("ingress-controller run --log-f", {"--log-format"}),
        ("ingress-controller session m", {"mint"}),
    ],
)
def test_completion(line: str, words: set[str]) -> None:
    environment = {
        "_INGRESS_CONTROLLER_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
    }
    result = CliRunner().invoke(main, env=environment, prog_name="ingress-controller")
    assert {item.partition(",")[2] for item in result.stdout.splitlines()} == words


def test_an_unknown_flag_is_named_with_the_nearest() -> None:
    result = invoke("run", "--name-space", "x")
    assert result.exit_code == 2
    assert "--name-space" in result.stderr
    assert "--namespaces" in result.stderr


def test_translate_of_a_path_that_is_not_there() -> None:
    result = invoke("translate", "/nowhere.yaml")
    assert result.exit_code == 2
    assert "/nowhere.yaml" in result.stderr


@dataclass(frozen=True)
class Translated:
    problems: Sequence[str]
    routes_yaml: str = "routes: []\n"
    envoy_json: str = "{}\n"


def make_app(monkeypatch: pytest.MonkeyPatch, **functions: object) -> None:
    app = ModuleType("ingress_controller.app")
    vars(app).update(functions)
    monkeypatch.setitem(sys.modules, app.__name__, app)
    monkeypatch.setattr(sys.modules["ingress_controller"], "app", app, raising=False)


@pytest.mark.parametrize(("output", "text"), [((), "routes: []\n"), (("-o", "envoy"), "{}\n")])
@pytest.mark.parametrize(("problems", "status"), [((), 0), (("Ingress a/b: x", "Ingress a/c: y"), 1)])
def test_translate_prints_what_a_stand_in_for_the_application_returns(
    monkeypatch: pytest.MonkeyPatch, output: Sequence[str], text: str, problems: Sequence[str], status: int
) -> None:
    seen: list[tuple[object, Settings]] = []

    def translate_manifests(paths: object, settings: Settings) -> Translated:
        seen.append((paths, settings))
        return Translated(problems)

    make_app(monkeypatch, translate_manifests=translate_manifests)
    result = invoke("translate", __file__, "--prefix", "x.example", *output)
    assert (result.stdout, result.exit_code) == (text, status)
    assert result.stderr.splitlines() == list(problems)
    assert [(paths, settings.prefix) for paths, settings in seen] == [((Path(__file__),), "x.example")]


def test_run_tells_why_a_stand_in_for_the_application_cannot_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def run(_: Settings) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())

    async def fail() -> None:
        raise StartError("--http-address: 127.0.0.1:1 cannot be listened on: in use")

    make_app(monkeypatch, run=run)
    result = invoke("run", "--manifests", str(tmp_path))
    assert result.exit_code == 2
    assert result.stderr == "Error: --http-address: 127.0.0.1:1 cannot be listened on: in use\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_work_in_order(number: signal.Signals) -> None:
    ended = []

    async def work() -> None:
        os.kill(os.getpid(), number)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(number)

    try:
        async with asyncio.timeout(30):
            await until_signalled(work())
    finally:
        asyncio.get_running_loop().remove_signal_handler(number)
    assert ended == [number]

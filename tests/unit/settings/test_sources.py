"""Every setting from every source, through the command line that users have."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from ingress_controller.cli.options import with_settings
from ingress_controller.settings import Settings
from tests.unit.settings.cases import SECRET_TEXT, Case, make_cases

FIELDS = tuple(Settings.model_fields)


@click.command()
@with_settings()
@click.pass_context
def probe(ctx: click.Context, settings: Settings) -> None:
    ctx.find_root().obj.append(settings)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("INGRESS_CONTROLLER_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    return make_cases(tmp_path_factory.mktemp("cases"))


def run(*arguments: str, env: Mapping[str, str] | None = None) -> tuple[Result, Settings | None]:
    seen: list[Settings] = []
    result = CliRunner().invoke(probe, arguments, env=env, obj=seen)
    return result, seen[0] if seen else None


def flag_of(field: str) -> str:
    return f"--{field.replace('_', '-')}"


def from_flag(field: str, text: str, _: Path) -> tuple[Result, Settings | None, str]:
    if field == "allow_external_name_local" and text == "true":
        return *run(flag_of(field)), flag_of(field)
    return *run(flag_of(field), text), flag_of(field)


def from_environment(field: str, text: str, _: Path) -> tuple[Result, Settings | None, str]:
    name = f"INGRESS_CONTROLLER_{field.upper()}"
    return *run(env={name: text}), name


def from_file(field: str, text: str, folder: Path) -> tuple[Result, Settings | None, str]:
    (file := folder / "config.yaml").write_text(f"{field}: {json.dumps(text)}\n")
    return *run("--config", str(file)), f"{file}: {field}"


SOURCES = (from_flag, from_environment, from_file)
Source = Callable[[str, str, Path], tuple[Result, Settings | None, str]]


def test_every_setting_has_a_case(cases: dict[str, Case]) -> None:
    assert tuple(sorted(cases)) == tuple(sorted(FIELDS))


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("field", FIELDS)
def test_a_right_value_is_taken(field: str, source: Source, cases: dict[str, Case], tmp_path: Path) -> None:
    result, settings, _ = source(field, cases[field].right, tmp_path)
    assert result.exit_code == 0, result.output
    assert settings is not None
    assert getattr(settings, field) == cases[field].value


def combinations() -> Iterator[tuple[str, Source]]:
    for field in FIELDS:
        for source in SOURCES:
            # On the command line a switch takes no text that could be wrong.
            if not (field == "allow_external_name_local" and source is from_flag):
                yield field, source


@pytest.mark.parametrize(("field", "source"), tuple(combinations()))
def test_a_wrong_value_ends_with_one_line_that_names_its_source(
    field: str, source: Source, cases: dict[str, Case], tmp_path: Path
) -> None:
    # A NUL cannot be in an environment variable: no value is wrong for a folder there but a home that is unknown.
    wrong = (
        "~nobody-of-this-name/x" if cases[field].wrong == "\0" and source is from_environment else cases[field].wrong
    )
    result, settings, origin = source(field, wrong, tmp_path)
    assert settings is None
    assert result.exit_code == 2
    assert result.stdout == ""
    line, rest = result.stderr.split("\n", 1)
    assert rest == ""
    message = "must be a full path" if wrong.startswith("~") else cases[field].message
    assert line.startswith(f"Error: {origin}: {message}")


def test_a_flag_wins_over_the_environment_over_the_file_over_the_default(tmp_path: Path) -> None:
    (file := tmp_path / "config.yaml").write_text("log_level: error\nprefix: file.example\nname: file.example/x\n")
    result, settings = run(
        "--config",
        str(file),
        "--log-level",
        "debug",
        env={"INGRESS_CONTROLLER_LOG_LEVEL": "warning", "INGRESS_CONTROLLER_PREFIX": "environment.example"},
    )
    assert result.exit_code == 0, result.output
    assert settings is not None
    assert (settings.log_level, settings.prefix, settings.name, settings.log_format) == (
        "debug",
        "environment.example",
        "file.example/x",
        "text",
    )


def test_a_wrong_value_that_another_source_overrides_is_not_looked_at() -> None:
    result, _ = run("--log-level", "debug", env={"INGRESS_CONTROLLER_LOG_LEVEL": "nonsense"})
    assert result.exit_code == 0, result.output


def test_several_values(tmp_path: Path) -> None:
    (a := tmp_path / "a").mkdir()
    (b := tmp_path / "b,c").mkdir()
    _, flags = run("--namespaces", "x,y", "--namespaces", "z", "--manifests", str(a), "--manifests", str(b))
    _, variables = run(env={"INGRESS_CONTROLLER_NAMESPACES": "x, y,z", "INGRESS_CONTROLLER_MANIFESTS": f"{a}:{b}"})
    (file := tmp_path / "c.yaml").write_text(f"namespaces: [x, y, z]\nmanifests:\n- {a}\n- {b}\n")
    _, keys = run("--config", str(file))
    for settings in (flags, variables, keys):
        assert settings is not None
        assert settings.namespaces == ("x", "y", "z")
        assert settings.manifests == (a, b)


def test_the_file_may_be_named_by_the_environment(tmp_path: Path) -> None:
    (file := tmp_path / "config.yaml").write_text("metrics_bind_address: 0\n")
    _, settings = run(env={"INGRESS_CONTROLLER_CONFIG": str(file)})
    assert settings is not None
    assert settings.metrics_bind_address is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("htp_address: x\n", "line 1: no setting is called htp_address, did you mean http_address or https_address?"),
        ("name: a.b/c\nqqqq: x\n", "line 2: no setting is called qqqq\n"),
        ("name: a.b/c\nname: a.b/d\n", "the key 'name' is given twice (line 2, column 1)"),
        ("- name\n", "must be a mapping of settings to values"),
        ("{", "not YAML: "),
        ("log_level: {a: b}\n", "log_level: must be text, got dict"),
        ("log_level: [debug]\n", "log_level: must be text, got tuple"),
        ("log_level:\n", "log_level: must be debug, info, warning or error, got ''"),
        ("namespaces: [[a]]\n", "namespaces: must be text, got tuple"),
    ],
)
def test_a_wrong_file(text: str, message: str, tmp_path: Path) -> None:
    (file := tmp_path / "config.yaml").write_text(text)
    result, settings = run("--config", str(file))
    assert settings is None
    assert result.exit_code == 2
    assert str(file) in result.stderr
    assert message in result.stderr


def test_a_missing_file(tmp_path: Path) -> None:
    result, _ = run("--config", str(tmp_path / "none"))
    assert result.exit_code == 2
    assert result.stderr == f"Error: --config: {tmp_path / 'none'}: No such file or directory\n"


def test_an_environment_variable_that_sets_nothing_is_refused() -> None:
    result, _ = run(env={"INGRESS_CONTROLLER_SHARED_SECRT": SECRET_TEXT})
    assert result.exit_code == 2
    assert result.stderr == (
        "Error: INGRESS_CONTROLLER_SHARED_SECRT: no such setting, did you mean INGRESS_CONTROLLER_SHARED_SECRET?\n"
    )


@pytest.mark.parametrize(
    "name",
    [
        "SERVICE_HOST",
        "SERVICE_PORT",
        "SERVICE_PORT_HTTPS",
        "PORT",
        "PORT_443_TCP",
        "PORT_443_TCP_ADDR",
        "A_SERVICE_HOST",
    ],
)
def test_the_variables_that_kubernetes_sets_for_a_service_of_our_name_are_no_settings(name: str) -> None:
    result, _ = run(env={f"INGRESS_CONTROLLER_{name}": "tcp://10.0.0.1:443"})
    assert result.exit_code == 0, result.output


def test_every_mistake_is_told_at_once() -> None:
    result, _ = run(
        "--log-level", "x", env={"INGRESS_CONTROLLER_LOG_FORMAT": "y", "INGRESS_CONTROLLER_MANIFESTS": "/no"}
    )
    assert [line.split(": ")[1] for line in result.stderr.splitlines()] == [
        "INGRESS_CONTROLLER_MANIFESTS",
        "INGRESS_CONTROLLER_LOG_FORMAT",
        "--log-level",
    ]


def test_help_has_every_setting_with_its_words() -> None:
    result, _ = run("--help")
    for field, info in Settings.model_fields.items():
        assert flag_of(field) in result.stdout
        assert info.description, field

"""Defaults, conflicts, secrets and the parsers of single values."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ingress_controller.errors import StartError
from ingress_controller.settings import (
    Address,
    RedisStore,
    Settings,
    SqliteStore,
    UnixSocket,
    make_data_directory,
    parse_address,
    setting,
)
from ingress_controller.settings.values import parse_databroker_url, parse_issuer, parse_shared_secret
from tests.unit.settings.cases import EVERY_IPV4, SECRET, SECRET_TEXT


def make(**texts: object) -> Settings:
    return Settings.model_validate(texts)


def mistake(**texts: object) -> str:
    with pytest.raises(ValidationError) as caught:
        make(**texts)
    return str(caught.value.errors()[0]["msg"])


def test_defaults_in_a_cluster() -> None:
    settings = make()
    assert settings.http_address == Address(EVERY_IPV4, 8080)
    assert settings.https_address == Address(EVERY_IPV4, 8443)
    assert settings.external_https_port == 443
    assert settings.health_probe_bind_address == Address("", 8081)
    assert settings.metrics_bind_address == Address("", 9090)


def test_defaults_without_a_cluster(tmp_path: Path) -> None:
    settings = make(manifests=str(tmp_path), https_address=":9443")
    assert settings.http_address == Address("127.0.0.1", 8080)
    assert settings.external_https_port == 9443
    assert settings.health_probe_bind_address == Address("127.0.0.1", 8081)
    assert settings.metrics_bind_address == Address("127.0.0.1", 9090)


def test_state_is_kept_where_xdg_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert make().data_dir == Path("/state/ingress-controller")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")  # to be ignored, says the specification
    assert make().data_dir == tmp_path / ".local/state/ingress-controller"
    assert make().xds_address == UnixSocket(tmp_path / ".local/state/ingress-controller/xds.sock")


def test_sessions_are_kept_in_the_data_directory() -> None:
    assert make(data_dir="/d").databroker_service_url == SqliteStore(Path("/d/sessions.db"))
    assert make(data_dir="/d", databroker_service_url="sqlite:////x/y.db").databroker_service_url == SqliteStore(
        Path("/x/y.db")
    )


def test_the_system_authorities_are_found() -> None:
    assert make().upstream_ca_file.is_file()


WEBHOOK = {"webhook_bind_address": ":9443", "webhook_tls_cert_file": __file__, "webhook_tls_key_file": __file__}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"http_address": ":80", "metrics_bind_address": "10.0.0.1:80"}, "--http-address and --metrics-bind-address: "),
        ({"https_address": "127.0.0.1:9090"}, "--https-address and --metrics-bind-address: "),
        (
            {"manifests": str(Path(__file__).parent), "update_status_from_service": "a/b"},
            "--manifests and --update-status-from-service: ",
        ),
        ({"manifests": str(Path(__file__).parent), "kubeconfig": __file__}, "--manifests and --kubeconfig: "),
        ({"webhook_bind_address": ":9443", "webhook_tls_cert_file": __file__}, "needs --webhook-tls-key-file too"),
        ({**WEBHOOK, "webhook_bind_address": ":8443"}, "--https-address and --webhook-bind-address: "),
        ({**WEBHOOK, "manifests": str(Path(__file__).parent)}, "--manifests and --webhook-bind-address: "),
        ({"data_dir": f"/{'d' * 98}"}, "--data-dir: the xDS socket /ddd"),
        ({"xds_address": f"unix:/{'d' * 107}"}, "--xds-address: the xDS socket /ddd"),
    ],
)
def test_settings_that_contradict_one_another(texts: dict[str, str], message: str) -> None:
    assert message in mistake(**texts)


def test_the_longest_socket_path() -> None:
    assert make(xds_address=f"unix:/{'d' * 106}").xds_address == UnixSocket(Path(f"/{'d' * 106}"))
    assert make(data_dir=f"/{'d' * 97}").data_dir == Path(f"/{'d' * 97}")


def test_addresses_on_one_port_of_different_interfaces_do_not_collide() -> None:
    make(http_address="10.0.0.1:80", https_address="10.0.0.2:80", health_probe_bind_address="0")
    make(health_probe_bind_address="127.0.0.1:0", metrics_bind_address="127.0.0.1:0")


def test_a_secret_is_in_no_text() -> None:
    redis = "redis://ann:hunter2@redis.example.com"
    settings = make(shared_secret=SECRET_TEXT, databroker_service_url=redis)
    assert settings.shared_secret is not None
    assert settings.shared_secret.get_secret_value() == SECRET
    assert isinstance(settings.databroker_service_url, RedisStore)
    assert settings.databroker_service_url.url.get_secret_value() == redis
    for text in (repr(settings), str(settings), settings.model_dump_json(fallback=repr)):
        assert SECRET_TEXT not in text
        assert "hunter2" not in text


@pytest.mark.parametrize(
    "parse",
    [parse_shared_secret, parse_databroker_url],
)
@pytest.mark.parametrize("text", ["hunter2", "redis://ann:hunter2@h:p", "redis://hunter2@", "sqlite://hunter2/x"])
def test_a_malformed_secret_is_in_no_error(parse: object, text: str) -> None:
    with pytest.raises(ValueError, match="must be") as caught:
        parse(text)  # type: ignore[operator]
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":8080", Address("", 8080)),
        ("1.2.3.4:80", Address("1.2.3.4", 80)),
        ("[::1]:80", Address("::1", 80)),
        ("[0:0::1]:80", Address("::1", 80)),
        ("localhost:0", Address("127.0.0.1", 0)),
    ],
)
def test_an_address(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text",
    ["", "80", "a", "::1:80", "[::1]", "[1.2.3.4]:80", "1.2.3:80", "h:80", ":65536", ":-1", ":80\n", "[]:80", ":٣"],
)
def test_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        parse_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sqlite://",
        "sqlite:///",
        "sqlite:///a/b.db",
        "sqlite:///..",
        "sqlite://host/x",
        "sqlite:///x?mode=ro",
        "redis://",
        "redis:///0",
        "redis://h:0",
        "redis://h:99999",
        "redis://h/zero",
        "redis://h h",
        "postgres://h",
        "redis://[::1",
    ],
)
def test_no_databroker(text: str) -> None:
    with pytest.raises(ValueError, match="must be sqlite:///NAME"):
        parse_databroker_url(text)


@pytest.mark.parametrize(
    "text",
    ["", "https://", "https://a/b", "https://a?b", "https://u@a", "https://a:x", "https://a b", "https://a_b", "//a"],
)
def test_no_issuer(text: str) -> None:
    with pytest.raises(ValueError, match="must be https://HOST"):
        parse_issuer(text)


@pytest.mark.parametrize("field", Settings.model_fields)
@given(text=st.text(max_size=300) | st.from_regex(r"(unix|sqlite|rediss?|https):/{0,3}[\x00-\x7f]*", fullmatch=True))
def test_any_text_is_a_value_or_a_mistake(field: str, text: str) -> None:
    # What it means is tested above; here only that nothing else can happen, and that a mistake is one line.
    mistakes: list[str] = []
    try:
        setting(field)._value(text)
    except ValueError as error:
        mistakes = str(error).splitlines()
    assert len(mistakes) <= 1


def test_a_data_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    make_data_directory(tmp_path / "a/b")
    assert (tmp_path / "a/b").stat().st_mode & 0o777 == 0o700
    make_data_directory(tmp_path / "a/b")


def test_a_data_directory_open_to_others_is_refused_and_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(StartError, match=r"^--data-dir: .* has mode 0755 .* must be closed to others"):
        make_data_directory(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_a_data_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(StartError, match=r"^--data-dir: .*x cannot be used: File exists"):
        make_data_directory(tmp_path / "x")

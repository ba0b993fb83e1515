"""``ingress-controller session``: sessions without signing in.

In: who a user is to be. Out: a signed session on standard output, which a policy can be tried with; exit status 2
for a user that no session may have.
"""

from datetime import UTC, datetime, timedelta

import click

from ingress_controller.annotations.values import duration
from ingress_controller.cli.options import SettingsCommand, with_settings
from ingress_controller.errors import StartError
from ingress_controller.session import InvalidSessionError, Session, mint, signing_key
from ingress_controller.settings import Settings, make_data_directory


class Duration(click.ParamType[timedelta]):
    """A duration as Go writes it: ``90s``, ``1h30m``."""

    name = "duration"

    def convert(self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """The duration, or a usage error that names the flag."""
        if isinstance(value, timedelta):
            return value
        try:
            return duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Claim(click.ParamType[tuple[str, str]]):
    """``NAME=VALUE``."""

    name = "claim"

    def convert(
        self, value: str | tuple[str, str], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """The name and the value, or a usage error that names the flag."""
        if isinstance(value, tuple):
            return value
        name, equals, text = value.partition("=")
        if not name or not equals:
            self.fail("must be NAME=VALUE", param, ctx)
        return name, text


@click.group()
def session() -> None:
    """Make sessions."""


@session.command(
    name="mint",
    cls=SettingsCommand,
    epilog="""
    \b
    Example:
      TOKEN=$(ingress-controller session mint --host app.example.com --email ann@example.com --group admins)
      curl -H "Authorization: Bearer Pomerium-$TOKEN" https://app.example.com/
    """,
)
@click.option("--host", required=True, metavar="HOST", help="The host that the session is for.")
@click.option("--email", required=True, metavar="EMAIL", help="The user's e-mail address.")
@click.option("--sub", default="", metavar="ID", help="The user's id.  [default: the e-mail address]")
@click.option("--group", "groups", multiple=True, metavar="NAME", help="A group of the user; repeatable.")
@click.option(
    "--claim", "claims", multiple=True, type=Claim(), metavar="NAME=VALUE", help="A claim; one name twice is a list."
)
@click.option(
    "--ttl", default="1h", type=Duration(), metavar="DURATION", show_default=True, help="How long it lasts, as 1h30m."
)
@with_settings("data_dir", "signing_key_file", "authenticate_service_url")
def mint_session(
    *,
    settings: Settings,
    host: str,
    email: str,
    sub: str,
    groups: tuple[str, ...],
    claims: tuple[tuple[str, str], ...],
    ttl: timedelta,
) -> None:
    """Print a session, signed with the key that `run` uses with the same settings."""
    if settings.signing_key_file is None:
        make_data_directory(settings.data_dir)
    key = signing_key(settings.data_dir, settings.signing_key_file)
    wanted = Session(
        issuer=settings.authenticate_service_url,
        host=host,
        email=email,
        sub=sub,
        groups=groups,
        claims=gathered(claims),
        ttl=ttl,
    )
    try:
        click.echo(mint(key, wanted, datetime.now(UTC)))
    except InvalidSessionError as error:
        raise StartError(f"--{error}") from error


def gathered(claims: tuple[tuple[str, str], ...]) -> dict[str, str | tuple[str, ...]]:
    """Claims by name, where a name given twice has several values."""
    values = {name: tuple(value for other, value in claims if other == name) for name, _ in claims}
    return {name: texts[0] if len(texts) == 1 else texts for name, texts in values.items()}

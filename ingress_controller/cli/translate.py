"""``ingress-controller translate``: what manifests become, without serving them.

In: paths of YAML files and folders. Out: the routes (YAML) or Envoy's resources (JSON) on standard output, what is
wrong with the objects on standard error; exit status 1 where something is, 2 where a path cannot be read.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

import click

from ingress_controller.cli.options import SettingsCommand, with_settings
from ingress_controller.settings import Settings


class Translation(Protocol):
    """What manifests become."""

    @property
    def routes_yaml(self) -> str:
        """The routes in serving order."""

    @property
    def envoy_json(self) -> str:
        """Envoy's resources, secrets redacted."""

    @property
    def problems(self) -> Sequence[str]:
        """A line for each rejected object: object, field and reason."""


@click.command(
    cls=SettingsCommand,
    epilog="""
    \b
    Examples:
      ingress-controller translate examples/quickstart
      ingress-controller translate -o envoy ingress.yaml service.yaml
    """,
)
@click.argument(
    "paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(exists=True, readable=True, path_type=Path)
)
@click.option(
    "-o", "--output", type=click.Choice(["routes", "envoy"]), default="routes", show_default=True, help="What to print."
)
@with_settings(
    "name",
    "prefix",
    "namespaces",
    "allow_external_name_local",
    "http_address",
    "https_address",
    "external_https_port",
    "upstream_ca_file",
    "authenticate_service_url",
)
def translate(settings: Settings, paths: tuple[Path, ...], output: Literal["routes", "envoy"]) -> None:
    """Print what Kubernetes manifests become: routes, or Envoy's configuration."""
    # Brings in Envoy's messages, which help and completion do not need.
    from ingress_controller import app  # noqa: PLC0415

    translation: Translation = app.translate_manifests(paths, settings)
    click.echo(translation.routes_yaml if output == "routes" else translation.envoy_json, nl=False)
    for problem in translation.problems:
        click.echo(problem, err=True)
    if translation.problems:
        raise click.exceptions.Exit(1)

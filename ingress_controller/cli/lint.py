"""``ingress-controller lint``: what is wrong with manifests, and where.

In: paths of YAML files and folders, or standard input. Out: a line for each finding, or JSON or SARIF, on standard
output; exit status 1 for errors (with ``--strict`` for warnings too), 2 where a path cannot be read.
"""

import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import click

from ingress_controller.cli.options import SettingsCommand, with_settings
from ingress_controller.settings import Settings


@click.command(
    cls=SettingsCommand,
    epilog="""
    What is not among the manifests may still be in the cluster: a missing Service or Secret counts where the manifests
    hold others of its kind in that namespace, and a class that they do not hold is taken for ours if an Ingress with
    our annotations names it.

    \b
    Examples:
      ingress-controller lint manifests/
      ingress-controller lint --strict -o sarif manifests/ > lint.sarif
      helm template chart | ingress-controller lint -
    """,
)
@click.argument(
    "paths",
    nargs=-1,
    required=True,
    metavar="PATH...",
    type=click.Path(exists=True, readable=True, allow_dash=True, path_type=Path),
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json", "sarif"]),
    default="text",
    show_default=True,
    help="What to print.",
)
@click.option("--strict", is_flag=True, help="Exit with status 1 for warnings too.")
@click.option("--complete", is_flag=True, help="The manifests are all there is: what they do not hold is missing.")
@with_settings("name", "prefix", "namespaces", "allow_external_name_local")
def lint(
    *,
    settings: Settings,
    paths: tuple[Path, ...],
    output: Literal["text", "json", "sarif"],
    strict: bool,
    complete: bool,
) -> None:
    """Report everything that is wrong, or likely wrong, with Kubernetes manifests."""
    # Brings in what compiles manifests, which help and completion do not need.
    from ingress_controller import offline  # noqa: PLC0415
    from ingress_controller.lint.sarif import to_sarif  # noqa: PLC0415
    from ingress_controller.lint.text import to_json, to_text  # noqa: PLC0415

    standard_input = sys.stdin.buffer.read() if Path("-") in paths else None
    result, files = offline.lint(paths, settings, standard_input, complete=complete)
    match output:
        case "text":
            click.echo(to_text(result, files), nl=False, color=False if os.environ.get("NO_COLOR") else None)
        case "json":
            click.echo(to_json(result), nl=False)
        case "sarif":
            click.echo(to_sarif(result.findings, version("ingress-controller")), nl=False)
    if any(strict or found.level == "error" for found in result.findings):
        raise click.exceptions.Exit(1)

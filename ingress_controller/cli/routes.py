"""``ingress-controller routes``: what is served, route by route.

In: manifests or a cluster. Out: a table of all routes in serving order, or the same with everything in it as YAML or
JSON, on standard output; what is wrong with the objects on standard error; exit status 2 where they cannot be read.
"""

import json
from pathlib import Path
from typing import Literal

import click

from ingress_controller import logs
from ingress_controller.cli.options import SettingsCommand, with_settings
from ingress_controller.settings import Settings


@click.command(
    cls=SettingsCommand,
    epilog="""
    Without PATH, the cluster is read once. Routes of a host are listed in the order in which they are tried.

    \b
    Examples:
      ingress-controller routes examples/quickstart
      ingress-controller routes --kubeconfig ~/.kube/config --host app.example.com
      ingress-controller routes -n shop -n blog -o wide manifests/
    """,
)
@click.argument("paths", nargs=-1, metavar="[PATH...]", type=click.Path(exists=True, readable=True, path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "wide", "yaml", "json"]),
    default="table",
    show_default=True,
    help="How to print them.",
)
@click.option("--host", "hosts", multiple=True, metavar="HOST", help="Only the host that answers for this name.")
@click.option("-n", "--namespace", multiple=True, metavar="NAME", help="Only routes of Ingresses of this namespace.")
@with_settings("name", "prefix", "namespaces", "allow_external_name_local", "kubeconfig")
def routes(
    settings: Settings,
    paths: tuple[Path, ...],
    output: Literal["table", "wide", "yaml", "json"],
    hosts: tuple[str, ...],
    namespace: tuple[str, ...],
) -> None:
    """Print the routes that are served: host, path, upstream, who may, Ingress, problems."""
    # Brings in the Kubernetes client, which help and completion do not need.
    from ingress_controller import offline  # noqa: PLC0415
    from ingress_controller.translate.render import routes_data, routes_yaml  # noqa: PLC0415
    from ingress_controller.translate.table import routes_table  # noqa: PLC0415

    if not paths:
        # Says what keeps the cluster from being read.
        logs.configure("text", "warning")
    state = offline.read_state(paths, settings)
    chosen = offline.select(state.hosts, names=hosts, namespaces=namespace)
    if output == "yaml":
        click.echo(routes_yaml(chosen, state.upstreams, state.endpoints), nl=False)
    elif output == "json":
        data = routes_data(chosen, state.upstreams, state.endpoints)
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        click.echo(routes_table(chosen, state.endpoints, state.problems, wide=output == "wide"), nl=False)
    for problem in state.problem_lines():
        click.echo(problem, err=True)

"""The command line: one module a command.

In: arguments, environment variables, a YAML file. Out: what the command prints, or one line a mistake on standard
error; exit status 0, 1 for problems in what was read, 2 for a command that cannot be carried out as given.
"""

import click

from ingress_controller.cli.explain import explain
from ingress_controller.cli.lint import lint
from ingress_controller.cli.routes import routes
from ingress_controller.cli.run import run
from ingress_controller.cli.session import session
from ingress_controller.cli.translate import translate


@click.group(
    commands=(run, translate, lint, routes, explain, session),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="""
    \b
    Examples:
      ingress-controller run --manifests examples/quickstart
      ingress-controller translate examples/quickstart
      ingress-controller lint manifests/
      ingress-controller explain --url https://hello.localhost.pomerium.io/ examples/quickstart
      eval "$(_INGRESS_CONTROLLER_COMPLETE=bash_source ingress-controller)"   # completion; also zsh_, fish_
    """,
)
@click.version_option(package_name="ingress-controller")
def main() -> None:
    """An identity-aware ingress controller: annotated Ingresses become protected, served routes."""

"""``ingress-controller run``: serves until it is told to stop.

In: settings. Out: a running controller; exit status 0 after SIGTERM or SIGINT, 2 where it cannot start as told.
"""

import asyncio
import contextlib
import gc
import signal
from collections.abc import Coroutine, Iterator

import click

from ingress_controller import logs
from ingress_controller.cli.options import SettingsCommand, with_settings
from ingress_controller.errors import StartError
from ingress_controller.settings import Settings


@click.command(
    cls=SettingsCommand,
    epilog="""
    Every option can also be an environment variable, INGRESS_CONTROLLER_ and its name in capitals with _ for -
    (INGRESS_CONTROLLER_LOG_LEVEL=debug), or a key of the --config file (log_level: debug). A flag wins over the
    environment, the environment over the file. In an environment variable, namespaces are separated by commas and
    folders of manifests by colons.

    \b
    Examples:
      # No cluster: serve the objects of a folder on https://127.0.0.1:8443
      ingress-controller run --manifests examples/quickstart
    \b
      # In a cluster, two namespaces
      ingress-controller run --namespaces shop,blog --update-status-from-service ingress/proxy
    \b
      # With an Envoy of your own
      ingress-controller run --envoy none --xds-address unix:/run/ingress/xds.sock
    """,
)
@with_settings()
def run(settings: Settings) -> None:
    """Serve the Ingresses of a cluster, or of a folder of manifests."""
    # The application brings in the Kubernetes client and Envoy's messages, which help and completion do not need. They
    # stay for good: the collector would go through them a dozen times while they come, and in every full pass.
    gc.disable()
    from ingress_controller import app  # noqa: PLC0415

    gc.freeze()
    gc.enable()
    logs.configure(settings.log_format, settings.log_level)
    mistakes: list[str] = []
    try:
        asyncio.run(until_signalled(app.run(settings)))
    except* StartError as group:
        # A task group wraps what its tasks raise.
        mistakes = [str(error) for error in leaves(group)]
    if mistakes:
        raise StartError("\n".join(mistakes))


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions in a group and in the groups within it."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


async def until_signalled(work: Coroutine[None, None, None]) -> None:
    """Run ``work``; SIGTERM and SIGINT cancel it, so that it can end in order, and are no error."""
    task = asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task

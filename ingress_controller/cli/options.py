"""Options made from the settings model, and the settings made from the options.

In: the fields of :class:`Settings`. Out: an option a field, and for a command its checked settings. Click decides
which source of a value wins (flag, environment variable, configuration file, default) and remembers it, so that
an error names the place to change. There is no second list of settings: names, help and defaults are the model's.
"""

import functools
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import click
from click.core import ParameterSource
from pydantic import ValidationError

from ingress_controller.cli.config_file import nearest, read_config
from ingress_controller.errors import StartError
from ingress_controller.settings import Setting, Settings, setting

ENVIRONMENT_PREFIX: Final = "INGRESS_CONTROLLER_"

SERVICE_LINK = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)")
"""Variables that Kubernetes sets in every pod for each Service, so for one called ``ingress-controller-...`` too."""


class Unusable(click.ClickException):
    """Ends the program with exit status 2 and a line for each mistake, without the usage that explains none."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Write the lines to standard error."""
        for line in self.message.splitlines():
            click.echo(f"Error: {line}", file=file, err=True)


class Text(click.ParamType[Any]):
    """A value that is left as it came, for the model to read; completes the words that it can be."""

    name = "text"

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.envvar_list_splitter = setting.separator  # type: ignore[misc] # a class variable that click reads here

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """The words of ``text|json``; files and folders are left to the shell."""
        words = [word for word in self.setting.metavar.split("|") if word.islower()]
        if {"FILE", "DIR", "PATH"}.intersection(self.setting.metavar.split("|")):
            return click.Path().shell_complete(ctx, param, incomplete)
        return [click.shell_completion.CompletionItem(word) for word in words if word.startswith(incomplete)]


class Switch(click.types.BoolParamType):
    """A switch whose text, where it has one, is left for the model to read."""

    def convert(self, value: Any, _param: click.Parameter | None, _ctx: click.Context | None) -> Any:
        """The value as it came."""
        return value


class GroupedOption(click.Option):
    """An option that stands under a heading in help."""

    def __init__(self, *declarations: Any, group: str, **attributes: Any) -> None:
        super().__init__(*declarations, **attributes)
        self.group = group


def flag_of(field: str) -> str:
    """The flag of a field: ``--log-level`` of ``log_level``."""
    return f"--{field.replace('_', '-')}"


def setting_option(field: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make the decorator that adds the option of one field."""
    info = Settings.model_fields[field]
    how = setting(field)
    flag = flag_of(field)
    default = how.default or ("" if info.default in (None, False, ()) else str(info.default))
    return click.option(
        f"{flag}/--no-{flag[2:]}" if how.kind is bool else flag,
        cls=GroupedOption,
        group=how.group,
        envvar=ENVIRONMENT_PREFIX + field.upper(),
        type=Switch() if how.kind is bool else Text(how),
        multiple=bool(how.separator),
        metavar=how.metavar or None,
        help=f"{info.description}{f'  [default: {default}]' if default else ''}",
    )


class SettingsCommand(click.Command):
    """A command whose help puts the settings under their headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each group, in the order of the model's fields, and the others last."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            if isinstance(param, click.Option) and (record := param.get_help_record(ctx)):
                sections.setdefault(getattr(param, "group", "Other"), []).append(record)
        sections["Other"] = sections.pop("Other")
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def with_settings(*fields: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of these fields (none named: all) and ``--config``, and call it with ``settings``."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @click.option(
            "--config",
            type=click.Path(dir_okay=False),
            envvar=f"{ENVIRONMENT_PREFIX}CONFIG",
            is_eager=True,
            expose_value=False,
            callback=use_config_file,
            help="YAML file of settings, named as the flags with _ for -.",
        )
        @click.pass_context
        @functools.wraps(command)
        def called(ctx: click.Context, /, **params: Any) -> None:
            own = {name: value for name, value in params.items() if name not in Settings.model_fields}
            try:
                command(settings=settings_of(ctx), **own)
            except StartError as error:
                raise Unusable(str(error)) from error

        # The decorator applied last comes first in help.
        return functools.reduce(
            lambda wrapped, field: setting_option(field)(wrapped),
            reversed(fields or tuple(Settings.model_fields)),
            called,
        )

    return decorate


def settings_of(ctx: click.Context) -> Settings:
    """The settings that a command's options, the environment and the configuration file give.

    Raises:
        StartError: a value is wrong, or an environment variable has the prefix and is unknown.
    """
    check_environment(os.environ)
    origins = {name: origin for name in ctx.params if (origin := origin_of(ctx, name))}
    try:
        return Settings(**{name: value for name, value in ctx.params.items() if name in origins})
    except ValidationError as error:
        raise StartError("\n".join(messages(error, origins))) from None


def origin_of(ctx: click.Context, name: str) -> str:
    """Where a setting was given, as an error names it; empty for a default or what is no setting."""
    if name not in Settings.model_fields:
        return ""
    return {
        ParameterSource.COMMANDLINE: flag_of(name),
        ParameterSource.ENVIRONMENT: ENVIRONMENT_PREFIX + name.upper(),
        ParameterSource.DEFAULT_MAP: f"{ctx.meta.get('config')}: {name}",
    }.get(ctx.get_parameter_source(name) or ParameterSource.DEFAULT, "")


def messages(error: ValidationError, origins: Mapping[str, str]) -> Iterator[str]:
    """A line for each mistake; a default that was not computed because of another mistake is none."""
    for mistake in error.errors(include_url=False, include_input=False):
        if mistake["type"] == "default_factory_not_called":
            continue
        field = str(mistake["loc"][0]) if mistake["loc"] else ""
        text = str(mistake["ctx"]["error"])
        # Settings that contradict one another are a mistake of no single field; its text names the flags.
        yield f"{origins.get(field, flag_of(field))}: {text}" if field else text


def check_environment(environment: Mapping[str, str]) -> None:
    """Refuse a variable that was meant to set something and would be ignored.

    Raises:
        StartError: naming the variable and the nearest ones that exist.
    """
    known = [name.upper() for name in (*Settings.model_fields, "config")]
    given = [name.removeprefix(ENVIRONMENT_PREFIX) for name in environment if name.startswith(ENVIRONMENT_PREFIX)]
    unknown = sorted(name for name in given if name not in known and not SERVICE_LINK.fullmatch(f"_{name}"))
    if unknown:
        raise StartError(
            "\n".join(
                f"{ENVIRONMENT_PREFIX}{name}: no such setting{nearest(name, known, ENVIRONMENT_PREFIX)}"
                for name in unknown
            )
        )


def use_config_file(ctx: click.Context, _param: click.Parameter, file: str | None) -> None:
    """Make the values of a YAML file the defaults of the options."""
    if file is not None:
        try:
            ctx.default_map = read_config(file)
        except StartError as error:
            raise Unusable(str(error)) from error
        ctx.meta["config"] = file

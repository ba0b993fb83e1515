#!/usr/bin/env python3
"""Writes the parts of the reference pages that the program itself knows.

In: the tables of annotations, criteria, reasons, findings and the access log's fields, the parser and the evaluation
of policies, the commands. Out: the pages under ``docs/reference``, in which everything between ``<!-- NAME -->`` and
``<!-- end -->`` is made by the function ``NAME`` below; the rest is written by hand. ``make docs`` runs it, and a test
says when a page is stale.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import click

from ingress_controller.annotations import structs
from ingress_controller.annotations.settings import Settings as AnnotationSettings
from ingress_controller.annotations.table import TABLE, Annotation
from ingress_controller.cli import main
from ingress_controller.cli.options import GroupedOption, Switch
from ingress_controller.envoy.access_log import FIELDS
from ingress_controller.lint.rules import RULES
from ingress_controller.model.problem import REASONS
from ingress_controller.policy.criteria import CRITERIA
from ingress_controller.policy.error import PolicyError
from ingress_controller.policy.evaluate import Request, Session, evaluate
from ingress_controller.policy.parse import parse

REFERENCE = Path(__file__).parent / "reference"
PREFIX = "ingress.pomerium.io"
_PART = re.compile(r"(?P<begin><!-- (?P<name>[\w ]+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL)

DECISIONS = (
    "[]",
    "allow: {or: [{accept: true}]}",
    "allow: {or: [{authenticated_user: true}]}",
    "allow: {or: [{email: {is: ann@example.com}}]}",
    "allow: {or: [{domain: {is: other.example}}]}",
    "allow: {and: [{email: {is: ann@example.com}}, {http_method: POST}]}",
    "allow: {or: [{source_ip: 192.0.2.0/24}]}",
    "{allow: {or: [{accept: true}]}, deny: {or: [{email: {is: ann@example.com}}]}}",
    "{allow: {or: [{accept: true}]}, deny: {or: [{source_ip: 198.51.100.0/24}]}}",
    "allow: {not: [{email: {is: ann@example.com}}]}",
)
"""Policies for the table of decisions."""

MISTAKES = (
    "",
    "allow: {or: [",
    "permit: {or: [{accept: true}]}",
    "allow: {maybe: [{accept: true}]}",
    "allow: [{accept: true}]",
    "allow: {or: {accept: true}}",
    "allow: {or: [accept]}",
    "allow: {or: [{email: a@example.com, domain: example.com}]}",
    "allow: {or: [{emial: a@example.com}]}",
    "allow: {or: [{email: {equals: a@example.com}}]}",
    "allow: {or: [{email: {is: 3}}]}",
    "allow: {or: [{domain: {is: a@example.com}}]}",
    "allow: {or: [{claim: x}]}",
    "allow: {or: [{http_method: get}]}",
    "allow: {or: [{source_ip: 10.0.0.1/8}]}",
    "allow: {or: [{date: {after: 31.1.2030}}]}",
    "allow: {or: [{day_of_week: {timezone: Europe/Berln, days: mon}}]}",
    "allow: {or: [{day_of_week: mo}]}",
    "allow: {or: [{time_of_day: {timezone: UTC, after: 16}}]}",
    "allow: {or: [{client_certificate: {fingerprint: ab:cd}}]}",
    "allow: {or: [{client_certificate: {san_email: ann@example.com}}]}",
)
"""Policies for the table of error messages."""


def generated(page: str) -> str:
    """A page with its generated parts made anew."""
    return _PART.sub(lambda part: f"{part['begin']}\n{_make(part['name'])}\n\n{part['end']}", page)


def _make(name: str) -> str:
    word, _, rest = name.partition(" ")
    lines = options(rest) if word == "options" else PARTS[word]()
    return "\n".join(lines)


def annotations() -> Iterator[str]:
    """A section for each annotation."""
    for row in TABLE:
        yield f"### {row.name}\n\n{row.doc}\n"
        yield f"- Value: {row.type}\n- Default: {_default_of(row)}{_needs(row)}\n"
        if row.example:
            shown = ((row.name, row.example), *row.besides)
            example = "\n".join(f"{PREFIX}/{name}: {_quoted(value)}" for name, value in shown)
            yield f"```yaml\n{example}\n```\n"
        if row.struct:
            yield from _fields(row.struct)
            yield ""


def _quoted(value: str) -> str:
    # A backslash means something inside double quotes.
    quote = "'" if '"' in value or "\\" in value else '"'
    return f"{quote}{value}{quote}"


def _needs(row: Annotation) -> str:
    return f"\n- Needs: [{row.needs}](#{row.needs})" if row.needs else ""


def _fields(struct: type) -> Iterator[str]:
    """What may be in a value that is a map."""
    yield f"{inspect.getdoc(struct)}\n".replace("``", "`")
    rows = (
        (f"`{path}`", f"{value}{', required' if required else ''}", meaning)
        for path, value, required, meaning in structs.fields(struct)
    )
    yield from _table(("field", "value", "meaning"), rows)


def _default_of(row: Annotation) -> str:
    if row.default:
        return row.default
    group, field = row.lands
    match getattr(getattr(AnnotationSettings(), group), field):
        case bool(value):
            return str(value).lower()
        case timedelta() as value:
            return f"{value.total_seconds():g}s"
        case str(value):
            return value
        case _:
            return "none"


def criteria() -> Iterator[str]:
    """The table of criteria."""
    rows = (
        (
            f"`{'claim/NAME' if entry.name == 'claim' else entry.name}`",
            entry.doc,
            entry.value,
            ", ".join(f"`{operator}`" for operator in entry.operators) or "none",
            "yes" if entry.needs_session else "no",
        )
        for entry in CRITERIA.values()
    )
    return _table(("criterion", "asks for", "value", "operators", "needs a session"), rows)


def truth() -> Iterator[str]:
    """What each conditional makes of two criteria."""
    conditionals = ("and", "or", "not", "nor")
    truths = ((True, True), (True, False), (False, True), (False, False))
    rows = ((_says(a), _says(b), *(_says(_holds(word, a, b)) for word in conditionals)) for a, b in truths)
    return _table(("first criterion", "second criterion", *(f"`{word}`" for word in conditionals)), rows)


def _holds(conditional: str, *criteria: bool) -> bool:
    listed = ", ".join("{accept: true}" if holds else "{reject: true}" for holds in criteria)
    policy = parse(f"allow: {{{conditional}: [{listed}]}}")
    return evaluate(policy, _REQUEST, None).outcome == "allow"


def _says(holds: bool) -> str:  # noqa: FBT001 (what it is about)
    return "holds" if holds else "does not"


_REQUEST = Request(
    "app.example.com", "GET", "/", IPv4Address("198.51.100.7"), datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
)
_ANN = Session("ann", ("app.example.com",), "ann@example.com")
_BOB = Session("bob", ("app.example.com",), "bob@example.com")
_OUTCOMES = {"allow": "admitted", "deny": "403", "sign_in": "asked to sign in"}


def decisions() -> Iterator[str]:
    """What some policies decide."""
    rows = []
    for text in DECISIONS:
        policy = parse(text)
        found = (_OUTCOMES[evaluate(policy, _REQUEST, session).outcome] for session in (None, _ANN, _BOB))
        rows.append((f"`{text}`", *found))
    return _table(("policy", "not signed in", "ann@example.com", "bob@example.com"), rows)


def mistakes() -> Iterator[str]:
    """What wrong policies are told."""
    return _table(
        ("policy", "message, after `parsing policy:`"),
        ((f"`{text}`" if text else "(empty)", _message(text)) for text in MISTAKES),
    )


def _message(text: str) -> str:
    try:
        parse(text)
    except PolicyError as error:
        return str(error).removeprefix("parsing policy: ")
    raise AssertionError(f"{text!r} is no mistake")


def reasons() -> Iterator[str]:
    """The table of reasons."""
    return _table(
        ("reason", "what is wrong, and what is served"), ((f"`{name}`", doc) for name, doc in REASONS.items())
    )


def fields() -> Iterator[str]:
    """The table of the access log's fields, in the order in which they are written."""
    rows = ((f"`{field.name}`", f"{field.doc[0].upper()}{field.doc[1:]}.") for field in FIELDS)
    return _table(("field", "meaning"), sorted(rows))


def findings() -> Iterator[str]:
    """The table of what lint finds, beside the reasons."""
    rows = ((f"`{rule.id}`", rule.level, rule.doc) for rule in RULES if rule.id not in REASONS)
    return _table(("finding", "level", "what is meant"), rows)


def options(command: str) -> Iterator[str]:
    """The options of a command, those that are settings with all their names."""
    found: click.Command = main
    for word in command.split():
        assert isinstance(found, click.Group)  # noqa: S101 (the name is in a page)
        found = found.commands[word]
    rows = [_option(param) for param in found.params if isinstance(param, click.Option)]
    return _table(("flag", "value", "default", "meaning", "environment variable", "key"), rows)


def _option(param: click.Option) -> tuple[str, ...]:
    meaning, _, default = (param.help or "").partition("  [default: ")
    if param.show_default:
        default = str(param.default)
    flags = " ".join(f"`{flag}`" for flag in (*param.opts, *param.secondary_opts))
    environment = f"`{param.envvar}`" if param.envvar else ""
    key = f"`{param.name}`" if isinstance(param, GroupedOption) else ""
    return (
        flags,
        _value(param),
        default.removesuffix("]") or ("required" if param.required else ""),
        meaning,
        environment,
        key,
    )


def _value(param: click.Option) -> str:
    if isinstance(param.type, Switch) or param.is_flag:
        return ""
    words = param.type.choices if isinstance(param.type, click.Choice) else (param.metavar or "FILE").split("|")
    return " or ".join(f"`{word}`" for word in words)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for row in (heads, ["---"] * len(heads), *rows):
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


PARTS: dict[str, Callable[[], Iterator[str]]] = {
    part.__name__: part for part in (annotations, criteria, truth, decisions, mistakes, reasons, findings, fields)
}

if __name__ == "__main__":
    for path in REFERENCE.glob("*.md"):
        path.write_text(generated(path.read_text(encoding="utf-8")), encoding="utf-8")

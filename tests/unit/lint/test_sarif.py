"""SARIF, as the standard wants it.

The official schema is no part of this project, so what is used of it is written down as types: what is required, what
is allowed, and nothing else. Numbers are the sections of SARIF 2.1.0 (OASIS Standard).
"""

from typing import Annotated, Literal
from urllib.parse import unquote

import msgspec
import pytest

from ingress_controller.lint.finding import Finding, Position
from ingress_controller.lint.rules import RULES
from ingress_controller.lint.sarif import to_sarif
from ingress_controller.model.reference import ObjectRef


class _Part(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """A part of the log with no other properties than these."""


class Text(_Part):
    """3.12 multiformatMessageString, 3.11 message."""

    text: Annotated[str, msgspec.Meta(min_length=1)]


class Configuration(_Part):
    """3.50 reportingConfiguration."""

    level: Literal["none", "note", "warning", "error"]


class Rule(_Part):
    """3.49 reportingDescriptor."""

    id: str
    short_description: Text
    default_configuration: Configuration


class Driver(_Part):
    """3.19 toolComponent; the version is one of Semantic Versioning."""

    name: str
    semantic_version: Annotated[str, msgspec.Meta(pattern=r"^\d+\.\d+\.\d+")]
    rules: list[Rule]


class Tool(_Part):
    """3.18 tool."""

    driver: Driver


class Artifact(_Part):
    """3.4 artifactLocation; the URI reference is relative."""

    uri: Annotated[str, msgspec.Meta(pattern=r"^[^/:%][A-Za-z0-9._~/%-]*$")]


class Region(_Part):
    """3.30 region."""

    start_line: Annotated[int, msgspec.Meta(ge=1)]
    start_column: Annotated[int, msgspec.Meta(ge=1)]


class Physical(_Part):
    """3.29 physicalLocation."""

    artifact_location: Artifact
    region: Region


class Logical(_Part):
    """3.33 logicalLocation."""

    fully_qualified_name: str
    kind: str


class Location(_Part):
    """3.28 location."""

    physical_location: Physical
    logical_locations: list[Logical] = []


class Result(_Part):
    """3.27 result."""

    rule_id: str
    rule_index: Annotated[int, msgspec.Meta(ge=0)]
    level: Literal["none", "note", "warning", "error"]
    message: Text
    locations: list[Location]


class Run(_Part):
    """3.14 run."""

    tool: Tool
    column_kind: Literal["utf16CodeUnits", "unicodeCodePoints"]
    results: list[Result]


class Log(_Part):
    """3.13 sarifLog."""

    version: Literal["2.1.0"]
    runs: list[Run]
    schema_: str = msgspec.field(name="$schema")


def finding(file: str, rule: str = "admits-nobody", level: Literal["error", "warning"] = "warning") -> Finding:
    return Finding(Position(file, 3, 5), level, rule, "a message", ObjectRef("Ingress", "a", "b"), "spec.rules[0]")


@pytest.mark.parametrize("file", ["a.yaml", "./sub folder/ä.yaml", "../x.yaml", "stdin"])
def test_the_log_is_as_the_standard_wants_it(file: str) -> None:
    text = to_sarif([finding(file), finding("b.yaml", "conflict", "error")], "1.2.3")
    log = msgspec.json.decode(text, type=Log, strict=True)
    (run,) = log.runs
    first, second = run.results
    assert unquote(first.locations[0].physical_location.artifact_location.uri) == file.removeprefix("./")
    assert [(r.rule_id, r.level) for r in run.results] == [("admits-nobody", "warning"), ("conflict", "error")]
    assert [run.tool.driver.rules[r.rule_index].id for r in (first, second)] == [first.rule_id, second.rule_id]
    assert first.message.text == "Ingress a/b: a message"


def test_without_findings_all_rules_are_told() -> None:
    log = msgspec.json.decode(to_sarif([], "1.2.3"), type=Log, strict=True)
    assert log.runs[0].results == []
    assert [rule.id for rule in log.runs[0].tool.driver.rules] == [rule.id for rule in RULES]

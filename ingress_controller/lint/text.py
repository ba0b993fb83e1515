"""Findings as lines for people, and as JSON for programs.

In: a result. Out: ``file:line:column: error: message [rule]``, a line each as compilers write them, and a summary.
"""

import json

import click

from ingress_controller.lint.check import Result
from ingress_controller.lint.finding import Finding

_COLOURS = {"error": "red", "warning": "yellow"}


def to_text(result: Result, files: int) -> str:
    """All lines, with escapes for colours, which are for terminals only."""
    return "".join(f"{line}\n" for line in (*map(_line, result.findings), _summary(result, files)))


def _line(finding: Finding) -> str:
    position = finding.position
    place = click.style(f"{position.file}:{position.line}:{position.column}:", bold=True)
    level = click.style(f"{finding.level}:", fg=_COLOURS[finding.level], bold=True)
    return f"{place} {level} {finding.text} [{finding.rule}]"


def _summary(result: Result, files: int) -> str:
    counted = [_count(level, sum(found.level == level for found in result.findings)) for level in _COLOURS]
    found = ", ".join(counted) if result.findings else "no problems"
    return f"{found} in {_count('Ingress', result.ingresses)} of {_count('file', files)}"


def _count(name: str, number: int) -> str:
    plural = f"{name}es" if name.endswith("s") else f"{name}s"
    return f"{number} {name if number == 1 else plural}"


def to_json(result: Result) -> str:
    """A list with an object for each finding."""
    found = [
        {
            "file": finding.position.file,
            "line": finding.position.line,
            "column": finding.position.column,
            "level": finding.level,
            "rule": finding.rule,
            "message": finding.message,
            "object": str(finding.object) if finding.object else None,
            "field": finding.field or None,
        }
        for finding in result.findings
    ]
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"

"""Findings as SARIF, for code hosts and editors.

In: findings. Out: a log of the Static Analysis Results Interchange Format 2.1.0
(https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html): one run, all rules, a result for each finding.
Files are named relative to the working folder, as code hosts want them.
"""

import json
import os
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from ingress_controller.lint.finding import Finding, Position
from ingress_controller.lint.rules import RULES

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

_NUMBERS = {rule.id: number for number, rule in enumerate(RULES)}


def to_sarif(findings: Iterable[Finding], version: str) -> str:
    """The log; ``version`` is that of this program."""
    driver = {
        "name": "ingress-controller lint",
        "semanticVersion": version,
        "rules": [
            {
                "id": rule.id,
                "shortDescription": {"text": rule.doc},
                "defaultConfiguration": {"level": rule.level},
            }
            for rule in RULES
        ],
    }
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": list(map(_result, findings))}
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False) + "\n"


def _result(finding: Finding) -> dict[str, Any]:
    location: dict[str, Any] = {"physicalLocation": _physical(finding.position)}
    if finding.object:
        name = f"{finding.object} {finding.field}".rstrip()
        location["logicalLocations"] = [{"fullyQualifiedName": name, "kind": "object"}]
    return {
        "ruleId": finding.rule,
        "ruleIndex": _NUMBERS[finding.rule],
        "level": finding.level,
        "message": {"text": finding.text},
        "locations": [location],
    }


def _physical(position: Position) -> dict[str, Any]:
    return {
        "artifactLocation": {"uri": quote(PurePath(os.path.relpath(position.file)).as_posix())},
        "region": {"startLine": position.line, "startColumn": position.column},
    }

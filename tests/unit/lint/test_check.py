"""What is found in manifests, and where: the cases are files that mark it themselves."""

import re
from collections import Counter
from pathlib import Path

import pytest

from ingress_controller.lint.check import Result, check
from ingress_controller.lint.finding import Position
from ingress_controller.lint.positions import Document
from ingress_controller.lint.rules import RULES, WARNINGS
from ingress_controller.offline import translate_options
from ingress_controller.sources.manifests import parse_located
from ingress_controller.translate.options import Options
from tests.golden_suite import Case, cases

CASES = sorted(Path(__file__).with_name("cases").glob("*.yaml"))
_MARK = re.compile(r"# <- (?P<rules>[a-z, -]+)$")

EXPECTED = {
    "annotations/tls_skip_verify": {"upstream-not-verified"},
    "default-backend/with-rules": {"host-without-tls"},
    "path-regex/no-effect": {"path-looks-like-pattern"},
    "policy/allowed": {"not-lower-case"},
    "policy/blocks-empty": {"admits-everybody", "rule-never-holds"},
    "policy/criteria-client-certificate": {"no-certificate-asked-for"},
    "policy/criteria-constant": {"admits-everybody", "rule-never-holds"},
    "policy/criteria-day-of-week": {"admits-everybody"},
    "policy/criteria-domain-user-groups": {"not-lower-case"},
    "policy/criteria-email": {"not-lower-case"},
    "policy/invalid": {"admits-everybody"},
    "policy/yaml-and-json": {"not-lower-case"},
    "routing/order": {"unreachable-route"},
    "tls/host-without-rule": {"host-without-tls", "tls-host-without-rule"},
}
"""Golden cases that are about what a warning is about. Most of them admit nobody, which is not their point."""


def documents(text: bytes, file: str = "in.yaml") -> list[Document]:
    lines = text.decode(errors="replace").split("\n")
    return [Document(file, lines, located) for located in parse_located(text, file)]


def lint(text: str, *, complete: bool = False) -> Result:
    return check(documents(text.encode()), Options(), complete=complete)


def marks(text: str) -> list[tuple[int, str]]:
    """The findings that a file announces, each with its line."""
    found = ((number, _MARK.search(line)) for number, line in enumerate(text.splitlines(), start=1))
    return [(number, rule) for number, mark in found if mark for rule in mark["rules"].split(", ")]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_findings_are_where_the_file_says(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = lint(text).findings
    assert Counter((each.position.line, each.rule) for each in found) == Counter(marks(text)), found


def test_every_warning_has_a_case() -> None:
    marked = {rule for path in CASES for _, rule in marks(path.read_text(encoding="utf-8"))}
    assert sorted(set(WARNINGS) - marked) == []


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_golden_cases_raise_no_false_alarm(case: Case) -> None:
    result = check(documents(case.manifests), translate_options(case.settings()))
    warnings = {found.rule for found in result.findings if found.level == "warning"}
    assert warnings - {"admits-nobody"} == EXPECTED.get(case.name, set())


@pytest.mark.parametrize("name", ["policy-ref/same-namespace", "class-policy/default-policy", "shadow/class-policy"])
def test_what_others_admit_counts(name: str) -> None:
    (case,) = (case for case in cases() if case.name == name)
    assert check(documents(case.manifests), translate_options(case.settings())).findings == ()


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_where_manifests_are_complete_the_errors_are_those_of_translation(case: Case) -> None:
    result = check(documents(case.manifests), translate_options(case.settings()), complete=True)
    errors = [found for found in result.findings if found.level == "error"]
    problems = case.directory / "problems.txt"
    told = problems.read_text().splitlines() if problems.exists() else []
    assert len(errors) == len(told), errors
    for found in errors:
        assert any(found.message in line or found.rule == "duplicate-object" for line in told), (found, told)


def test_mistakes_in_shared_rules_are_told_at_the_rule() -> None:
    text = CASES[[path.stem for path in CASES].index("shared")].read_text(encoding="utf-8")
    lines = text.splitlines()
    places = {str(found.object): found.position for found in lint(text).findings if found.level == "error"}
    for name, begins in {
        "Policy default/misspelt": "emial:",
        "Policy default/elsewhere": "Not-A-Namespace",
        "IngressClassParameters edge": "allow:",
        "Policy default/unknown-field": "spec:",
    }.items():
        assert lines[places[name].line - 1][places[name].column - 1 :].startswith(begins), name


def test_a_token_is_taken_for_safe_where_the_service_is_not_known() -> None:
    text = CASES[[path.stem for path in CASES].index("upstreams")].read_text(encoding="utf-8")
    alone = "---".join(part for part in text.split("---") if "kind: Service\n" not in part)
    assert {found.rule for found in lint(alone).findings} == {"upstream-not-verified"}


def test_columns_are_those_of_the_offending_text() -> None:
    text = CASES[[path.stem for path in CASES].index("policy")].read_text(encoding="utf-8")
    lines = text.splitlines()
    by_rule = {found.rule: found.position for found in lint(text).findings}
    for rule, begins in {
        "not-lower-case": "Example.com\"]'",
        "admits-everybody": "[{",
        "duplicate-rule": "deny:",
    }.items():
        position = by_rule[rule]
        assert begins in lines[position.line - 1][position.column - 1 :], rule


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("a: [1,\nb: 2\n", 3, 1, "not YAML"),
        ("a: 1\na: 2\n", 2, 1, "given twice"),
        ("kind: Service\napiVersion: v1\nmetadata:\n  name: Up\n", 4, 3, "no DNS name"),
        ("x: \udcff", 1, 1, "not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_with_the_place(text: str, line: int, column: int, message: str) -> None:
    (found,) = check(documents(text.encode(errors="surrogateescape")), Options()).findings
    assert (found.position, found.rule) == (Position("in.yaml", line, column), "invalid-manifest")
    assert message in found.message


def test_an_object_that_is_given_twice_is_told_at_the_second() -> None:
    text = "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n"
    twice = [*documents(text.encode(), "a.yaml"), *documents(text.encode(), "b.yaml")]
    (found,) = check(twice, Options()).findings
    assert (found.position, found.rule) == (Position("b.yaml", 4, 3), "duplicate-object")
    assert "a.yaml:1" in found.message


def test_every_rule_has_one_meaning() -> None:
    names = [rule.id for rule in RULES]
    assert len(set(names)) == len(names)

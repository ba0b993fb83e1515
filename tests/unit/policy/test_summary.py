"""Policies in a few words."""

import pytest

from ingress_controller.policy.allowed import from_allowed
from ingress_controller.policy.parse import combine, parse
from ingress_controller.policy.summary import summarize


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "nobody"),
        ("allow: {or: [{reject: true}]}", "nobody"),
        ("deny: {or: [{email: a@x.io}]}", "nobody"),
        ("allow: {or: [{accept: true}]}", "everybody"),
        ("allow: {or: [{authenticated_user: true}]}", "everybody signed in"),
        ("allow: {or: [{email: a@x.io}, {domain: x.io}]}", "email a@x.io or domain x.io"),
        ("allow: {and: [{domain: x.io}, {groups: admins}]}", "domain x.io and groups admins"),
        ("{allow: {or: [{domain: x.io}]}, deny: {or: [{email: a@x.io}]}}", "domain x.io, but not email a@x.io"),
        ("{allow: {or: [{accept: true}]}, deny: {or: [{user: u}]}}", "everybody, but not user u"),
        ("allow: {or: [{user: {in: [a, b, c, d, e]}}]}", "user a, b, c and 2 more"),
        ("allow: {or: [{email: {not_in: [a@x.io]}}]}", "email not_in a@x.io"),
        ("allow: {or: [{http_path: {starts_with: /a}}]}", "http_path starts_with /a"),
        ("allow: {not: [{source_ip: 10.0.0.0/8}]}", "not (source_ip 10.0.0.0/8)"),
    ],
)
def test_summary(text: str, words: str) -> None:
    assert summarize(parse(text)) == words


def test_summary_of_annotations() -> None:
    assert summarize(combine(from_allowed(public=True))) == "everybody"
    assert summarize(combine(from_allowed(any_authenticated=True))) == "everybody signed in"
    assert summarize(combine(from_allowed(domains=("x.io",), groups=("dev",)))) == "domain x.io or groups dev"

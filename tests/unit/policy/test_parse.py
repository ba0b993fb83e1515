"""Reading policies: what is accepted, and what each mistake says."""

import json
from ipaddress import ip_network

import pytest

from ingress_controller.model.policy import (
    All,
    Any,
    AuthenticatedUser,
    Claim,
    ClientCertificate,
    Constant,
    Contains,
    CorsPreflight,
    Domain,
    Email,
    EndsWith,
    Expression,
    Groups,
    HasAny,
    HasLike,
    HasNone,
    HttpMethod,
    HttpPath,
    InvalidClientCertificate,
    IsOnly,
    NoneOf,
    Not,
    OneOf,
    Policy,
    Rule,
    SourceIp,
    StartsWith,
    User,
)
from ingress_controller.policy.criteria import CRITERIA
from ingress_controller.policy.error import PolicyError
from ingress_controller.policy.parse import combine, parse

IN_POLICY = "parsing policy: invalid rules in policy: "


def criterion(text: str) -> Expression:
    """What one criterion becomes."""
    match parse(f"allow: {{or: [{text}]}}"):
        case Policy(allow=(Rule(condition=Any((Any((expression,)),))),)):
            return expression
    raise AssertionError(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{accept: true}", Constant(value=True)),
        ("{accept: false}", Constant(value=False)),
        ("{reject: true}", Constant(value=False)),
        ("{reject: false}", Constant(value=False)),
        ("{authenticated_user: true}", AuthenticatedUser()),
        ("{authenticated_user: false}", Constant(value=False)),
        ("{email: Ann@Example.com}", Email(OneOf(("ann@example.com",)))),
        ("{email: {is: a@b.c}}", Email(OneOf(("a@b.c",)))),
        ("{email: {not: a@b.c}}", Email(NoneOf(("a@b.c",)))),
        ("{email: {in: [z@b.c, A@b.c, a@b.c]}}", Email(OneOf(("a@b.c", "z@b.c")))),
        ("{email: {in: []}}", Email(OneOf(()))),
        ("{email: {not_in: [a@b.c]}}", Email(NoneOf(("a@b.c",)))),
        ("{email: {contains: '@'}}", Email(Contains("@"))),
        ("{email: {starts_with: A, ends_with: .C}}", All((Email(StartsWith("a")), Email(EndsWith(".c"))))),
        ("{domain: Example.COM}", Domain(OneOf(("example.com",)))),
        ("{user: {is: Id-1}}", User(OneOf(("Id-1",)))),
        ("{groups: admins}", Groups(HasAny(("admins",)))),
        ("{groups: {has: admins}}", Groups(HasAny(("admins",)))),
        ("{groups: {is: admins}}", Groups(IsOnly("admins"))),
        ("{groups: {in: [ops, dev, ops]}}", Groups(HasAny(("dev", "ops")))),
        ("{groups: {not: ops}}", Groups(HasNone(("ops",)))),
        ("{groups: {not_in: [ops, dev]}}", Groups(HasNone(("dev", "ops")))),
        ("{groups: {contains: p}}", Groups(HasLike(Contains("p")))),
        ("{groups: {starts_with: Team-}}", Groups(HasLike(StartsWith("Team-")))),
        ("{groups: {ends_with: -x, not: b-x}}", All((Groups(HasLike(EndsWith("-x"))), Groups(HasNone(("b-x",)))))),
        ("{claim/family_name: Smith}", Claim("family_name", HasAny(("Smith",)))),
        ("{claim/a/b: {is: x}}", Claim("a/b", IsOnly("x"))),
        ("{claim/level: 1}", Claim("level", HasAny(("1",)))),
        ("{claim/verified: true}", Claim("verified", HasAny(("true",)))),
        ("{claim/yes: yes}", Claim("yes", HasAny(("yes",)))),
        ("{http_method: GET}", HttpMethod(OneOf(("GET",)))),
        ("{http_path: {starts_with: /api}}", HttpPath(StartsWith("/api"))),
        ("{http_path: {ends_with: .png}}", HttpPath(EndsWith(".png"))),
        ("{source_ip: 10.0.0.0/8}", SourceIp((ip_network("10.0.0.0/8"),))),
        ("{source_ip: 10.0.0.1}", SourceIp((ip_network("10.0.0.1/32"),))),
        ("{source_ip: ['2001:db8::/32', 10.0.0.1]}", SourceIp((ip_network("10.0.0.1"), ip_network("2001:db8::/32")))),
        ("{source_ip: []}", SourceIp(())),
        ("{cors_preflight: true}", CorsPreflight()),
        ("{cors_preflight: false}", Constant(value=False)),
        ("{invalid_client_certificate: true}", InvalidClientCertificate()),
        ("{invalid_client_certificate: false}", Constant(value=False)),
        (f"{{client_certificate: {{fingerprint: {'ab' * 32}}}}}", ClientCertificate(("ab" * 32,))),
        (f"{{client_certificate: {{fingerprint: '{':'.join(['AB'] * 32)}'}}}}", ClientCertificate(("ab" * 32,))),
        (
            f"{{client_certificate: {{fingerprint: [{'Cd' * 32}, {'cd' * 32}, {'ab' * 32}]}}}}",
            ClientCertificate(("ab" * 32, "cd" * 32)),
        ),
        ("{client_certificate: {fingerprint: []}}", ClientCertificate(())),
    ],
)
def test_criteria(text: str, expected: Expression) -> None:
    assert criterion(text) == expected


A, B = Email(OneOf(("a",))), Email(OneOf(("b",)))


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("{and: [{email: a}, {email: b}]}", All((A, B))),
        ("{or: [{email: a}, {email: b}]}", Any((A, B))),
        ("{not: [{email: a}, {email: b}]}", All((Not(A), Not(B)))),
        ("{nor: [{email: a}, {email: b}]}", Any((Not(A), Not(B)))),
        ("{or: []}", Constant(value=False)),
        ("{and: []}", Constant(value=False)),
        ("{not: []}", Constant(value=False)),
        ("{nor: []}", Constant(value=False)),
        ("{action: allow}", Constant(value=False)),
    ],
)
def test_conditionals(block: str, expected: Expression) -> None:
    assert parse(f"allow: {block}").allow[0].condition == Any((expected,))


def test_the_conditionals_of_a_block_are_alternatives() -> None:
    policy = parse("allow: {and: [{email: a}], not: [{email: b}]}")
    assert policy.allow == (Rule("allow", "policy.allow", Any((All((A,)), All((Not(B),))))),)


def test_rules_are_named_after_their_place() -> None:
    policy = parse("[{allow: {or: [{email: a}]}}, {deny: {or: [{email: b}]}, allow: {}}]")
    assert [rule.name for rule in policy.allow] == ["policy[0].allow", "policy[1].allow"]
    assert policy.deny == (Rule("deny", "policy[1].deny", Any((Any((B,)),))),)
    assert policy.allow[1].condition == Any(())


def test_json_and_yaml_are_one_policy() -> None:
    text = '[{"allow":{"and":[{"email":{"is":"user@yourdomain.com"}}]}}]'
    assert parse(text) == parse("- allow:\n    and:\n    - email:\n        is: user@yourdomain.com\n")
    assert hash(parse(text)) == hash(parse(json.dumps(json.loads(text), indent=2)))


def test_an_empty_list_is_nobody() -> None:
    assert parse("[]") == Policy() == combine()


def test_unknown_conditional_word_for_word() -> None:
    with pytest.raises(PolicyError) as error:
        parse('[{"allow":{"maybe":[{"email":{"is":"user@yourdomain.com"}}]}}]')
    assert str(error.value) == (
        'parsing policy: invalid rules in policy: unsupported conditional "maybe", '
        "only and, or, not, nor and action are allowed (at policy[0].allow.maybe)"
    )


@pytest.mark.parametrize(
    ("text", "message", "path"),
    [
        ("null", "expected a rule with allow or deny, got nothing", "policy"),
        ("7", "expected a rule with allow or deny, got the number 7", "policy"),
        ("[[]]", "expected a rule with allow or deny, got a list", "policy[0]"),
        ("name: x", 'unsupported action "name", only allow and deny are allowed', "policy"),
        ("1: {}", 'unsupported action "1", only allow and deny are allowed', "policy"),
        ("allow:", "expected a map of and, or, not and nor, got nothing", "policy.allow"),
        ("allow: [{or: []}]", "expected a map of and, or, not and nor, got a list", "policy.allow"),
        ("allow: {action: deny}", "the action of this block is allow, got the text 'deny'", "policy.allow.action"),
        ("allow: {or: {accept: true}}", "expected a list of criteria, got a map", "policy.allow.or"),
    ],
)
def test_mistakes_in_rules(text: str, message: str, path: str) -> None:
    with pytest.raises(PolicyError) as error:
        parse(text)
    assert str(error.value) == f"{IN_POLICY}{message} (at {path})"


STRING_OPERATORS = "is, not, in, not_in, contains, starts_with, ends_with"
KNOWN = ", ".join(CRITERIA)
INSTEAD = "write fingerprint, which a renewal of the certificate changes"
NAMES = "the proxy cannot tell the names of a certificate apart for certain"
FINGERPRINT = "expected the SHA-256 fingerprint of a certificate, 64 hexadecimal digits with or without colons"


@pytest.mark.parametrize(
    ("text", "message", "path"),
    [
        ("accept", 'a criterion needs a value, got only "accept": write "accept: true"', ""),
        ("[]", "each criterion must be a map with a single key and value, got a list", ""),
        ("{}", "each criterion must be a map with a single key and value, got a map of 0", ""),
        ("{email: a, user: b}", "each criterion must be a map with a single key and value, got a map of 2", ""),
        ("{1: a}", "the name of a criterion must be text, got the number 1", ""),
        ("{emial: a}", f'unknown criterion "emial", did you mean email? only {KNOWN} are allowed', ".emial"),
        ("{email/x: a}", f'unknown criterion "email/x", did you mean email? only {KNOWN} are allowed', ".email/x"),
        ('{"a\\nb": a}', f'unknown criterion "a\\nb", only {KNOWN} are allowed', ".a\\nb"),
        ("{accept: 'yes'}", "expected true or false, got the text 'yes'", ".accept"),
        ("{accept: }", "expected true or false, got nothing", ".accept"),
        ("{reject: 1}", "expected true or false, got the number 1", ".reject"),
        ("{email: 5}", f"expected a string or a map of operators ({STRING_OPERATORS}), got the number 5", ".email"),
        ("{email: {}}", f"expected a string or a map of operators ({STRING_OPERATORS}), got a map", ".email"),
        ("{email: [a]}", f"expected a string or a map of operators ({STRING_OPERATORS}), got a list", ".email"),
        ("{email: {is: 5}}", "expected a string, got the number 5", ".email.is"),
        ("{email: {is: true}}", "expected a string, got the boolean true", ".email.is"),
        ("{email: {is: ''}}", "expected a string that is not empty", ".email.is"),
        ("{email: {in: a}}", "expected a list of strings, got the text 'a'", ".email.in"),
        ("{email: {in: [a, 1.5]}}", "expected a string, got the number 1.5", ".email.in[1]"),
        (
            "{email: {ist: a}}",
            f'unknown operator "ist", did you mean is? only {STRING_OPERATORS} are allowed',
            ".email",
        ),
        ('{email: "a\\0"}', "expected a string without control characters, got the text 'a\\x00'", ".email"),
        ("{email: 'a b'}", "expected an e-mail address without spaces, got the text 'a b'", ".email"),
        (
            "{domain: '@a.b'}",
            "expected what follows the @ of an e-mail address, got the text '@a.b'",
            ".domain",
        ),
        ("{groups: {matches: a}}", f'unknown operator "matches", only has, {STRING_OPERATORS} are allowed', ".groups"),
        ("{groups: {in: a}}", "expected a list of strings, got the text 'a'", ".groups.in"),
        ("{groups: {not: [a]}}", "expected a string, got a list", ".groups.not"),
        ("{groups: {starts_with: ''}}", "expected a string that is not empty", ".groups.starts_with"),
        ("{claim/x: {in: [a]}}", 'unknown operator "in", only has, is are allowed', ".claim/x"),
        ("{groups: {has: [a]}}", "expected a string, got a list", ".groups.has"),
        ("{groups: 7}", "expected a string, got the number 7", ".groups"),
        ("{claim: x}", "a claim needs a name: write claim/NAME", ".claim"),
        ("{claim/x: 1.5}", "expected a string or a map of operators (has, is), got the number 1.5", ".claim/x"),
        ("{http_method: get}", "expected an HTTP method in upper case such as GET, got the text 'get'", ".http_method"),
        ("{http_path: a}", "expected a path that begins with /, got the text 'a'", ".http_path"),
        (
            "{http_path: {contains: '?'}}",
            "expected a path without query, fragment or spaces, got the text '?'",
            ".http_path.contains",
        ),
        ("{source_ip: nonsense}", 'expected IP or CIDR range, got: "nonsense"', ".source_ip"),
        ("{source_ip: [10.0.0.1, 'fe80::1%lo']}", 'expected IP or CIDR range, got: "fe80::1%lo"', ".source_ip[1]"),
        (
            "{source_ip: 10.0.0.1/8}",
            "expected a CIDR range, got '10.0.0.1/8', which has host bits set: write 10.0.0.0/8",
            ".source_ip",
        ),
        (
            "{source_ip: '::ffff:10.0.0.1'}",
            "expected an IPv4 range for IPv4 addresses, got '::ffff:10.0.0.1'",
            ".source_ip",
        ),
        ("{source_ip: 10}", "expected a string, got the number 10", ".source_ip"),
        ("{cors_preflight: 1}", "expected true or false, got the number 1", ".cors_preflight"),
        (
            "{cors_preflights: true}",
            f'unknown criterion "cors_preflights", did you mean cors_preflight? only {KNOWN} are allowed',
            ".cors_preflights",
        ),
        ("{invalid_client_certificate: {}}", "expected true or false, got a map", ".invalid_client_certificate"),
        ("{client_certificate: true}", "expected a map of fingerprint, got the boolean true", ".client_certificate"),
        ("{client_certificate: {}}", "expected a map of fingerprint, got a map", ".client_certificate"),
        (
            "{client_certificate: {fingerprints: ab}}",
            'unknown key "fingerprints", did you mean fingerprint? only fingerprint are allowed',
            ".client_certificate",
        ),
        (
            "{client_certificate: {fingerprint: zz}}",
            f"{FINGERPRINT}, got the text 'zz'",
            ".client_certificate.fingerprint",
        ),
        (
            f"{{client_certificate: {{fingerprint: [{'ab' * 32}, {'ab' * 20}]}}}}",
            f"{FINGERPRINT}, got the text '{'ab' * 20}'",
            ".client_certificate.fingerprint[1]",
        ),
        (
            f"{{client_certificate: {{fingerprint: 'ab:{'ab' * 31}'}}}}",
            f"{FINGERPRINT}, got the text 'ab:{'ab' * 18}a'",
            ".client_certificate.fingerprint",
        ),
        (
            "{client_certificate: {fingerprint: 12}}",
            "expected a string, got the number 12",
            ".client_certificate.fingerprint",
        ),
        (
            "{client_certificate: {spki_hash: FsDbM0rUYIiL3V339eIKqiz6HPSB+Pz2WeAWhqlqh8U=}}",
            f"spki_hash is not supported, because the proxy cannot compare public keys for one route: {INSTEAD}",
            ".client_certificate.spki_hash",
        ),
        *(
            (
                f"{{client_certificate: {{{name}: {{ends_with: example.com}}}}}}",
                f"{name} is not supported, because {NAMES}: {INSTEAD}",
                f".client_certificate.{name}",
            )
            for name in ("san_dns", "san_email", "san_uri")
        ),
    ],
)
def test_mistakes_in_criteria(text: str, message: str, path: str) -> None:
    with pytest.raises(PolicyError) as error:
        parse(f"allow: {{or: [{text}]}}")
    assert str(error.value) == f"{IN_POLICY}{message} (at policy.allow.or[0]{path})"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "parsing policy: the policy is empty, expected a rule or a list of rules"),
        ("allow: {or: [", "parsing policy: not YAML: "),
        ("a: \t- b", "parsing policy: not YAML: "),
        ("\udcff", "parsing policy: not YAML: "),
        ('"\\ud800"', "parsing policy: not YAML: "),
        ("allow: {}\n---\nallow: {}", "parsing policy: must be one YAML document, got 2"),
        ("allow: {}\nallow: {}", "parsing policy: the key 'allow' is given twice (line 2"),
        ('{"allow": {"or": [], "or": []}}', "parsing policy: the key 'or' is given twice"),
        (
            "allow: {or: &a [{accept: true}], and: *a}",
            "parsing policy: anchors and aliases are not accepted (line 1, column 13)",
        ),
        ("allow: &unused {}", "parsing policy: anchors and aliases are not accepted (line 1, column 8)"),
        ("!!python/object:os.system {}", "parsing policy: "),
        ("[" * 100_000, "parsing policy: nested more than 64 deep (line 1, column 65)"),
        ('{"a":' * 100_000, "parsing policy: nested more than 64 deep (line 1, column 321)"),
        ("#" * (2**20 + 1), "parsing policy: longer than 1 MiB"),
        ("# " + "é" * 2**19, "parsing policy: longer than 1 MiB"),
    ],
)
def test_text_that_is_no_policy(text: str, message: str) -> None:
    with pytest.raises(PolicyError) as error:
        parse(text)
    assert str(error.value).startswith(message)
    assert len(str(error.value)) < 400
    assert str(error.value).isprintable()


def test_a_policy_may_name_many_users_but_only_so_many_criteria() -> None:
    users = [f"user{number}@example.com" for number in range(20_000)]
    match parse(f"allow: {{or: [{{email: {{in: {users}}}}}]}}").allow[0].condition:
        case Any((Any((Email(OneOf(values)),)),)):
            assert len(values) == 20_000
        case other:
            pytest.fail(repr(other)[:200])
    with pytest.raises(PolicyError, match="1001 criteria, at most 1000 are allowed: put values of the same criterion"):
        parse(f"allow: {{or: [{', '.join(f'{{email: {user}}}' for user in users[:1001])}]}}")

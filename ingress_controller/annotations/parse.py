"""The annotations of one Ingress, read by the table.

In: the annotations and the prefix that marks ours. Out: ``Parsed``: the settings, and every problem found. Where
there is a problem, the settings only serve to say which paths the Ingress claims; nobody is admitted by them.

What is free of problems is the same value for all Ingresses that say the same, for as long as somebody holds it: most
clusters have few sets of annotations and many Ingresses, and reading a policy costs more than all else.
"""

import difflib
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

from ingress_controller.annotations.conflicts import conflicts
from ingress_controller.annotations.settings import Access, Settings
from ingress_controller.annotations.table import BY_NAME, TABLE, Annotation
from ingress_controller.model.policy import Policy
from ingress_controller.model.problem import Problem, Reason
from ingress_controller.model.reference import ObjectRef
from ingress_controller.policy.allowed import from_allowed
from ingress_controller.policy.error import PolicyError
from ingress_controller.policy.parse import combine

_CONTEXT = "parsing ingress: annotations: "
_EVERYBODY = "allow_public_unauthenticated_access, which admits everybody"
_EVERYBODY_SIGNED_IN = "allow_any_authenticated_user, which admits everybody who is signed in"


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Parsed:
    """The annotations of an Ingress, as far as they could be read.

    Attributes:
        settings: those that could be read, and defaults for the others.
        policy: what all access annotations that are enforced make together.
        problems: what is wrong. If there is any, nothing of this may be served.
        given: the names of the annotations that are there, whether or not they could be read.
    """

    settings: Settings
    policy: Policy
    problems: tuple[Problem, ...]
    given: frozenset[str] = frozenset()


_Ours = tuple[tuple[str, str], ...]
"""The annotations of an Ingress that are ours, with the whole name of each, in order."""

_held: WeakValueDictionary[tuple[str, _Ours], Parsed] = WeakValueDictionary()


def parse(ingress: ObjectRef, annotations: Mapping[str, str], prefix: str) -> Parsed:
    """Read the annotations whose names begin with ``prefix`` and a slash; others are not ours to judge."""
    ours = tuple(sorted(item for item in annotations.items() if item[0].startswith(f"{prefix}/")))
    found = _held.get((prefix, ours))
    if found is None:
        found = _parse(ingress, ours, prefix)
        if not found.problems:  # These name the Ingress.
            _held[prefix, ours] = found
    return found


def _parse(ingress: ObjectRef, ours: _Ours, prefix: str) -> Parsed:
    parsed: dict[tuple[str, str], object] = {}
    problems: list[Problem] = []
    given: set[str] = set()
    for key, text in ours:
        name = key.removeprefix(f"{prefix}/")
        row = BY_NAME.get(name)
        if row is None:
            problems.append(_problem(ingress, key, "invalid-annotation", _unknown(prefix, name)))
        elif text.strip() or not row.empty_is_unset:
            given.add(name)
            if row.lands in parsed:
                problems.append(
                    _problem(ingress, key, "invalid-annotation", f"{key}: {_twin(row)} says the same, keep one of them")
                )
            try:
                parsed[row.lands] = row.parse(text)
            except ValueError as error:
                problems.append(_bad_value(ingress, key, error))
    settings = _settings(parsed)
    problems += (_problem(ingress, key, "invalid-annotation", f"{key}: {message}")
                 for key, message in _conflicts(settings, given, prefix))  # fmt: skip
    try:
        policy = _effective_policy(settings.access)
    except PolicyError as error:
        policy = Policy()
        problems.append(_problem(ingress, prefix, "invalid-policy", f"applying policy annotations: {error}"))
    return Parsed(settings, policy, tuple(problems), frozenset(given))


def _effective_policy(access: Access) -> Policy:
    """The one policy that the enforced access annotations make together: each admits, and a deny in any wins."""
    allowed = from_allowed(
        users=access.users,
        domains=access.domains,
        groups=access.groups,
        claims=dict(access.claims),
        any_authenticated=access.any_authenticated,
        public=access.public,
        cors_preflight=access.cors_preflight,
    )
    written = (access.policy if access.mode == "enforce" else None) or Policy()
    return combine(allowed, written.allow, written.deny) if allowed else written


def _settings(parsed: Mapping[tuple[str, str], object]) -> Settings:
    groups: dict[str, dict[str, object]] = {}
    for (owner, field), value in parsed.items():
        groups.setdefault(owner, {})[field] = value
    # Groups of which nothing is said are the same for all.
    return replace(_DEFAULT, **{name: replace(getattr(_DEFAULT, name), **given) for name, given in groups.items()})


_DEFAULT = Settings()


def contradiction(access: Access, prefix: str) -> str:
    """What is wrong with admitting somebody in particular, where an annotation admits all; empty if none does."""
    if access.public:
        return f"contradicts {prefix}/{_EVERYBODY}"
    return f"contradicts {prefix}/{_EVERYBODY_SIGNED_IN}" if access.any_authenticated else ""


def _conflicts(settings: Settings, given: AbstractSet[str], prefix: str) -> Iterator[tuple[str, str]]:
    """Annotations that contradict another. Whoever admits some people must not find that another admits all."""
    access = settings.access
    narrower: dict[str, object] = {
        "allowed_users": access.users,
        "allowed_domains": access.domains,
        "allowed_groups": access.groups,
        "allowed_idp_claims": access.claims,
        "policy": access.mode == "enforce" and access.policy and access.policy.allow,
    }
    if access.public:
        narrower = {"allow_any_authenticated_user": access.any_authenticated, **narrower}
    if contradicted := contradiction(access, prefix):
        yield from ((f"{prefix}/{name}", contradicted) for name, given in narrower.items() if given)
    yield from _unmet(settings, prefix)
    yield from ((f"{prefix}/{name}", message) for name, message in conflicts(settings, given, prefix))


def _unmet(settings: Settings, prefix: str) -> Iterator[tuple[str, str]]:
    """Annotations that have no effect."""
    for row in TABLE:
        if row.needs and _value(settings, row) and not _value(settings, BY_NAME[row.needs]):
            yield f"{prefix}/{row.name}", f"has no effect without {prefix}/{row.needs}"
    if settings.connection.skip_verify and settings.secrets.tls_custom_ca:
        yield f"{prefix}/tls_custom_ca_secret", f"has no effect, since {prefix}/tls_skip_verify takes any certificate"


def _value(settings: Settings, row: Annotation) -> object:
    group, field = row.lands
    return getattr(getattr(settings, group), field)


def _twin(row: Annotation) -> str:
    """The other name of an annotation that has two."""
    return next(other.name for other in TABLE if other.lands == row.lands and other is not row)


def _unknown(prefix: str, name: str) -> str:
    near = difflib.get_close_matches(name, BY_NAME, n=3, cutoff=0.5)
    hint = f"the nearest known are {', '.join(near)}" if near else "docs/reference/annotations.md lists the known ones"
    return f"unknown {prefix}/{name}; {hint}"


def _bad_value(ingress: ObjectRef, key: str, error: ValueError) -> Problem:
    if isinstance(error, PolicyError):
        return _problem(ingress, key, "invalid-policy", f"applying policy annotations: {error}")
    return _problem(ingress, key, "invalid-annotation", f"{key}: {error}")


def _problem(ingress: ObjectRef, key: str, reason: Reason, message: str) -> Problem:
    return Problem(ingress, f"metadata.annotations[{key}]", reason, _CONTEXT + message)

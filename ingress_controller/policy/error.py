"""What a policy that is refused says.

In: what was found and where. Out: ``PolicyError``, whose message stands in an Event after the caller's own words, so
it begins as users of Pomerium know it and ends with the path of the offending node.
"""


class PolicyError(ValueError):
    """A policy that is not served; the message says what was wrong, what is allowed and where."""


def invalid(message: str, path: str) -> PolicyError:
    """The error for one node of a policy, such as ``policy[0].allow.and[1].email``."""
    return PolicyError(f"parsing policy: invalid rules in policy: {message} (at {path})")


def shown(name: object) -> str:
    """A name as it was written, but short and on one line, whatever it is."""
    text = str(name)[:100]
    return text if text.isprintable() else repr(text)[1:-1]


def describe(value: object) -> str:
    """A YAML value as its author would call it, short enough for a message."""
    match value:
        case None:
            return "nothing"
        case bool() | int() | float():
            return f"the {'boolean' if isinstance(value, bool) else 'number'} {shown(value).lower()}"
        case str():
            return f"the text {value[:40]!r}"
        case list() | dict():
            return "a list" if isinstance(value, list) else "a map"
        case _:
            return f"a {type(value).__name__}"

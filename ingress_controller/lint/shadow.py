"""Routes that no request comes to.

In: the routes of a host, in serving order. Out: for a route that is never reached, why. Only what can be told simply is
told: that two patterns match the same in other words is not found out.
"""

import re

from ingress_controller.explain.routing import obstacle
from ingress_controller.explain.url import RefusedPathError, normal_path
from ingress_controller.model.route import PathMatch, Prefix, Regex, Route

_PLAIN = re.compile(r"\^((?:[\w/~%!@&=:;,' -]|\\[^\w])*)")


def unreachable(routes: tuple[Route, ...]) -> list[tuple[Route, str]]:
    """The routes that are never reached, each with the reason."""
    found: list[tuple[Route, str]] = []
    patterns: list[Route] = []
    exact: list[Route] = []
    for route in routes:
        if isinstance(route.match, Regex):
            if reason := _impossible(route.match):
                found.append((route, reason))
                continue
            text = _whole(route.match)
            earlier = next((other for other in exact if text is not None and not obstacle(other.match, text)), None)
        else:
            earlier = None
        earlier = earlier or next((other for other in patterns if _covers(other.match, route.match)), None)
        if earlier:
            reason = (
                f"{type(earlier.match).__name__} {earlier.path} of {earlier.ingress} is tried before, and serves them"
            )
            found.append((route, f"no request comes to the paths of this route: {reason}"))
        (patterns if isinstance(route.match, Regex) else exact).append(route)
    return found


def _plain(match: Regex) -> tuple[str, str]:
    """The text with which every path begins that a pattern matches, and the rest of the pattern."""
    found = _PLAIN.match(match.pattern)
    if found is None or "|" in match.pattern:
        return "", match.pattern
    text, rest = found[1], match.pattern[found.end() :]
    if rest[:1] in {"?", "*", "+", "{"}:
        # That is about the last character, which then need not be there.
        text, rest = text[:-1], text[-1:] + rest
    return re.sub(r"\\(.)", r"\1", text), rest


def _whole(match: Regex) -> str | None:
    """The only path that a pattern matches, if it is just one."""
    text, rest = _plain(match)
    return text if rest == "$" else None


def _covers(pattern: PathMatch, match: PathMatch) -> bool:
    """Whether a pattern that is tried before serves all that a route matches."""
    if not isinstance(pattern, Regex):
        return False
    start, rest = _plain(pattern)
    if isinstance(match, Regex):
        text = _whole(match)
        return (rest == ".*$" and _plain(match)[0].startswith(start)) or (
            text is not None and not obstacle(pattern, text)
        )
    return rest == ".*$" and isinstance(match, Prefix) and match.path.startswith(start)


def _impossible(match: Regex) -> str:
    """What a pattern asks for that no path has."""
    text, rest = _plain(match)
    if "?" in text or "#" in text:
        return "no path has a ? or #: patterns see neither the query nor the fragment"
    try:
        # What follows may make another element of the last one.
        settled = text if rest == "$" else text[: text.rfind("/") + 1]
        plain = normal_path(settled)
    except RefusedPathError as error:
        return f"no request has such a path: {error}"
    return "" if plain == settled or not settled else f"no path is like this in its normal form, which is {plain}"

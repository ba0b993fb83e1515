"""RE2 patterns and what is put in place of their matches.

In: text. Out: the same text, known to be good for Envoy, or ``ValueError``. Patterns are plain text rather than YAML,
in which ``*`` or ``[`` at the beginning would mean something else.
"""

import re
from typing import Any

import re2

from ingress_controller.model.route import MAX_PROGRAM_SIZE

MAX_PATTERN_BYTES = 4096

_PATH_TEXT = re.compile(r"[!-~]*", re.ASCII)
_HOST_TEXT = re.compile(r"[A-Za-z0-9.:_\\\[\]-]*", re.ASCII)
_ESCAPE = re.compile(r"\\(.?)", re.DOTALL)


def pattern(text: str) -> str:
    """A pattern that is searched for in a path."""
    value = text.strip()
    compile_pattern(value)
    return value


def path_substitution(text: str) -> str:
    """What is put in place of a match in a path."""
    value = _substitution(text)
    if not _PATH_TEXT.fullmatch(value) or "?" in value or "#" in value:
        raise ValueError(
            "must have no query, fragment or space, and no character that a URL has only percent-encoded, "
            f"got {value[:80]!r}"
        )
    return value


def host_substitution(text: str) -> str:
    """What is put in place of a match in a path, which then is a Host header."""
    value = _substitution(text)
    if not _HOST_TEXT.fullmatch(value):
        raise ValueError(f"must be a host name with groups of the pattern such as \\1 in it, got {value[:80]!r}")
    return value


def check_groups(pattern: str, substitution: str) -> None:
    """Refuse a substitution that names a group which the pattern does not have."""
    groups: int = compile_pattern(pattern).groups
    for escape in _ESCAPE.finditer(substitution):
        if escape[1].isdigit() and int(escape[1]) > groups:
            raise ValueError(f"{escape[0]} names a group that the pattern does not have; it has {groups}")


def compile_pattern(text: str) -> Any:
    """Compile a pattern as Envoy will, within the same limits.

    Raises:
        ValueError: it is not RE2, or too large.
    """
    if len(text.encode()) > MAX_PATTERN_BYTES:
        raise ValueError(f"pattern is longer than {MAX_PATTERN_BYTES} bytes")
    try:
        program = re2.compile(text.encode(), options=_RE2_OPTIONS)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if error.args else "unknown"
        raise ValueError(f"pattern {text[:80]!r} is not RE2: {reason}") from None
    if program.programsize > MAX_PROGRAM_SIZE:
        raise ValueError(
            f"pattern {text[:80]!r} compiles to {program.programsize} steps; {MAX_PROGRAM_SIZE} are allowed"
        )
    return program


def _substitution(text: str) -> str:
    value = text.strip()
    if len(value.encode()) > MAX_PATTERN_BYTES:
        raise ValueError(f"substitution is longer than {MAX_PATTERN_BYTES} bytes")
    for escape in _ESCAPE.finditer(value):
        if escape[1] not in {*"0123456789\\"}:
            raise ValueError(f"{escape[0]!r}: a backslash stands before the number of a group, or another backslash")
    return value


_RE2_OPTIONS = re2.Options()
_RE2_OPTIONS.log_errors = False
# As Envoy has it: a path is bytes.
_RE2_OPTIONS.encoding = re2.Options.Encoding.LATIN1

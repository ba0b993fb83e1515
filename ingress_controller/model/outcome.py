"""What became of an Ingress.

In: the result of compiling it and what it shares with others. Out: a value that the reporter compares with the one
before.
"""

import hashlib

from msgspec import Struct

from ingress_controller.model.problem import Problem

PROBLEM_PREFIX = "upsert routes: "


def announced(problem: Problem) -> str:
    """What is said of a problem, in an Event and elsewhere: its message with its prefix."""
    return PROBLEM_PREFIX + problem.message.removeprefix(PROBLEM_PREFIX)


class Outcome(Struct, frozen=True, gc=False):
    """The result of compiling one Ingress.

    Attributes:
        fingerprint: equal exactly when what is served for the Ingress is equal.
        problems: what its owner has to know; their messages carry everything after ``upsert routes: ``.
    """

    fingerprint: str
    problems: tuple[Problem, ...] = ()

    @property
    def messages(self) -> tuple[str, ...]:
        """The distinct messages of the problems, in order, each with its prefix."""
        return tuple(dict.fromkeys(map(announced, self.problems)))

    @property
    def digest(self) -> str:
        """32 hexadecimal digits by which equal outcomes are recognised, also after a restart."""
        text = "\0".join((self.fingerprint, *self.messages))
        return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]

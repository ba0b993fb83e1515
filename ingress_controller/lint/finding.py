"""One thing that was found, with its place.

In: a rule, an object and a place. Out: a frozen value that sorts by its place, as it is printed.
"""

from dataclasses import dataclass

from ingress_controller.lint.rules import Level
from ingress_controller.model.reference import ObjectRef


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a file; lines and columns are counted from 1, columns in characters."""

    file: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or likely wrong.

    Attributes:
        position: where it is written.
        level: whether it is an error or a warning.
        rule: its kind, one of ``rules.RULES``.
        message: what is wrong and what is allowed.
        object: the object that has it; ``None`` for what is none.
        field: where in the object; empty for the whole.
    """

    position: Position
    level: Level
    rule: str
    message: str
    object: ObjectRef | None = None
    field: str = ""

    @property
    def text(self) -> str:
        """The object and the message."""
        return f"{self.object}: {self.message}" if self.object else self.message


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A warning about an Ingress, whose place is not yet looked up.

    Attributes:
        ingress: whose.
        field: a path such as ``spec.rules[0].host``, or ``metadata.annotations[NAME]``.
        rule: one of ``rules.WARNINGS``.
        message: what is likely wrong; ends with the place within an annotation, ``(at policy[0].deny)``.
    """

    ingress: ObjectRef
    field: str
    rule: str
    message: str

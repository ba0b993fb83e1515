"""Where a field is written.

In: the documents of manifests, each with the lines of its file. Out: for an object, a field such as
``spec.rules[0].http.paths[1].backend``, and where the field is YAML itself a place within it, the position. What is not
there, such as a field that is missing, is at the nearest that contains it.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import yaml

from ingress_controller import strict_yaml
from ingress_controller.lint.finding import Position
from ingress_controller.model.reference import ObjectRef
from ingress_controller.sources.manifests import Located

_ANNOTATIONS = "metadata.annotations"
_AT = re.compile(r"\(at (?P<path>.+)\)$", re.DOTALL)
_LINE = re.compile(r"\(line (?P<line>\d+), column (?P<column>\d+)\)$")


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file: an object, or what was to be one.

    Attributes:
        file: its name, as people are told it.
        lines: the whole file.
        located: what was read.
    """

    file: str
    lines: Sequence[str]
    located: Located

    @property
    def position(self) -> Position:
        """Where it begins."""
        return Position(self.file, self.located.line + 1, self.located.column + 1)


class Positions:
    """The places of objects; where one is given twice, those of the first."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self._documents: dict[ObjectRef, Document] = {}
        for document in documents:
            if ref := document.located.found.ref:
                self._documents.setdefault(ref, document)

    def find(self, ref: ObjectRef, field: str, message: str = "") -> Position:
        """The position of a field of an object.

        Args:
            ref: the object.
            field: its path; empty for the whole object, which is where its name is.
            message: may end with a place within an annotation, ``(at policy[0].allow)`` or ``(line 2, column 3)``; or
                with one below the field, ``(at spec.rules[0].allow)``.
        """
        document = self._documents[ref]
        if field.startswith(_ANNOTATIONS):
            return _in_annotation(document, field, message) or in_document(document, field)
        if field and (at := _AT.search(message)) and at["path"].startswith(field):
            field = at["path"]
        return in_document(document, field or "metadata.name")


def in_document(document: Document, field: str) -> Position:
    """The position of a field in one document."""
    if document.located.node is None:
        return document.position
    mark = _walk(document.located.node, field).mark
    return Position(document.file, mark.line + 1, mark.column + 1)


@dataclass(frozen=True, slots=True)
class _Reached:
    """How far a path leads: where that is written, the value there, and what is left of the path."""

    mark: yaml.Mark
    node: yaml.Node
    rest: str


def _walk(node: yaml.Node, path: str) -> _Reached:
    """Follow a path of ``name``, ``.name``, ``[index]`` and ``[key]``. Names may have dots, so the longest counts."""
    mark = node.start_mark
    while path:
        steps = [
            step for step in _steps(node) if path.startswith(step[0]) and path[len(step[0]) :][:1] in ("", ".", "[")
        ]
        if not steps:
            break
        text, mark, node = max(steps, key=lambda step: len(step[0]))
        path = path[len(text) :]
    return _Reached(mark, node, path)


def _steps(node: yaml.Node) -> Iterable[tuple[str, yaml.Mark, yaml.Node]]:
    """What a path can go on with at a node."""
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield f"[{index}]", item.start_mark, item
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            for text in (key.value, f".{key.value}", f"[{key.value}]"):
                yield text, key.start_mark, value


def _in_annotation(document: Document, field: str, message: str) -> Position | None:
    """The place within an annotation that a message ends with; ``None`` where that cannot be told."""
    if document.located.node is None:
        return None
    at, line = _AT.search(message), _LINE.search(message)
    path = at["path"] if at else ""
    root = re.match(r"\w*", path)
    reached = _walk(document.located.node, field)
    if reached.rest and root:
        # The message is about the annotations together, and says in the end which of them it means.
        reached = _walk(document.located.node, f"{field.removesuffix(']')}/{root[0]}]")
    value = reached.node
    if reached.rest or not isinstance(value, yaml.ScalarNode):
        return None
    if line:
        inner = int(line["line"]) - 1, int(line["column"]) - 1
    elif root and (found := _compose(value.value)):
        mark = _walk(found, path[root.end() :]).mark
        inner = mark.line, mark.column
    else:
        return Position(document.file, reached.mark.line + 1, reached.mark.column + 1)
    return _in_scalar(document, value, *inner) or Position(
        document.file, reached.mark.line + 1, reached.mark.column + 1
    )


def _compose(text: str) -> yaml.Node | None:
    try:
        return strict_yaml.compose(text)
    except strict_yaml.YAMLError:
        return None


def _in_scalar(document: Document, scalar: yaml.ScalarNode, line: int, column: int) -> Position | None:
    """A place in the text of a scalar, where the text stands in the file as it is; else ``None``."""
    texts = scalar.value.split("\n")
    text = texts[line] if line < len(texts) else ""
    begin = scalar.start_mark
    if scalar.style == "|":
        number = begin.line + 1 + line
        source = document.lines[number] if number < len(document.lines) else ""
        return (
            Position(document.file, number + 1, len(source) - len(text) + column + 1) if source.endswith(text) else None
        )
    indent = begin.column + (1 if scalar.style in {"'", '"'} else 0)
    if begin.line == scalar.end_mark.line and document.lines[begin.line].startswith(scalar.value, indent):
        return Position(document.file, begin.line + 1, indent + column + 1)
    return None

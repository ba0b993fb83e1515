"""Pages of the documentation as their readers see them: blocks of commands, headings, links.

In: a file of Markdown. Out: its fenced blocks, the anchors of its headings, and its links.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))

_FENCE = re.compile(r"(?P<mark>`{3,})(?P<language>[\w-]*)")
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_CODE = re.compile(r"`[^`]*`")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    Attributes:
        language: the word after the fence.
        line: the number of its first line in the file, from 1.
        lines: what is in it.
    """

    language: str
    line: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """A page, read."""

    path: Path
    blocks: tuple[Block, ...]
    prose: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its path in the project."""
        return str(self.path.relative_to(ROOT))

    @property
    def anchors(self) -> frozenset[str]:
        """The anchors of its headings, as GitHub makes them: of equal ones, all but the first are numbered."""
        seen: Counter[str] = Counter()
        found = set()
        for heading in (line.lstrip("#") for line in self.prose if line.startswith("#")):
            slug = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
            found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
        return frozenset(found)

    @property
    def links(self) -> tuple[str, ...]:
        """Where its links lead, as written."""
        return tuple(match["target"] for line in self.prose for match in _LINK.finditer(_CODE.sub("", line)))


def read(path: Path) -> Page:
    """Read a page."""
    prose: list[str] = []
    blocks = tuple(_blocks(path.read_text(encoding="utf-8").splitlines(), prose))
    return Page(path, blocks, tuple(prose))


def _blocks(lines: list[str], prose: list[str]) -> Iterator[Block]:
    """The blocks among lines; the other lines are added to ``prose``."""
    numbered = iter(enumerate(lines, start=1))
    for _, line in numbered:
        if fence := _FENCE.fullmatch(line):
            inside = []
            for number, text in numbered:
                if text == fence["mark"]:
                    break
                inside.append((number, text))
            yield Block(fence["language"], inside[0][0], tuple(text for _, text in inside))
        else:
            prose.append(line)

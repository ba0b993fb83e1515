"""The commands of the documentation, run for real: what a page shows is what happens."""

from dataclasses import replace

import pytest

from tests.docs.pages import PAGES, Page, read
from tests.docs.terminal import Terminal

_RUN = {"sh", "console", "log"}

INSTEAD = {
    # It would run this suite within itself; .ci/run runs it.
    "make test": "make --dry-run test",
    # It takes up to an hour.
    "make bench": "make --dry-run bench",
}
"""Commands that cannot be run here, and what is run in their place. Nothing else is left out."""


def _with_commands() -> list[Page]:
    return [page for page in map(read, PAGES) if any(block.language in _RUN for block in page.blocks)]


@pytest.mark.parametrize("page", _with_commands(), ids=lambda page: page.name)
def test_commands_do_what_the_page_shows(page: Page) -> None:
    blocks = [block for block in page.blocks if block.language in _RUN]
    with Terminal(cluster=any("kubectl" in line for block in blocks for line in block.lines)) as terminal:
        for block in blocks:
            terminal.run(replace(block, lines=tuple(INSTEAD.get(line, line) for line in block.lines)))


def test_what_is_replaced_is_there() -> None:
    lines = {line for page in _with_commands() for block in page.blocks for line in block.lines}
    assert lines >= INSTEAD.keys()


def test_every_block_says_what_it_is() -> None:
    known = {*_RUN, "yaml", "text", "mermaid"}
    blocks = ((page, block) for page in map(read, PAGES) for block in page.blocks)
    assert [f"{page.name}:{block.line}" for page, block in blocks if block.language not in known] == []

"""The runner of the documentation's commands: it would notice if a page were wrong."""

import pytest

from tests.docs.pages import Block
from tests.docs.terminal import Terminal, commands, examples, pattern


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        (("a",), "a\n", True),
        (("a",), "a\r\n", True),
        (("a",), "a\nb\n", False),
        ((), "a\n", False),
        (("a...c",), "a b c\n", True),
        (("a...c",), "a\nc\n", False),
        (("...", "c"), "a\nb\nc\n", True),
        (("a", "..."), "a\n", True),
        (("a", "..."), "b\na\n", False),
        (("a.c",), "abc\n", False),
    ],
)
def test_what_is_shown_is_what_is_printed(shown: tuple[str, ...], printed: str, *, same: bool) -> None:
    assert bool(pattern(shown).fullmatch(printed)) == same


def test_commands_of_a_block() -> None:
    lines = ("# said first", "a \\", "  b", "", "cat > x <<'EOF'", "# in x", "EOF", "c")
    assert list(commands(lines)) == ["a \\\n  b", "cat > x <<'EOF'\n# in x\nEOF", "c"]


def test_commands_with_what_they_print() -> None:
    lines = ("$ a \\", "  b", "one", "two", "$ c")
    assert list(examples(lines)) == [("a \\\n  b", ("one", "two")), ("c", ())]


def test_a_page_that_is_wrong_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.docs.terminal.DEADLINE", 5.0)
    with Terminal(cluster=False) as terminal:
        terminal.run(Block("sh", 1, ("X=1",)))
        terminal.run(Block("console", 2, ("$ echo $X", "1")))
        monkeypatch.setattr("tests.docs.terminal.DEADLINE", 0.5)
        with pytest.raises(AssertionError, match=r"line 3: echo 2: after 0\.5 s it still is\n2"):
            terminal.run(Block("console", 3, ("$ echo 2", "1")))
        with pytest.raises(AssertionError, match="line 4: false: exit status 1"):
            terminal.run(Block("sh", 4, ("false",)))

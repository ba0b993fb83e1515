"""Runs the blocks of a page as its reader would, in one bash session in a sandbox.

In: blocks. Out: nothing, or ``AssertionError`` that names the line of the page.

- ``sh``: commands; each has to succeed.
- ``console``: commands after ``$ `` and what they print, in which ``...`` stands for anything. What a command shows may
  need a moment to become true, so it is repeated until it prints what it should, up to a deadline.
- ``log``: lines that the controller has printed by then, in this order; ``...`` stands for anything.
- Other blocks are not run.

A program that stays in the foreground, as ``make run`` does, has a terminal of its own here, until the page starts
another such program or ends.
"""

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from tests.docs.pages import ROOT, Block
from tests.real_servers import TOOLS

DEADLINE = 60.0
"""Seconds that a program may take to start, or a command to print what it should; for a busy machine."""

_STOP = 30.0
_POLL = 0.05
_FOREGROUND = {
    "controller": re.compile(r"make run$|\S*ingress-controller run\b"),
    "envoy": re.compile(r"\S*bin/envoy\b"),
    "upstream": re.compile(r"openssl s_server\b"),
}
_HEREDOC = re.compile(r"<<'?(\w+)'?")

_PRELUDE = """
set -o monitor -o pipefail
start() {  # NAME COMMAND: in a terminal of its own, in place of an earlier one of that name.
  stop "$1"
  bash -c "exec $2" >"$HOME/$1.log" 2>&1 </dev/null &
  declare -g "$1_pid=$!"
}
stop() {  # NAME: as Ctrl-C does.
  local running=$1_pid
  [ -z "${!running}" ] || { kill -INT -- "-${!running}"; wait "${!running}"; } 2>/dev/null
  declare -g "$running="
}
answers() {  # URL: wait until it does, as long as the controller runs.
  until curl --fail --silent --output /dev/null "$1"; do kill -0 -- "-$controller_pid" || return; sleep 0.1; done
}
trap 'stop upstream; stop envoy; stop controller' EXIT
"""


class Terminal:
    """One bash session, in a copy of what a reader has."""

    def __init__(self, *, cluster: bool) -> None:
        self._cluster = cluster

    def __enter__(self) -> Self:
        """Start the session."""
        with ExitStack() as undo:
            self._folder = Path(undo.enter_context(tempfile.TemporaryDirectory(dir="/tmp", prefix="t-")))
            self._open(undo)
            self._cleanup = undo.pop_all()
        return self

    def _open(self, undo: ExitStack) -> None:
        self._home = self._folder / "home"
        self._lay_out(tree := self._folder / "tree")
        sandbox = [sys.executable, "-m", "tests.docs.sandbox", *(["--cluster"] if self._cluster else [])]
        path = [str(self._home / "bin"), str(TOOLS), "/usr/local/bin", "/usr/bin", "/bin"]
        self._bash = subprocess.Popen(
            [*sandbox, "bash", "--noprofile", "--norc"],
            stdin=subprocess.PIPE,
            cwd=ROOT,
            env={"HOME": str(self._home), "LANG": "C.UTF-8", "PATH": os.pathsep.join(path)},
            text=True,
            start_new_session=True,
        )
        undo.callback(self._end)
        self._succeed(f"{_PRELUDE}\ncd {tree}", "the prelude")

    def __exit__(self, *_: object) -> None:
        """End the session and all that runs in it."""
        self._cleanup.close()

    def _lay_out(self, tree: Path) -> None:
        (self._home / "bin").mkdir(parents=True)
        tree.mkdir()
        # On a terminal there is no progress meter either.
        (self._home / ".curlrc").write_text("no-progress-meter\n", encoding="ascii")
        # What is installed is not installed again.
        make = self._home / "bin" / "make"
        make.write_text(f'#!/bin/sh\nexec {shutil.which("make")} --old-file=.venv/.installed "$@"\n', encoding="ascii")
        make.chmod(0o755)
        for copied in ("examples", "manifests"):
            shutil.copytree(ROOT / copied, tree / copied)
        for linked in ("Makefile", "pyproject.toml", "constraints.txt", "tools", ".venv"):
            (tree / linked).symlink_to(ROOT / linked)

    def _end(self) -> None:
        """Let the session stop its programs; after a while end all that it has started."""
        try:
            self._bash.communicate(timeout=_STOP)
        except subprocess.TimeoutExpired:
            for process in _of_session(self._bash.pid):
                os.kill(process, signal.SIGKILL)
            self._bash.wait()

    def run(self, block: Block) -> None:
        """Run one block."""
        where = f"line {block.line}"
        match block.language:
            case "sh":
                for command in commands(block.lines):
                    name = next((name for name, program in _FOREGROUND.items() if program.match(command)), "")
                    self._start(name, command) if name else self._succeed(command, f"{where}: {command}")
            case "console":
                for command, expected in examples(block.lines):
                    self._print(command, expected, f"{where}: {command}")
            case "log":
                log = self._home / "controller.log"
                _eventually(log.read_text, pattern(("...", *block.lines, "...")), f"{where}: the controller's log")

    def _start(self, name: str, command: str) -> None:
        self._succeed(f"start {name} {shlex.quote(command)}", command)
        if name == "controller":
            # Without an Envoy it never is ready.
            probe = "healthz" if "--envoy none" in command else "readyz"
            self._succeed(f"answers http://127.0.0.1:8081/{probe} || {{ cat ~/controller.log; false; }}", command)

    def _succeed(self, command: str, what: str) -> None:
        status, output = self._run(command)
        assert status == 0, f"{what}: exit status {status}\n{output}"

    def _print(self, command: str, expected: Sequence[str], what: str) -> None:
        _eventually(lambda: self._run(command)[1], pattern(expected), what)

    def _run(self, script: str) -> tuple[int, str]:
        """The exit status and the output of a script."""
        file, output, status = (self._folder / name for name in ("script", "output", "status"))
        file.write_text(f"{script}\n", encoding="utf-8")
        status.unlink(missing_ok=True)
        assert self._bash.stdin is not None
        self._bash.stdin.write(f". {file} >{output} 2>&1 </dev/null; echo $? >{status}.new; mv {status}.new {status}\n")
        self._bash.stdin.flush()
        deadline = time.monotonic() + DEADLINE
        while not status.exists():
            assert self._bash.poll() is None, "the session has ended"
            assert time.monotonic() < deadline, f"not done after {DEADLINE} s: {script}\n{output.read_text()}"
            time.sleep(_POLL)
        return int(status.read_text()), output.read_text(errors="replace")


def _of_session(session: int) -> Iterator[int]:
    """The processes of a session (proc_pid_stat(5): the fourth field after the name in parentheses)."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # It has ended meanwhile.
            if int(stat.read_text().rpartition(")")[2].split()[3]) == session:
                yield int(stat.parent.name)


def commands(lines: Sequence[str]) -> Iterator[str]:
    """The commands of a block: a line each, with the lines that continue it and the text of its here-document."""
    rest = iter(lines)
    for line in rest:
        command = [line]
        while command[-1].endswith("\\"):
            command.append(next(rest))
        if heredoc := _HEREDOC.search(line):
            while command[-1] != heredoc[1]:
                command.append(next(rest))
        if line and not line.startswith("#"):
            yield "\n".join(command)


def examples(lines: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The commands of a block, each with what it prints."""
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    assert starts[:1] == [0], f"a command is missing before {lines[0]!r}"
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        length = 1 + next(n for n, line in enumerate(lines[start:end]) if not line.endswith("\\"))
        yield "\n".join(lines[start : start + length]).removeprefix("$ "), tuple(lines[start + length : end])


def pattern(expected: Sequence[str]) -> re.Pattern[str]:
    """What matches lines in which ``...`` is anything; alone on a line, also any number of lines."""
    parts = (
        r"(?:.*\n)*?" if line == "..." else r"[^\n]*".join(map(re.escape, line.rstrip().split("..."))) + r"[^\S\n]*\n"
        for line in expected
    )
    return re.compile("".join(parts))


def _eventually(text: Callable[[], str], wanted: re.Pattern[str], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not wanted.fullmatch((found := text()).removesuffix("\n") + "\n"):
        assert time.monotonic() < deadline, f"{what}: after {DEADLINE} s it still is\n{found}"
        time.sleep(_POLL)

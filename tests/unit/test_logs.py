"""Log lines of ours and of libraries, in both forms."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from ingress_controller import logs


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    quiet = {name: logging.getLogger(name).level for name in logs.QUIET}
    yield
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    for name, before in quiet.items():
        logging.getLogger(name).setLevel(before)


def log() -> Any:
    return structlog.stdlib.get_logger("ours")


def test_json_lines_are_of_one_form_for_all_loggers() -> None:
    logs.configure("json", "info", stream := io.StringIO())
    log().warning("started", pid=7)
    logging.getLogger("library").warning("said %s", "this")
    log().debug("not written")
    ours, theirs = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert ours.pop("timestamp").endswith("Z")
    assert ours == {"event": "started", "pid": 7, "logger": "ours", "level": "warning"}
    assert theirs.pop("timestamp")
    assert theirs == {"event": "said this", "logger": "library", "level": "warning"}


@pytest.mark.parametrize("text", ["a\nb", "a\x1b[31mb", "a\u2028b", "a\udcffb"])
def test_a_text_line_cannot_be_forged(text: str) -> None:
    logs.configure("text", "info", stream := io.StringIO())
    log().info(text, value=text)
    line = stream.getvalue().removesuffix("\n")
    assert line.isprintable()
    assert line.count("a\\") == 2


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_traceback_has_no_values_of_variables(form: Any) -> None:
    logs.configure(form, "info", stream := io.StringIO())
    password = "hunter2"
    try:
        _ = int("x" * len(password))
    except ValueError:
        log().exception("failed")
    assert "ValueError" in stream.getvalue()
    assert "hunter2" not in stream.getvalue().replace('password = "hunter2"', "")


def test_the_inner_life_of_libraries_is_left_out() -> None:
    logs.configure("text", "debug", stream := io.StringIO())
    logging.getLogger("grpc._cython.cygrpc").debug("polled")
    log().debug("of interest")
    assert "polled" not in stream.getvalue()
    assert "of interest" in stream.getvalue()

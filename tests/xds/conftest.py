"""What the tests of the server share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import xds
from tests.envoy_process import short_directory
from tests.xds.serving import Record


@pytest.fixture
def directory() -> Iterator[Path]:
    with short_directory() as path:
        yield path


@pytest.fixture
def socket(directory: Path) -> Path:
    return directory / "xds.sock"


@pytest.fixture
def cache() -> xds.Cache:
    return xds.Cache()


@pytest.fixture
def record() -> Record:
    return Record()

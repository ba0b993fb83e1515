"""The explanations name what there is: packages, layers, filters, resources, and the tests that show a defence."""

import re
import tomllib
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from ingress_controller.envoy.encoder import TYPES
from ingress_controller.envoy.filters import CHAIN
from tests.docs.pages import ROOT, read

_ARCHITECTURE = read(ROOT / "docs" / "explanation" / "architecture.md")
_THREATS = read(ROOT / "docs" / "explanation" / "threat-model.md")


def _cells(heading: str, column: int = 0) -> list[str]:
    """The names in code style in one column of the table under a heading."""
    below = _ARCHITECTURE.prose[_ARCHITECTURE.prose.index(f"## {heading}") + 1 :]
    rows = [line.split("|")[column + 1] for line in _until_heading(below) if line.startswith("|")]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def _until_heading(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        if line.startswith("## "):
            return
        yield line


def _layers() -> list[str]:
    configuration: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = configuration["tool"]["importlinter"]["contracts"]
    layers: list[str] = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return layers


def test_every_package_is_described_and_exists() -> None:
    described = _cells("Packages")
    packages = {f"ingress_controller.{name}" for layer in _layers() for name in layer.split(" | ")}
    assert sorted(described) == sorted({*packages, "xds"})
    assert [name for name in described if find_spec(name) is None] == []


def test_layers_are_those_that_are_checked() -> None:
    assert tuple(_layers()) in {block.lines for block in _ARCHITECTURE.blocks}


def test_filters_are_in_their_order() -> None:
    assert _cells("Filters") == [made.name for made in CHAIN]


def test_resources_are_all_there_are() -> None:
    assert set(_cells("Resources", column=1)) == {kind.url.rpartition(".")[2] for kind in TYPES}


def test_tests_of_the_threat_model_exist() -> None:
    text = "\n".join(_THREATS.prose)
    named = re.findall(r"`(tests/[^`]+)`", text)
    assert named
    assert [name for name in named if not _exists(name)] == []


def _exists(name: str) -> bool:
    """Whether there is such a file or folder, and in a file such a test; ``test_x_*`` is any that begins like this."""
    file, _, function = name.partition("::")
    path = ROOT / file
    if not path.is_file():
        return path.exists() and not function
    definition = f"def {function}(".removesuffix("*(")
    return definition in path.read_text(encoding="utf-8")


def test_every_present_threat_names_a_test() -> None:
    sections = "\n".join(_THREATS.prose).partition("## Known limits")[0].split("\n### ")[1:]
    present = [section for section in sections if section.split("\n")[2].startswith("Now")]
    assert present
    assert [section.split("\n")[0] for section in present if "`tests/" not in section] == []


def test_every_attack_is_tied_to_its_threat() -> None:
    """The tests ``test_attack_NN_...`` stand under the threat of that number."""
    sections = "\n".join(_THREATS.prose).split("\n### ")[1:]
    threats = {int(section.partition(".")[0]): section for section in sections}
    for path in (ROOT / "tests").rglob("test_attack*.py"):
        for number in set(re.findall(r"def test_attack_(\d+)_", path.read_text(encoding="utf-8"))):
            assert f"`{path.relative_to(ROOT)}::test_attack_{number}_*`" in threats[int(number)]

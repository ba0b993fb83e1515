"""The golden cases: inputs as people write them, outputs as the program prints them.

In: ``tests/golden/<feature>/<case>/in.yaml``, manifests as kubectl would take them. Out, beside it: ``routes.yaml``
(the routes), ``envoy/<Type>.json`` (Envoy's resources that an empty input would not have) and ``problems.txt`` (what
standard error shows). A case that needs settings begins with a document of the kind ``GoldenSettings``, whose keys are
the names of flags; the program never sees it.

``python -m tests.golden_suite`` writes every output again and removes what no input makes.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ingress_controller import app, strict_yaml
from ingress_controller.settings import Settings

ROOT = Path(__file__).with_name("golden")
INPUT = "in.yaml"
ROUTES = "routes.yaml"
PROBLEMS = "problems.txt"

_SETTINGS = b"kind: GoldenSettings\n"
_SEPARATOR = b"---\n"
# Where authorities are differs between machines, and is no part of a case.
_CA_FILE = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True, slots=True)
class Case:
    """One input.

    Attributes:
        name: ``feature/case``.
        directory: where its files are.
        flags: the settings that its first document asks for.
        manifests: what the program reads, line for line as in the file.
    """

    name: str
    directory: Path
    flags: Mapping[str, Any] = field(hash=False)
    manifests: bytes

    def settings(self, **more: Any) -> Settings:
        """The settings of the case, and more that is no part of it."""
        return Settings(**{"upstream_ca_file": _CA_FILE, **self.flags, **more})


def load(directory: Path) -> Case:
    """Read the input of a case."""
    written = (directory / INPUT).read_bytes()
    name = f"{directory.parent.name}/{directory.name}"
    if not written.startswith(_SETTINGS):
        return Case(name, directory, {}, written)
    asked, separator, manifests = written.partition(b"\n" + _SEPARATOR)
    flags = {key.replace("-", "_"): value for key, value in strict_yaml.load(asked.decode()).items() if key != "kind"}
    # An empty document in its place keeps the numbers of lines and documents that messages name.
    blank = _SEPARATOR + b"\n" * asked.count(b"\n") + (separator and _SEPARATOR)
    return Case(name, directory, flags, blank + manifests)


def cases(root: Path = ROOT) -> list[Case]:
    """All cases, by name.

    Raises:
        ValueError: an input is where no case can be; it would look like an output that nothing makes.
    """
    files = sorted(root.rglob(INPUT))
    if misplaced := [str(file) for file in files if len(file.relative_to(root).parts) != 3]:
        raise ValueError(f"a case is {root}/<feature>/<case>/{INPUT}, which these are not: {', '.join(misplaced)}")
    return [load(file.parent) for file in files]


def render(case: Case) -> dict[str, str]:
    """The outputs of a case: their paths in its directory, and their text."""
    translation = _translate(case.manifests, case.settings())
    resources: dict[str, dict[str, Any]] = json.loads(translation.envoy_json)
    empty = _empty(case.settings())
    outputs = {ROUTES: translation.routes_yaml}
    for kind, named in resources.items():
        if own := {name: value for name, value in named.items() if empty[kind].get(name) != value}:
            outputs[f"envoy/{kind}.json"] = json.dumps(own, indent=2, ensure_ascii=False) + "\n"
    if translation.problems:
        outputs[PROBLEMS] = "".join(f"{problem}\n" for problem in translation.problems)
    return outputs


def on_disk(case: Case) -> dict[str, str]:
    """The outputs as they were last accepted."""
    files = (path for path in sorted(case.directory.rglob("*")) if path.is_file() and path.name != INPUT)
    return {str(file.relative_to(case.directory)): file.read_text() for file in files}


def orphans(root: Path = ROOT) -> list[Path]:
    """Files that belong to no case; outputs of a case are compared with what it makes."""
    directories = [case.directory for case in cases(root)]
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return [file for file in files if not any(file.is_relative_to(directory) for directory in directories)]


def rewrite(root: Path = ROOT) -> Iterator[str]:
    """Make the files what the inputs make of them now. Yields the path of each file that changed."""
    for case in cases(root):
        outputs, before = render(case), on_disk(case)
        for name in sorted(outputs.keys() | before.keys()):
            file = case.directory / name
            if outputs.get(name) == before.get(name):
                continue
            if name in outputs:
                file.parent.mkdir(exist_ok=True)
                file.write_text(outputs[name])
            else:
                file.unlink()
            yield str(file.relative_to(root))
    for orphan in orphans(root):
        orphan.unlink()
        yield str(orphan.relative_to(root))
    # The deepest first: what only held empty directories is empty then.
    for directory in sorted((path for path in root.rglob("*") if path.is_dir()), reverse=True):
        if not any(directory.iterdir()):
            directory.rmdir()


def _translate(manifests: bytes, settings: Settings) -> app.Translation:
    with TemporaryDirectory() as temporary:
        file = Path(temporary, INPUT)
        file.write_bytes(manifests)
        made = app.translate_manifests([file], settings)
    problems = tuple(problem.replace(str(file), INPUT) for problem in made.problems)
    return app.Translation(made.routes_yaml, made.envoy_json, problems)


@cache
def _empty(settings: Settings) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(_translate(b"", settings).envoy_json)
    return made


if __name__ == "__main__":
    for changed in rewrite():
        sys.stdout.write(f"{changed}\n")

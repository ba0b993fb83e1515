"""Objects from directories of manifests, as they are edited.

In: directories (or single files). Out: one batch with everything in them, then one for each moment at which files
changed. A file that cannot be read as a whole keeps its last good objects, as a cluster would; an object that is
given twice is taken from the first file, in the order of their paths.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import watchfiles

from ingress_controller.model.reference import ObjectRef
from ingress_controller.objects.change import Batch, Change
from ingress_controller.objects.read import Malformed
from ingress_controller.objects.views import KubernetesObject
from ingress_controller.sources import manifests

_SUFFIXES = frozenset({".yaml", ".yml", ".json"})
_MAX_BYTES = 64 << 20


class Directory:
    """The manifests under some directories, hidden files and folders left out."""

    def __init__(self, directories: Iterable[Path]) -> None:
        self._directories = tuple(directories)
        self._files: dict[Path, _File] = {}
        self._objects: dict[ObjectRef, KubernetesObject] = {}
        self._duplicates: list[Malformed] = []

    async def run(self, emit: Callable[[Batch], None]) -> None:
        """Emit the state of the directories, and each change of it, until cancelled."""
        emit(self.read(synced=True))
        # It yields each second as well: what was written before the watch was in place is found then.
        async for _ in watchfiles.awatch(
            *self._directories, debounce=200, step=50, rust_timeout=1000, yield_on_timeout=True
        ):
            batch = self.read()
            if batch.changes or batch.malformed:
                emit(batch)

    def read(self, *, synced: bool = False) -> Batch:
        """Read what has changed since the last call."""
        files = {path: self._read(path) for path in sorted(set(manifest_files(self._directories)))}
        objects, duplicates = _merge(files)
        changed = [ref for ref in objects.keys() | self._objects.keys() if objects.get(ref) != self._objects.get(ref)]
        malformed = [bad for path, file in files.items() for bad in file.malformed if file != self._files.get(path)]
        malformed += [duplicate for duplicate in duplicates if duplicate not in self._duplicates]
        self._files, self._objects, self._duplicates = files, objects, duplicates
        return Batch(tuple(Change(ref, objects.get(ref)) for ref in sorted(changed)), tuple(malformed), synced)

    def _read(self, path: Path) -> "_File":
        before = self._files.get(path)
        try:
            stat = path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if before and before.stamp == stamp:
                return before
            if stat.st_size > _MAX_BYTES:
                raise OSError(f"larger than {_MAX_BYTES} bytes")  # noqa: TRY301 (one place says that a file is not read)
            found = list(manifests.parse(path.read_bytes(), str(path)))
        except OSError as error:
            found, stamp = [Malformed(str(path), f"cannot be read: {error.strerror or error}")], (0, 0, 0)
        good = tuple(item for item in found if not isinstance(item, Malformed))
        bad = tuple(item for item in found if isinstance(item, Malformed))
        return _File(stamp, _keep_last_good(before, good, bad), bad)


@dataclass(frozen=True, slots=True)
class _File:
    """What a file held when it was last read."""

    stamp: tuple[int, int, int]
    objects: tuple[KubernetesObject, ...]
    malformed: tuple[Malformed, ...]


def _keep_last_good(
    before: _File | None, good: tuple[KubernetesObject, ...], bad: tuple[Malformed, ...]
) -> tuple[KubernetesObject, ...]:
    """The objects of a file. Those that were in it and may still be, in the part that is unreadable, stay."""
    if before is None or not bad:
        return good
    present = {found.ref for found in good}
    lost = {problem.ref for problem in bad}
    unreadable = None in lost
    kept = (old for old in before.objects if old.ref not in present and (unreadable or old.ref in lost))
    return (*good, *kept)


def _merge(files: dict[Path, _File]) -> tuple[dict[ObjectRef, KubernetesObject], list[Malformed]]:
    objects: dict[ObjectRef, KubernetesObject] = {}
    owners: dict[ObjectRef, Path] = {}
    duplicates: list[Malformed] = []
    for path, file in files.items():
        for found in file.objects:
            if found.ref in objects:
                counts = "the first" if owners[found.ref] == path else f"the one in {owners[found.ref]}"
                message = f"{found.ref} is given twice; {counts} counts"
                duplicates.append(Malformed(str(path), message, found.ref))
            else:
                objects[found.ref], owners[found.ref] = found, path
    return objects, duplicates


def manifest_files(directories: Iterable[Path]) -> Iterator[Path]:
    """The files of manifests: those that are given, and those under the directories that are."""
    for given in directories:
        if given.is_file():
            yield given
        # A folder that goes away meanwhile is passed over, unlike with Path.rglob.
        for folder, folders, files in os.walk(given):
            # A mounted ConfigMap keeps its files in ..data and shows them as links.
            folders[:] = [name for name in folders if not name.startswith(".")]
            yield from (
                Path(folder, name) for name in files if not name.startswith(".") and Path(name).suffix in _SUFFIXES
            )

"""Directories of manifests: what is emitted, when files change in every way that files do."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ingress_controller.model.reference import ObjectRef
from ingress_controller.objects.change import Batch
from ingress_controller.sources.directory import Directory
from tests.manifests import CLASS, documents, make_ingress, make_service

WEB = ObjectRef("Service", "default", "web")
API = ObjectRef("Service", "default", "api")


def changes(batch: Batch) -> dict[ObjectRef, bool]:
    """Whether each object that changed is there now."""
    return {change.ref: change.object is not None for change in batch.changes}


def messages(batch: Batch) -> list[str]:
    return [malformed.message for malformed in batch.malformed]


def test_everything_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.yaml").write_text(documents(CLASS, make_service("web")))
    (tmp_path / "sub" / "b.yml").write_text(make_service("api"))
    (tmp_path / "c.json").write_text(make_ingress("i", "a.test"))
    directory = Directory([tmp_path])
    first = directory.read(synced=True)
    assert first.synced
    assert [ref.name for ref in changes(first)] == ["i", "pomerium", "api", "web"]
    assert directory.read() == Batch()


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".hidden").mkdir()
    for name in (".a.yaml", "a.yaml~", "a.yaml.swp", "README.md", "a", ".hidden/a.yaml"):
        (tmp_path / name).write_text("not YAML: [")
    (tmp_path / "folder.yaml").mkdir()
    assert Directory([tmp_path]).read() == Batch()


def test_only_what_changed_is_emitted(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(documents(make_service("web"), make_service("api")))
    directory = Directory([tmp_path])
    directory.read()
    file.write_text(documents(make_service("web", port=81), make_service("api")) + "\n# a comment")
    assert changes(directory.read()) == {WEB: True}
    file.write_text(make_service("web", port=81))
    assert changes(directory.read()) == {API: False}
    file.unlink()
    assert changes(directory.read()) == {WEB: False}


def test_object_that_moves_to_another_file_does_not_change(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(make_service("web"))
    directory = Directory([tmp_path])
    directory.read()
    (tmp_path / "a.yaml").rename(tmp_path / "b.yaml")
    assert directory.read() == Batch()


def test_same_size_and_time_but_another_file(tmp_path: Path) -> None:
    file, other = tmp_path / "a.yaml", tmp_path / "draft"
    file.write_text(make_service("web", port=80))
    directory = Directory([tmp_path])
    directory.read()
    other.write_text(make_service("web", port=81))
    stat = file.stat()
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(file)
    assert changes(directory.read()) == {WEB: True}


@pytest.mark.parametrize("broken", [b"[", b"\xff", b"a: b\n c: d", b"text"])
def test_unreadable_file_keeps_its_last_good_objects(tmp_path: Path, broken: bytes) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(make_service("web"))
    directory = Directory([tmp_path])
    directory.read()
    file.write_bytes(broken)
    batch = directory.read()
    assert (changes(batch), len(messages(batch))) == ({}, 1)
    assert batch.malformed[0].where == str(file)
    assert directory.read() == Batch()
    file.write_text(make_service("api"))
    assert changes(directory.read()) == {WEB: False, API: True}


def test_unreadable_document_keeps_its_own_object_only(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(documents(make_service("web"), make_service("api"), make_service("gone")))
    directory = Directory([tmp_path])
    directory.read()
    file.write_text(documents(make_service("web").replace("80", '"x"'), make_service("api", port=81)))
    batch = directory.read()
    assert changes(batch) == {API: True, ObjectRef("Service", "default", "gone"): False}
    assert [malformed.ref for malformed in batch.malformed] == [WEB]


def test_file_that_is_unreadable_from_the_start(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("[")
    (tmp_path / "b.yaml").write_text(make_service("web"))
    batch = Directory([tmp_path]).read()
    assert (changes(batch), len(batch.malformed)) == ({WEB: True}, 1)


def test_link_to_nowhere(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to(tmp_path / "nothing")
    batch = Directory([tmp_path]).read()
    assert messages(batch) == ["cannot be read: No such file or directory"]


def test_object_given_twice_counts_where_it_is_first(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text(make_service("web", port=80))
    second.write_text(make_service("web", port=81))
    directory = Directory([tmp_path])
    batch = directory.read()
    assert [port.port for change in batch.changes for port in change.object.spec.ports] == [80]  # type: ignore[union-attr]
    assert [(bad.where, bad.message) for bad in batch.malformed] == [
        (str(second), f"Service default/web is given twice; the one in {first} counts")
    ]
    assert directory.read() == Batch()
    first.unlink()
    assert changes(directory.read()) == {WEB: True}
    first.write_text(documents(make_service("web"), make_service("web")))
    assert messages(directory.read())[0] == "Service default/web is given twice; the first counts"


def test_mounted_config_map(tmp_path: Path) -> None:
    """Its files are links through one link, which is replaced for a change."""
    for number in (1, 2):
        (tmp_path / f"..{number}").mkdir()
        (tmp_path / f"..{number}" / "a.yaml").write_text(make_service("web", port=number))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")
    directory = Directory([tmp_path])
    assert (changes(directory.read()), directory.read()) == ({WEB: True}, Batch())
    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").replace(tmp_path / "..data")
    assert changes(directory.read()) == {WEB: True}


def test_several_directories_and_single_files(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.yaml").write_text(make_service("web"))
    single = tmp_path / "manifest.txt"
    single.write_text(make_service("api"))
    assert set(changes(Directory([tmp_path / "one", single]).read())) == {WEB, API}
    # A folder given twice, or inside another, is read once.
    assert messages(Directory([tmp_path, tmp_path / "one"]).read()) == []


@asynccontextmanager
async def watched(*directories: Path) -> AsyncIterator[asyncio.Queue[Batch]]:
    batches = asyncio.Queue[Batch]()
    task = asyncio.create_task(Directory(directories).run(batches.put_nowait))
    try:
        yield batches
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def next_batch(batches: asyncio.Queue[Batch]) -> Batch:
    async with asyncio.timeout(20):
        return await batches.get()


async def test_edits_are_noticed(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(make_service("web"))
    async with watched(tmp_path) as batches:
        first = await next_batch(batches)
        assert (first.synced, changes(first)) == (True, {WEB: True})
        # In place, by another file in its place, in a new folder, and removed.
        file.write_text(make_service("web", port=81))
        assert changes(await next_batch(batches)) == {WEB: True}
        (tmp_path / "draft").write_text(make_service("web", port=82))
        (tmp_path / "draft").replace(file)
        assert changes(await next_batch(batches)) == {WEB: True}
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "b.yaml").write_text(make_service("api"))
        assert changes(await next_batch(batches)) == {API: True}
        file.unlink()
        later = await next_batch(batches)
        assert (later.synced, changes(later)) == (False, {WEB: False})


async def test_edit_between_the_first_look_and_the_watch_is_noticed(tmp_path: Path) -> None:
    async with watched(tmp_path) as batches:
        assert await next_batch(batches) == Batch(synced=True)
        # The watch may not be in place yet: nothing was awaited since the first batch.
        (tmp_path / "a.yaml").write_text(make_service("web"))
        assert changes(await next_batch(batches)) == {WEB: True}


async def test_mistake_is_emitted_without_changes(tmp_path: Path) -> None:
    async with watched(tmp_path) as batches:
        await next_batch(batches)
        (tmp_path / "a.yaml").write_text("[")
        batch = await next_batch(batches)
        assert (batch.changes, len(batch.malformed)) == ((), 1)

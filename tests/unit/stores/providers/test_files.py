"""Where a key may lead in a folder, and what is seen of changes."""

import os
from pathlib import Path
from typing import Any

import pytest

from keyturn.core.value import Value
from keyturn.stores.providers import Provider
from keyturn.stores.providers.errors import NotFound, Refused, StoreError
from tests.unit.stores.providers.provider_fixtures import opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of secrets below the operator's root, with files beside it and outside."""
    folder = tmp_path / "root" / "secrets"
    folder.mkdir(parents=True)
    (tmp_path / "outside").write_text("outside")
    (tmp_path / "root" / "beside").write_text("beside")
    return folder


@pytest.fixture
def files(folder: Path) -> Provider[Any]:
    return opened("files", {"path": str(folder)}, files_root=folder.parent)


async def failing(provider: Provider[Any], key: str) -> StoreError:
    with pytest.raises(StoreError) as refused:
        await provider.read(key)
    return refused.value


async def test_bytes_come_through_as_they_are(files: Provider[Any], folder: Path) -> None:
    content = b"\xff\x00 binary, with a newline at its end\n"
    (folder / "key").write_bytes(content)
    assert (await files.read("key")).content == Value(content)


@pytest.mark.parametrize("target", ["two", "../beside", "/etc/hostname", "/proc/self/environ"])
async def test_a_link_that_leads_out_of_the_folder_is_refused(
    files: Provider[Any], folder: Path, target: str
) -> None:
    (folder / "two").symlink_to("../../outside")
    (folder / "key").symlink_to(target)
    assert (await failing(files, "key")).code == "OutsideFolder"


async def test_links_inside_are_followed_as_kubernetes_mounts_secrets(
    files: Provider[Any], folder: Path
) -> None:
    (folder / "..2026_11_24").mkdir()
    (folder / "..2026_11_24" / "password").write_text("first")
    (folder / "..data").symlink_to("..2026_11_24")
    (folder / "password").symlink_to("..data/password")
    assert (await files.read("password")).content == Value(b"first")


async def test_the_turn_of_such_a_mount_is_seen(files: Provider[Any], folder: Path) -> None:
    for name in ("..one", "..two"):
        (folder / name).mkdir()
        (folder / name / "password").write_text(name)
    (folder / "..data").symlink_to("..one")
    (folder / "password").symlink_to("..data/password")
    before = await files.read("password")
    (folder / "..new").symlink_to("..two")
    (folder / "..new").rename(folder / "..data")
    after = await files.read("password")
    assert (after.content, after.version != before.version) == (Value(b"..two"), True)


async def test_what_leads_out_is_not_even_opened(
    files: Provider[Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "key").symlink_to("../../outside")
    opened: list[object] = []
    monkeypatch.setattr("os.open", lambda path, *_: opened.append(path))
    await failing(files, "key")
    assert opened == []


async def test_a_folder_that_turns_outside_before_it_is_opened_is_refused(
    files: Provider[Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "..data").mkdir()
    (folder / "..data" / "outside").write_text("inside")
    (folder / "key").symlink_to("..data/outside")
    really = os.open

    def turned(path: str, flags: int) -> int:
        (folder / "..data").rename(folder / "..old")
        (folder / "..data").symlink_to(folder.parent.parent)
        return really(path, flags)

    monkeypatch.setattr("os.open", turned)
    assert (await failing(files, "key")).code == "OutsideFolder"


async def test_a_loop_of_links_ends(files: Provider[Any], folder: Path) -> None:
    (folder / "one").symlink_to("two")
    (folder / "two").symlink_to("one")
    assert isinstance(await failing(files, "one"), StoreError)


@pytest.mark.timeout(10)
async def test_a_pipe_blocks_no_other(files: Provider[Any], folder: Path) -> None:
    os.mkfifo(folder / "key")
    assert (await failing(files, "key")).code == "NoFile"


async def test_a_folder_is_no_key(files: Provider[Any], folder: Path) -> None:
    (folder / "key").mkdir()
    assert isinstance(await failing(files, "key"), Refused)


async def test_a_file_of_more_than_1_mib_is_refused_before_it_is_read(
    files: Provider[Any], folder: Path
) -> None:
    with (folder / "key").open("wb") as file:
        file.truncate(50 * 1024 * 1024)
    assert (await failing(files, "key")).code == "TooLarge"


async def test_a_file_of_1_mib_is_read(files: Provider[Any], folder: Path) -> None:
    (folder / "key").write_bytes(b"x" * 1024 * 1024)
    assert (await files.read("key")).version


@pytest.mark.parametrize("path", ["/etc", "/", "/run/../etc"])
async def test_a_folder_elsewhere_is_refused(folder: Path, path: str) -> None:
    elsewhere = opened("files", {"path": path}, files_root=folder.parent)
    assert (await failing(elsewhere, "hostname")).code == "OutsideFilesRoot"


async def test_a_folder_that_is_a_link_out_of_the_root_is_refused(folder: Path) -> None:
    (folder.parent / "link").symlink_to(folder.parent.parent)
    linked = opened("files", {"path": str(folder.parent / "link")}, files_root=folder.parent)
    assert (await failing(linked, "outside")).code == "OutsideFilesRoot"


async def test_without_a_root_no_file_is_read(folder: Path) -> None:
    (folder / "key").write_text("x")
    assert (await failing(opened("files", {"path": str(folder)}), "key")).code == "NoFilesRoot"


async def test_a_folder_that_is_not_mounted_yet_is_not_found(folder: Path) -> None:
    absent = opened("files", {"path": str(folder / "later")}, files_root=folder.parent)
    assert isinstance(await failing(absent, "key"), NotFound)

"""What was backed up comes back with the same values, and only to whom it was meant for."""

import os
import secrets
import stat
from pathlib import Path
from typing import Any

import pytest

from keyturn.checklist.backup import decrypt, identities_in
from tests.cluster.checklist.audit_command import audited
from tests.cluster.namespace import Space, bytes_, literal, password
from tests.leaks.scan import leaks
from tests.support.console import Console
from tests.unit.checklist.test_backup import Recipient, new_recipient


@pytest.fixture
def keeper(tmp_path: Path) -> Recipient:
    return new_recipient(tmp_path / "keeper.txt")


@pytest.fixture
def file(space: Space, console: Console, keeper: Recipient, tmp_path: Path) -> Path:
    """A backup of two ManagedSecrets."""
    space.managed(password(), bytes_(), literal("user", "shop"))
    space.managed(password(), name="other")
    path = tmp_path / "backup.age"
    console("backup", "--recipient", keeper.recipient, "--output", str(path))
    return path


def secrets_in(space: Space) -> list[str]:
    return [one["metadata"]["name"] for one in space.objects.all("Secret", space.namespace)]


def test_a_backup_is_for_its_recipients_and_its_owner_only(
    file: Path, space: Space, keeper: Recipient
) -> None:
    content = file.read_bytes()
    revealed = [value.reveal() for value in space.values().values()]

    assert content.startswith(b"age-encryption.org/v1\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert leaks(revealed, {"the file": content}) == set()
    assert set(decrypt(content, identities_in(keeper.identity.read_bytes())).states) == {
        "auth-keyturn",
        "other-keyturn",
    }


def test_what_is_restored_elsewhere_has_the_same_values(
    file: Path, space: Space, other: Space, console: Console, keeper: Recipient
) -> None:
    there = Console(console.kubeconfig, other.namespace)
    there("restore", str(file), "--identity", str(keeper.identity))

    other.managed(password(), bytes_(), literal("user", "shop"))

    same = {key: value == space.values()[key] for key, value in other.values().items()}
    assert same == {"password": True, "token": True, "user": True}


def test_a_restore_writes_over_nothing(file: Path, space: Space, console: Console, keeper: Recipient) -> None:
    before = space.version("Secret", "auth-keyturn")

    refused = console.refusal("restore", str(file), "--identity", str(keeper.identity))

    assert "name an empty namespace" in refused
    assert space.version("Secret", "auth-keyturn") == before


def test_a_restore_that_fails_half_way_leaves_nothing(
    file: Path, other: Space, console: Console, keeper: Recipient
) -> None:
    foreign = {"kind": "Secret", "metadata": {"name": "other-keyturn"}, "data": {"a": "Yg=="}}
    other.create(foreign)
    there = Console(console.kubeconfig, other.namespace)

    refused = there.refusal("restore", str(file), "--identity", str(keeper.identity))

    assert "other-keyturn cannot be created" in refused
    assert secrets_in(other) == ["other-keyturn"]
    assert other.get("Secret", "other-keyturn")["data"] == foreign["data"]


# The drill


def drill(console: Console, file: Path, keeper: Recipient, other: Space) -> Any:
    options = ("--backup", str(file), "--identity", str(keeper.identity), "--drill", other.namespace)
    return audited(console, "--only", "recovery", *options)


def test_a_drill_proves_the_recovery_and_leaves_nothing(
    file: Path, other: Space, console: Console, keeper: Recipient
) -> None:
    done = drill(console, file, keeper, other)

    assert done.code == 0
    assert "the values of 2 ManagedSecrets came back as they are" in done.found("Pass")[0][1]
    assert secrets_in(other) == []


def test_a_drill_finds_what_the_backup_does_not_have(
    file: Path, space: Space, other: Space, console: Console, keeper: Recipient
) -> None:
    space.rotated()
    space.managed(name="new")

    done = drill(console, file, keeper, other)

    assert done.code == 1
    assert dict(done.found("Fail")) == {
        f"{space.namespace}/auth-keyturn": ("the backup has revision 1, the cluster 2, with other values"),
        f"{space.namespace}/new-keyturn": "the backup does not have it",
    }
    assert secrets_in(other) == []


def test_a_drill_into_a_namespace_in_use_touches_nothing(
    file: Path, space: Space, console: Console, keeper: Recipient
) -> None:
    before = {name: space.version("Secret", name) for name in secrets_in(space)}

    done = drill(console, file, keeper, space)

    assert done.code == 2
    assert {name: space.version("Secret", name) for name in secrets_in(space)} == before


def test_a_drill_without_the_right_to_it_is_said(
    file: Path, other: Space, viewer: Console, keeper: Recipient
) -> None:
    done = drill(viewer, file, keeper, other)

    assert done.code == 2
    assert "you may not list secrets" in done.found("Unknown")[0][1]


# Bad input


def test_an_existing_file_is_not_written_over(console: Console, keeper: Recipient, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("mine")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")

    for path in (there, link):
        assert "already" in console.refusal("backup", "--recipient", keeper.recipient, "--output", str(path))
    assert there.read_text() == "mine"
    assert not link.exists()


def test_a_namespace_without_values_is_no_backup(
    other: Space, console: Console, keeper: Recipient, tmp_path: Path
) -> None:
    there = Console(console.kubeconfig, other.namespace)

    refused = there.refusal("backup", "--recipient", keeper.recipient, "--output", str(tmp_path / "b.age"))

    assert "has no values that Keyturn made" in refused
    assert not (tmp_path / "b.age").exists()


@pytest.mark.parametrize("what", ["another key", "cut off", "changed", "no age file"])
def test_what_cannot_be_opened_is_one_sentence(
    what: str, file: Path, other: Space, console: Console, keeper: Recipient, tmp_path: Path
) -> None:
    content, identity = file.read_bytes(), keeper.identity
    if what == "another key":
        identity = new_recipient(tmp_path / "other").identity
    changed = {"cut off": content[:-20], "changed": content[:-1] + b"\0", "no age file": b"a: 1\n"}
    file.write_bytes(changed.get(what, content))
    there = Console(console.kubeconfig, other.namespace)

    refused = there.refusal("restore", str(file), "--identity", str(identity))

    assert "age file" in refused
    assert secrets_in(other) == []


@pytest.mark.parametrize("path", ["nowhere", "folder", "pipe"])
def test_a_file_that_cannot_be_read_is_said(
    path: str, console: Console, keeper: Recipient, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")

    for file, identity in ((path, keeper.identity.name), (keeper.identity.name, path)):
        console.refusal("restore", str(tmp_path / file), "--identity", str(tmp_path / identity))


def test_a_drill_takes_all_of_its_options(console: Console, tmp_path: Path) -> None:
    done = audited(console, "--backup", str(tmp_path / "x"))

    assert done.code == 2
    assert "a drill takes all of" in done.errors


def test_no_word_of_a_backup_is_a_value(
    space: Space, other: Space, console: Console, keeper: Recipient, tmp_path: Path
) -> None:
    canary = secrets.token_urlsafe(32)
    space.managed(literal("given", canary), password())
    there = Console(console.kubeconfig, other.namespace)
    path = tmp_path / "b.age"
    said = console.run("backup", "--recipient", keeper.recipient, "--output", str(path))
    drilled = drill(console, path, keeper, other)
    restored = there.run("restore", str(path), "--identity", str(keeper.identity))
    texts = (said.stdout + said.stderr, restored.stdout + restored.stderr, drilled.printed + drilled.errors)
    values = [canary.encode(), *(value.reveal() for value in space.values().values())]

    assert (said.returncode, restored.returncode, drilled.code) == (0, 0, 0)
    assert leaks(values, {str(place): text.encode() for place, text in enumerate(texts)}) == set()
    assert leaks([keeper.identity.read_bytes().split()[-1]], {"said": "".join(texts).encode()}) == set()

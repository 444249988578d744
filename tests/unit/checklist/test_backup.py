"""What was backed up comes back with the same values, and only to whom it was meant for."""

import base64
import json
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyrage
import pytest

from keyturn.checklist.backup import Backup, NoBackup, decrypt, encrypt, identities_in, recipients_of
from keyturn.core.keys import ObjectKey
from keyturn.core.state.records import Revision
from keyturn.kube.state_secret import state_body
from tests.unit.core import builders


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who may open a backup."""

    recipient: str
    identity: Path


@pytest.fixture
def keeper(tmp_path: Path) -> Recipient:
    return new_recipient(tmp_path / "keeper.txt")


def new_recipient(path: Path) -> Recipient:
    identity = pyrage.x25519.Identity.generate()
    path.write_text(f"# created: today\n# public key: {identity.to_public()}\n{identity}\n")
    return Recipient(str(identity.to_public()), path)


@pytest.mark.parametrize(
    "written", ["", "age1", "ssh-rsa x", "AGE-SECRET-KEY-1ABC", "-----BEGIN", "me@shop.test"]
)
def test_a_recipient_that_is_none_is_named_by_its_place(written: str, keeper: Recipient) -> None:
    with pytest.raises(NoBackup, match="recipient 2 is no public key") as refused:
        recipients_of([keeper.recipient, written])

    assert refused.value.__context__ is None


def test_a_file_with_thousands_of_recipients_is_not_tried(keeper: Recipient) -> None:
    stanza = b"-> X25519 " + b"A" * 43 + b"\n" + b"A" * 43 + b"\n"
    hostile = b"age-encryption.org/v1\n" + stanza * 200_000 + b"--- " + b"A" * 43 + b"\n"

    with pytest.raises(NoBackup, match="it names more than 1000 recipients"):
        decrypt(hostile, identities_in(keeper.identity.read_bytes()))


def test_a_key_of_ssh_opens_what_is_for_it(tmp_path: Path) -> None:
    path = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True, timeout=20)
    recipients = recipients_of([(tmp_path / "id.pub").read_text()])

    closed = pyrage.encrypt(b"[]", recipients)

    with pytest.raises(NoBackup, match="not one that keyturn backup has written"):
        decrypt(closed, identities_in(path.read_bytes()))


@pytest.mark.parametrize("form", ["RFC4716", "PEM", "PKCS8"])
def test_a_key_with_a_passphrase_is_refused_with_the_way_to_open_it(form: str, tmp_path: Path) -> None:
    path = tmp_path / "id"
    make = ["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-m", form, "-N", "a passphrase", "-f", str(path)]
    subprocess.run(make, check=True, timeout=60)
    closed = pyrage.encrypt(b"[]", recipients_of([(tmp_path / "id.pub").read_text()]))

    with pytest.raises(
        NoBackup, match="protected by a passphrase: copy the file, run `ssh-keygen -p"
    ) as refused:
        identities_in(path.read_bytes())

    assert refused.value.__context__ is None
    remedy = ["ssh-keygen", "-q", "-p", "-P", "a passphrase", "-N", "", "-f", str(path)]
    subprocess.run(remedy, check=True, timeout=60, stdout=subprocess.DEVNULL)
    with pytest.raises(NoBackup, match="not one that keyturn backup has written"):
        decrypt(closed, identities_in(path.read_bytes()))


def test_an_identity_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True, timeout=20)
    identity = pyrage.x25519.Identity.generate()

    for content in (f"{identity}\r\n".encode(), path.read_bytes()):
        assert len(identities_in(b"\xef\xbb\xbf" + content)) == 1


def readable() -> str:
    """Return a state as the operator writes it."""
    return str(
        state_body(ObjectKey("shop", "auth"), builders.record((builders.revision(), Revision({}))), None, "")[
            "data"
        ]["state"]
    )


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("odd-keyturn", {}),
        ("odd-keyturn", {"data": None}),
        ("odd-keyturn", {"data": {"other": "eA=="}}),
        ("odd-keyturn", {"data": {"state": base64.b64encode(b"garbage").decode()}}),
        ("odd", {"data": {"state": readable()}}),
        ("-keyturn", {"data": {"state": readable()}}),
    ],
    ids=str,
)
def test_a_backup_names_what_it_could_not_restore(name: str, data: dict[str, Any], keeper: Recipient) -> None:
    bodies = [
        {"metadata": {"name": "auth-keyturn"}, "data": {"state": readable()}},
        {"metadata": {"name": name}} | data,
    ]

    taken = Backup.of("shop", datetime.now(UTC), bodies)

    assert taken.left_out == (name,)
    restored = decrypt(
        encrypt(taken, recipients_of([keeper.recipient])), identities_in(keeper.identity.read_bytes())
    )
    assert restored.states == {"auth-keyturn": readable()}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"# nothing\n",
        b"AGE-SECRET-KEY-1WRONG",
        b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n",
    ],
    ids=["empty", "bytes", "comment", "broken", "broken SSH"],
)
def test_an_identity_that_is_none_is_said_without_its_content(content: bytes) -> None:
    with pytest.raises(NoBackup, match="holds no secret key") as refused:
        identities_in(content)

    assert refused.value.__context__ is None


def state() -> str:
    """A state as a stranger could write it, of the form that this version reads."""
    return base64.b64encode(b'{"format": 99, "revisions": []}').decode()


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        json.dumps({"format": 2, "namespace": "shop", "taken": "", "states": {}}).encode(),
        json.dumps({"format": 1, "namespace": "../x", "taken": "", "states": {}}).encode(),
        json.dumps({"format": 1, "namespace": "shop", "taken": "", "states": []}).encode(),
        json.dumps({"format": 1, "namespace": "shop", "taken": "", "states": {"x": state()}}).encode(),
        json.dumps({"format": 1, "namespace": "shop", "taken": "", "states": {"-keyturn": state()}}).encode(),
        json.dumps(
            {"format": 1, "namespace": "shop", "taken": "", "states": {"a/b-keyturn": state()}}
        ).encode(),
        json.dumps({"format": 1, "namespace": "shop", "taken": "", "states": {"a-keyturn": "#"}}).encode(),
        json.dumps(
            {"format": 1, "namespace": "shop", "taken": "", "states": {"a-keyturn": state()}}
        ).encode(),
        json.dumps({"format": 1, "namespace": "shop", "taken": "", "states": {"a-keyturn": 7}}).encode(),
    ],
)
def test_nothing_but_states_comes_out_of_a_backup(document: bytes) -> None:
    identity = pyrage.x25519.Identity.generate()

    with pytest.raises(NoBackup) as refused:
        decrypt(pyrage.encrypt(document, [identity.to_public()]), [identity])

    assert refused.value.__context__ is None

"""Backup format: the state Secrets of a namespace in an age file, encrypted to the named recipients."""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from keyturn.core.errors import Stalled
from keyturn.core.labels import KEYTURN, MANAGED_BY, OWNER_LABEL, STATE_TYPE
from keyturn.kube.state_secret import state_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from keyturn.core.state.state import State
    from keyturn.kube.client import Body

__all__ = ["Backup", "NoBackup", "decrypt", "encrypt", "identities_in", "recipients_of"]

_FORMAT: Final = 1
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_IDENTITY: Final = "AGE-SECRET-KEY-1"
_LOCKED: Final = "must be decrypted"
"""In the message of the age library about an SSH key."""
_PROTECTED: Final = (
    'its SSH key is protected by a passphrase: copy the file, run `ssh-keygen -p -N "" -f COPY`, name the copy, and'
    " delete it afterwards; for the next backup use a key without one, as age-keygen makes it"
)
_MAX_RECIPIENTS: Final = 1000
_STATE_KEY: Final = "state"
_SUFFIX: Final = "-keyturn"
_NO_READER: Final = (
    "age files are written and read by the package pyrage, which the operator's image leaves out; elsewhere install"
    " keyturn[cli]"
)


class NoBackup(Exception):  # noqa: N818  # it says what to do, not what went wrong
    """Why a backup or restore is not possible."""


class _UnreadableStateError(Exception):
    """A state in a backup cannot be parsed; the argument is its name."""


@dataclass(frozen=True, slots=True)
class Backup:
    """The state Secrets of one namespace at one time."""

    namespace: str
    taken: datetime | str
    states: dict[str, str]
    """Content of each Secret by name, in base64: all values, and the handled triggers."""
    left_out: tuple[str, ...] = ()
    """Names of Secrets that no version could restore from it: they were edited, or are of a newer version."""

    @classmethod
    def of(cls, namespace: str, taken: datetime, bodies: Iterable[Body]) -> Backup:
        """Build a backup from state Secrets, without those that cannot be read."""
        states: dict[str, str] = {}
        left_out: list[str] = []
        for body in bodies:
            name = body["metadata"]["name"]
            if _is_restorable(body):
                states[name] = body["data"][_STATE_KEY]
            else:
                left_out.append(name)
        return cls(namespace, taken, states, tuple(left_out))

    def body(self, name: str, namespace: str) -> Body:
        """Return a Secret for another namespace, without an owner until its ManagedSecret exists."""
        labels = {OWNER_LABEL: name.removesuffix(_SUFFIX), MANAGED_BY: KEYTURN}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "type": STATE_TYPE,
            "data": {_STATE_KEY: self.states[name]},
        }

    def state(self, name: str) -> State:
        return state_of(self.body(name, self.namespace))


def encrypt(backup: Backup, recipients: Sequence[Any]) -> bytes:
    """Encrypt a backup to its recipients."""
    document = {
        "format": _FORMAT,
        "namespace": backup.namespace,
        "taken": backup.taken,
        "states": backup.states,
    }
    return bytes(_age().encrypt(orjson.dumps(document), list(recipients)))


def decrypt(content: bytes, identities: Sequence[Any]) -> Backup:
    """Decrypt and validate a backup: it has only state Secrets that this version can parse.

    Raises:
        NoBackup: These identities cannot decrypt it, it is invalid or too large, or the age library is missing.
    """
    age = _age()
    if content.partition(b"\n--- ")[0].count(b"\n-> ") > _MAX_RECIPIENTS:
        raise NoBackup(f"it names more than {_MAX_RECIPIENTS} recipients, each of which would be tried")
    try:
        return _backup(orjson.loads(age.decrypt(content, list(identities))))
    except age.DecryptError:
        reason = (
            "it is not encrypted to this identity, or no age file; name the identity of one of its recipients"
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        reason = "it is an age file, but not one that keyturn backup has written"
    except _UnreadableStateError as unreadable:
        reason = (
            f"the state {unreadable} in it was edited or is of a newer version; restore the backup with the version"
            " of Keyturn that wrote it"
        )
    # Outside the except block, so that no library's message about the content is the context.
    raise NoBackup(reason)


def recipients_of(written: Iterable[str]) -> list[Any]:
    """Parse recipients: public keys of age or SSH.

    Raises:
        NoBackup: One of them is invalid.
    """
    age, found = _age(), []
    for one in written:
        kind = age.ssh if one.startswith("ssh-") else age.x25519
        try:
            found.append(kind.Recipient.from_str(one))
        except age.RecipientError:
            found.append(None)
    if None in found:
        place = found.index(None) + 1
        raise NoBackup(
            f"recipient {place} is no public key of age (age1…) or of SSH (ssh-ed25519 …);"
            " age-keygen makes one and prints it"
        )
    return found


def identities_in(content: bytes) -> list[Any]:
    """Parse the secret keys of a file, as age-keygen or ssh-keygen writes it.

    Raises:
        NoBackup: There is none, or it is protected by a passphrase.
    """
    age, content = _age(), content.removeprefix(codecs.BOM_UTF8)
    lines = [line.strip() for line in content.decode("utf-8", "replace").splitlines()]
    reason = "it holds no secret key of age (AGE-SECRET-KEY-1…) or of SSH (ed25519 or RSA)"
    try:
        if any(line.startswith("-----BEGIN") for line in lines):
            return [age.ssh.Identity.from_buffer(content)]
        found = [age.x25519.Identity.from_str(line) for line in lines if line.startswith(_IDENTITY)]
    except age.IdentityError as error:
        found = []
        if _LOCKED in str(error) or b"ENCRYPTED" in content:
            reason = _PROTECTED
    if found:
        return found
    raise NoBackup(reason)


def _is_restorable(body: Body) -> bool:
    try:
        state_of(body)
    except Stalled:
        return False
    return _is_name_of_state(body["metadata"]["name"])


def _is_name_of_state(name: str) -> bool:
    return name.endswith(_SUFFIX) and len(name) > len(_SUFFIX)


def _age() -> Any:
    """Import the age library, on first use."""
    try:
        import pyrage  # noqa: PLC0415  # a library of its own, which no pod has
    except ModuleNotFoundError:
        raise NoBackup(_NO_READER) from None
    return pyrage


def _backup(document: dict[str, Any]) -> Backup:
    """Validate everything: any holder of a recipient's public key can write such a file."""
    namespace, states = document["namespace"], document["states"]
    if document["format"] != _FORMAT or not isinstance(states, dict):
        raise ValueError("format")
    backup = Backup(_name(namespace), str(document["taken"])[:40], {})
    for name, text in states.items():
        if not _is_name_of_state(_name(name)):
            raise ValueError("name")
        backup.states[name] = _base64(text)
        try:
            backup.state(name)
        except Stalled:
            raise _UnreadableStateError(name) from None
    return backup


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("name")
    return text


def _base64(text: str) -> str:
    try:
        return base64.b64encode(base64.b64decode(text, validate=True)).decode()
    except binascii.Error:
        pass
    raise ValueError("base64")

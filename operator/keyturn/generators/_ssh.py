"""OpenSSH key formats; imported on first use, as cryptography is large."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
    load_ssh_public_key,
)

from keyturn.core.value import Value
from keyturn.runtime import tls

from ._pem import is_ours, is_small, is_sound, one_block

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.serialization.ssh import SSHPublicKeyTypes

    from ._pem import PrivateKey

_AUTHORIZED_KEY = rb"\S+ [A-Za-z0-9+/=]+( [ -~]+)?\n?"


def private_key(key: PrivateKey) -> Value:
    """Return a private key in OpenSSH format, unencrypted."""
    return Value(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))


def public_line(key: PrivateKey, comment: str | None) -> Value:
    """Return the public key as a line of authorized_keys."""
    written = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return Value(written if comment is None else b"%b %b" % (written, comment.encode("ascii")))


def private_key_in(written: Value) -> PrivateKey | None:
    """Return the private key of an OpenSSH PEM; None for anything else."""
    if not one_block(written, "OPENSSH PRIVATE KEY"):
        return None
    try:
        key = load_ssh_private_key(written.reveal(), None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key if is_ours(key) and is_small(key) and is_sound(key) else None


def public_key_in(line: Value) -> SSHPublicKeyTypes | None:
    """Return the public key of an authorized_keys line without options; None for anything else."""
    if len(line.reveal()) > tls.LARGEST_KEY or not re.fullmatch(_AUTHORIZED_KEY, line.reveal()):
        return None
    try:
        key = load_ssh_public_key(line.reveal())
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if is_small(key) else None

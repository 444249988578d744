"""Certificate authorities of one plane, and the certificates that they sign."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

_NO_SERVER = "client.invalid"
"""Name in the certificate of a client: Go rejects one whose list of names is empty."""
_NO_GROUP = "none"
"""Organization in the certificate of a user without a group; Kubernetes takes it as a group."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes

    def write(self, folder: Path, name: str) -> None:
        """Write `name`.crt and `name`.key; only the owner can read the key."""
        (folder / f"{name}.crt").write_bytes(self.certificate)
        write_private(folder / f"{name}.key", self.key)


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority that lives as long as its plane."""

    ca: trustme.CA

    @classmethod
    def new(cls, name: str) -> Self:
        return cls(trustme.CA(path_length=0, organization_unit_name=name))

    @classmethod
    def read(cls, folder: Path, name: str) -> Self:
        """Return the authority whose pair was written as `name`."""
        pem = [(folder / f"{name}.{kind}").read_bytes() for kind in ("crt", "key")]
        return cls(trustme.CA.from_pem(*pem))

    @property
    def pair(self) -> Pair:
        return Pair(self.ca.cert_pem.bytes(), self.ca.private_key_pem.bytes())

    def issue(self, name: str, *, group: str | None = None, names: Iterable[str] = ()) -> Pair:
        """Issue a certificate for `name`, good for a client and, under `names`, for a server."""
        served = list(names) or [_NO_SERVER]
        issued = self.ca.issue_cert(*served, common_name=name, organization_name=group or _NO_GROUP)
        return Pair(issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes())


def new_signing_pair() -> tuple[bytes, bytes]:
    """Return the public and the private PEM of a key that signs service-account tokens."""
    key, pem = ec.generate_private_key(ec.SECP256R1()), serialization.Encoding.PEM
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return public, private


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, from its first byte on."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(content)

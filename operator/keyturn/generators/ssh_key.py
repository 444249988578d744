"""Generator sshKey: SSH keys in OpenSSH format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from keyturn.api.base import Schema, Spelled

from .base import Generator, GeneratorContext, Outputs, is_loaded
from .key_pairs import Ec, Ed25519, Rsa

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.core.policy.rules import Strength

    from .key_pairs import KeyForm

KeyType = Literal["ed25519", "rsa", "ecdsa"]

_FORMS: Mapping[KeyType, KeyForm] = {"ed25519": Ed25519(), "rsa": Rsa(3072), "ecdsa": Ec("P-256")}

Comment = Annotated[
    str,
    Spelled(
        r"^[!-~]([ -~]*[!-~])?$",
        "a comment has printable ASCII characters, such as deploy@shop; write so",
        128,
    ),
]


class SshKeyConfig(Schema):
    """An SSH key pair in OpenSSH format."""

    type: KeyType = "ed25519"
    """The type of the key: ed25519 (the default), rsa of 3072 bits, or ecdsa on P-256."""
    comment: Comment | None = None
    """The comment of the public key, such as deploy@shop; a change appears with the next rotation."""


class SshKey(Generator[SshKeyConfig]):
    """Generates a private key and its line of authorized_keys."""

    kind = "sshKey"
    Config = SshKeyConfig
    outputs = ("privateKey", "publicKey")
    public = frozenset({"publicKey"})

    def generate(self, given: GeneratorContext) -> Outputs:  # noqa: ARG002  # a key needs no other value
        from . import _pem  # noqa: PLC0415  # on first use: cryptography is large

        key = _pem.draw(self._key)
        return {
            "privateKey": _pem.ssh_private_key(key),
            "publicKey": _pem.authorized_key(key, self.config.comment),
        }

    def accepts(self, outputs: Outputs) -> bool:
        """Ignore the comment: a changed one is no reason to replace the key on every server."""
        from . import _pem  # noqa: PLC0415  # on first use: cryptography is large

        if outputs.keys() != set(self.outputs):
            return False
        key = _pem.ssh_private_key_in(outputs["privateKey"])
        public = _pem.ssh_public_key_in(outputs["publicKey"])
        return key is not None and _pem.is_of(self._key, key) and key.public_key() == public

    def adopted(self, found: Outputs) -> Outputs | None:
        from . import _pem  # noqa: PLC0415  # on first use: cryptography is large

        key = _pem.ssh_private_key_in(found["privateKey"]) if "privateKey" in found else None
        line = _pem.authorized_key(key, self.config.comment) if key else None
        return super().adopted({"publicKey": line, **found}) if line else None

    def strength(self) -> Strength:
        return self._key.strength

    @property
    def is_slow(self) -> bool:
        return self.config.type == "rsa" or not is_loaded("_pem")

    @property
    def is_long(self) -> bool:
        return self.config.type == "rsa"

    @property
    def _key(self) -> KeyForm:
        return _FORMS[self.config.type]

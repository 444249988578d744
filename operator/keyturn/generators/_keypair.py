"""Base class of generators of key pairs."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, TypeVar

from keyturn.api.base import Schema

from ._keyforms import Rsa
from .base import Generator, GeneratorContext, Outputs, is_loaded

if TYPE_CHECKING:
    from keyturn.core.policy.strength import Strength

    from ._keyforms import KeyForm, PemForm

C = TypeVar("C", bound=Schema)


class KeyPair(Generator[C]):
    """Generates a private key and its public key as SubjectPublicKeyInfo, both as PEM."""

    outputs = ("privateKey", "publicKey")
    public = frozenset({"publicKey"})

    @property
    @abstractmethod
    def key(self) -> KeyForm:
        """Kind of the key."""

    @property
    def form(self) -> PemForm:
        """Format of the private key."""
        return "PKCS8"

    def generate(self, given: GeneratorContext) -> Outputs:  # noqa: ARG002  # a key needs no other value
        from . import _pem  # noqa: PLC0415  # on first use: cryptography is large

        key = _pem.draw(self.key)
        return {"privateKey": _pem.private_pem(key, self.form), "publicKey": _pem.public_pem(key)}

    def accepts(self, outputs: Outputs) -> bool:
        from . import _pem  # noqa: PLC0415  # on first use: cryptography is large

        if outputs.keys() != set(self.outputs):
            return False
        key = _pem.private_key_in(outputs["privateKey"], self.form)
        public = _pem.public_key_in(outputs["publicKey"])
        return key is not None and _pem.is_of(self.key, key) and key.public_key() == public

    def adopted(self, found: Outputs) -> Outputs | None:
        from . import _pem  # noqa: PLC0415  # on first use: cryptography is large

        key = _pem.private_key_in(found["privateKey"], self.form) if "privateKey" in found else None
        return super().adopted({"publicKey": _pem.public_pem(key), **found}) if key else None

    @property
    def is_slow(self) -> bool:
        return isinstance(self.key, Rsa) or not is_loaded("_pem")

    @property
    def is_long(self) -> bool:
        return isinstance(self.key, Rsa)

    def strength(self) -> Strength:
        return self.key.strength

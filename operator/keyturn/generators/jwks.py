"""Generator jwks: JSON Web Key Sets (RFC 7517) for services that sign tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from keyturn.api.base import Schema

from .base import Generator, GeneratorContext, Outputs, is_loaded
from .key_pairs import Ec, Ed25519, Rsa

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.core.policy.rules import Strength

    from .key_pairs import KeyForm

Algorithm = Literal["ES256", "RS256", "EdDSA"]

_FORMS: Mapping[Algorithm, KeyForm] = {"ES256": Ec("P-256"), "RS256": Rsa(3072), "EdDSA": Ed25519()}
_PRIVATE, _PUBLIC = "private.jwks", "public.jwks"


class JwksConfig(Schema):
    """A JSON Web Key Set to sign tokens, and the public one to verify them."""

    algorithm: Algorithm = "ES256"
    """The algorithm of the key: ES256 (the default), RS256 with 3072 bits, or EdDSA with Ed25519."""


class Jwks(Generator[JwksConfig]):
    """Generates a set of one key; during an overlap the previous keys follow it."""

    kind = "jwks"
    Config = JwksConfig
    outputs = (_PRIVATE, _PUBLIC)
    public = frozenset({_PUBLIC})

    def generate(self, given: GeneratorContext) -> Outputs:  # noqa: ARG002  # a key needs no other value
        from . import _jwk, _pem  # noqa: PLC0415  # on first use: cryptography is large

        entry = _jwk.written(_pem.draw(self._key), self.config.algorithm)
        return {_PRIVATE: _jwk.written_set([entry]), _PUBLIC: _jwk.written_set([_jwk.public_of(entry)])}

    def accepts(self, outputs: Outputs) -> bool:
        """Accept any key IDs, and older keys after the first."""
        from . import _jwk, _pem  # noqa: PLC0415  # on first use: cryptography is large

        if outputs.keys() != set(self.outputs):
            return False
        private, public = _jwk.set_in(outputs[_PRIVATE]), _jwk.set_in(outputs[_PUBLIC])
        keys = [_jwk.key_in(entry, self.config.algorithm) for entry in private]
        are_ours = bool(keys) and all(key is not None and _pem.is_of(self._key, key) for key in keys)
        return are_ours and public == [_jwk.public_of(entry) for entry in private]

    def adopted(self, found: Outputs) -> Outputs | None:
        from . import _jwk  # noqa: PLC0415  # on first use: cryptography is large

        entries = _jwk.set_in(found[_PRIVATE]) if _PRIVATE in found else []
        public = _jwk.written_set([_jwk.public_of(entry) for entry in entries])
        return super().adopted({_PUBLIC: public, **found})

    def strength(self) -> Strength:
        return self._key.strength

    @property
    def is_slow(self) -> bool:
        return self.config.algorithm == "RS256" or not is_loaded("_jwk")

    @property
    def is_long(self) -> bool:
        return self.config.algorithm == "RS256"

    @property
    def merges(self) -> frozenset[str]:
        return frozenset(self.outputs)

    def overlapping(self, fresh: Outputs, previous: Outputs) -> Outputs:
        """Sign with the first key, which is the new one; verify with any."""
        from . import _jwk  # noqa: PLC0415  # on first use: cryptography is large

        return {name: _jwk.joined(fresh[name], previous[name]) for name in self.outputs}

    @property
    def _key(self) -> KeyForm:
        return _FORMS[self.config.algorithm]

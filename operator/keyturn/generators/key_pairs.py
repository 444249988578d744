"""Generators rsaKey, ecKey, ed25519Key, sshKey and jwks: keys in several formats, and the strength of each kind."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import pydantic

from keyturn.api.base import Schema, Spelled, rules
from keyturn.core.policy.rules import LEAST_BITS, Strength
from keyturn.core.value import Value

from .base import Generator, GeneratorContext, Outputs, is_loaded

if TYPE_CHECKING:
    from ._keys import Entry, PrivateKey

Curve = Literal["P-256", "P-384", "P-521"]
PemForm = Literal["PKCS8", "PKCS1", "SEC1"]

LEAST_RSA_BITS = 3072

# Strength compared with symmetric keys. Source: NIST SP 800-57 part 1 (rev. 5), table 2.
_RSA_STRENGTHS = ((7680, 192), (LEAST_RSA_BITS, LEAST_BITS), (2048, 112))
_CURVE_STRENGTHS: dict[Curve, int] = {"P-256": 128, "P-384": 192, "P-521": 256}
_ED25519_STRENGTH = 128

# Lower bounds of the length of a PEM; other formats are longer.
_CURVE_LENGTHS: dict[Curve, int] = {"P-256": 200, "P-384": 260, "P-521": 340}
_ED25519_LENGTH = 100

_TOO_FEW = (
    f"an RSA key needs {LEAST_RSA_BITS} bits to be as strong as {LEAST_BITS} bits of entropy; write bits:"
    f" {LEAST_RSA_BITS} or more"
)
_EVEN_SIZE = "an RSA key has an even number of bits; write one, such as 4096"


def _is_even(bits: int) -> int:
    if bits % 2:
        raise ValueError(_EVEN_SIZE)
    return bits


RsaBits = Annotated[
    int,
    pydantic.Field(
        ge=0,
        le=8192,
        json_schema_extra=rules((f"self >= {LEAST_RSA_BITS}", _TOO_FEW), ("self % 2 == 0", _EVEN_SIZE)),
    ),
    pydantic.AfterValidator(_is_even),
]
"""The setting `bits` of generators of RSA keys."""


@dataclass(frozen=True, slots=True)
class Rsa:
    """RSA keys of one size."""

    bits: int = LEAST_RSA_BITS

    @property
    def strength(self) -> Strength:
        bits = next((strength for size, strength in _RSA_STRENGTHS if self.bits >= size), 0)
        # The modulus, the private exponent and five numbers of half their length, six bits per character.
        return Strength(self.bits * 3 // 4, bits, "more bits", "more bits")


@dataclass(frozen=True, slots=True)
class Ec:
    """Keys on a NIST curve."""

    curve: Curve = "P-256"

    @property
    def strength(self) -> Strength:
        return Strength(
            _CURVE_LENGTHS[self.curve], _CURVE_STRENGTHS[self.curve], "a larger curve", "a larger curve"
        )


@dataclass(frozen=True, slots=True)
class Ed25519:
    """Keys on the curve edwards25519."""

    @property
    def strength(self) -> Strength:
        return Strength(_ED25519_LENGTH, _ED25519_STRENGTH, "an ecKey instead", "an ecKey instead")


KeyForm = Rsa | Ec | Ed25519


C = TypeVar("C", bound=Schema)


class KeyGenerator(Generator[C]):
    """Generator of a key of one kind, and of what follows from it."""

    @property
    @abstractmethod
    def key(self) -> KeyForm:
        """Kind of the key."""

    @property
    def is_slow(self) -> bool:
        return isinstance(self.key, Rsa) or not is_loaded("_keys")

    @property
    def is_long(self) -> bool:
        return isinstance(self.key, Rsa)

    def strength(self) -> Strength:
        return self.key.strength


class KeyPair(KeyGenerator[C]):
    """Generates a private key and its public key as SubjectPublicKeyInfo, both as PEM."""

    outputs = ("privateKey", "publicKey")
    public = frozenset({"publicKey"})

    @property
    def form(self) -> PemForm:
        """Format of the private key."""
        return "PKCS8"

    def generate(self, given: GeneratorContext) -> Outputs:  # noqa: ARG002  # a key needs no other value
        from . import _keys  # noqa: PLC0415  # on first use: cryptography is large

        return self._written(_keys.draw(self.key))

    def accepts(self, outputs: Outputs) -> bool:
        from . import _keys  # noqa: PLC0415  # on first use: cryptography is large

        if outputs.keys() != set(self.outputs):
            return False
        key, public = self._private(outputs["privateKey"]), self._public(outputs["publicKey"])
        return key is not None and _keys.is_of(self.key, key) and key.public_key() == public

    def adopted(self, found: Outputs) -> Outputs | None:
        key = self._private(found["privateKey"]) if "privateKey" in found else None
        return super().adopted({**self._written(key), **found}) if key else None

    def _written(self, key: PrivateKey) -> Outputs:
        from . import _keys  # noqa: PLC0415  # on first use: cryptography is large

        return {"privateKey": _keys.private_pem(key, self.form), "publicKey": _keys.public_pem(key)}

    def _private(self, written: Value) -> PrivateKey | None:
        from . import _keys  # noqa: PLC0415  # on first use: cryptography is large

        return _keys.private_key_in(written, self.form)

    def _public(self, written: Value) -> object:
        from . import _keys  # noqa: PLC0415  # on first use: cryptography is large

        return _keys.public_key_in(written)


class RsaKeyConfig(Schema):
    """An RSA key pair as PEM."""

    bits: RsaBits = LEAST_RSA_BITS
    """The size of the key in bits, an even number of at most 8192; 3072 if absent."""
    format: Literal["PKCS8", "PKCS1"] = "PKCS8"
    """The format of the private key: PKCS8 (the default) or PKCS1, which starts with BEGIN RSA PRIVATE KEY."""


class RsaKey(KeyPair[RsaKeyConfig]):
    """Generates an RSA key pair."""

    kind = "rsaKey"
    Config = RsaKeyConfig

    @property
    def key(self) -> Rsa:
        return Rsa(self.config.bits)

    @property
    def form(self) -> PemForm:
        return self.config.format

    def remedy(self) -> str:
        return f"write bits: {LEAST_RSA_BITS} or more"


class EcKeyConfig(Schema):
    """A key pair on a NIST curve as PEM."""

    curve: Curve = "P-256"
    """The curve: P-256 (the default), P-384 or P-521."""


class EcKey(KeyPair[EcKeyConfig]):
    """Generates a key pair on one curve; the private key is PKCS #8."""

    kind = "ecKey"
    Config = EcKeyConfig

    @property
    def key(self) -> Ec:
        return Ec(self.config.curve)


class Ed25519KeyConfig(Schema):
    """An Ed25519 key pair as PEM."""


class Ed25519Key(KeyPair[Ed25519KeyConfig]):
    """Generates an Ed25519 key pair; the private key is PKCS #8."""

    kind = "ed25519Key"
    Config = Ed25519KeyConfig

    @property
    def key(self) -> Ed25519:
        return Ed25519()


# SSH keys in OpenSSH format

KeyType = Literal["ed25519", "rsa", "ecdsa"]

_SSH_FORMS: Mapping[KeyType, KeyForm] = {"ed25519": Ed25519(), "rsa": Rsa(3072), "ecdsa": Ec("P-256")}

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


class SshKey(KeyPair[SshKeyConfig]):
    """Generates a private key and its line of authorized_keys.

    A changed comment is no reason to replace the key on every server.
    """

    kind = "sshKey"
    Config = SshKeyConfig

    @property
    def key(self) -> KeyForm:
        return _SSH_FORMS[self.config.type]

    def _written(self, key: PrivateKey) -> Outputs:
        from . import _keys  # noqa: PLC0415  # on first use: cryptography is large

        line = _keys.authorized_key(key, self.config.comment)
        return {"privateKey": _keys.ssh_private_key(key), "publicKey": line}

    def _private(self, written: Value) -> PrivateKey | None:
        from . import _keys  # noqa: PLC0415  # on first use: cryptography is large

        return _keys.ssh_private_key_in(written)

    def _public(self, written: Value) -> object:
        from . import _keys  # noqa: PLC0415  # on first use: cryptography is large

        return _keys.ssh_public_key_in(written)


# JSON Web Key Sets (RFC 7517) for services that sign tokens

Algorithm = Literal["ES256", "RS256", "EdDSA"]

_JWK_FORMS: Mapping[Algorithm, KeyForm] = {"ES256": Ec("P-256"), "RS256": Rsa(3072), "EdDSA": Ed25519()}
_PRIVATE, _PUBLIC = "private.jwks", "public.jwks"


class JwksConfig(Schema):
    """A JSON Web Key Set to sign tokens, and the public one to verify them."""

    algorithm: Algorithm = "ES256"
    """The algorithm of the key: ES256 (the default), RS256 with 3072 bits, or EdDSA with Ed25519."""


class Jwks(KeyGenerator[JwksConfig]):
    """Generates a set of the key that signs and the one that signs next; in an overlap the previous keys follow.

    So pods that a rollout has not restarted yet already verify what the restarted ones sign.
    """

    kind = "jwks"
    Config = JwksConfig
    outputs = (_PRIVATE, _PUBLIC)
    public = frozenset({_PUBLIC})

    @property
    def key(self) -> KeyForm:
        return _JWK_FORMS[self.config.algorithm]

    def generate(self, given: GeneratorContext) -> Outputs:
        """Return a set that signs with the key that the previous one has announced, unless that is exposed."""
        from . import _keys  # noqa: PLC0415  # on first use: cryptography is large

        replaced = given.replaced if given.replaced and not given.is_exposed else {}
        announced = _keys.announced_in(replaced[_PRIVATE]) if _PRIVATE in replaced else None
        first = announced if announced and self._is_ours(announced) else self._drawn()
        entries = [first, following := self._drawn()]
        public = [_keys.public_jwk(entry) for entry in entries]
        return {_PRIVATE: _keys.jwks_of(entries, following["kid"]), _PUBLIC: _keys.jwks_of(public)}

    def accepts(self, outputs: Outputs) -> bool:
        """Accept any key IDs, and older keys after the first."""
        from . import _keys  # noqa: PLC0415  # on first use: cryptography is large

        if outputs.keys() != set(self.outputs):
            return False
        private, public = _keys.jwks_in(outputs[_PRIVATE]), _keys.jwks_in(outputs[_PUBLIC])
        are_ours = bool(private) and all(self._is_ours(entry) for entry in private)
        return are_ours and public == [_keys.public_jwk(entry) for entry in private]

    def adopted(self, found: Outputs) -> Outputs | None:
        from . import _keys  # noqa: PLC0415  # on first use: cryptography is large

        entries = _keys.jwks_in(found[_PRIVATE]) if _PRIVATE in found else []
        public = _keys.jwks_of([_keys.public_jwk(entry) for entry in entries])
        return super().adopted({_PUBLIC: public, **found})

    @property
    def merges(self) -> frozenset[str]:
        return frozenset(self.outputs)

    def overlapping(self, fresh: Outputs, previous: Outputs) -> Outputs:
        """Sign with the first key, which is the new one; verify with any."""
        from . import _keys  # noqa: PLC0415  # on first use: cryptography is large

        return {name: _keys.joined_jwks(fresh[name], previous[name]) for name in self.outputs}

    def _drawn(self) -> Entry:
        from . import _keys  # noqa: PLC0415  # on first use: cryptography is large

        return _keys.jwk_of(_keys.draw(self.key), self.config.algorithm)

    def _is_ours(self, entry: Entry) -> bool:
        from . import _keys  # noqa: PLC0415  # on first use: cryptography is large

        key = _keys.key_of_jwk(entry, self.config.algorithm)
        return key is not None and _keys.is_of(self.key, key)

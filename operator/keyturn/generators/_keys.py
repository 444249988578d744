"""Private keys: generation, and their PEM, OpenSSH and JWK formats (RFC 7517, 7518 and 8037).

Imported on first use, as cryptography is large. JSON Web Keys are implemented here, because `accepts` reads keys in
the event loop, and libraries take 0.2 s for an RSA key: they search for its primes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, assert_never

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
    load_ssh_private_key,
    load_ssh_public_key,
)
from cryptography.hazmat.primitives.serialization.ssh import SSHPublicKeyTypes

from keyturn.core import texts
from keyturn.core.value import Value
from keyturn.runtime import tls

from .key_pairs import Ec, Ed25519, Rsa

if TYPE_CHECKING:
    from .key_pairs import Curve, KeyForm, PemForm

PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

EXPONENT = 65537
CURVES: Mapping[Curve, type[ec.EllipticCurve]] = {
    "P-256": ec.SECP256R1,
    "P-384": ec.SECP384R1,
    "P-521": ec.SECP521R1,
}
_LABELS: Mapping[PemForm, str] = {
    "PKCS8": "PRIVATE KEY",
    "PKCS1": "RSA PRIVATE KEY",
    "SEC1": "EC PRIVATE KEY",
}
_FORMATS: Mapping[PemForm, PrivateFormat] = {
    "PKCS8": PrivateFormat.PKCS8,
    "PKCS1": PrivateFormat.TraditionalOpenSSL,
    "SEC1": PrivateFormat.TraditionalOpenSSL,
}


def draw(form: KeyForm) -> PrivateKey:
    """Generate a key."""
    match form:
        case Rsa(bits):
            return rsa.generate_private_key(EXPONENT, bits)
        case Ec(curve):
            return ec.generate_private_key(CURVES[curve]())
        case Ed25519():
            return ed25519.Ed25519PrivateKey.generate()
        case _:
            assert_never(form)


def is_of(form: KeyForm, key: PrivateKey) -> bool:
    """Whether `draw(form)` could have generated the key."""
    match form:
        case Rsa(bits):
            return (
                isinstance(key, rsa.RSAPrivateKey)
                and key.key_size == bits
                and key.public_key().public_numbers().e == EXPONENT
            )
        case Ec(curve):
            return isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, CURVES[curve])
        case Ed25519():
            return isinstance(key, ed25519.Ed25519PrivateKey)
        case _:
            assert_never(form)


def private_pem(key: PrivateKey, form: PemForm = "PKCS8") -> Value:
    """Return a private key as unencrypted PEM."""
    return Value(key.private_bytes(Encoding.PEM, _FORMATS[form], NoEncryption()))


def public_pem(key: PrivateKey) -> Value:
    """Return the public key as SubjectPublicKeyInfo in PEM."""
    return Value(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def private_key_in(pem: Value, *forms: PemForm) -> PrivateKey | None:
    """Return the private key of a PEM in one of these forms; None for anything else."""
    if not any(one_block(pem, _LABELS[form]) for form in forms):
        return None
    return _checked_key(load_pem_private_key, pem)


def _checked_key(load: Callable[..., object], written: Value) -> PrivateKey | None:
    """Load a private key; None for one that is invalid, of another kind, or too large."""
    try:
        # cryptography's validation searches for primes, 0.2 s for 3072 bits and 7 s for 8192; `is_sound` does not.
        key = load(written.reveal(), None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key if is_ours(key) and is_small(key) and is_sound(key) else None


def public_key_in(pem: Value) -> PublicKeyTypes | None:
    """Return the public key of a SubjectPublicKeyInfo in PEM; None for anything else."""
    if not one_block(pem, "PUBLIC KEY"):
        return None
    try:
        key = load_pem_public_key(pem.reveal())
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if is_small(key) else None


def is_small(key: object) -> bool:
    """Whether operations take milliseconds; those of RSA grow with the cube of the key size."""
    return not isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey) or key.key_size <= tls.LARGEST_RSA


def is_ours(key: object) -> TypeGuard[PrivateKey]:
    """Whether it is a private key of a supported kind."""
    return isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey)


def is_sound(key: PrivateKey) -> bool:
    """Whether the parts of a private key are consistent.

    Cryptography checks those of other kinds than RSA itself.
    """
    return not isinstance(key, rsa.RSAPrivateKey) or tls.belong_together(key.private_numbers())


def one_block(pem: Value, label: str) -> bool:
    """Whether it is a single PEM block within the size limit, with nothing but blanks around it."""
    if len(pem.reveal()) > tls.LARGEST_KEY:
        return False
    block = rf"-----BEGIN {label}-----\s[A-Za-z0-9+/=\s]+-----END {label}-----"
    return re.fullmatch(block.encode(), pem.reveal().strip()) is not None


_AUTHORIZED_KEY = rb"\S+ [A-Za-z0-9+/=]+( [ -~]+)?\n?"


def ssh_private_key(key: PrivateKey) -> Value:
    """Return a private key in OpenSSH format, unencrypted."""
    return Value(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))


def authorized_key(key: PrivateKey, comment: str | None) -> Value:
    """Return the public key as a line of authorized_keys."""
    written = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return Value(written if comment is None else b"%b %b" % (written, comment.encode("ascii")))


def ssh_private_key_in(written: Value) -> PrivateKey | None:
    """Return the private key of an OpenSSH PEM; None for anything else."""
    if not one_block(written, "OPENSSH PRIVATE KEY"):
        return None
    return _checked_key(load_ssh_private_key, written)


def ssh_public_key_in(line: Value) -> SSHPublicKeyTypes | None:
    """Return the public key of an authorized_keys line without options; None for anything else."""
    if len(line.reveal()) > tls.LARGEST_KEY or not re.fullmatch(_AUTHORIZED_KEY, line.reveal()):
        return None
    try:
        key = load_ssh_public_key(line.reveal())
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if is_small(key) else None


Entry = dict[str, Any]

_MAX_KEYS = 8
_MAX_SET_BYTES = _MAX_KEYS * tls.LARGEST_KEY
_IDENTIFYING = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}
_SECRET = frozenset({"d", "p", "q", "dp", "dq", "qi"})
_COORDINATE = 32  # bytes of a coordinate on P-256


def jwk_of(key: PrivateKey, algorithm: str) -> Entry:
    """Return a private key as JWK."""
    members = _members(key)
    return {**members, "kid": thumbprint(members), "use": "sig", "alg": algorithm}


def public_jwk(entry: Entry) -> Entry:
    """Return the JWK without its private members."""
    return {name: value for name, value in entry.items() if name not in _SECRET}


def thumbprint(entry: Entry) -> str:
    """Return the key ID: the thumbprint by RFC 7638."""
    identifying = {name: entry[name] for name in _IDENTIFYING[entry["kty"]]}
    return _text(hashlib.sha256(orjson.dumps(identifying, option=orjson.OPT_SORT_KEYS)).digest())


def jwks_of(entries: list[Entry], announced: str | None = None) -> Value:
    """Return a set; the member `next` names the key that signs after the next rotation.

    Other programs ignore that member: RFC 7517, section 5.
    """
    return Value(orjson.dumps({"keys": entries} | ({"next": announced} if announced else {})))


def announced_in(value: Value) -> Entry | None:
    """Return the key that a set announces, behind the one that signs; None without one."""
    entries = jwks_in(value)
    name = orjson.loads(value.reveal()).get("next") if entries else None
    return next((entry for entry in entries[1:] if entry["kid"] == name), None)


def joined_jwks(fresh: Value, previous: Value) -> Value:
    """Return `fresh` with the keys of `previous` appended, at most _MAX_KEYS."""
    entries, announced = jwks_in(fresh), announced_in(fresh)
    names = {entry["kid"] for entry in entries}
    older = [entry for entry in jwks_in(previous) if entry["kid"] not in names]
    return jwks_of([*entries, *older][:_MAX_KEYS], announced["kid"] if announced else None)


def jwks_in(value: Value) -> list[Entry]:
    """Return the entries of a set; empty if it is none."""
    if len(value.reveal()) > _MAX_SET_BYTES:
        return []
    try:
        document = orjson.loads(value.reveal())
    except orjson.JSONDecodeError:
        return []
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        return []
    are_entries = all(isinstance(one, dict) and isinstance(one.get("kid"), str) for one in entries)
    return entries if are_entries else []


def key_of_jwk(entry: Entry, algorithm: str) -> PrivateKey | None:
    """Return the private key of an entry; None if the entry differs from Keyturn's form except for its key ID."""
    try:
        key = _key(entry)
    except (KeyError, TypeError, ValueError):  # binascii.Error is a ValueError
        return None
    if key is None or not is_sound(key):
        return None
    return key if {**jwk_of(key, algorithm), "kid": entry["kid"]} == entry else None


def _members(key: PrivateKey) -> Entry:
    match key:
        case rsa.RSAPrivateKey():
            numbers = key.private_numbers()
            public = numbers.public_numbers
            parts = {"n": public.n, "e": public.e, "d": numbers.d, "p": numbers.p, "q": numbers.q}
            parts |= {"dp": numbers.dmp1, "dq": numbers.dmq1, "qi": numbers.iqmp}
            minimal = {name: part.to_bytes((part.bit_length() + 7) // 8) for name, part in parts.items()}
            return {"kty": "RSA", **{name: _text(part) for name, part in minimal.items()}}
        case ec.EllipticCurvePrivateKey():
            secret = key.private_numbers()
            point = secret.public_numbers
            sized = {"x": point.x, "y": point.y, "d": secret.private_value}
            coordinates = {name: _text(number.to_bytes(_COORDINATE)) for name, number in sized.items()}
            return {"kty": "EC", "crv": "P-256", **coordinates}
        case ed25519.Ed25519PrivateKey():
            x, d = key.public_key().public_bytes_raw(), key.private_bytes_raw()
            return {"kty": "OKP", "crv": "Ed25519", "x": _text(x), "d": _text(d)}
        case _:
            assert_never(key)


def _key(entry: Entry) -> PrivateKey | None:
    match entry["kty"]:
        case "RSA":
            n, e, d, p, q, dp, dq, qi = (
                int.from_bytes(texts.decode(entry[name]))
                for name in ("n", "e", "d", "p", "q", "dp", "dq", "qi")
            )
            if max(number.bit_length() for number in (n, e, d, p, q, dp, dq, qi)) > tls.LARGEST_RSA:
                raise ValueError("too large")
            numbers = rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, rsa.RSAPublicNumbers(e, n))
            return numbers.private_key(unsafe_skip_rsa_key_validation=True)
        case "EC":
            secret = int.from_bytes(texts.decode(entry["d"]))
            return ec.derive_private_key(secret, ec.SECP256R1())
        case "OKP":
            return ed25519.Ed25519PrivateKey.from_private_bytes(texts.decode(entry["d"]))
    return None


def _text(content: bytes) -> str:
    return texts.encode(content).decode("ascii")

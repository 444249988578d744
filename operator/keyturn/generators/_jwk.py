"""JSON Web Keys (RFC 7517, 7518 and 8037); imported on first use, as cryptography is large.

Implemented here, because `accepts` reads keys in the event loop, and libraries take 0.2 s for an RSA key: they search
for its primes.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, assert_never

import orjson
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from keyturn.core import texts
from keyturn.core.value import Value
from keyturn.runtime import tls

from ._pem import is_sound

if TYPE_CHECKING:
    from ._pem import PrivateKey

Entry = dict[str, Any]

_MAX_KEYS = 8
_MAX_SET_BYTES = _MAX_KEYS * tls.LARGEST_KEY
_IDENTIFYING = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}
_SECRET = frozenset({"d", "p", "q", "dp", "dq", "qi"})
_COORDINATE = 32  # bytes of a coordinate on P-256


def written(key: PrivateKey, algorithm: str) -> Entry:
    """Return a private key as JWK."""
    members = _members(key)
    return {**members, "kid": thumbprint(members), "use": "sig", "alg": algorithm}


def public_of(entry: Entry) -> Entry:
    """Return the JWK without its private members."""
    return {name: value for name, value in entry.items() if name not in _SECRET}


def thumbprint(entry: Entry) -> str:
    """Return the key ID: the thumbprint by RFC 7638."""
    identifying = {name: entry[name] for name in _IDENTIFYING[entry["kty"]]}
    return _text(hashlib.sha256(orjson.dumps(identifying, option=orjson.OPT_SORT_KEYS)).digest())


def written_set(entries: list[Entry]) -> Value:
    return Value(orjson.dumps({"keys": entries}))


def joined(fresh: Value, previous: Value) -> Value:
    """Return `fresh` with the keys of `previous` appended, at most _MAX_KEYS."""
    entries = set_in(fresh)
    names = {entry["kid"] for entry in entries}
    older = [entry for entry in set_in(previous) if entry["kid"] not in names]
    return written_set([*entries, *older][:_MAX_KEYS])


def set_in(value: Value) -> list[Entry]:
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


def key_in(entry: Entry, algorithm: str) -> PrivateKey | None:
    """Return the private key of an entry; None if the entry differs from Keyturn's form except for its key ID."""
    try:
        key = _key(entry)
    except (KeyError, TypeError, ValueError):  # binascii.Error is a ValueError
        return None
    if key is None or not is_sound(key):
        return None
    return key if {**written(key, algorithm), "kid": entry["kid"]} == entry else None


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
            return _rsa_key(entry)
        case "EC":
            secret = int.from_bytes(texts.decode(entry["d"]))
            return ec.derive_private_key(secret, ec.SECP256R1())
        case "OKP":
            return ed25519.Ed25519PrivateKey.from_private_bytes(texts.decode(entry["d"]))
    return None


def _rsa_key(entry: Entry) -> PrivateKey:
    n, e, d, p, q, dp, dq, qi = (
        int.from_bytes(texts.decode(entry[name])) for name in ("n", "e", "d", "p", "q", "dp", "dq", "qi")
    )
    if max(number.bit_length() for number in (n, e, d, p, q, dp, dq, qi)) > tls.LARGEST_RSA:
        raise ValueError("too large")
    numbers = rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, rsa.RSAPublicNumbers(e, n))
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def _text(content: bytes) -> str:
    return texts.encode(content).decode("ascii")

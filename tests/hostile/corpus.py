"""What a hostile tenant writes: each costs us as much as it can for its size."""

import base64
import functools
import itertools
import json
import math
import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

_EXPONENT = 65537
NOW = datetime.now(UTC).replace(microsecond=0)


@functools.cache
def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    """Make a key of RSA whose parts fit together, of numbers that are no primes: to look for those takes minutes."""
    chance = random.Random(bits)  # noqa: S311  # it keeps no secret
    while True:
        p, q = (chance.getrandbits(bits // 2) | (3 << (bits // 2 - 2)) | 1 for _ in range(2))
        least = math.lcm(p - 1, q - 1)
        if math.gcd(p, q) == 1 and math.gcd(_EXPONENT, least) == 1 and (p * q).bit_length() == bits:
            break
    d = pow(_EXPONENT, -1, least)
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), rsa.RSAPublicNumbers(_EXPONENT, p * q)
    )
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def torn_key(bits: int) -> bytes:
    """Write a key of RSA with 2048 bits whose factors have so many, and are not its factors."""
    chance = random.Random(bits)  # noqa: S311  # it keeps no secret
    factors = (chance.getrandbits(bits) | (1 << (bits - 1)) | 1 for _ in range(5))
    small = rsa_key(2048).private_numbers()
    numbers = (0, small.public_numbers.n, _EXPONENT, small.d, *factors)
    der = _der(0x30, b"".join(_der(2, one.to_bytes(one.bit_length() // 8 + 1)) for one in numbers))
    lines = base64.encodebytes(der)
    return b"-----BEGIN RSA PRIVATE KEY-----\n" + lines + b"-----END RSA PRIVATE KEY-----\n"


def _der(tag: int, content: bytes) -> bytes:
    length = len(content).to_bytes(2) if len(content) > 0x7F else bytes([len(content)])
    return bytes([tag]) + (b"\x82" if len(length) > 1 else b"") + length + content


def private(key: rsa.RSAPrivateKey, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    return key.private_bytes(Encoding.PEM, form, NoEncryption())


def public(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def jwk(key: rsa.RSAPrivateKey) -> dict[str, str]:
    """Write a key of RSA as JSON, as one of ours is written."""
    numbers = key.private_numbers()
    parts = {"n": numbers.public_numbers.n, "e": _EXPONENT, "d": numbers.d, "p": numbers.p, "q": numbers.q}
    parts |= {"dp": numbers.dmp1, "dq": numbers.dmq1, "qi": numbers.iqmp}
    text = {name: _base64(number) for name, number in parts.items()}
    return {"kty": "RSA", **text, "kid": "it", "use": "sig", "alg": "RS256"}


def _base64(number: int) -> str:
    content = number.to_bytes((number.bit_length() + 7) // 8)
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def certificate(
    subject: str, issuer: str, signer: ec.EllipticCurvePrivateKey, key: rsa.RSAPrivateKey | None = None
) -> bytes:
    """Make the certificate of a CA, of another's key where one is given."""
    made = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key() if key else signer.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=300))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(signer, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM)


def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@functools.cache
def chain(length: int, name: str = "") -> Mapping[str, bytes]:
    """Make a CA that is so many certificates away from its root; each is called `name`, or by its place."""
    key = ec_key()
    names = [name or f"ca {place}" for place in range(length)]
    made = [certificate(one, above, key) for one, above in itertools.pairwise(names)]
    root = certificate(names[-1], names[-1], key)
    written = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    first, *others = [*made, root]
    # The root comes last, and what leads there in the wrong order: who looks for the next tries them all.
    return {"tls.crt": b"".join([first, *reversed(others[:-1])]), "ca.crt": root, "tls.key": written}


@functools.cache
def big_authority(bits: int) -> Mapping[str, bytes]:
    """Make a CA whose key of RSA is large, below a root whose key is small."""
    signer, key = ec_key(), rsa_key(bits)
    return {
        "tls.crt": certificate("big", "root", signer, key),
        "ca.crt": certificate("root", "root", signer),
        "tls.key": private(key),
    }


def deep_json(depth: int = 100_000) -> bytes:
    return b"[" * depth + b"]" * depth


def wide_json(properties: int = 40_000) -> bytes:
    return json.dumps({f"p{number}": str(number) for number in range(properties)}).encode()


def yaml_bomb() -> bytes:
    """Write ten lines that are ten to the ninth."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    return "\n".join(lines).encode()


def deep_yaml(depth: int = 20_000) -> bytes:
    return b"[" * depth


def dotenv(lines: int = 20_000) -> bytes:
    return b"".join(b"A%d=${A%d}${A%d}\n" % (n, n - 1, n - 1) for n in range(1, lines))


TEMPLATES: Mapping[str, str] = {
    "nested loops": "{% for a in (1..10000) %}{% for b in (1..10000) %}{{ a }}{% endfor %}{% endfor %}",
    "growing text": "{% assign a = 'x' %}{% for i in (1..100) %}{% assign a = a | append: a %}{% endfor %}",
    "many tags": "{% if a %}" * 700 + "{% endif %}" * 700,
    "a page": "{{ password }}" * 1100,
}

JSONPATHS: tuple[str, ...] = (
    "$" + "..*" * 40,
    "$[?" + "(" * 150 + "@.a" + ")" * 150 + "]",
    "$[?(@.a=~'(a+)+$')]",
    "$" + "[0]" * 160,
)

CRONS: tuple[str, ...] = tuple(f"{minute} {hour} 29 2 *" for minute in range(60) for hour in range(24))[:64]

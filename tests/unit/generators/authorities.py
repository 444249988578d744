"""Certificate chains of other tools, also with flaws that clients reject."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

Key: TypeAlias = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class Profile:
    """What a certificate says; without arguments a CA that may sign anything."""

    name: str = ""
    ends: timedelta = timedelta(days=365)
    starts: timedelta = timedelta(days=-400)
    is_ca: bool = True
    path_length: int | None = None
    extensions: tuple[x509.ExtensionType, ...] = ()
    key: Key | None = None

    def but(self, **changes: Any) -> Profile:
        return replace(self, **changes)


def held(*profiles: Profile) -> dict[str, bytes]:
    """Return the data of a Secret with the last certificate of a chain whose first one is the root."""
    root, *lower = _chain(profiles)
    subject = lower[-1] if lower else root
    certificates = [one.certificate.public_bytes(Encoding.PEM) for one in reversed(lower or [root])]
    return {
        "tls.crt": b"".join(certificates),
        "tls.key": subject.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "ca.crt": root.certificate.public_bytes(Encoding.PEM),
    }


@dataclass(frozen=True, slots=True)
class _Pair:
    certificate: x509.Certificate
    key: Key


def _chain(profiles: tuple[Profile, ...]) -> list[_Pair]:
    found: list[_Pair] = []
    for place, profile in enumerate(profiles):
        named = profile.but(name=profile.name or f"CA {place}")
        found.append(_signed(named, found[-1] if found else None))
    return found


def _signed(profile: Profile, issuer: _Pair | None) -> _Pair:
    key = profile.key or ec.generate_private_key(ec.SECP256R1())
    signer, now = issuer.key if issuer else key, datetime.now(UTC).replace(microsecond=0)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, profile.name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + profile.starts)
        .not_valid_after(now + profile.ends)
        .add_extension(x509.BasicConstraints(profile.is_ca, profile.path_length), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    for extension in profile.extensions:
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.NameConstraints))
    algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return _Pair(builder.sign(signer, algorithm), key)

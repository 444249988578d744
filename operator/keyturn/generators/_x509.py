"""X.509 certificates (RFC 5280): creation and signature; imported on first use, as cryptography is large."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keyturn.core.times import to_second
from keyturn.core.value import Value

from ._verification import first_end, last_start

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from ._certificate_config import CertificateConfig, Usage
    from ._pem import PrivateKey

# Clocks differ: a client whose clock is slow must not see a certificate that is not valid yet.
BACKDATED = timedelta(minutes=1)
DEFAULT_USAGES: tuple[Usage, ...] = ("serverAuth", "clientAuth")
USAGES: Mapping[Usage, x509.ObjectIdentifier] = {
    "serverAuth": ExtendedKeyUsageOID.SERVER_AUTH,
    "clientAuth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "codeSigning": ExtendedKeyUsageOID.CODE_SIGNING,
    "emailProtection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
}
_HASHES: Mapping[str, type[hashes.SHA384 | hashes.SHA512]] = {
    "secp384r1": hashes.SHA384,
    "secp521r1": hashes.SHA512,
}


def signed(
    config: CertificateConfig, key: PrivateKey, issuer: Authority | None, now: datetime
) -> tuple[x509.Certificate, ...]:
    """Return the path of a new certificate to its root; itself alone if it is self-signed."""
    certificate = _certificate(config, key, issuer, to_second(now))
    return (certificate, *issuer.path) if issuer else (certificate,)


def _certificate(
    config: CertificateConfig, key: PrivateKey, issuer: Authority | None, now: datetime
) -> x509.Certificate:
    start, end = now - BACKDATED, now + config.duration
    if issuer is not None:
        start, end = max(start, last_start(issuer.path)), min(end, first_end(issuer.path))
    subject = subject_of(config)
    builder = (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .not_valid_before(start)
        .not_valid_after(end)
    )
    signer = issuer.key if issuer else key
    for extension, is_critical in _extensions(config, key, issuer):
        builder = builder.add_extension(extension, is_critical)
    return builder.sign(signer, _hash_for(signer))


def subject_of(config: CertificateConfig) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, config.subject)])


def _extensions(
    config: CertificateConfig, key: PrivateKey, issuer: Authority | None
) -> Iterable[tuple[x509.ExtensionType, bool]]:
    own_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    yield x509.BasicConstraints(ca=config.is_ca, path_length=None), True
    yield _key_usage(config, key), True
    yield own_id, False
    yield _authority_id(issuer.certificate) if issuer else _id_of(own_id), False
    if names := alternative_names(config):
        yield x509.SubjectAlternativeName(names), False
    if not config.is_ca:
        yield x509.ExtendedKeyUsage([USAGES[usage] for usage in config.usages or DEFAULT_USAGES]), False


def _key_usage(config: CertificateConfig, key: PrivateKey) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not config.is_ca,
        key_encipherment=not config.is_ca and isinstance(key, rsa.RSAPrivateKey),
        key_cert_sign=config.is_ca,
        crl_sign=config.is_ca,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _id_of(subject: x509.SubjectKeyIdentifier) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(subject)


def _authority_id(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        return _id_of(issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value)
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]


def alternative_names(config: CertificateConfig) -> list[x509.GeneralName]:
    return [
        *(x509.DNSName(name) for name in config.dns_names or ()),
        *(x509.IPAddress(ip_address(address)) for address in config.ip_addresses or ()),
    ]


def _hash_for(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None:
    """Return a hash as strong as the key; None for Ed25519, which defines its own."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return _HASHES.get(key.curve.name, hashes.SHA256)()
    return hashes.SHA256()


def written(certificates: Iterable[x509.Certificate]) -> Value:
    return Value(b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates))


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA that may sign."""

    path: tuple[x509.Certificate, ...]
    """Its certificate, and those up to the root."""
    key: PrivateKey

    @property
    def certificate(self) -> x509.Certificate:
        return self.path[0]

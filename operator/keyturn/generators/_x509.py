"""How certificates are signed and read; imported on first use, as cryptography is large."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keyturn.core.errors import Stalled
from keyturn.core.value import Value

from ._pem import private_key_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from ._pem import PrivateKey
    from .base import Outputs
    from .certificate import CertificateConfig, Usage

__all__ = ["Authority", "authority_in", "certificates_in", "fulfils", "joined", "signed", "validity"]

E = TypeVar("E", bound=x509.ExtensionType)

# Clocks differ: who is a little behind must not meet a certificate of the future.
_BACKDATED = timedelta(minutes=1)
_LEAST_TIME = timedelta(minutes=1)
_SECOND = timedelta(seconds=1)
_LONGEST_BUNDLE = 8
_DEFAULT_USAGES: tuple[Usage, ...] = ("serverAuth", "clientAuth")
_USAGES: Mapping[Usage, x509.ObjectIdentifier] = {
    "serverAuth": ExtendedKeyUsageOID.SERVER_AUTH,
    "clientAuth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "codeSigning": ExtendedKeyUsageOID.CODE_SIGNING,
    "emailProtection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
}
_HASHES: Mapping[str, type[hashes.SHA384 | hashes.SHA512]] = {
    "secp384r1": hashes.SHA384,
    "secp521r1": hashes.SHA512,
}
_BLOCKS = rb"(-----BEGIN CERTIFICATE-----\s[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*)+"


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA that may sign."""

    chain: tuple[x509.Certificate, ...]
    """Its certificate, then those that lead to the root, without the root unless it is the root itself."""
    root: x509.Certificate
    key: PrivateKey

    @property
    def certificate(self) -> x509.Certificate:
        return self.chain[0]

    @property
    def intermediates(self) -> tuple[x509.Certificate, ...]:
        return tuple(one for one in self.chain if one != self.root)


def signed(
    config: CertificateConfig, key: PrivateKey, issuer: Authority | None, now: datetime
) -> tuple[Value, Value]:
    """Sign a certificate for a key; return its chain without the root, and the root."""
    certificate = _certificate(config, key, issuer, now.replace(microsecond=0))
    if issuer is None:
        return _written([certificate]), _written([certificate])
    return _written([certificate, *issuer.intermediates]), _written([issuer.root])


def _certificate(
    config: CertificateConfig, key: PrivateKey, issuer: Authority | None, now: datetime
) -> x509.Certificate:
    start, end = now - _BACKDATED, now + config.duration
    if issuer is not None:
        start = max(start, issuer.certificate.not_valid_before_utc)
        end = min(end, issuer.certificate.not_valid_after_utc)
    subject = _subject(config)
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


def _subject(config: CertificateConfig) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, config.subject)])


def _extensions(
    config: CertificateConfig, key: PrivateKey, issuer: Authority | None
) -> Iterable[tuple[x509.ExtensionType, bool]]:
    own_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    yield x509.BasicConstraints(ca=config.is_ca, path_length=None), True
    yield _key_usage(config, key), True
    yield own_id, False
    yield _authority_id(issuer.certificate) if issuer else _id_of(own_id), False
    if names := _alternative_names(config):
        yield x509.SubjectAlternativeName(names), False
    if not config.is_ca:
        yield x509.ExtendedKeyUsage([_USAGES[usage] for usage in config.usages or _DEFAULT_USAGES]), False


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


def _alternative_names(config: CertificateConfig) -> list[x509.GeneralName]:
    return [
        *(x509.DNSName(name) for name in config.dns_names or ()),
        *(x509.IPAddress(ip_address(address)) for address in config.ip_addresses or ()),
    ]


def _hash_for(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None:
    """Return the hash that is as strong as the key; Ed25519 brings its own."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return _HASHES.get(key.curve.name, hashes.SHA256)()
    return hashes.SHA256()


# Who may sign


def authority_in(held: Outputs, secret: str, config: CertificateConfig, now: datetime) -> Authority:
    """Read the CA that a Secret holds.

    Raises:
        Stalled: It holds none that may sign such a certificate now.
    """
    chain = certificates_in(held["tls.crt"]) if "tls.crt" in held else ()
    key = private_key_in(held["tls.key"], "PKCS8", "PKCS1", "SEC1") if "tls.key" in held else None
    if not chain or key is None:
        raise _refusal(
            secret, "has no certificate in tls.crt with its key in tls.key; name the Secret of a CA"
        )
    certificate = chain[0]
    if certificate.public_key() != key.public_key():
        raise _refusal(secret, "has a tls.key that is not the one of its tls.crt; give it the right one")
    if not _may_sign(certificate):
        raise _refusal(secret, "holds no CA; name one whose certificate was made with isCA: true")
    if config.is_ca and _path_length(certificate) == 0:
        raise _refusal(secret, "holds a CA that may sign no further CA; name another, or remove isCA")
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc - _LEAST_TIME:
        raise _refusal(secret, f"holds a CA that {_when(certificate, now)}; renew it")
    return _rooted(chain, held, secret, key)


def _rooted(chain: tuple[x509.Certificate, ...], held: Outputs, secret: str, key: PrivateKey) -> Authority:
    known = (*chain, *(certificates_in(held["ca.crt"]) if "ca.crt" in held else ()))
    path = _path_to_root(chain[0], known)
    if path is None:
        raise _refusal(secret, "does not hold the root of its tls.crt; add it as ca.crt")
    return Authority(tuple(path[:-1]) or (path[0],), path[-1], key)


def _path_to_root(
    certificate: x509.Certificate, known: Sequence[x509.Certificate]
) -> list[x509.Certificate] | None:
    path = [certificate]
    while not _is_signed_by(path[-1], path[-1]):
        above = next((one for one in known if one not in path and _is_signed_by(path[-1], one)), None)
        if above is None:
            return None
        path.append(above)
    return path


def _refusal(secret: str, flaw: str) -> Stalled:
    return Stalled("InvalidIssuer", f"the Secret {secret!r} that signs the certificate {flaw}")


def _when(certificate: x509.Certificate, now: datetime) -> str:
    if now < certificate.not_valid_before_utc:
        return f"is valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on only"
    return f"ends at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"


def _may_sign(certificate: x509.Certificate) -> bool:
    usage = _extension(certificate, x509.KeyUsage)
    return _is_ca(certificate) and (usage is None or usage.key_cert_sign)


# What is there


def certificates_in(pem: Value) -> tuple[x509.Certificate, ...]:
    """Read certificates of which we can tell everything; none from anything else."""
    if not re.fullmatch(_BLOCKS, pem.reveal().strip()):
        return ()
    try:
        found = x509.load_pem_x509_certificates(pem.reveal())
        for certificate in found:
            _ = certificate.extensions, certificate.public_key(), certificate.subject, certificate.issuer
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, UnsupportedAlgorithm):
        return ()
    return tuple(found)


def fulfils(
    config: CertificateConfig,
    key: PrivateKey,
    chain: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
) -> bool:
    """Say whether a chain is what the settings ask for; not whether it is still valid."""
    if not chain or chain[0].public_key() != key.public_key():
        return False
    certificate, issuer = chain[0], _issuer_of(chain, roots)
    return (
        issuer is not None
        and (issuer == certificate) is (config.issuer.secret_ref is None)
        and _has_names(certificate, config)
        and _is_ca(certificate) is config.is_ca
        and (_may_sign(certificate) if config.is_ca else _has_usages(certificate, config))
        and _lasts(certificate, issuer, config.duration)
    )


def validity(pem: Value) -> tuple[datetime, datetime]:
    """Return from when until when the first certificate of a chain is valid, apart from what was backdated."""
    certificate = certificates_in(pem)[0]
    end = certificate.not_valid_after_utc
    return min(certificate.not_valid_before_utc + _BACKDATED, end), end


def joined(fresh: Value, previous: Value) -> Value:
    """Put certificates behind others, each once; who turns again and again does not pile them up."""
    certificates = certificates_in(fresh)
    older = [one for one in certificates_in(previous) if one not in certificates]
    return _written([*certificates, *older][:_LONGEST_BUNDLE]) if older else fresh


def _issuer_of(
    chain: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]
) -> x509.Certificate | None:
    """Return who signed the first of a chain that leads to one of the roots; None of another chain."""
    if len(set(chain)) < len(chain):
        return None
    if not all(_is_signed_by(lower, upper) for lower, upper in itertools.pairwise(chain)):
        return None
    root = next((one for one in roots if _is_signed_by(chain[-1], one)), None)
    return root if len(chain) == 1 or root is None else chain[1]


def _has_names(certificate: x509.Certificate, config: CertificateConfig) -> bool:
    found = _extension(certificate, x509.SubjectAlternativeName)
    may_be_nameless = config.common_name is None and not certificate.subject.rdns
    return (may_be_nameless or certificate.subject == _subject(config)) and (
        set(found or ()) == set(_alternative_names(config))
    )


def _has_usages(certificate: x509.Certificate, config: CertificateConfig) -> bool:
    """Take a certificate for every usage where the settings do not say which."""
    found = _extension(certificate, x509.ExtendedKeyUsage)
    if found is None:
        return config.usages is None
    return set(found) == {_USAGES[usage] for usage in config.usages or _DEFAULT_USAGES}


def _lasts(certificate: x509.Certificate, issuer: x509.Certificate, duration: timedelta) -> bool:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    is_cut_short = issuer != certificate and end == issuer.not_valid_after_utc
    is_long_enough = is_cut_short or end - start >= duration - _SECOND
    return is_long_enough and end - start <= duration + _BACKDATED + _SECOND


def _path_length(certificate: x509.Certificate) -> int | None:
    constraints = _extension(certificate, x509.BasicConstraints)
    return constraints.path_length if constraints else None


def _is_ca(certificate: x509.Certificate) -> bool:
    constraints = _extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def _is_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _written(certificates: Iterable[x509.Certificate]) -> Value:
    return Value(b"".join(one.public_bytes(Encoding.PEM) for one in certificates))

"""X.509 certificates (RFC 5280): creation, whether clients accept a chain, and whether the CA of a Secret may sign.

Imported on first use, as cryptography is large.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keyturn.core.errors import Stalled
from keyturn.core.reasons import ErrorReason
from keyturn.core.times import to_second
from keyturn.core.value import Value
from keyturn.runtime import tls

from ._keys import is_small, private_key_in

if TYPE_CHECKING:
    from ._keys import PrivateKey
    from .base import Outputs
    from .certificate import CertificateConfig, Usage

E = TypeVar("E", bound=x509.ExtensionType)

_ANY_CRITICALITY = verification.Criticality.AGNOSTIC
_FREE = (x509.KeyUsage, x509.ExtendedKeyUsage, x509.SubjectKeyIdentifier, x509.AuthorityKeyIdentifier)
"""Extensions that browsers require of an authority and other clients do not; `_may_issue` checks the usages."""


def is_verified(path: Sequence[x509.Certificate]) -> bool:
    """Whether clients accept the first certificate of a path to its root, at a time when all are valid.

    The library takes no Ed25519; of a path with such a key all but name constraints is checked.
    """
    certificate, *authorities = path
    if last_start(path) > first_end(path):
        return False
    if not all(_may_issue(authority, certificate, depth) for depth, authority in enumerate(authorities)):
        return False
    has_ed25519 = any(isinstance(one.public_key(), ed25519.Ed25519PublicKey) for one in path)
    return has_ed25519 or _is_proven(path)


def last_start(path: Sequence[x509.Certificate]) -> datetime:
    return max(certificate.not_valid_before_utc for certificate in path)


def first_end(path: Sequence[x509.Certificate]) -> datetime:
    return min(certificate.not_valid_after_utc for certificate in path)


def may_sign(certificate: x509.Certificate) -> bool:
    usage = extension(certificate, x509.KeyUsage)
    return is_ca(certificate) and (usage is None or usage.key_cert_sign)


def permits_below(authority: x509.Certificate, number: int) -> bool:
    """Whether the path length of an authority permits so many authorities below it."""
    constraints = extension(authority, x509.BasicConstraints)
    length = constraints.path_length if constraints else None
    return length is None or length >= number


def is_ca(certificate: x509.Certificate) -> bool:
    constraints = extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def is_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _may_issue(authority: x509.Certificate, certificate: x509.Certificate, depth: int) -> bool:
    permitted = extension(authority, x509.ExtendedKeyUsage)
    usages = extension(certificate, x509.ExtendedKeyUsage)
    is_for_all = permitted is None or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in permitted
    permits_usages = is_for_all or usages is None or set(usages) <= set(permitted or ())
    return may_sign(authority) and permits_below(authority, depth + is_ca(certificate)) and permits_usages


def _is_proven(path: Sequence[x509.Certificate]) -> bool:
    certificate, *intermediates, root = path
    policy = verification.ExtensionPolicy.webpki_defaults_ca()
    for kind in _FREE:
        policy = policy.may_be_present(kind, _ANY_CRITICALITY, None)
    policy = policy.require_present(x509.BasicConstraints, _ANY_CRITICALITY, None)
    verifier = (
        verification.PolicyBuilder()
        .store(verification.Store([root]))
        .time(last_start(path))
        .max_chain_depth(len(path))
        .extension_policies(ca_policy=policy, ee_policy=verification.ExtensionPolicy.permit_all())
        .build_client_verifier()
    )
    try:
        verifier.verify(certificate, intermediates)
    except verification.VerificationError:
        return False
    return True


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
    identify = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier
    own_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    issuer_id = extension(issuer.certificate, x509.SubjectKeyIdentifier) if issuer else own_id
    yield x509.BasicConstraints(ca=config.is_ca, path_length=None), True
    yield _key_usage(config, key), True
    yield own_id, False
    if issuer_id is not None:
        yield identify(issuer_id), False
    elif issuer is not None:
        public_key = issuer.certificate.public_key()
        yield x509.AuthorityKeyIdentifier.from_issuer_public_key(public_key), False  # type: ignore[arg-type]
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


_TOLERANCE = timedelta(seconds=1)
_MAX_BUNDLE = 8  # less than the limit of a parsed bundle
_BLOCKS = rb"(-----BEGIN CERTIFICATE-----\s[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*)+"


def certificates_in(pem: Value) -> tuple[x509.Certificate, ...]:
    """Return the certificates of a PEM bundle.

    Empty if it has anything else, too many, or one that cannot be parsed.
    """
    if not tls.is_bounded(pem.reveal()) or not re.fullmatch(_BLOCKS, pem.reveal().strip()):
        return ()
    try:
        certificates = x509.load_pem_x509_certificates(pem.reveal())
        for certificate in certificates:
            _ = certificate.extensions, certificate.subject, certificate.issuer
            if not is_small(certificate.public_key()):
                return ()
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, UnsupportedAlgorithm):
        return ()
    return tuple(certificates)


def fulfils(
    config: CertificateConfig,
    key: PrivateKey,
    chain: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
) -> bool:
    """Whether a chain matches the settings, and clients accept it; its validity now is not checked."""
    if not chain or chain[0].public_key() != key.public_key():
        return False
    certificate, path = chain[0], _verified_path(chain, roots)
    return (
        path is not None
        and (len(path) == 1) is (config.issuer.secret_ref is None)
        and _has_names(certificate, config)
        and is_ca(certificate) is config.is_ca
        and (may_sign(certificate) if config.is_ca else _has_usages(certificate, config))
        and _lasts(path, config.duration)
    )


def validity(chain: Value, roots: Value) -> tuple[datetime, datetime]:
    """Return the validity of a chain: from the start of its certificate, without backdating, to the first end."""
    certificates = certificates_in(chain)
    signing = [root for root in certificates_in(roots) if is_signed_by(certificates[-1], root)]
    end = first_end(certificates)
    if signing:
        end = min(end, max(root.not_valid_after_utc for root in signing))
    return min(certificates[0].not_valid_before_utc + BACKDATED, end), end


def joined(fresh: Value, previous: Value) -> Value:
    """Return `fresh` with the certificates of `previous` appended, each once, at most _MAX_BUNDLE."""
    certificates = certificates_in(fresh)
    older = [certificate for certificate in certificates_in(previous) if certificate not in certificates]
    return written([*certificates, *older][:_MAX_BUNDLE]) if older else fresh


def authorities_in(pem: Value, now: datetime) -> Value:
    """Return the certificates of CAs in a bundle that have not ended."""
    return written(
        certificate
        for certificate in certificates_in(pem)
        if is_ca(certificate) and now < certificate.not_valid_after_utc
    )


def _verified_path(
    chain: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]
) -> tuple[x509.Certificate, ...] | None:
    """Return the path from the first certificate to one of the roots that clients accept, if there is one."""
    if len(set(chain)) < len(chain):
        return None
    if not all(is_signed_by(lower, upper) for lower, upper in itertools.pairwise(chain)):
        return None
    for root in roots:
        path = tuple(dict.fromkeys((*chain, root)))
        if is_signed_by(chain[-1], root) and (len(path) == 1 or is_verified(path)):
            return path
    return None


def _has_names(certificate: x509.Certificate, config: CertificateConfig) -> bool:
    names = extension(certificate, x509.SubjectAlternativeName)
    may_be_nameless = config.common_name is None and not certificate.subject.rdns
    return (may_be_nameless or certificate.subject == subject_of(config)) and (
        set(names or ()) == set(alternative_names(config))
    )


def _has_usages(certificate: x509.Certificate, config: CertificateConfig) -> bool:
    """Compare the usages; without extension the certificate is valid for every usage."""
    usages = extension(certificate, x509.ExtendedKeyUsage)
    if usages is None:
        return config.usages is None
    return set(usages) == {USAGES[usage] for usage in config.usages or DEFAULT_USAGES}


def _lasts(path: Sequence[x509.Certificate], duration: timedelta) -> bool:
    certificate, *authorities = path
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    is_cut_short = bool(authorities) and end == first_end(authorities)
    is_long_enough = is_cut_short or end - start >= duration - _TOLERANCE
    return is_long_enough and end - start <= duration + BACKDATED + _TOLERANCE


_MIN_REMAINING = timedelta(minutes=1)
_MAX_KIB = tls.LARGEST_BUNDLE // 1024
_LEAVE = "keep only the chain from the CA to its root"


def authority_in(held: Outputs, secret: str, config: CertificateConfig, now: datetime) -> Authority:
    """Return the CA that a Secret holds.

    Raises:
        Stalled: InvalidIssuer: it holds no CA that may sign such a certificate now.
    """
    _check_size(held, secret)
    chain = certificates_in(held["tls.crt"]) if "tls.crt" in held else ()
    key = private_key_in(held["tls.key"], "PKCS8", "PKCS1", "SEC1") if "tls.key" in held else None
    if not chain or key is None:
        raise _refusal(
            secret,
            "has no certificate in tls.crt with its key in tls.key; name the Secret of a CA,"
            f" whose RSA keys have {tls.LARGEST_RSA} bits at most",
        )
    certificate = chain[0]
    if certificate.public_key() != key.public_key():
        raise _refusal(secret, "has a tls.key that is not the one of its tls.crt; give it the right one")
    if not may_sign(certificate):
        raise _refusal(secret, "holds no CA; name one whose certificate was made with isCA: true")
    path = _path(chain, held, secret)
    for depth, authority in enumerate(path):
        if config.is_ca and not permits_below(authority, depth + 1):
            raise _refusal(secret, "holds a CA that may sign no further CA; name another, or remove isCA")
        start, end = authority.not_valid_before_utc, authority.not_valid_after_utc
        if now < start:
            raise _refusal(
                secret, f"holds a CA that is valid from {start:%Y-%m-%d %H:%M} UTC on only; renew it"
            )
        if now > end - _MIN_REMAINING:
            raise _refusal(secret, f"holds a CA that ends at {end:%Y-%m-%d %H:%M} UTC; renew it")
    return Authority(path, key)


def verify(path: Sequence[x509.Certificate], secret: str) -> None:
    """Check that clients accept a certificate that the CA of a Secret has just signed.

    Raises:
        Stalled: InvalidIssuer: they do not.
    """
    if not is_verified(path):
        raise _refusal(
            secret,
            "holds a CA whose certificates clients reject; name one whose whole chain has CA flags, path lengths,"
            " usages, name constraints and keys that permit them",
        )


def _path(chain: tuple[x509.Certificate, ...], held: Outputs, secret: str) -> tuple[x509.Certificate, ...]:
    known = (*chain, *(certificates_in(held["ca.crt"]) if "ca.crt" in held else ()))
    path = _path_to_root(chain[0], known)
    if path is None:
        raise _refusal(secret, "does not hold the root of its tls.crt; add it as ca.crt")
    if len(path) > tls.MOST_CERTIFICATES:
        raise _refusal(secret, f"is more than {tls.MOST_CERTIFICATES} certificates from its root; {_LEAVE}")
    return tuple(path)


def _check_size(held: Outputs, secret: str) -> None:
    """Check the size: the cost of finding the chain grows with the square of the number of certificates."""
    for name in ("tls.crt", "ca.crt"):
        if name in held and not tls.is_bounded(held[name].reveal()):
            raise _refusal(
                secret,
                f"has more than {tls.MOST_CERTIFICATES} certificates or {_MAX_KIB} KiB in {name}; {_LEAVE}",
            )


def _path_to_root(
    certificate: x509.Certificate, known: Sequence[x509.Certificate]
) -> list[x509.Certificate] | None:
    """Return the path; of two candidates with one name and key, the one with the later end."""
    by_subject: dict[x509.Name, list[x509.Certificate]] = {}
    for candidate in sorted(dict.fromkeys(known), key=lambda one: one.not_valid_after_utc, reverse=True):
        by_subject.setdefault(candidate.subject, []).append(candidate)
    path = [certificate]
    while not is_signed_by(path[-1], path[-1]):
        candidates = by_subject.get(path[-1].issuer, [])
        above = next(
            (
                candidate
                for candidate in candidates
                if candidate not in path and is_signed_by(path[-1], candidate)
            ),
            None,
        )
        if above is None:
            return None
        path.append(above)
    return path


def _refusal(secret: str, flaw: str) -> Stalled:
    return Stalled(ErrorReason.INVALID_ISSUER, f"the Secret {secret!r} that signs the certificate {flaw}")

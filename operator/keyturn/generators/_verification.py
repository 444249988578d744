"""Whether clients accept a chain of certificates (RFC 5280); imported on first use, as cryptography is large."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

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
    return (
        may_sign(authority)
        and permits_below(authority, depth + is_ca(certificate))
        and _permits_usages(authority, certificate)
    )


def _permits_usages(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Whether an authority that is for some usages only is for those of the certificate."""
    permitted = extension(authority, x509.ExtendedKeyUsage)
    usages = extension(certificate, x509.ExtendedKeyUsage)
    if permitted is None or usages is None or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in permitted:
        return True
    return set(usages) <= set(permitted)


def _is_proven(path: Sequence[x509.Certificate]) -> bool:
    certificate, *intermediates, root = path
    verifier = (
        verification.PolicyBuilder()
        .store(verification.Store([root]))
        .time(last_start(path))
        .max_chain_depth(len(path))
        .extension_policies(
            ca_policy=_authority_policy(), ee_policy=verification.ExtensionPolicy.permit_all()
        )
        .build_client_verifier()
    )
    try:
        verifier.verify(certificate, intermediates)
    except verification.VerificationError:
        return False
    return True


def _authority_policy() -> verification.ExtensionPolicy:
    policy = verification.ExtensionPolicy.webpki_defaults_ca()
    for kind in _FREE:
        policy = policy.may_be_present(kind, _ANY_CRITICALITY, None)
    return policy.require_present(x509.BasicConstraints, _ANY_CRITICALITY, None)

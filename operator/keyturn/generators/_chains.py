"""Certificate chains: parsing and comparison with settings; imported on first use, as cryptography is large."""

from __future__ import annotations

import itertools
import re
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from keyturn.runtime import tls

from ._pem import is_small
from ._x509 import BACKDATED, DEFAULT_USAGES, USAGES, alternative_names, subject_of, written

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from keyturn.core.value import Value

    from ._certificate_config import CertificateConfig
    from ._pem import PrivateKey

__all__ = ["certificates_in", "fulfils", "is_signed_by", "joined", "may_sign", "path_length", "validity"]

E = TypeVar("E", bound=x509.ExtensionType)

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
    """Whether a chain matches the settings; its validity in time is not checked."""
    if not chain or chain[0].public_key() != key.public_key():
        return False
    certificate, issuer = chain[0], _issuer_of(chain, roots)
    return (
        issuer is not None
        and (issuer == certificate) is (config.issuer.secret_ref is None)
        and _has_names(certificate, config)
        and _is_ca(certificate) is config.is_ca
        and (may_sign(certificate) if config.is_ca else _has_usages(certificate, config))
        and _lasts(certificate, issuer, config.duration)
    )


def validity(pem: Value) -> tuple[datetime, datetime]:
    """Return the validity of the first certificate of a chain, without its backdating."""
    certificate = x509.load_pem_x509_certificate(pem.reveal())
    end = certificate.not_valid_after_utc
    return min(certificate.not_valid_before_utc + BACKDATED, end), end


def joined(fresh: Value, previous: Value) -> Value:
    """Return `fresh` with the certificates of `previous` appended, each once, at most _MAX_BUNDLE."""
    certificates = certificates_in(fresh)
    older = [certificate for certificate in certificates_in(previous) if certificate not in certificates]
    return written([*certificates, *older][:_MAX_BUNDLE]) if older else fresh


def _issuer_of(
    chain: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]
) -> x509.Certificate | None:
    """Return the issuer of the first certificate if the chain leads to one of the roots, else None."""
    if len(set(chain)) < len(chain):
        return None
    if not all(is_signed_by(lower, upper) for lower, upper in itertools.pairwise(chain)):
        return None
    root = next((candidate for candidate in roots if is_signed_by(chain[-1], candidate)), None)
    return root if len(chain) == 1 or root is None else chain[1]


def _has_names(certificate: x509.Certificate, config: CertificateConfig) -> bool:
    names = _extension(certificate, x509.SubjectAlternativeName)
    may_be_nameless = config.common_name is None and not certificate.subject.rdns
    return (may_be_nameless or certificate.subject == subject_of(config)) and (
        set(names or ()) == set(alternative_names(config))
    )


def _has_usages(certificate: x509.Certificate, config: CertificateConfig) -> bool:
    """Compare the usages; without extension the certificate is valid for every usage."""
    usages = _extension(certificate, x509.ExtendedKeyUsage)
    if usages is None:
        return config.usages is None
    return set(usages) == {USAGES[usage] for usage in config.usages or DEFAULT_USAGES}


def _lasts(certificate: x509.Certificate, issuer: x509.Certificate, duration: timedelta) -> bool:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    is_cut_short = issuer != certificate and end == issuer.not_valid_after_utc
    is_long_enough = is_cut_short or end - start >= duration - _TOLERANCE
    return is_long_enough and end - start <= duration + BACKDATED + _TOLERANCE


def path_length(certificate: x509.Certificate) -> int | None:
    constraints = _extension(certificate, x509.BasicConstraints)
    return constraints.path_length if constraints else None


def _is_ca(certificate: x509.Certificate) -> bool:
    constraints = _extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def is_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
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


def may_sign(certificate: x509.Certificate) -> bool:
    usage = _extension(certificate, x509.KeyUsage)
    return _is_ca(certificate) and (usage is None or usage.key_cert_sign)

"""Certificate chains: parsing and comparison with settings; imported on first use, as cryptography is large."""

from __future__ import annotations

import itertools
import re
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from keyturn.runtime import tls

from ._pem import is_small
from ._verification import extension, first_end, is_ca, is_signed_by, is_verified, may_sign
from ._x509 import BACKDATED, DEFAULT_USAGES, USAGES, alternative_names, subject_of, written

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from keyturn.core.value import Value

    from ._certificate_config import CertificateConfig
    from ._pem import PrivateKey

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

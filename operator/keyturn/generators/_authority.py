"""CA of a Secret, and whether it may sign; imported on first use, as cryptography is large."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.core.errors import Stalled
from keyturn.core.reasons import ErrorReason
from keyturn.runtime import tls

from ._pem import private_key_in
from ._x509 import Authority, certificates_in, is_signed_by, is_verified, may_sign, permits_below

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cryptography import x509

    from .base import Outputs
    from .certificate import CertificateConfig

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
        if flaw := _validity_problem(authority, now):
            raise _refusal(secret, f"holds a CA that {flaw}; renew it")
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


def _validity_problem(certificate: x509.Certificate, now: datetime) -> str | None:
    if now < certificate.not_valid_before_utc:
        return f"is valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on only"
    if now > certificate.not_valid_after_utc - _MIN_REMAINING:
        return f"ends at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    return None

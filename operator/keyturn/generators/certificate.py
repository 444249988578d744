"""Generator certificate: self-signed, or signed by a CA in another Secret; renewed before expiry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.core.state.revision import Validity

from ._certificate_config import CertificateConfig
from ._keyforms import LEAST_RSA_BITS, Rsa
from .base import Generator, GeneratorContext, Outputs, is_loaded

if TYPE_CHECKING:
    from keyturn.core.policy.strength import Strength

    from ._keyforms import KeyForm

_CHAIN, _KEY, _ROOTS = "tls.crt", "tls.key", "ca.crt"


class Certificate(Generator[CertificateConfig]):
    """Generates a key and its certificate: the chain without the root, and the root separately.

    A CA keeps its earlier roots until they end, because it has signed certificates that others use.
    """

    kind = "certificate"
    Config = CertificateConfig
    outputs = (_CHAIN, _KEY, _ROOTS)
    public = frozenset({_CHAIN, _ROOTS})

    def generate(self, given: GeneratorContext) -> Outputs:
        from . import _authority, _chains, _pem, _x509  # noqa: PLC0415  # on first use: cryptography is large

        key = _pem.draw(self._key)
        if self.issuer_secret is None:
            issuer = None
        else:
            issuer = _authority.authority_in(given.issuer or {}, self.issuer_secret, self.config, given.now)
        path = _x509.signed(self.config, key, issuer, given.now)
        if self.issuer_secret is not None:
            _authority.verify(path, self.issuer_secret)
        chain, roots = path[:-1] or path, _x509.written(path[-1:])
        if self.keeps_trust and given.trusted:
            roots = _chains.joined(roots, _chains.authorities_in(given.trusted[_ROOTS], given.now))
        return {_CHAIN: _x509.written(chain), _KEY: _pem.private_pem(key), _ROOTS: roots}

    def accepts(self, outputs: Outputs) -> bool:
        from . import _chains, _pem  # noqa: PLC0415  # on first use: cryptography is large

        if outputs.keys() != set(self.outputs):
            return False
        key = _pem.private_key_in(outputs[_KEY], "PKCS8", "PKCS1", "SEC1")
        if key is None or not _pem.is_of(self._key, key):
            return False
        chain, roots = _chains.certificates_in(outputs[_CHAIN]), _chains.certificates_in(outputs[_ROOTS])
        return _chains.fulfils(self.config, key, chain, roots)

    def adopted(self, found: Outputs) -> Outputs | None:
        """Derive the root if the chain ends with it, as that of a self-signed certificate does."""
        from . import _chains, _x509  # noqa: PLC0415  # on first use: cryptography is large

        chain = _chains.certificates_in(found[_CHAIN]) if _CHAIN in found else ()
        return super().adopted({_ROOTS: _x509.written(chain[-1:]), **found})

    def strength(self) -> Strength:
        return self._key.strength

    def remedy(self) -> str:
        return f"write key: {{rsa: {{bits: {LEAST_RSA_BITS}}}}} or more"

    @property
    def _key(self) -> KeyForm:
        return self.config.key.form

    @property
    def issuer_secret(self) -> str | None:
        return self.config.issuer.secret_ref.name if self.config.issuer.secret_ref else None

    @property
    def is_slow(self) -> bool:
        return self.is_long or self.issuer_secret is not None or not is_loaded("_authority")

    @property
    def is_long(self) -> bool:
        return isinstance(self._key, Rsa)

    @property
    def ends(self) -> bool:
        return True

    @property
    def keeps_trust(self) -> bool:
        return self.config.is_ca

    @property
    def merges(self) -> frozenset[str]:
        return frozenset() if self.issuer_secret else frozenset({_ROOTS})

    def life(self, outputs: Outputs) -> Validity | None:
        """Return the validity; renewBefore is a third of the validity if it is not set or not shorter."""
        from . import _chains  # noqa: PLC0415  # on first use: cryptography is large

        start, end = _chains.validity(outputs[_CHAIN], outputs[_ROOTS])
        before = self.config.renew_before
        if before is None or before >= end - start:
            before = (end - start) / 3
        return Validity(renew=end - before, end=end)

    def overlapping(self, fresh: Outputs, previous: Outputs) -> Outputs:
        """Trust the previous root as well, because not every peer has the new certificate yet."""
        from . import _chains  # noqa: PLC0415  # on first use: cryptography is large

        return {**fresh, _ROOTS: _chains.joined(fresh[_ROOTS], previous[_ROOTS])}

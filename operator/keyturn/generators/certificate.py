"""Generator certificate: self-signed, or signed by a CA in another Secret; renewed before expiry."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, Literal

import pydantic

from keyturn.api.base import Duration, Schema, Spelled, format_duration, rules
from keyturn.core.state.records import Validity

from .base import GeneratorContext, Outputs, is_loaded
from .key_pairs import LEAST_RSA_BITS, Curve, Ec, Ed25519, KeyForm, KeyGenerator, Rsa, RsaBits

if TYPE_CHECKING:
    from .key_pairs import KeyForm

Usage = Literal["serverAuth", "clientAuth", "codeSigning", "emailProtection"]


_DEFAULT_DURATION = timedelta(days=90)
_MIN_DURATION = timedelta(hours=1)
_MIN_USE = timedelta(seconds=10)  # as for rotation.every: a shorter time means permanent renewal
_MAX_COMMON_NAME = 64  # X.520 allows no more
_A_NAME = "a certificate needs a name; write commonName, dnsNames or ipAddresses"
_CA_NAME = "the certificate of a CA needs a name; write commonName"
_CA_USAGES = "a CA signs certificates and nothing else; remove usages"
_NOT_AN_IP = "write an IP address, such as 10.0.0.1 or fd00::1"
_MANY_BYTES = f"commonName has more than {_MAX_COMMON_NAME} bytes in UTF-8; write a shorter one"
_LONG_NAME = f"the first name is longer than {_MAX_COMMON_NAME} characters; write commonName"


CommonName = Annotated[
    str,
    Spelled(
        r"^[^\x00-\x1f\x7f]+$", "commonName is text of one line; write such as shop.test", _MAX_COMMON_NAME
    ),
]


DnsName = Annotated[
    str,
    Spelled(
        r"^([*][.])?[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$",
        "write a DNS name in lower case, such as shop.test or *.shop.test",
        253,
    ),
]


def _checked_address(text: str) -> str:
    """Return an address in its canonical form; a certificate has none with a zone, such as fe80::1%eth0."""
    try:
        if "%" not in text:
            return str(ip_address(text))
    except ValueError:
        pass
    raise ValueError(_NOT_AN_IP)


IpAddress = Annotated[
    str,
    pydantic.AfterValidator(_checked_address),
    pydantic.WithJsonSchema(
        {"type": "string", "minLength": 1, "maxLength": 45, **rules(("isIP(self)", _NOT_AN_IP))}
    ),
]


class RsaSettings(Schema):
    """An RSA key."""

    bits: RsaBits = LEAST_RSA_BITS
    """The size of the key in bits, an even number of at most 8192; 3072 if absent."""


class EcSettings(Schema):
    """A key on a NIST curve."""

    curve: Curve = "P-256"
    """The curve: P-256 (the default), P-384 or P-521."""


class Ed25519Settings(Schema):
    """An Ed25519 key."""


class CertificateKey(Schema):
    """The key of a certificate: exactly one kind."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            (
                "[has(self.ec), has(self.rsa), has(self.ed25519)].exists_one(given, given)",
                "write exactly one kind of key, such as key: {rsa: {bits: 3072}}",
            )
        )
    )

    ec: EcSettings | None = None
    """A key on a NIST curve, which every client supports."""
    rsa: RsaSettings | None = None
    """An RSA key, for old clients."""
    ed25519: Ed25519Settings | None = None
    """An Ed25519 key, for clients of your own; browsers do not support it."""

    @property
    def form(self) -> KeyForm:
        if self.rsa:
            return Rsa(self.rsa.bits)
        if self.ed25519:
            return Ed25519()
        return Ec(self.ec.curve if self.ec else "P-256")


class SecretRef(Schema):
    """A Secret of the same namespace."""

    name: str = pydantic.Field(min_length=1, max_length=253)
    """The name of the Secret."""


class SelfSigned(Schema):
    """The certificate signs itself."""


class Issuer(Schema):
    """The signer of the certificate: exactly one."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.selfSigned) != has(self.secretRef)",
                "exactly one signs; write selfSigned: {} or secretRef: {name: the Secret of a CA}",
            )
        )
    )

    self_signed: SelfSigned | None = None
    """The certificate signs itself."""
    secret_ref: SecretRef | None = None
    """A Secret with tls.crt and tls.key of a CA, such as one of a certificate with isCA: true."""


class CertificateConfig(Schema):
    """A certificate with its key."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            ("has(self.commonName) || has(self.dnsNames) || has(self.ipAddresses)", _A_NAME),
            (
                f"has(self.commonName) || !has(self.dnsNames) || self.dnsNames[0].size() <= {_MAX_COMMON_NAME}",
                _LONG_NAME,
            ),
            ("!has(self.isCA) || !self.isCA || has(self.commonName)", _CA_NAME),
            ("!has(self.isCA) || !self.isCA || !has(self.usages)", _CA_USAGES),
        )
    )

    common_name: CommonName | None = None
    """The common name of the subject, ignored by TLS clients; the first of dnsNames and ipAddresses if absent."""
    dns_names: list[DnsName] | None = pydantic.Field(None, min_length=1, max_length=32)
    """The host names of the certificate, with * for one label, such as *.shop.test."""
    ip_addresses: list[IpAddress] | None = pydantic.Field(None, min_length=1, max_length=32)
    """The IP addresses of the certificate."""
    usages: list[Usage] | None = pydantic.Field(
        None, min_length=1, max_length=4, json_schema_extra={"x-kubernetes-list-type": "set"}
    )
    """The extended key usages of the certificate; serverAuth and clientAuth if absent."""
    duration: Duration = _DEFAULT_DURATION
    """How long the certificate is valid, at least 1h and not longer than its issuer; 90d if absent."""
    renew_before: Duration | None = None
    """How long before its end the certificate is renewed; a third of its validity if absent."""
    is_ca: bool = pydantic.Field(default=False, alias="isCA")
    """True makes a CA, which signs other certificates."""
    issuer: Issuer = Issuer()
    """The signer of the certificate; self-signed if absent."""
    key: CertificateKey = CertificateKey()
    """The kind of the key; ec on P-256 if absent."""

    @pydantic.model_validator(mode="after")
    def _is_possible(self) -> CertificateConfig:
        if flaw := self._flaw():
            raise ValueError(flaw)
        return self

    def _flaw(self) -> str | None:
        """Return what is wrong, for rules that CEL cannot compute or the CRD of another version lacks."""
        if not self.names:
            return _A_NAME
        if self.is_ca and self.common_name is None:
            return _CA_NAME
        if self.is_ca and self.usages:
            return _CA_USAGES
        if len(self.subject.encode()) > _MAX_COMMON_NAME:
            return _MANY_BYTES if self.common_name else _LONG_NAME
        return self._flaw_of_time()

    def _flaw_of_time(self) -> str | None:
        if self.duration < _MIN_DURATION:
            return f"duration is too short; write {format_duration(_MIN_DURATION)} or longer"
        if self.renew_before and self.renew_before > self.duration - _MIN_USE:
            return (
                f"renewBefore must be shorter than duration, which is {format_duration(self.duration)},"
                f" by {format_duration(_MIN_USE)} or more"
            )
        return None

    @property
    def names(self) -> tuple[str, ...]:
        common = () if self.common_name is None else (self.common_name,)
        return (*common, *(self.dns_names or ()), *(self.ip_addresses or ()))

    @property
    def subject(self) -> str:
        return self.names[0]


_CHAIN, _KEY, _ROOTS = "tls.crt", "tls.key", "ca.crt"


class Certificate(KeyGenerator[CertificateConfig]):
    """Generates a key and its certificate: the chain without the root, and the root separately.

    A CA keeps its earlier roots until they end, because it has signed certificates that others use.
    """

    kind = "certificate"
    Config = CertificateConfig
    outputs = (_CHAIN, _KEY, _ROOTS)
    public = frozenset({_CHAIN, _ROOTS})

    def generate(self, given: GeneratorContext) -> Outputs:
        from . import _keys, _x509  # noqa: PLC0415  # on first use: cryptography is large

        key = _keys.draw(self.key)
        if self.issuer_secret is None:
            issuer = None
        else:
            issuer = _x509.authority_in(given.issuer or {}, self.issuer_secret, self.config, given.now)
        path = _x509.signed(self.config, key, issuer, given.now)
        if self.issuer_secret is not None:
            _x509.verify(path, self.issuer_secret)
        chain, roots = path[:-1] or path, _x509.written(path[-1:])
        if self.keeps_trust and given.trusted:
            roots = _x509.joined(roots, _x509.authorities_in(given.trusted[_ROOTS], given.now))
        return {_CHAIN: _x509.written(chain), _KEY: _keys.private_pem(key), _ROOTS: roots}

    def accepts(self, outputs: Outputs) -> bool:
        from . import _keys, _x509  # noqa: PLC0415  # on first use: cryptography is large

        if outputs.keys() != set(self.outputs):
            return False
        key = _keys.private_key_in(outputs[_KEY], "PKCS8", "PKCS1", "SEC1")
        if key is None or not _keys.is_of(self.key, key):
            return False
        chain, roots = _x509.certificates_in(outputs[_CHAIN]), _x509.certificates_in(outputs[_ROOTS])
        return _x509.fulfils(self.config, key, chain, roots)

    def adopted(self, found: Outputs) -> Outputs | None:
        """Derive the root if the chain ends with it, as that of a self-signed certificate does."""
        from . import _x509  # noqa: PLC0415  # on first use: cryptography is large

        chain = _x509.certificates_in(found[_CHAIN]) if _CHAIN in found else ()
        return super().adopted({_ROOTS: _x509.written(chain[-1:]), **found})

    def remedy(self) -> str:
        return f"write key: {{rsa: {{bits: {LEAST_RSA_BITS}}}}} or more"

    @property
    def key(self) -> KeyForm:
        return self.config.key.form

    @property
    def issuer_secret(self) -> str | None:
        return self.config.issuer.secret_ref.name if self.config.issuer.secret_ref else None

    @property
    def is_slow(self) -> bool:
        return self.is_long or self.issuer_secret is not None or not is_loaded("_x509")

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
        from . import _x509  # noqa: PLC0415  # on first use: cryptography is large

        start, end = _x509.validity(outputs[_CHAIN], outputs[_ROOTS])
        before = self.config.renew_before
        if before is None or before >= end - start:
            before = (end - start) / 3
        return Validity(renew=end - before, end=end)

    def overlapping(self, fresh: Outputs, previous: Outputs) -> Outputs:
        """Trust the previous root as well, because not every peer has the new certificate yet."""
        from . import _x509  # noqa: PLC0415  # on first use: cryptography is large

        return {**fresh, _ROOTS: _x509.joined(fresh[_ROOTS], previous[_ROOTS])}

"""Certificates: self-signed, or signed by a CA that another managed secret holds; renewed before they end."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, Literal

import pydantic

from keyturn.api.base import Schema, rules
from keyturn.api.duration import Duration, format_duration
from keyturn.core.state.revision import Life

from ._keyforms import LEAST_RSA_BITS, Curve, Ec, Ed25519, Rsa, RsaBits
from ._spelled import Spelled
from .base import Generator, Given, Outputs, Strength, is_loaded

if TYPE_CHECKING:
    from ._keyforms import KeyForm

__all__ = ["Certificate", "CertificateConfig"]

Usage = Literal["serverAuth", "clientAuth", "codeSigning", "emailProtection"]

_CHAIN, _KEY, _ROOTS = "tls.crt", "tls.key", "ca.crt"
_DEFAULT_DURATION = timedelta(days=90)
_LEAST_DURATION = timedelta(hours=1)
_LEAST_USE = timedelta(seconds=10)  # like rotation.every: whoever asks for less is renewed all the time
_LONGEST_COMMON_NAME = 64  # X.520 allows no more

_A_NAME = "a certificate needs a name; write commonName, dnsNames or ipAddresses"
_CA_NAME = "the certificate of a CA needs a name; write commonName"
_CA_USAGES = "a CA signs certificates and nothing else; remove usages"
_NOT_AN_IP = "write an IP address, such as 10.0.0.1 or fd00::1"
_LONG_NAME = f"the first name is longer than {_LONGEST_COMMON_NAME} characters; write commonName"

CommonName = Annotated[
    str,
    Spelled(
        r"^[^\x00-\x1f\x7f]+$",
        "commonName is text of one line; write such as shop.test",
        _LONGEST_COMMON_NAME,
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
    try:
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

    bits: int = RsaBits
    """The size of the key, at most 8192; 3072 where absent."""


class EcSettings(Schema):
    """A key on a curve of NIST."""

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
    """A key on a curve of NIST, which every client takes."""
    rsa: RsaSettings | None = None
    """An RSA key, for clients of long ago."""
    ed25519: Ed25519Settings | None = None
    """An Ed25519 key, for clients of your own; browsers do not take it."""

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
    """Who signs the certificate: exactly one."""

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
    """A Secret with tls.crt and tls.key of a CA, such as one that a certificate with isCA: true makes."""


def _is(name: str) -> str:
    return f"has(self.{name})"


class CertificateConfig(Schema):
    """A certificate with its key."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            (" || ".join(_is(name) for name in ("commonName", "dnsNames", "ipAddresses")), _A_NAME),
            (
                f"has(self.commonName) || !has(self.dnsNames) || self.dnsNames[0].size() <= {_LONGEST_COMMON_NAME}",
                _LONG_NAME,
            ),
            ("!has(self.isCA) || !self.isCA || has(self.commonName)", _CA_NAME),
            ("!has(self.isCA) || !self.isCA || !has(self.usages)", _CA_USAGES),
        )
    )

    common_name: CommonName | None = None
    """The name in the subject, not looked at by TLS clients; the first of dnsNames and ipAddresses where absent."""
    dns_names: list[DnsName] | None = pydantic.Field(None, min_length=1, max_length=32)
    """The host names that the certificate is for, with * for one label, such as *.shop.test."""
    ip_addresses: list[IpAddress] | None = pydantic.Field(None, min_length=1, max_length=32)
    """The IP addresses that the certificate is for."""
    usages: list[Usage] | None = pydantic.Field(
        None, min_length=1, max_length=4, json_schema_extra={"x-kubernetes-list-type": "set"}
    )
    """What the certificate may be used for; serverAuth and clientAuth where absent."""
    duration: Duration = _DEFAULT_DURATION
    """How long the certificate is valid, at least 1h, but never longer than the issuer's; 90d where absent."""
    renew_before: Duration | None = None
    """How long before its end the certificate is renewed; a third of the time that it is valid where absent."""
    is_ca: bool = pydantic.Field(default=False, alias="isCA")
    """True makes a CA, which signs certificates of others."""
    issuer: Issuer = Issuer()
    """Who signs the certificate; it signs itself where absent."""
    key: CertificateKey = CertificateKey()
    """The kind of the key; ec on P-256 where absent."""

    @pydantic.model_validator(mode="after")
    def _is_possible(self) -> CertificateConfig:
        if flaw := self._flaw():
            raise ValueError(flaw)
        return self

    def _flaw(self) -> str | None:
        """Say what CEL cannot reckon, or what the CRD of another version let through."""
        if not self.names:
            return _A_NAME
        if self.is_ca and self.common_name is None:
            return _CA_NAME
        if self.is_ca and self.usages:
            return _CA_USAGES
        if len(self.subject) > _LONGEST_COMMON_NAME:
            return _LONG_NAME
        return self._flaw_of_time()

    def _flaw_of_time(self) -> str | None:
        if self.duration < _LEAST_DURATION:
            return f"duration is too short; write {format_duration(_LEAST_DURATION)} or longer"
        if self.renew_before and self.renew_before > self.duration - _LEAST_USE:
            return (
                f"renewBefore must be shorter than duration, which is {format_duration(self.duration)},"
                f" by {format_duration(_LEAST_USE)} or more"
            )
        return None

    @property
    def names(self) -> tuple[str, ...]:
        common = () if self.common_name is None else (self.common_name,)
        return (*common, *(self.dns_names or ()), *(self.ip_addresses or ()))

    @property
    def subject(self) -> str:
        return self.names[0]


class Certificate(Generator[CertificateConfig]):
    """Makes a key and its certificate: the chain without the root, which is on its own."""

    kind = "certificate"
    Config = CertificateConfig
    outputs = (_CHAIN, _KEY, _ROOTS)
    public = frozenset({_CHAIN, _ROOTS})

    def generate(self, given: Given) -> Outputs:
        from . import _authority, _pem, _x509  # noqa: PLC0415  # on first use: cryptography is large

        key = _pem.draw(self._key)
        if self.issuer_secret is None:
            issuer = None
        else:
            issuer = _authority.authority_in(given.issuer or {}, self.issuer_secret, self.config, given.now)
        chain, roots = _x509.signed(self.config, key, issuer, given.now)
        return {_CHAIN: chain, _KEY: _pem.private_pem(key), _ROOTS: roots}

    def accepts(self, outputs: Outputs) -> bool:
        from . import _chains, _pem  # noqa: PLC0415  # on first use: cryptography is large

        if outputs.keys() != set(self.outputs):
            return False
        key = _pem.private_key_in(outputs[_KEY], "PKCS8", "PKCS1", "SEC1")
        if key is None or not _pem.is_of(self._key, key):
            return False
        chain, roots = _chains.certificates_in(outputs[_CHAIN]), _chains.certificates_in(outputs[_ROOTS])
        return _chains.fulfils(self.config, key, chain, roots)

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
    def merges(self) -> frozenset[str]:
        return frozenset() if self.issuer_secret else frozenset({_ROOTS})

    def life(self, outputs: Outputs) -> Life | None:
        """Renew before the end by the time asked for, or by a third where the issuer leaves no more than that."""
        from . import _chains  # noqa: PLC0415  # on first use: cryptography is large

        start, end = _chains.validity(outputs[_CHAIN])
        before = self.config.renew_before
        if before is None or before >= end - start:
            before = (end - start) / 3
        return Life(renew=end - before, end=end)

    def overlapping(self, fresh: Outputs, previous: Outputs) -> Outputs:
        """Trust the root before as well: not everybody has the new certificate yet."""
        from . import _chains  # noqa: PLC0415  # on first use: cryptography is large

        return {**fresh, _ROOTS: _chains.joined(fresh[_ROOTS], previous[_ROOTS])}

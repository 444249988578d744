"""How much of keys and certificates is read, whoever wrote them."""

import ssl
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from keyturn.core.errors import Stalled
from keyturn.core.value import Value
from keyturn.generators import GeneratorContext, _keys, _x509
from keyturn.runtime import tls
from keyturn.stores.providers import _kubeconfig
from tests.hostile import corpus
from tests.unit.generators.generated import boxed, generator_of

LARGEST, TOO_LARGE = 8192, 8200
BY_CA = {"issuer": {"secretRef": {"name": "ca"}}}


def signed_by(held: Mapping[str, bytes]) -> bytes:
    made = generator_of("certificate", BY_CA).generate(GeneratorContext(corpus.NOW, issuer=boxed(held)))
    return made["tls.crt"].reveal()


def refusal(held: Mapping[str, bytes]) -> str:
    with pytest.raises(Stalled) as refused:
        signed_by(held)
    return refused.value.message


# Certificates


def test_a_ca_as_far_from_its_root_as_is_read_signs() -> None:
    assert signed_by(corpus.chain(10)).count(b"BEGIN") == 10


def test_a_longer_chain_is_refused_with_its_limit() -> None:
    assert "more than 10 certificates" in refusal(corpus.chain(12))


def test_one_certificate_too_many_on_the_way_to_the_root_is_refused() -> None:
    assert "more than 10 certificates from its root" in refusal(corpus.chain(11))


def test_roots_without_end_are_refused() -> None:
    held = corpus.chain(2)
    assert "in ca.crt" in refusal({**held, "ca.crt": held["ca.crt"] * 11})


def test_a_large_bundle_is_refused_by_its_size() -> None:
    held = corpus.chain(2)
    assert "64 KiB in tls.crt" in refusal({**held, "tls.crt": held["tls.crt"] + b"\n" * tls.LARGEST_BUNDLE})


def test_the_way_to_the_root_is_looked_for_by_names(monkeypatch: pytest.MonkeyPatch) -> None:
    tried, is_signed_by = list[object](), _x509.is_signed_by

    def check(*given: Any) -> bool:
        tried.append(given)
        return is_signed_by(*given)

    monkeypatch.setattr(_x509, "is_signed_by", check)

    signed_by(corpus.chain(10))

    assert len(tried) <= 20  # whether each is the root, and which one is above it


def test_a_certificate_of_a_key_that_is_too_large_is_none() -> None:
    held = corpus.big_authority(TOO_LARGE)
    assert _x509.certificates_in(Value(held["tls.crt"])) == ()


def test_a_ca_whose_key_is_too_large_is_refused_with_the_limit() -> None:
    assert "8192 bits at most" in refusal(corpus.big_authority(TOO_LARGE))


# Keys of RSA


def _pkcs8(bits: int) -> object:
    return _keys.private_key_in(Value(corpus.private(corpus.rsa_key(bits))), "PKCS8")


def _pkcs1(bits: int) -> object:
    written = corpus.private(corpus.rsa_key(bits), PrivateFormat.TraditionalOpenSSL)
    return _keys.private_key_in(Value(written), "PKCS1")


def _openssh(bits: int) -> object:
    return _keys.ssh_private_key_in(Value(corpus.private(corpus.rsa_key(bits), PrivateFormat.OpenSSH)))


def _public(bits: int) -> object:
    return _keys.public_key_in(Value(corpus.public(corpus.rsa_key(bits))))


def _ssh_line(bits: int) -> object:
    line = corpus.rsa_key(bits).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return _keys.ssh_public_key_in(Value(line))


def _json(bits: int) -> object:
    return _keys.key_of_jwk(corpus.jwk(corpus.rsa_key(bits)), "RS256")


def _shown(bits: int) -> object:
    certificate = corpus.big_authority(bits)["tls.crt"]
    _kubeconfig.show(tls.client_context(), certificate, corpus.private(corpus.rsa_key(bits)))
    return True


READERS = [_pkcs8, _pkcs1, _openssh, _public, _ssh_line, _json]


@pytest.mark.parametrize("read", READERS)
def test_the_largest_key_of_rsa_is_read(read: Callable[[int], object]) -> None:
    assert read(LARGEST) is not None


@pytest.mark.parametrize("read", READERS)
def test_a_larger_key_of_rsa_is_none(read: Callable[[int], object]) -> None:
    assert read(TOO_LARGE) is None


def test_the_largest_key_of_rsa_is_shown_to_servers() -> None:
    assert _shown(LARGEST)


def test_a_larger_key_of_rsa_is_shown_to_no_server() -> None:
    with pytest.raises(ValueError, match="used"):
        _shown(TOO_LARGE)


def test_a_key_of_rsa_whose_factors_are_larger_than_itself_is_shown_to_no_server() -> None:
    """One signature with them holds up the event loop for a minute."""
    small = ec.generate_private_key(ec.SECP256R1())
    certificate = corpus.certificate("client", "client", small, corpus.rsa_key(2048))
    with pytest.raises(ValueError, match="used"):
        _kubeconfig.show(tls.client_context(), certificate, corpus.torn_key(9000))


def test_no_key_that_hides_before_the_certificate_is_shown() -> None:
    small = ec.generate_private_key(ec.SECP256R1())
    written = small.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    certificate = corpus.certificate("client", "client", small)
    hidden = corpus.private(corpus.rsa_key(TOO_LARGE))

    pair = _kubeconfig._checked(hidden + certificate, written)

    assert pair.count(b"PRIVATE KEY") == 2
    assert load_pem_private_key(pair, None).public_key() == small.public_key()


def test_a_megabyte_is_no_key() -> None:
    block = b"-----BEGIN PRIVATE KEY-----\n" + b"A" * 2**20 + b"\n-----END PRIVATE KEY-----"
    assert not _keys.one_block(Value(block), "PRIVATE KEY")


def test_a_set_of_keys_as_large_as_a_secret_is_none() -> None:
    entries = b",".join([b'{"kid":"a"}'] * 20_000)
    assert _keys.jwks_in(Value(b'{"keys":[' + entries + b"]}")) == []


# TLS


@pytest.mark.parametrize(
    "context",
    [tls.client_context(), tls.cluster_context(None), tls.server_context()],
    ids=["client", "cluster", "server"],
)
def test_no_context_offers_diffie_hellman_in_a_group_of_the_servers_choice(context: ssl.SSLContext) -> None:
    kinds = {one["name"].partition("-")[0] for one in context.get_ciphers()}
    assert kinds <= {
        "ECDHE",
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256",
    }


def test_authorities_without_end_are_refused() -> None:
    with pytest.raises(ValueError, match="too large"):
        tls.client_context(corpus.chain(2)["ca.crt"] * 11)


def test_a_hello_names_one_curve_and_no_group_of_whole_numbers() -> None:
    """A server of TLS 1.3 may insist on a group that was offered; that of 8192 bits takes 0.2 s."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = tls.client_context().wrap_bio(incoming, outgoing, server_hostname="shop.test")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    assert b"\x00\x0a\x00\x04\x00\x02\x00\x17" in outgoing.read()  # supported_groups: P-256 alone


def test_servers_are_proven_as_python_proves_them_by_default() -> None:
    mine, usual = tls.client_context(), ssl.create_default_context()
    assert (mine.verify_mode, mine.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert (mine.options, mine.minimum_version) == (usual.options, usual.minimum_version)
    assert mine.cert_store_stats() == usual.cert_store_stats()

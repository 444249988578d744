"""TLS contexts of clients trust the authorities that other clients trust, on each Python."""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from keyturn.runtime import tls

HOST = "store.test"
PEM = serialization.Encoding.PEM

Contexts = pytest.mark.parametrize(
    "context_of",
    [lambda file: tls.client_context(file.read_bytes()), lambda file: tls.cluster_context(str(file))],
    ids=["client", "cluster"],
)


@Contexts
def test_an_authority_without_key_usage_is_trusted(
    context_of: Callable[[Path], ssl.SSLContext], tmp_path: Path
) -> None:
    authority = authority_without_key_usage()
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(server)
    assert shake_hands(server, context_of(tmp_path / "ca.crt")) == HOST


@Contexts
def test_an_intermediate_authority_is_trusted_without_its_root(
    context_of: Callable[[Path], ssl.SSLContext], tmp_path: Path
) -> None:
    intermediate = trustme.CA().create_child_ca()
    intermediate.cert_pem.write_to_path(tmp_path / "ca.crt")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    intermediate.issue_cert(HOST).configure_cert(server)
    assert shake_hands(server, context_of(tmp_path / "ca.crt")) == HOST


@Contexts
def test_a_foreign_authority_is_not_trusted(
    context_of: Callable[[Path], ssl.SSLContext], tmp_path: Path
) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.crt")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(HOST).configure_cert(server)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(server, context_of(tmp_path / "ca.crt"))


def test_the_checks_do_not_depend_on_the_python(tmp_path: Path) -> None:
    authority = trustme.CA().cert_pem
    authority.write_to_path(tmp_path / "ca.crt")
    contexts = [
        tls.client_context(),
        tls.client_context(authority.bytes()),
        tls.cluster_context(None),
        tls.cluster_context(str(tmp_path / "ca.crt")),
    ]
    same = ssl.VERIFY_X509_TRUSTED_FIRST | ssl.VERIFY_X509_PARTIAL_CHAIN
    assert {context.verify_flags for context in contexts} == {same}


def authority_without_key_usage() -> trustme.CA:
    """Return an authority as `openssl req -x509` makes it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Private CA")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return trustme.CA.from_pem(certificate.public_bytes(PEM), private)


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> str | None:
    """Shake hands in memory; return the name that the client has verified."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(down, up, server_hostname=HOST)
    far = server.wrap_bio(up, down, server_side=True)
    for side in (near, far, near, far):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return near.server_hostname if near.version() else None

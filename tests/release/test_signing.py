"""A signature is what openssl verifies, and a key that could make no such signature is refused."""

import base64
import subprocess
from pathlib import Path

import pytest

from release.checkout import ReleaseError
from release.whole import read_key, sign

_OPENSSL = {
    "P-256": ("ecparam", "-name", "prime256v1", "-genkey", "-noout"),
    "P-256 as PKCS 8": ("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "P-384": ("ecparam", "-name", "secp384r1", "-genkey", "-noout"),
    "RSA": ("genpkey", "-algorithm", "RSA"),
    "a password": (
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-aes256",
        "-pass",
        "pass:x",
    ),
}


def key(folder: Path, kind: str = "P-256") -> Path:
    path = folder / "keyturn.key"
    openssl(*_OPENSSL[kind], "-out", str(path))
    return path


def openssl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", *arguments], check=False, capture_output=True, text=True, timeout=60)


def verified(file: Path, signature: Path, public: Path) -> bool:
    """Verify as docs/releases.md says."""
    raw = file.with_name("raw")
    raw.write_bytes(base64.b64decode(signature.read_bytes(), validate=False))
    return (
        openssl("dgst", "-sha256", "-verify", str(public), "-signature", str(raw), str(file)).returncode == 0
    )


@pytest.mark.parametrize("kind", ["P-256", "P-256 as PKCS 8"])
def test_openssl_verifies_what_was_signed_and_nothing_else(kind: str, tmp_path: Path) -> None:
    file, public, signature = (tmp_path / name for name in ("file", "keyturn.pub", "file.sig"))
    file.write_bytes(b"content")

    sign(read_key(key(tmp_path, kind)), file)
    good = verified(file, signature, public)
    file.write_bytes(b"Content")

    assert (good, verified(file, signature, public)) == (True, False)


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("P-384", "holds no private key of P-256"),
        ("RSA", "holds no private key of P-256"),
        ("a password", "without a password"),
    ],
)
def test_another_key_is_refused(kind: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=sentence):
        read_key(key(tmp_path, kind))


def test_a_file_that_holds_no_key_is_refused_without_its_words(tmp_path: Path) -> None:
    path = tmp_path / "keyturn.key"
    path.write_text("-----BEGIN EC PRIVATE KEY-----\nsecretsecret\n-----END EC PRIVATE KEY-----\n")

    with pytest.raises(ReleaseError, match="holds no private key") as refused:
        read_key(path)

    assert (refused.value.__cause__, "secretsecret" in str(refused.value)) == (None, False)


def test_a_key_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="openssl ecparam -name prime256v1"):
        read_key(tmp_path / "none")

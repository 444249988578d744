"""What `make release` makes: every file of a release, their digests, and the signature of the digests.

A folder has the release's name only once it is complete. On the same commit and machine, each file is the same again.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import sys
import tempfile
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from . import chart, checkout, image
from .checkout import ROOT, ReleaseError, run

SUMS = "SHA256SUMS"
_HOW = "make one with: openssl ecparam -name prime256v1 -genkey -noout -out keyturn.key"


def make(version: str, key: Path | None, dist: Path, *, with_image: bool = True) -> Path:
    """Make the release in a folder of its own below `dist`; return that folder. Without a key nothing is signed.

    Raises:
        ReleaseError: The checkout or the key does not permit a release, or a file cannot be made here.
    """
    private = read_key(key) if key else None
    checkout.check_version(version)
    committed = checkout.committed()
    dist.mkdir(parents=True, exist_ok=True)
    target = dist / f"keyturn-{version}"
    with tempfile.TemporaryDirectory(dir=dist, prefix=".release-") as scratch:
        folder = Path(scratch) / "release"
        folder.mkdir()
        if with_image:
            _add_image(folder)
        chart.package(folder, committed)
        _add_wheel(folder, committed)
        files = (file for name in ("crds", "manifests") for file in chart.files_of(ROOT / name, f"{name}/"))
        chart.pack_gzipped(files, folder / f"keyturn-manifests-{version}.tar.gz", committed)
        _add_sbom(folder / f"keyturn-{version}.cdx.json")
        sums = folder / SUMS
        found = {path.name: hashlib.sha256(path.read_bytes()) for path in sorted(folder.iterdir())}
        sums.write_text("".join(f"{digest.hexdigest()}  {name}\n" for name, digest in found.items()))
        if private:
            sign(private, sums)
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)
    return target


def _add_image(folder: Path) -> None:
    try:
        shutil.copy(image.archive(), folder)
    except ReleaseError as error:
        raise ReleaseError(f"{error}\nTo make the release without the image, say WITHOUT=image") from error


def _add_wheel(folder: Path, committed: int) -> None:
    """Build the wheel of the operator and the command line, with the backend that the lock pins."""
    options = ("--no-deps", "--no-build-isolation", "--disable-pip-version-check", f"--wheel-dir={folder}")
    run([sys.executable, "-m", "pip", "wheel", *options, ROOT], SOURCE_DATE_EPOCH=str(committed))


def _add_sbom(path: Path) -> None:
    """List the Python packages of the image, with the hashes of their lock, in CycloneDX 1.6."""
    options = ("--output-reproducible", "--spec-version=1.6", f"--pyproject={ROOT / 'pyproject.toml'}")
    command = (sys.executable, "-m", "cyclonedx_py", "requirements", *options, f"--output-file={path}")
    run([*command, ROOT / "requirements-operator.txt"])


# The signature, which openssl and cosign verify: ECDSA on P-256 with SHA-256, in Base64


def read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Read a private key in PEM, without a password."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise ReleaseError(f"the key {path} cannot be read ({error.strerror}); {_HOW}") from error
    except (TypeError, ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise ReleaseError(f"{path} holds no private key of P-256 in PEM without a password; {_HOW}")
    return key


def sign(key: ec.EllipticCurvePrivateKey, path: Path) -> None:
    """Write the signature of a file beside it, which is always the same, and the public key."""
    signature = key.sign(path.read_bytes(), ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    path.with_name(f"{path.name}.sig").write_bytes(base64.b64encode(signature) + b"\n")
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    path.with_name("keyturn.pub").write_bytes(key.public_key().public_bytes(encoding, form))

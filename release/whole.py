"""What `make release` makes: every file of a release, their digests, and the signature of the digests.

A folder has the release's name only once it is complete. On the same commit and machine, each file is the same again.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from . import chart, checkout, image
from .checkout import ROOT, ReleaseError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from .checkout import Checkout

SUMS = "SHA256SUMS"


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be made."""

    version: str
    key: Path | None
    """None: nothing is signed."""
    with_image: bool = True
    snapshot: bool = False
    """Files may differ from the commit."""


def make(order: Order, dist: Path) -> Path:
    """Make the release in a folder of its own below `dist`; return that folder.

    Raises:
        ReleaseError: The checkout or the key does not permit a release, or a file cannot be made here.
    """
    signer = None if order.key is None else Signer.from_file(order.key)
    checkout.check_version(order.version)
    source = checkout.read()
    if source.changes and not order.snapshot:
        listed = "".join(f"\n  {path}" for path in source.changes[:10])
        raise ReleaseError(
            f"the checkout differs from the commit {source.commit[:12]}; commit, or make a snapshot:{listed}"
        )
    target = dist / f"keyturn-{order.version}"
    with _workplace(dist) as folder:
        if order.with_image:
            _add_image(folder)
        chart.package(folder, source.committed)
        _add_wheel(folder, source)
        _add_manifests(folder, order, source)
        _add_sbom(folder, order)
        sums = folder / SUMS
        sums.write_text("".join(f"{_digest(path)}  {path.name}\n" for path in sorted(folder.iterdir())))
        if signer:
            signer.sign_file(sums)
            (folder / "keyturn.pub").write_bytes(signer.public())
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)
    return target


@contextmanager
def _workplace(dist: Path) -> Iterator[Path]:
    """Give an empty folder below `dist`, and remove what a killed run left there."""
    dist.mkdir(parents=True, exist_ok=True)
    with (dist / ".release.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ReleaseError(f"another process makes a release in {dist}; wait for its end") from error
        for leftover in dist.glob(".release-*"):
            shutil.rmtree(leftover)
        with tempfile.TemporaryDirectory(dir=dist, prefix=".release-") as scratch:
            folder = dist / scratch / "release"
            folder.mkdir()
            yield folder


def _add_image(folder: Path) -> None:
    try:
        shutil.copy(image.archive(), folder)
    except ReleaseError as error:
        raise ReleaseError(f"{error}\nTo make the release without the image, say WITHOUT=image") from error


def _add_wheel(folder: Path, source: Checkout) -> None:
    """Build the wheel of the operator and the command line, with the backend that the lock pins."""
    options = ("--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--wheel-dir", str(folder))
    _run(["pip", "wheel", *options, str(ROOT)], {"SOURCE_DATE_EPOCH": str(source.committed)})


def _add_manifests(folder: Path, order: Order, source: Checkout) -> None:
    files = (file for name in ("crds", "manifests") for file in chart.files_of(ROOT / name, f"{name}/"))
    chart.pack_gzipped(files, folder / f"keyturn-manifests-{order.version}.tar.gz", source.committed)


def _add_sbom(folder: Path, order: Order) -> None:
    """List the Python packages of the image, with the hashes of their lock, in CycloneDX 1.6."""
    options = ("--output-reproducible", "--spec-version=1.6", f"--pyproject={ROOT / 'pyproject.toml'}")
    made = folder / f"keyturn-{order.version}.cdx.json"
    lock = ROOT / "requirements-operator.txt"
    _run(["cyclonedx_py", "requirements", *options, f"--output-file={made}", str(lock)], {})


def _run(module: Sequence[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *module],
        env={**os.environ, **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode:
        raise ReleaseError(f"{module[0]} failed:\n{done.stderr[-2000:]}")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# The signature, which openssl and cosign verify: ECDSA on P-256 with SHA-256, in Base64

_HOW = "make one with: openssl ecparam -name prime256v1 -genkey -noout -out keyturn.key"


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key; no method shows it."""

    _key: ec.EllipticCurvePrivateKey

    @classmethod
    def from_file(cls, path: Path) -> Signer:
        """Read a key in PEM, without a password."""
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except OSError as error:
            raise ReleaseError(f"the key {path} cannot be read ({error.strerror}); {_HOW}") from error
        except TypeError as error:
            raise ReleaseError(
                f"the key {path} has a password; give one without, for as long as it takes: "
                "openssl pkey -in FILE -out keyturn.key"
            ) from error
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
            raise ReleaseError(f"{path} holds no private key of P-256 in PEM; {_HOW}")
        return cls(key)

    def sign(self, content: bytes) -> bytes:
        """Return a signature; the same content gives the same one."""
        return self._key.sign(content, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))

    def sign_file(self, path: Path) -> Path:
        """Write the signature of a file beside it."""
        beside = path.with_name(f"{path.name}.sig")
        beside.write_bytes(base64.b64encode(self.sign(path.read_bytes())) + b"\n")
        return beside

    def public(self) -> bytes:
        """Return the public key in PEM."""
        encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        return self._key.public_key().public_bytes(encoding, form)

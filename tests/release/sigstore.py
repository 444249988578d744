"""What cosign says of a signature by a key: a program around the packages that it verifies with, built once.

cosign itself takes more than five minutes to build; what it adds for a key is to read files, and to ask a log of
signatures unless told not to.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.goprogram import built

__all__ = ["BUILD_SECONDS", "program", "verifies_blob", "verifies_envelope"]

BUILD_SECONDS = 300
"""Six seconds of compiling on an idle machine."""
_MODULE = Path(__file__).with_name("sigstore-go")


def verifies_blob(file: Path, signature: Path, public: Path) -> bool:
    return _succeeds("blob", public, signature, file)


def verifies_envelope(envelope: Path, public: Path) -> bool:
    return _succeeds("envelope", public, envelope)


def _succeeds(what: str, *files: Path) -> bool:
    done = subprocess.run([program(), what, *files], check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr == "") in {(0, True), (1, False)}, done.stderr
    return done.returncode == 0


def program() -> Path:
    """Return the program, and build it first where this machine never did."""
    return built(_MODULE, "sigstore", BUILD_SECONDS)

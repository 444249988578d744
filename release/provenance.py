"""What a release says of its own origin: an in-toto statement with SLSA provenance, and its envelope.

Source: SLSA, "Provenance" v1; in-toto, "Statement" v1; Secure Systems Lab, "DSSE: Dead Simple Signing Envelope".
"""

from __future__ import annotations

import base64
import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import sums

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .checkout import Checkout
    from .signing import Signer

__all__ = [
    "BUILD_TYPE",
    "BY_HAND",
    "PAYLOAD_TYPE",
    "Origin",
    "authenticated",
    "envelope",
    "statement",
]

BUILD_TYPE = "https://keyturn.dev/releases/#build-type-v1"
BY_HAND = "https://keyturn.dev/releases/#by-hand"
"""Who builds where nothing else is said: a person, on a machine of theirs. docs/releases.md explains both."""
PAYLOAD_TYPE = "application/vnd.in-toto+json"
_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a release comes from, and who makes it."""

    repository: str
    builder: str
    source: Checkout


def statement(files: Sequence[Path], origin: Origin, parameters: Mapping[str, Any]) -> bytes:
    """Say which files were made, of what, by whom; without times, so that it is the same when made again."""
    body = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": path.name, "digest": {"sha256": sums.digest(path)}} for path in files],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {**parameters, "repository": origin.repository},
                "internalParameters": {
                    "python": platform.python_version(),
                    "platform": f"{platform.system().lower()}/{platform.machine()}",
                },
                "resolvedDependencies": [_commit(origin), *map(_lock, _locks())],
            },
            "runDetails": {"builder": {"id": origin.builder}},
        },
    }
    return json.dumps(body, indent=2).encode() + b"\n"


def _commit(origin: Origin) -> Mapping[str, Any]:
    found = {"uri": f"git+{origin.repository}", "digest": {"gitCommit": origin.source.commit}}
    # A commit does not describe a checkout that differs from it, and the statement must not seem to.
    changed = {"annotations": {"changedSince": list(origin.source.changes)}} if origin.source.changes else {}
    return {**found, **changed}


def _locks() -> Sequence[Path]:
    return sorted([*_ROOT.glob("requirements*.txt"), *_ROOT.glob("release/requirements*.txt")])


def _lock(path: Path) -> Mapping[str, Any]:
    return {"name": path.relative_to(_ROOT).as_posix(), "digest": {"sha256": sums.digest(path)}}


def envelope(payload: bytes, signer: Signer) -> bytes:
    """Return the signed envelope of a statement, as one line."""
    body = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"sig": base64.b64encode(signer.sign(authenticated(payload))).decode()}],
    }
    return json.dumps(body).encode() + b"\n"


def authenticated(payload: bytes) -> bytes:
    """Return what is signed: type and payload, each after its length, so that neither can pass for the other."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)
